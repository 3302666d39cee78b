"""Recorded images as input, and the quality of labels as output.

``frames.py`` has the ``FrameSource`` protocol. ``images.py`` (folders, videos) and ``bag.py`` (bags) implement it, and
``sources.py`` opens any of them by path. ``bag_storage.py`` reads a bag's files with rosbags, or damaged ones with
``rescue/``. ``metrics.py`` counts pixels; ``report.py`` runs a segmenter over a source. May import the segmenter and
everything below it, but neither synthetic, calibration nor ROS. Start in ``report.py``.
"""
