"""What ran in a drive, by the node's own word."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Sequence

from espnet_ros.reporting.machine import describe_machine


def describe_run(status: Any, engines: Sequence[Any], threads: int, sent: str) -> Dict[str, str]:
    """Name to value, in the order of the page.

    Args:
        status: the node's last espnet_ros/EngineStatus.
        engines: for each engine that was in use, an EngineStatus that tells of it, in order.
        threads: CPU threads that the node was given; 0: all cores.
        sent: what was sent to it, in words.
    """
    facts = {
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
        del facts["engine's own time"]  # The node takes the median over answers of several engines.
    return facts


def _each(texts: Iterable[str]) -> str:
    """Those that differ, in order."""
    return ", ".join(dict.fromkeys(texts))
