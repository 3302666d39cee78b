"""Costmaps from labels, without a depth sensor and without ROS.

May import classes, types, errors and config. The steps of one image: ``camera.py`` (intrinsics; ``lens.py`` has
the distortion), ``projection.py`` (the ground point of each pixel), ``contacts.py`` (where standing objects touch the
ground), ``layers.py`` (evidence per costmap layer), ``grid.py`` (evidence fused over time). ``pose.py`` has transforms
and buffered odometry. Start with ``costmap.py``, which runs these steps. docs/nav2.md describes the result.
"""
