"""Lower priority for what runs beside a stream of images. Where the system has no /proc, nothing changes."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Iterator, List, NamedTuple

NICENESS = 10
"""Added to the thread's own. At 10 it gets a tenth of a busy core. More would be worse for the stream: a thread that
holds Python's lock, or an allocator's, and hardly ever runs holds up those that wait for it."""
TASKS = Path("/proc/self/task")


class Priority(NamedTuple):
    """How the system schedules one thread: policy (``os.SCHED_...``) and niceness."""

    policy: int
    niceness: int


@contextmanager
def low_priority() -> Iterator[None]:
    """Lower this thread's priority; at the end raise it again, and that of every thread born of it.

    An engine's own threads are born while it is built, and inherit priority. Left as they are they would label the
    stream of images at low priority later.

    Raising niceness again is a privilege (CAP_SYS_NICE or RLIMIT_NICE). Without it the thread takes the policy
    SCHED_BATCH instead, which anybody may take back: such a thread never interrupts another by waking up, but shares
    a busy core evenly.
    """
    if not TASKS.is_dir():
        yield
        return
    may_raise = _may_raise()
    before, usual = set(list_threads()), priority_of(0)
    if may_raise:
        os.setpriority(os.PRIO_PROCESS, 0, usual.niceness + NICENESS)
    else:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    lowered = priority_of(0)
    try:
        yield
    finally:
        _restore(0, lowered, usual)
        for thread in set(list_threads()) - before:
            _restore(thread, lowered, usual)


def list_threads() -> List[int]:
    """Ids of the threads of this process, as the kernel has them."""
    return [int(path.name) for path in TASKS.iterdir()]


def priority_of(thread: int) -> Priority:
    """Priority of one thread of this process; 0 is the calling one.

    Raises:
        OSError: it has ended.
    """
    return Priority(os.sched_getscheduler(thread), os.getpriority(os.PRIO_PROCESS, thread))


def _restore(thread: int, lowered: Priority, usual: Priority) -> None:
    try:
        if priority_of(thread) != lowered:
            return
        if lowered.niceness != usual.niceness:
            os.setpriority(os.PRIO_PROCESS, thread, usual.niceness)
        if lowered.policy != usual.policy:
            os.sched_setscheduler(thread, usual.policy, os.sched_param(0))
    except OSError:  # it has ended meanwhile
        pass


@lru_cache(maxsize=1)
def _may_raise() -> bool:
    """Whether a thread of this process may take back the niceness it took. Tried out in a thread of its own."""
    outcome: List[bool] = []

    def try_it() -> None:
        usual = priority_of(0).niceness
        try:
            os.setpriority(os.PRIO_PROCESS, 0, usual + 1)
            os.setpriority(os.PRIO_PROCESS, 0, usual)
        except OSError:
            return
        outcome.append(True)

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join()
    return bool(outcome)
