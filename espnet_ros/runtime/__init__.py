"""What the node does that is not ROS: the image worker, engines and their exchange, power control, health.

May import loading and the layers below it, never ``ros``: everything here runs and is tested without rclpy.
``engine_exchange.py`` and ``ready_engines.py`` own the engines, ``image_worker.py`` labels the newest image, and
``power_control.py`` connects board, telemetry and governor. ``health.py`` is plain data for /diagnostics.
Start with ``image_worker.py``, then ``engine_exchange.py``.
"""
