"""Tables as text: Markdown, and aligned columns for a terminal."""

from __future__ import annotations

from typing import Iterable, List, Sequence

_RULES = {"l": "---", "r": "---:"}


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> List[str]:
    """Return the lines of a Markdown table.

    Args:
        columns: headings.
        rows: cells, as many per row as there are columns.
        align: one letter per column, ``l`` or ``r``.
    """
    rule = f"|{'|'.join(_RULES[letter] for letter in align)}|"
    return [_markdown_row(columns), rule, *map(_markdown_row, rows)]


def aligned_columns(rows: Sequence[Sequence[str]], align: str) -> List[str]:
    """Return rows of cells as lines with aligned columns, two spaces apart.

    Args:
        rows: cells, as many per row as there are columns; headings are a row like any other.
        align: one letter per column, ``l`` or ``r``.
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(map(_pad, row, widths, align)).rstrip() for row in rows]


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _pad(cell: str, width: int, letter: str) -> str:
    return cell.rjust(width) if letter == "r" else cell.ljust(width)
