"""Signals as an interactive shell has them, however the test run was started."""

from __future__ import annotations

import signal

_DEFAULTS = {"SIGINT": signal.default_int_handler, "SIGQUIT": signal.SIG_DFL, "SIGTERM": signal.SIG_DFL}


def reset_signals():
    """Stop ignoring the signals that a background job, ``nohup`` or a service manager ignores.

    Children inherit ignored signals, but not handlers. So the run keeps ignoring SIGHUP, as ``nohup`` promises, with a
    handler that does nothing; its children get the default.
    """
    for name, default in _DEFAULTS.items():
        number = getattr(signal, name)
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, default)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _stay)


def _stay(_number, _frame):
    pass
