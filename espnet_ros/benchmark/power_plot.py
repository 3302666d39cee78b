"""Plots of a power sweep, in SVG files that stand by themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Callable, Dict, List, Sequence, Tuple

from espnet_ros.benchmark.power_sweep import PowerPoint
from espnet_ros.demo.plots import nice_top

_WIDTH, _HEIGHT = 960, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 30, 24, 52
_LEGEND_ROW, _LEGEND_COLUMNS = 22, 2
_COLORS = ("#1f6fb4", "#c8561b", "#2d8a4e", "#8b4fa8", "#b0892a", "#4d5661", "#c23b6f", "#2a8f97")
_DASHES = ("none", "6 4", "2 4")


@dataclass(frozen=True)
class _Mark:
    """A point of a line, in the units of the axes."""

    x: float
    y: float
    label: str
    is_hollow: bool


@dataclass(frozen=True)
class _Axis:
    """Values that an axis goes through, evenly, and where it lies in the picture."""

    ticks: Tuple[float, ...]
    start: float
    end: float

    def place(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def speed_power_plot(points: Sequence[PowerPoint]) -> str:
    """Frames a second over watts, a line a mode, its points by alpha; "" where no point has watts."""
    return _plot(
        points,
        ("watts", lambda point: point.run.draw.watts),
        ("frames a second", lambda point: point.run.frames_per_second),
    )


def accuracy_energy_plot(points: Sequence[PowerPoint]) -> str:
    """Mean IoU over joules a frame, a line a mode, its points by alpha; "" where no point has both."""
    return _plot(
        points,
        ("joules a frame", lambda point: point.run.draw.joules_per_frame),
        ("mean IoU", lambda point: point.mean_iou),
    )


_Quantity = Tuple[str, Callable[[PowerPoint], float]]


def _plot(points: Sequence[PowerPoint], across: _Quantity, upward: _Quantity) -> str:
    (x_title, x_of), (y_title, y_of) = across, upward
    lines = _lines(points, x_of, y_of)
    marks = [mark for line in lines.values() for mark in line]
    if not marks:
        return ""
    x_axis = _Axis(nice_ticks([mark.x for mark in marks]), _LEFT, _WIDTH - _RIGHT)
    y_axis = _Axis(nice_ticks([mark.y for mark in marks]), _HEIGHT - _BOTTOM, _TOP)
    parts = _draw_axes(x_axis, y_axis, x_title, y_title)
    for number, (name, line) in enumerate(lines.items()):
        color, dash = _COLORS[number % len(_COLORS)], _DASHES[number // len(_COLORS) % len(_DASHES)]
        parts.append(_draw_line(line, x_axis, y_axis, color, dash))
        parts.append(_draw_legend(number, name, color, dash))
    height = _HEIGHT + _LEGEND_ROW * math.ceil(len(lines) / _LEGEND_COLUMNS) + 28
    note = "numbers: alpha"
    if any(mark.is_hollow for mark in marks):
        note += "; hollow: heat or over-current held the clocks down"
    parts.append(f'<text x="{_LEFT}" y="{height - 10}" fill="#4d5661">{note}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        f'font-size="13"><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _lines(
    points: Sequence[PowerPoint], x_of: Callable[[PowerPoint], float], y_of: Callable[[PowerPoint], float]
) -> Dict[str, List[_Mark]]:
    """By name, which says of mode, size and engine what is not the same everywhere."""
    parts = [(each.mode or "this machine", str(each.size), f"{each.backend} {each.precision}") for each in points]
    tells = [index for index in range(3) if not index or len({part[index] for part in parts}) > 1]
    lines: Dict[str, List[_Mark]] = {}
    for point, part in sorted(zip(points, parts), key=lambda pair: pair[0].alpha):
        if not math.isnan(x_of(point)) and not math.isnan(y_of(point)):
            mark = _Mark(x_of(point), y_of(point), str(point.alpha), bool(point.run.draw.throttled))
            lines.setdefault(", ".join(part[index] for index in tells), []).append(mark)
    return lines


def nice_ticks(values: Sequence[float]) -> Tuple[float, ...]:
    """Round values, evenly apart, from below the least to above the greatest; two at least."""
    low, high = min(values), max(values)
    step = nice_top((high - low) / 5 or abs(high) / 5 or 1.0)
    first, last = math.floor(low / step), math.ceil(high / step)
    return tuple(step * number for number in range(first, max(last, first + 1) + 1))


def _draw_axes(x_axis: _Axis, y_axis: _Axis, x_title: str, y_title: str) -> List[str]:
    parts: List[str] = []
    for value in x_axis.ticks:
        x = f"{x_axis.place(value):.1f}"
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" stroke="#e3e6e9"/>')
        parts.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{value:.6g}</text>')
    for value in y_axis.ticks:
        y = y_axis.place(value)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e6e9"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.6g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 14}" text-anchor="middle">{x_title}</text>')
    turned = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(f'<text transform="translate(20 {turned}) rotate(-90)" text-anchor="middle">{y_title}</text>')
    return parts


def _draw_line(line: Sequence[_Mark], x_axis: _Axis, y_axis: _Axis, color: str, dash: str) -> str:
    places = [(x_axis.place(mark.x), y_axis.place(mark.y)) for mark in line]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline points="{path}" fill="none" stroke="{color}" stroke-dasharray="{dash}"/>']
    for mark, (x, y) in zip(line, places):
        fill = "#fff" if mark.is_hollow else color
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" stroke="{color}"/>')
        parts.append(f'<text x="{x + 8:.1f}" y="{y - 6:.1f}" fill="{color}">{mark.label}</text>')
    return "".join(parts)


def _draw_legend(number: int, name: str, color: str, dash: str) -> str:
    column, row = number % _LEGEND_COLUMNS, number // _LEGEND_COLUMNS
    x = _LEFT + column * (_WIDTH - _LEFT - _RIGHT) / _LEGEND_COLUMNS
    y = _HEIGHT + row * _LEGEND_ROW
    return (
        f'<line x1="{x:.1f}" x2="{x + 26:.1f}" y1="{y + 8}" y2="{y + 8}" stroke="{color}" stroke-width="3" '
        f'stroke-dasharray="{dash}"/><text x="{x + 34:.1f}" y="{y + 13}">{escape(name)}</text>'
    )
