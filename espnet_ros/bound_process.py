"""Child processes that end with their parent, however it ends. Run as a program, it becomes such a child.

A child that only watched a pipe could not notice the end of its parent while a library holds Python's lock, for example
during an import. The kernel's signal (``PR_SET_PDEATHSIG``, see ``man 2 prctl``) needs no help from the child.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
from typing import List

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def bound_command(module: str, *arguments: str, ending: signal.Signals = signal.SIGKILL) -> List[str]:
    """Return the command that runs a module as a child process which ends with the calling process.

    The kernel takes the end of the *thread* that started the child for the parent's: that thread must wait for it.

    Args:
        module: dotted name of the module.
        *arguments: its arguments.
        ending: signal that the child receives when the parent ends.
    """
    return [sys.executable, "-u", "-m", __name__, str(os.getpid()), str(int(ending)), module, *arguments]


def end_with_parent(parent: int, ending: int = signal.SIGKILL) -> None:
    """Let the kernel send this process a signal when its parent ends; end at once if it has ended already.

    Args:
        parent: process id of the parent.
        ending: number of the signal.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ending)
    if os.getppid() != parent:  # it ended before the kernel knew
        os.kill(os.getpid(), ending)


def _main() -> int:
    parent, ending, module = sys.argv[1:4]
    end_with_parent(int(parent), int(ending))
    sys.argv[1:] = sys.argv[4:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
