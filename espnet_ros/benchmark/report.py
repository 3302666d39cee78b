"""Results of a benchmark as a Markdown table, a chart and JSON."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from espnet_ros.benchmark.comparison import Comparison, Row
from espnet_ros.reporting.charts import Bar, bar_groups_chart
from espnet_ros.reporting.machine import describe_environment
from espnet_ros.reporting.tables import markdown_table

_COLUMNS = (
    "alpha",
    "size",
    "engine",
    "median ms",
    "best ms",
    "frames/s",
    "x published",
    "x best runtime",
    "same labels",
)
_REFERENCE, _USUAL, _OURS = "published pipeline", "published network on other runtimes", "espnet_ros"
_COLORS = {_REFERENCE: "#4d5661", _USUAL: "#8d99a6", _OURS: "#1f6fb4"}


def format_table(comparisons: Sequence[Comparison]) -> str:
    """Return all rows as one Markdown table, followed by a list of what did not run."""
    rows = [_format_row(comparison, row) for comparison in comparisons for row in comparison.rows]
    lines = markdown_table(_COLUMNS, rows, "rrlrrrrrr")
    absent = {f"{name}: {reason}": None for each in comparisons for name, reason in each.absent.items()}
    if absent:
        lines += ["", "Not run:", "", *(f"- {line}" for line in absent)]
    return "\n".join(lines)


def comparison_chart(comparisons: Sequence[Comparison]) -> str:
    """Return an SVG with the median time of each contender, one group of bars per alpha and size.

    Args:
        comparisons: at least one.
    """
    groups = {
        f"alpha {each.alpha}, {each.size}: milliseconds per image": [_bar(each, row) for row in each.rows]
        for each in comparisons
    }
    return bar_groups_chart(groups, _COLORS, "Milliseconds per image of each engine")


def as_document(comparisons: Sequence[Comparison], weights: str, rounds: int, images: str) -> Dict[str, Any]:
    """Return all measurements for JSON: the seconds of each call, the machine and its libraries.

    Args:
        comparisons: one per alpha and size.
        weights: registry family.
        rounds: counted calls of each contender.
        images: description of their source.
    """
    return {
        **describe_environment(),
        "weights": weights,
        "rounds": rounds,
        "images": images,
        "comparisons": [_comparison_as_dict(comparison) for comparison in comparisons],
    }


def _bar(comparison: Comparison, row: Row) -> Bar:
    milliseconds = row.timing.median * 1e3
    kind = _OURS if row.is_ours else _REFERENCE if row is comparison.rows[0] else _USUAL
    return Bar(row.title, milliseconds, f"{milliseconds:.1f} ms, {comparison.over_published(row):.1f}x", kind)


def _format_row(comparison: Comparison, row: Row) -> List[str]:
    median = row.timing.median
    return [
        str(comparison.alpha),
        str(comparison.size),
        row.title,
        f"{median * 1e3:.1f}",
        f"{row.timing.best * 1e3:.1f}",
        f"{1 / median:.1f}",
        f"{comparison.over_published(row):.2f}",
        f"{comparison.over_best_runtime(row):.2f}",
        f"{row.agreement:.2%}",
    ]


def _comparison_as_dict(comparison: Comparison) -> Dict[str, Any]:
    rows: List[Dict[str, Any]] = [
        {
            "contender": row.name,
            "is_ours": row.is_ours,
            "title": row.title,
            "median_seconds": row.timing.median,
            "best_seconds": row.timing.best,
            "over_published": comparison.over_published(row),
            "over_best_usual": comparison.over_best_runtime(row),
            "same_labels": row.agreement,
            "seconds": list(row.timing.seconds),
        }
        for row in comparison.rows
    ]
    return {
        "alpha": comparison.alpha,
        "input_height": comparison.size.height,
        "input_width": comparison.size.width,
        "rows": rows,
        "not_run": comparison.absent,
    }
