"""The network as machine code generated for this CPU: fused, without copies and padding between layers.

``lowering.py`` turns the network into a ``program.py``, ``emission.py`` writes that as LLVM IR with the instructions
of ``vectors.py``, and ``machine_code.py`` compiles and runs it. ``export.py`` does this in a child process.
May import what ``engines`` may. Start with ``engine.py``, then ``program.py``.
"""
