"""Benchmarks: engines beside the published pipeline, the steps of a frame in the node, costmaps, and power sweeps.

May import ``ros`` and the layers below it; ROS only inside functions, so that engines can be timed without it.
Contenders are measured in turn (``interleaved.py``), so that a drifting clock affects all of them equally.
Start with ``comparison.py``; ``power_sweep.py`` is the entry for power. docs/performance.md has the results.
"""
