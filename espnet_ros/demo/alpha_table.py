"""The numbers of each alpha of a drive, as text and for the page."""

from __future__ import annotations

from html import escape
from typing import List, Optional, Tuple

from espnet_ros.demo.by_alpha import AlphaReport, SwitchReport
from espnet_ros.demo.drive import DriveReport

_COUNTED = (
    "an image counts for the alpha that alone can have answered it; each alpha saw another part of the drive, so their "
    "mean IoU are of different images"
)
_UNKNOWN_TIME = "the node tells its engine's own time once a second, so that of an alpha in use for less is not known"


def is_by_alpha(report: DriveReport) -> bool:
    """Whether the drive had more than one alpha, or should have had."""
    return bool(report.switches)


def format_alphas(report: DriveReport) -> List[str]:
    """Lines of an aligned table, one line for each switch, and what the numbers are of."""
    rows = _rows(report.alphas)
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths)) for row in rows]
    return [*lines, *map(_describe_switch, report.switches), *(f"({note})" for note in _notes(report))]


def alpha_section(report: DriveReport) -> str:
    """The same as a section of the page; "" for a drive with one alpha."""
    if not is_by_alpha(report):
        return ""
    head, *body = _rows(report.alphas)
    rows = [_table_row("th", head), *(_table_row("td", row) for row in body)]
    switches = "".join(f"<li>{escape(_describe_switch(switch))}</li>" for switch in report.switches)
    notes = "".join(f'<p class="quiet">{escape(note)}.</p>' for note in _notes(report))
    return (
        f'<section><h2>By alpha</h2><div class="plot"><table class="numbers">{"".join(rows)}</table></div>'
        f'<ul class="quiet">{switches}</ul>{notes}</section>'
    )


def switch_events(report: DriveReport) -> List[Tuple[float, str]]:
    """When an alpha came into use, in seconds since the first frame was sent, and which; none with one alpha."""
    if not is_by_alpha(report):
        return []
    changes = [(switch.asked + switch.duration, switch.alpha) for switch in report.switches if not switch.failure]
    return [(seconds, f"alpha {alpha}") for seconds, alpha in [(0.0, report.alphas[0].alpha), *changes]]


def _rows(alphas: List[AlphaReport]) -> List[List[str]]:
    """Heads and cells, without the columns that no alpha has a number for."""
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
    return [_COUNTED, _UNKNOWN_TIME] if any(times) and None in times else [_COUNTED]


def _milliseconds(seconds: Optional[float]) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.1f} ms"


def _describe_switch(switch: SwitchReport) -> str:
    answered = f"meanwhile {switch.answered} of {switch.sent} images answered"
    if switch.failure:
        return f"no switch to alpha {switch.alpha}: {switch.failure}; {answered}"
    return f"switch to alpha {switch.alpha}: in use {switch.duration:.2f} s after it was asked for; {answered}"


def _table_row(element: str, cells: List[str]) -> str:
    return f"<tr>{''.join(f'<{element}>{escape(cell)}</{element}>' for cell in cells)}</tr>"
