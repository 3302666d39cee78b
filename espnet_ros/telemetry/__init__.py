"""Telemetry: power, temperature and load of the device, and statistics of the labelled images. No ROS.

``sampler.py`` reads the best available source in a thread; ``jetson.py``, ``nvml.py`` and ``rapl.py`` are the sources.
``frame_statistics.py`` computes rate, latency and energy per frame; ``thresholds.py`` checks the warning levels.
May import config and the rooms below it, nothing of the governor. Start with ``reading.py``, then ``sampler.py``.
"""
