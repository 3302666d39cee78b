"""ESPNet and ESPNet-C as torch modules, and the checkpoints that hold their weights.

May import config, types, classes, resources and errors. ``checkpoint`` and ``download`` need no torch, so an engine
that starts from its cache does not load it. Start with ``espnet.py`` (the networks as published), then
``checkpoint.py`` (resolves the ``weights`` parameter), ``loading.py`` (loads a file that ``state_dict.py`` reads) and
``graph.py`` (the network with normalisation and argmax, as engines run it).
"""
