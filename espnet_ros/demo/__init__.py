"""The demo: records a drive through the node and writes the page that shows it.

May import: synthetic, evaluation, reporting and the layers below them. It does not know ROS: ``ros/player.py`` moves
the messages.
Start with ``drive.py`` (what is recorded) and ``page.py`` (what is written).
"""
