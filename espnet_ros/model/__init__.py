"""ESPNet and ESPNet-C as torch modules, and the checkpoints that hold their weights.

May import config, types, classes, resources and errors. ``checkpoint`` and ``download`` need no torch, so an engine
that starts from its cache does not load it. Start with ``espnet.py`` (the networks as published), then
``checkpoint.py`` (resolves the ``weights`` parameter), ``loading.py`` (reads the file into a network) and ``graph.py``
(the network with normalisation and argmax, as engines run it). ``channels_last_graph.py`` and ``int8.py`` are variants
for OpenVINO.
"""
