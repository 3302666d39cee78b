"""The subcommands of `espnet_ros`, one module each, and the options that several of them share.

Each module has ``add_parser(subparsers)``, which registers the subcommand, and ``run(args) -> int``, which does the
work and returns the exit code. Modules may import everything but `cli`; slow imports go into ``run``.
Start with `evaluate.py`, a short one; `options.py` turns the node's parameters into options.
"""
