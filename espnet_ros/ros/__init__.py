"""Everything that touches rclpy: the node, its parameters, message conversions, publishers, poses and the player.

May import runtime, demo and the layers below them. Decisions belong into ``runtime``; a module here converts and
publishes. Nothing below this room imports ROS, so the library works without it.
Start with ``node.py``, the lifecycle node; ``conversions.py`` turns messages into arrays and back.
"""
