"""Describe the configuration of a drive, as the node reports it."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Sequence

from espnet_ros.reporting.machine import describe_machine


def describe_run(status: Any, engines: Sequence[Any], threads: int, sent: str) -> Dict[str, str]:
    """Return name and value of each row of the page's table "What ran", in order.

    Args:
        status: the last espnet_ros/EngineStatus of the node.
        engines: an EngineStatus of each engine that was in use, in order.
        threads: CPU threads of the node; 0 for all cores.
        sent: description of what was sent to the node.
    """
    description = {
        "weights": _each(engine.weights for engine in engines),
        "weights' SHA-256": _each(engine.weights_sha256 for engine in engines),
        "network": f"{status.network}, alpha {_each(str(engine.alpha) for engine in engines)}",
        "class table": status.class_table,
        "input size": f"{_each(f'{e.input_height}x{e.input_width}' for e in engines)} (height x width)",
        "engine": f"{status.backend}, {status.precision}, on {status.device}",
        "why this engine": status.reason,
        "threads": str(threads or "all cores"),
        "engine's own time": f"{1000 * status.inference_time:.1f} ms (median)",
        "sent": sent,
        "node's own count": (
            f"{status.received} received, {status.answered} answered, {status.dropped} dropped, "
            f"{status.refused} refused, {status.failed} failed (probes before the drive included)"
        ),
        "machine": describe_machine(),
    }
    if len(engines) > 1:
        del description["engine's own time"]  # the median covers the answers of several engines
    return description


def _each(texts: Iterable[str]) -> str:
    """Join the different texts, in order."""
    return ", ".join(dict.fromkeys(texts))
