"""Table of the numbers of each alpha of a drive, for the terminal and for the page."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from espnet_ros.demo.by_alpha import AlphaReport, SwitchReport
from espnet_ros.demo.drive import DriveReport
from espnet_ros.reporting.tables import aligned_columns

_COUNTING = (
    "an image counts for an alpha only if no other alpha can have answered it; each alpha saw another part of the "
    "drive, so their mean IoU come from different images"
)
_UNKNOWN_TIME = (
    "the node reports its engine's own time once per second, so it is unknown for an alpha that was in use for less"
)


def is_by_alpha(report: DriveReport) -> bool:
    """Return whether the drive used, or tried to use, more than one alpha."""
    return bool(report.switches)


def format_alphas(report: DriveReport) -> List[str]:
    """Return the lines of an aligned table, one line per switch, and notes on how images are counted."""
    rows = _rows(report.alphas)
    lines = aligned_columns(rows, "r" * len(rows[0]))
    return [*lines, *map(_describe_switch, report.switches), *(f"({note})" for note in _notes(report))]


def alpha_section(report: DriveReport) -> Optional[Dict[str, Any]]:
    """Return the same as values of the page's section; None for a drive with one alpha."""
    if not is_by_alpha(report):
        return None
    return {
        "rows": _rows(report.alphas),
        "switches": list(map(_describe_switch, report.switches)),
        "notes": _notes(report),
    }


def switch_events(report: DriveReport) -> List[Tuple[float, str]]:
    """Return when each alpha came into use, in seconds since the first frame, and its name; empty with one alpha."""
    if not is_by_alpha(report):
        return []
    changes = [(switch.asked + switch.duration, switch.alpha) for switch in report.switches if not switch.failure]
    return [(seconds, f"alpha {alpha}") for seconds, alpha in [(0.0, report.alphas[0].alpha), *changes]]


def _rows(alphas: List[AlphaReport]) -> List[List[str]]:
    """Headings and cells, without columns in which no alpha has a number."""
    columns = [
        ["alpha", *(str(entry.alpha) for entry in alphas)],
        ["answered", *(f"{entry.answered} of {entry.sent}" for entry in alphas)],
        ["mean IoU", *("-" if entry.mean_iou is None else f"{entry.mean_iou:.4f}" for entry in alphas)],
        ["latency p50", *(_milliseconds(entry.latency_p50) for entry in alphas)],
        ["engine's own time", *(_milliseconds(entry.engine_time) for entry in alphas)],
    ]
    return [list(row) for row in zip(*(column for column in columns if set(column[1:]) != {"-"}))]


def _notes(report: DriveReport) -> List[str]:
    times = [entry.engine_time for entry in report.alphas]
    return [_COUNTING, _UNKNOWN_TIME] if any(times) and None in times else [_COUNTING]


def _milliseconds(seconds: Optional[float]) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.1f} ms"


def _describe_switch(switch: SwitchReport) -> str:
    answered = f"{switch.answered} of {switch.sent} images were answered meanwhile"
    if switch.failure:
        return f"switch to alpha {switch.alpha} failed: {switch.failure}; {answered}"
    return f"switch to alpha {switch.alpha}: in use {switch.duration:.2f} s after the request; {answered}"
