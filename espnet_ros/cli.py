"""The command `espnet_ros`. Only this module prints errors and sets the exit code."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from contextlib import contextmanager
from typing import Any, Iterator, Optional, Sequence

from espnet_ros.stopping import EXIT_INTERRUPTED, exit_on_interrupt, raise_on_interrupt

if __name__ == "__main__":
    exit_on_interrupt()  # the imports below take a second

from espnet_ros import __version__
from espnet_ros.commands import bag, benchmark, demo, engine, evaluate, segment, synthetic, train, weights
from espnet_ros.errors import EspnetError

COMMANDS = (demo, segment, evaluate, benchmark, bag, synthetic, train, weights, engine)
"""Modules of the subcommands, in the order of the help text."""

_EXIT_ERROR = 1
_EXIT_TERMINATED = 128 + signal.SIGTERM


class _Terminated(KeyboardInterrupt):
    """SIGTERM was received. It unwinds the stack like Ctrl-C, so child processes are stopped."""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one subcommand.

    Args:
        argv: arguments without the program name; None for `sys.argv`.

    Returns:
        Exit code: 0 success, 1 an `EspnetError` or `OSError` (one line on stderr), 2 invalid usage, 130 Ctrl-C,
        143 SIGTERM.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name need not be text, and a terminal need not know UTF-8
            stream.reconfigure(errors="backslashreplace")
    try:
        raise_on_interrupt()
        args = build_parser().parse_args(argv)
        with _terminating_as_interrupt():
            return int(args.run(args))
    except SystemExit as exit_request:  # argparse: 0 after --help, 2 after invalid usage
        return exit_request.code if isinstance(exit_request.code, int) else _EXIT_ERROR
    except EspnetError as error:
        print(f"espnet_ros: error: {' '.join(str(error).split())}", file=sys.stderr)
        return _EXIT_ERROR
    except _Terminated:
        return _EXIT_TERMINATED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader closed the pipe, as in `espnet_ros weights list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EXIT_ERROR
    except OSError as error:  # a full or read-only disk, a missing permission
        name = "" if error.filename is None else f"{error.filename}: "
        print(f"espnet_ros: error: {name}{error.strerror or error}", file=sys.stderr)
        return _EXIT_ERROR


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="espnet_ros",
        description="Semantic segmentation with ESPNet for ROS 2.",
        epilog="'espnet_ros COMMAND --help' shows the options and an example.",
    )
    parser.add_argument("--version", action="version", version=f"espnet_ros {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


@contextmanager
def _terminating_as_interrupt() -> Iterator[None]:
    def interrupt(_signal: int, _frame: Any) -> None:
        raise _Terminated

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


if __name__ == "__main__":
    sys.exit(main())
