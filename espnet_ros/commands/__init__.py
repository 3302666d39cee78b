"""Subcommands of ``espnet_ros``, one module each.

A module offers ``add_parser(subparsers)``, which registers the subcommand and sets its ``run`` as the default, and
``run(args) -> int``, which does the work and returns the exit code.
"""
