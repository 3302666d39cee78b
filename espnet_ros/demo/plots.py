"""Plots as inline SVG, coloured by the page's own style sheet."""

from __future__ import annotations

import math
from html import escape
from typing import List, Optional, Sequence, Tuple

from espnet_ros.demo.drive import Answer

_WIDTH, _HEIGHT = 960, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 100, 14, 40


def latency_plot(answers: Sequence[Answer], p50: float, p95: float, events: Sequence[Tuple[float, str]] = ()) -> str:
    """Latency over time, with its median and 95th percentile as lines across, and events as lines upright.

    Args:
        answers: at least one; their times are in seconds.
        p50: median of the latencies, in seconds.
        p95: their 95th percentile, in seconds.
        events: when, in seconds, and what; those after the last answer's frame are left out.
    """
    end = max(1e-3, max(answer.sent for answer in answers))
    top = nice_top(max(answer.latency for answer in answers) * 1000)

    def x_of(seconds: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / end

    def y_of(milliseconds: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * milliseconds / top

    parts: List[str] = []
    for step in range(5):
        value = top * step / 4
        y = y_of(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    step_s = nice_top(end / 6)
    for step in range(int(end / step_s) + 1):
        x, y = x_of(step * step_s), _HEIGHT - _BOTTOM + 18
        parts.append(f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="middle">{step * step_s:g}</text>')
    middle, bottom = (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 4
    parts.append(f'<text class="tick" x="{middle}" y="{bottom}" text-anchor="middle">seconds into the drive</text>')
    parts += [_event(x_of(seconds), text) for seconds, text in events if seconds <= end]
    points = " ".join(f"{x_of(answer.sent):.1f},{y_of(answer.latency * 1000):.1f}" for answer in answers)
    parts.append(f'<polyline class="line" points="{points}"/>')
    for name, value, y_text in _apart(("p50", p50 * 1000, y_of(p50 * 1000)), ("p95", p95 * 1000, y_of(p95 * 1000))):
        y = y_of(value)
        parts.append(f'<line class="{name}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="mark" x="{_WIDTH - _RIGHT + 8}" y="{y_text + 4:.1f}">{name} {value:.0f} ms</text>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Latency in milliseconds over time">'
        f"{''.join(parts)}</svg>"
    )


def _event(x: float, text: str) -> str:
    line = f'<line class="event" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
    return f'{line}<text class="mark" x="{x + 6:.1f}" y="{_TOP + 12}">{escape(text)}</text>'


def iou_bars(rows: Sequence[Tuple[str, str, Optional[float]]]) -> str:
    """One bar a class, best first; a class that occurs nowhere has none.

    Args:
        rows: name, CSS colour, and IoU 0..1 or None.
    """
    height, left, right = 24, 150, 60
    span = _WIDTH - left - right
    ordered = sorted(rows, key=lambda row: -1.0 if row[2] is None else row[2], reverse=True)
    parts: List[str] = []
    for index, (name, color, value) in enumerate(ordered):
        y = index * height
        parts.append(f'<text class="name" x="{left - 10}" y="{y + 16}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="track" x="{left}" y="{y + 4}" width="{span}" height="16" rx="3"/>')
        if value is not None:
            width = max(1.0, span * value)
            parts.append(
                f'<rect class="bar" x="{left}" y="{y + 4}" width="{width:.1f}" height="16" rx="3" fill="{color}"/>'
            )
        text = "not seen" if value is None else f"{100 * value:.1f}"
        parts.append(f'<text class="tick" x="{left + span + 8}" y="{y + 16}">{text}</text>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height * len(ordered)}" role="img" aria-label="IoU of each class in percent">'
        f"{''.join(parts)}</svg>"
    )


def nice_top(value: float) -> float:
    """Smallest of 1, 2, 3, 4, 6, 8 times a power of ten that is at least ``value`` (> 0)."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-3)))
    return next(step * power for step in (1, 2, 3, 4, 6, 8, 10) if step * power >= value)


def _apart(*marks: Tuple[str, float, float]) -> List[Tuple[str, float, float]]:
    """Marks (name, value, y) from the bottom up, their y at least a line of text apart."""
    placed: List[Tuple[str, float, float]] = []
    for name, value, y in sorted(marks, key=lambda mark: -mark[2]):
        placed.append((name, value, min(y, placed[-1][2] - 16) if placed else y))
    return placed
