"""The charts of this project, each drawn from plain numbers and returned as SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping, Optional, Sequence, Tuple

from espnet_ros.reporting.svg import ACCENT, INK, QUIET, RULE, SERIES_COLORS, WARM, draw_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 960
_BAR_HEIGHT = 24
_BAR_SHARE = 0.7  # of the height of its row
_DASHES = ("-", "--", ":")
_PERCENTILE_COLORS = (QUIET, WARM)

Points = Sequence[Tuple[float, float]]
"""(x, y) of each point."""


@dataclass(frozen=True)
class Bar:
    """A horizontal bar.

    Attributes:
        label: text to its left.
        value: its length.
        text: text at its end.
        kind: entry of the legend that it belongs to.
    """

    label: str
    value: float
    text: str
    kind: str


@dataclass(frozen=True)
class Mark:
    """A labelled point of a line; hollow marks are explained by the note of the chart."""

    x: float
    y: float
    label: str
    is_hollow: bool


def latency_chart(
    answers: Points, percentiles: Sequence[Tuple[str, float]], events: Sequence[Tuple[float, str]] = ()
) -> str:
    """Draw latency over time, for a page.

    Args:
        answers: seconds since the start, and latency in milliseconds; at least one.
        percentiles: name, and latency in milliseconds; at most two, drawn as horizontal lines.
        events: seconds since the start, and name; drawn as vertical lines. Events after the last answer are omitted.
    """

    def draw(figure: Figure) -> None:
        seconds, milliseconds = zip(*answers)
        axes = figure.add_subplot(xlabel="seconds into the drive", ylabel="latency (ms)")
        axes.grid(False, axis="x")
        axes.plot(seconds, milliseconds, color=ACCENT, linewidth=1.8, gid="latency")
        for (name, value), color in zip(percentiles, _PERCENTILE_COLORS):
            axes.axhline(value, color=color, linestyle="--", label=f"{name} {value:.0f} ms", gid=name)
        for number, (at, name) in enumerate(event for event in events if event[0] <= max(seconds)):
            axes.axvline(at, color=INK, alpha=0.45, gid=f"event-{number}")
            _annotate(axes, name, (at, 1), (6, -12), xycoords=("data", "axes fraction"), color=INK)
        axes.set_xlim(0, max(*seconds, 1e-3))
        axes.set_ylim(bottom=0)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), labelcolor=INK)

    return draw_svg(draw, _WIDTH, 260, "Latency in milliseconds over time", is_inline=True)


def class_iou_chart(rows: Sequence[Tuple[str, str, Optional[float]]]) -> str:
    """Draw one bar per class, best first, for a page. A class that occurs nowhere has no bar.

    Args:
        rows: name, CSS colour, and IoU 0..1 or None; at least one.
    """
    ordered = sorted(rows, key=lambda row: -1.0 if row[2] is None else row[2], reverse=True)

    def draw(figure: Figure) -> None:
        axes = _bar_axes(figure.add_subplot(), [name for name, _, _ in ordered], 100.0)
        for row, (name, color, iou) in enumerate(ordered):
            axes.barh(row, 100.0, _BAR_SHARE, color=RULE, alpha=0.55)
            if iou is not None:
                axes.barh(row, 100 * iou, _BAR_SHARE, color=color, edgecolor=QUIET, linewidth=0.6, gid=f"iou-{name}")
            text = "not seen" if iou is None else f"{100 * iou:.1f}"
            _annotate(axes, text, (100.0, row), (8, 0), va="center_baseline")

    return draw_svg(draw, _WIDTH, _BAR_HEIGHT * len(rows) + 8, "IoU of each class in percent", is_inline=True)


def training_chart(losses: Points, mean_ious: Mapping[str, Points], total_steps: float) -> str:
    """Draw loss and mean IoU over the steps of a training run.

    Args:
        losses: step and mean loss.
        mean_ious: step and mean IoU, by validation source.
        total_steps: right end of the axis.
    """

    def draw(figure: Figure) -> None:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for axes, title, lines in ((upper, "loss", {"training": losses}), (lower, "mean IoU", mean_ious)):
            axes.set_title(title, fontweight="bold")
            axes.grid(False, axis="x")
            for number, (name, points) in enumerate(lines.items()):
                last = f" {points[-1][1]:.3f}" if points else ""
                steps, values = zip(*points) if points else ((), ())
                color = SERIES_COLORS[number % len(SERIES_COLORS)]
                axes.plot(steps, values, color=color, linewidth=2, label=f"{name}{last}", gid=f"{title} {name}")
            axes.set_ylim(bottom=0)
            if lines:
                axes.legend(loc="upper left", bbox_to_anchor=(1, 1), labelcolor="linecolor")
        lower.set_xlabel("steps")
        lower.set_xlim(0, max(total_steps, 1))

    return draw_svg(draw, _WIDTH, 520, "Loss and mean IoU over the steps of a training run")


def bar_groups_chart(groups: Mapping[str, Sequence[Bar]], colors: Mapping[str, str], label: str) -> str:
    """Draw groups of horizontal bars on one scale.

    Args:
        groups: bars by the title of their group; no group is empty.
        colors: colour of each kind of bar, in the order of the legend.
        label: description of the chart for screen readers.
    """
    counts = [len(bars) for bars in groups.values()]
    longest = max(bar.value for bars in groups.values() for bar in bars)

    def draw(figure: Figure) -> None:
        columns = figure.subplots(len(groups), 1, squeeze=False, gridspec_kw={"height_ratios": counts})
        for group, (axes, (title, bars)) in enumerate(zip(columns[:, 0], groups.items())):
            axes.set_title(title, fontweight="bold")
            _bar_axes(axes, [bar.label for bar in bars], 1.25 * longest)  # with room for the text of the longest
            for row, bar in enumerate(bars):
                axes.barh(row, bar.value, _BAR_SHARE, color=colors[bar.kind], gid=f"bar-{group}-{row}")
                _annotate(axes, bar.text, (bar.value, row), (8, 0), va="center_baseline")
        for kind, color in colors.items():
            axes.bar(0, 0, color=color, label=kind)
        axes.legend(loc="upper left", bbox_to_anchor=(0, 0), ncol=len(colors))

    return draw_svg(draw, _WIDTH, _BAR_HEIGHT * sum(counts) + 40 * len(groups) + 40, label)


def trade_off_chart(lines: Mapping[str, Sequence[Mark]], x_title: str, y_title: str, note: str) -> str:
    """Draw one quantity over another, with one line and labelled marks per series.

    Args:
        lines: marks by the name of their series; no series is empty.
        x_title: quantity and unit of the horizontal axis.
        y_title: likewise, of the vertical axis.
        note: what the labels and hollow marks mean.
    """
    columns = 2

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot(xlabel=x_title, ylabel=y_title)
        axes.set_title(note, color=QUIET)
        axes.margins(0.05)
        for number, (name, marks) in enumerate(lines.items()):
            color = SERIES_COLORS[number % len(SERIES_COLORS)]
            dash = _DASHES[number // len(SERIES_COLORS) % len(_DASHES)]
            x, y = [mark.x for mark in marks], [mark.y for mark in marks]
            axes.plot(x, y, color=color, linestyle=dash, label=name, gid=f"line-{number}")
            fills = ["white" if mark.is_hollow else color for mark in marks]
            axes.scatter(x, y, s=80, c=fills, edgecolors=color, zorder=3, gid=f"marks-{number}")
            for mark in marks:
                _annotate(axes, mark.label, (mark.x, mark.y), (8, 6), color=color)
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.12), ncol=columns, borderaxespad=0, labelcolor=INK)

    height = 460 + 22 * math.ceil(len(lines) / columns)
    return draw_svg(draw, _WIDTH, height, f"{y_title} over {x_title}")


def _bar_axes(axes: Axes, labels: Sequence[str], longest: float) -> Axes:
    """Axes for horizontal bars from the top down, labelled on the left, without scales."""
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_yticks(range(len(labels)), labels=labels, color=INK)
    axes.tick_params(length=0, labelbottom=False)
    axes.set_xlim(0, longest)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    return axes


def _annotate(axes: Axes, text: str, place: Tuple[float, float], offset: Tuple[float, float], **options: Any) -> None:
    """Write text at an offset, in SVG units, from a place in the axes."""
    axes.annotate(text, place, xytext=offset, textcoords="offset points", annotation_clip=False, **options)
