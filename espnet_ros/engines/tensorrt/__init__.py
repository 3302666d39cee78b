"""TensorRT on an NVIDIA GPU: built in a child process with torch and torch2trt, run with ``tensorrt`` alone.

``build_process.py`` starts and watches the child, ``build.py`` is the child, and ``session.py`` runs the result.
May import what ``engines`` may; only ``engine.py`` and what it needs is loaded when an engine comes from the cache.
Start with ``engine.py``. docs/tensorrt.md describes the use.
"""
