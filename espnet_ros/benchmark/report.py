"""A benchmark's results as a Markdown table and as JSON."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from espnet_ros.benchmark.comparison import Comparison, Row
from espnet_ros.benchmark.machine import describe_environment

_COLUMNS = (
    "alpha",
    "size",
    "engine",
    "median ms",
    "best ms",
    "frames/s",
    "x published",
    "x best usual way",
    "same labels",
)


def format_table(comparisons: Sequence[Comparison]) -> str:
    """All rows as one Markdown table, and what did not run below it."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---:|---:|---|---:|---:|---:|---:|---:|---:|"]
    lines += [_format_row(comparison, row) for comparison in comparisons for row in comparison.rows]
    absent = {f"{name}: {reason}": None for each in comparisons for name, reason in each.absent.items()}
    if absent:
        lines += ["", "Not run:", "", *(f"- {line}" for line in absent)]
    return "\n".join(lines)


def as_document(comparisons: Sequence[Comparison], weights: str, rounds: int, images: str) -> Dict[str, Any]:
    """Everything that was measured, for JSON: each call's seconds, with the machine and its libraries.

    Args:
        comparisons: one for each alpha and size.
        weights: registry family.
        rounds: counted calls of each contender.
        images: where they came from, in words.
    """
    return {
        **describe_environment(),
        "weights": weights,
        "rounds": rounds,
        "images": images,
        "comparisons": [_comparison_as_dict(comparison) for comparison in comparisons],
    }


def _format_row(comparison: Comparison, row: Row) -> str:
    median = row.timing.median
    cells = (
        str(comparison.alpha),
        str(comparison.size),
        row.title,
        f"{median * 1e3:.1f}",
        f"{row.timing.best * 1e3:.1f}",
        f"{1 / median:.1f}",
        f"{comparison.over_published(row):.2f}",
        f"{comparison.over_best_usual(row):.2f}",
        f"{row.agreement:.2%}",
    )
    return f"| {' | '.join(cells)} |"


def _comparison_as_dict(comparison: Comparison) -> Dict[str, Any]:
    rows: List[Dict[str, Any]] = [
        {
            "contender": row.name,
            "is_ours": row.is_ours,
            "title": row.title,
            "median_seconds": row.timing.median,
            "best_seconds": row.timing.best,
            "over_published": comparison.over_published(row),
            "over_best_usual": comparison.over_best_usual(row),
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
