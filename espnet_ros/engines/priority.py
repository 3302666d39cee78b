"""Low priority for background work, so that it does not slow down the images. Does nothing without /proc."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Iterator, List, NamedTuple

NICENESS = 10
"""Added to the thread's niceness. At 10 the thread gets a tenth of a busy core. More would hurt the images: a thread
that holds Python's lock, or the allocator's, and hardly ever runs blocks the threads that wait for the lock."""
TASKS = Path("/proc/self/task")


class Priority(NamedTuple):
    """Scheduling of one thread: policy (``os.SCHED_...``) and niceness."""

    policy: int
    niceness: int


@contextmanager
def low_priority() -> Iterator[None]:
    """Lower the priority of this thread inside the ``with`` block, then restore it, also for threads started inside.

    An engine starts its threads while it is built, and they inherit the priority. Without the restoration they would
    later label images at low priority.

    Restoring the niceness needs a privilege (CAP_SYS_NICE or RLIMIT_NICE). Without it the thread uses the policy
    SCHED_BATCH instead, which needs none: such a thread does not preempt others when it wakes up, but shares a busy
    core evenly.
    """
    if not TASKS.is_dir():
        yield
        return
    may_restore = _may_restore_niceness()
    before, normal = set(list_threads()), priority_of(0)
    if may_restore:
        os.setpriority(os.PRIO_PROCESS, 0, normal.niceness + NICENESS)
    else:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    lowered = priority_of(0)
    try:
        yield
    finally:
        _restore(0, lowered, normal)
        for thread in set(list_threads()) - before:
            _restore(thread, lowered, normal)


def list_threads() -> List[int]:
    """Return the kernel's ids of the threads of this process."""
    return [int(path.name) for path in TASKS.iterdir()]


def priority_of(thread: int) -> Priority:
    """Return the priority of one thread of this process; 0 is the calling thread.

    Raises:
        OSError: the thread has ended.
    """
    return Priority(os.sched_getscheduler(thread), os.getpriority(os.PRIO_PROCESS, thread))


def _restore(thread: int, lowered: Priority, normal: Priority) -> None:
    try:
        if priority_of(thread) != lowered:
            return
        if lowered.niceness != normal.niceness:
            os.setpriority(os.PRIO_PROCESS, thread, normal.niceness)
        if lowered.policy != normal.policy:
            os.sched_setscheduler(thread, normal.policy, os.sched_param(0))
    except OSError:  # the thread has ended in the meantime
        pass


@lru_cache(maxsize=1)
def _may_restore_niceness() -> bool:
    """Return whether a thread may lower its niceness again after raising it. Tries it out in a new thread."""
    outcome: List[bool] = []

    def try_it() -> None:
        niceness = priority_of(0).niceness
        try:
            os.setpriority(os.PRIO_PROCESS, 0, niceness + 1)
            os.setpriority(os.PRIO_PROCESS, 0, niceness)
        except OSError:
            return
        outcome.append(True)

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join()
    return bool(outcome)
