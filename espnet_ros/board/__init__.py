"""Power modes of the device: which ones it has, which one is set, and how to set another one safely.

May import config and the layers below it, neither telemetry nor the governor. ``profiles.py`` has the modes by name,
``jetson.py`` the Jetson behind them, through jetson-stats (``jetson_stats.py``) or NVIDIA's own programs
(``jetson_nvpmodel.py``). Start with ``profiles.py``, then ``board_switcher.py``. docs/power.md describes the modes.
"""
