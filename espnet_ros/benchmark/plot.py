"""A comparison as bars, in an SVG file that stands by itself."""

from __future__ import annotations

from html import escape
from typing import List, Sequence

from espnet_ros.benchmark.comparison import Comparison, Row
from espnet_ros.demo.plots import nice_top

_WIDTH = 960
_LEFT, _RIGHT = 270, 130
_BAR, _HEADING, _FOOT = 22, 40, 34
_OURS, _USUAL, _REFERENCE = "#1f6fb4", "#8d99a6", "#4d5661"


def comparison_plot(comparisons: Sequence[Comparison]) -> str:
    """A block of bars for each alpha and size, one bar a contender: median milliseconds, on one scale.

    Args:
        comparisons: at least one.
    """
    top = nice_top(1e3 * max(row.timing.median for each in comparisons for row in each.rows))
    parts: List[str] = []
    y = 0
    for comparison in comparisons:
        heading = f"alpha {comparison.alpha}, {comparison.size}: milliseconds an image"
        parts.append(f'<text x="16" y="{y + 26}" font-weight="bold">{heading}</text>')
        y += _HEADING
        for row in comparison.rows:
            parts.append(_bar(comparison, row, y, top))
            y += _BAR
    legend = [(_REFERENCE, "published pipeline"), (_USUAL, "its network elsewhere"), (_OURS, "espnet_ros")]
    for index, (color, text) in enumerate(legend):
        x = _LEFT + 200 * index
        parts.append(f'<rect x="{x}" y="{y + 12}" width="12" height="12" fill="{color}"/>')
        parts.append(f'<text x="{x + 18}" y="{y + 23}">{text}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + _FOOT}" font-family="sans-serif" '
        f'font-size="13"><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _bar(comparison: Comparison, row: Row, y: int, top: float) -> str:
    milliseconds = row.timing.median * 1e3
    width = (_WIDTH - _LEFT - _RIGHT) * milliseconds / top
    color = _OURS if row.is_ours else _REFERENCE if row is comparison.rows[0] else _USUAL
    value = f"{milliseconds:.1f} ms, {comparison.over_published(row):.1f}x"
    return (
        f'<text x="{_LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(row.title)}</text>'
        f'<rect x="{_LEFT}" y="{y + 3}" width="{width:.1f}" height="{_BAR - 6}" fill="{color}"/>'
        f'<text x="{_LEFT + width + 8:.1f}" y="{y + 15}">{value}</text>'
    )
