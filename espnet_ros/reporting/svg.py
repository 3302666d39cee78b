"""Matplotlib figures as SVG: one style, the same bytes for the same data."""

from __future__ import annotations

import io
from html import escape
from typing import TYPE_CHECKING, Any, Callable, Dict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, QUIET, RULE, ACCENT, WARM = "#1b2230", "#5f6b7c", "#dfe3ea", "#2463c4", "#c2571a"
SERIES_COLORS = ("#1f6fb4", "#c8561b", "#2d8a4e", "#8b4fa8", "#b0892a", "#4d5661", "#c23b6f", "#2a8f97")

_PAGE_VARIABLES = {INK: "--ink", QUIET: "--quiet", RULE: "--rule", ACCENT: "--accent", WARM: "--warm"}
"""Variables of the page's style sheet, which has one value for light and one for dark screens."""
_UNITS_PER_INCH = 72  # of matplotlib's SVG
_NO_METADATA: Dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
_STYLE: Dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "espnet_ros",  # element ids are random without it
    "text.parse_math": False,  # "$" in a name is a dollar sign
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib, so every machine measures text alike
    "font.size": 13,
    "text.color": QUIET,
    "axes.labelcolor": QUIET,
    "axes.labelsize": 13,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.edgecolor": RULE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.xmargin": 0.0,
    "grid.color": RULE,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "legend.frameon": False,
    "legend.fontsize": 13,
}


def draw_svg(draw: Callable[[Figure], None], width: int, height: int, label: str, is_inline: bool = False) -> str:
    """Draw a figure and return it as an SVG element.

    Args:
        draw: adds axes and artists to an empty figure.
        width: of the picture, in SVG units; text is 13 units high.
        height: see ``width``.
        label: short description for screen readers.
        is_inline: the SVG goes into a page, so it has no background and takes its colours from the page's style sheet.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # the user's own settings do not apply
        settings: Any = matplotlib.rcParams
        settings.update({name: value for name, value in _STYLE.items() if name in settings})  # old versions lack some
        figure = Figure(figsize=(width / _UNITS_PER_INCH, height / _UNITS_PER_INCH), layout="constrained")
        draw(figure)
        document = io.StringIO()
        figure.savefig(document, format="svg", transparent=is_inline, metadata=_NO_METADATA)
    element = document.getvalue()
    element = element[element.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
    element = element.replace(f'width="{width}pt" height="{height}pt" ', "", 1)  # the viewBox alone lets it scale
    if is_inline:
        for color, variable in _PAGE_VARIABLES.items():
            element = element.replace(color, f"var({variable})")
    return element
