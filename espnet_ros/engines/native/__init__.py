"""ESPNet compiled to machine code for this CPU with LLVM: fused layers, with no copies and no padding between them.

``lowering.py`` converts the network to a program (``program.py``) with the help of ``builder.py``. ``emission.py`` and
``row_functions.py`` write the program as LLVM IR, with the instructions of ``vectors.py``. ``machine_code.py`` compiles
and runs it. ``export.py`` does the build in a child process, the only one that needs torch.
May import what ``engines`` may. Start with ``engine.py``, then ``program.py``.
"""
