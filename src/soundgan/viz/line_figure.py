"""Curves over the samples seen as inline SVG, drawn by matplotlib in the colors of the page."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 5.2, 2.5  # inches
MAX_POINTS, N_WINDOWS = 120, 60  # over longer curves, which are faint, the means of so many windows are drawn
# Colors in the SVG, and the variables of report.css that replace them, so that dark mode applies.
_CSS_VARIABLES = {f"#00000{i}": name for i, name in enumerate(("ink", "soft", "line", "accent", "real", "good"), 1)}
_TEXT_COLOR, _MUTED_COLOR, _GRID_COLOR, *_LINE_COLORS = _CSS_VARIABLES


def line_figure(lines: Mapping[str, Points], *, share: bool = False, mark: float | None = None) -> Figure:
    """A chart of one to three curves, from 0 upwards.

    Args:
        lines: (samples seen, value) points by name; curves without points are left out.
        share: values are fractions from 0 to 1, labeled in percent.
        mark: samples seen at which a dashed vertical line is drawn.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

    figure = Figure((WIDTH, HEIGHT), layout="constrained", facecolor="none")
    axes = figure.add_subplot(facecolor="none")
    lines = {name: points for name, points in lines.items() if points}
    for color, (name, points) in zip(_LINE_COLORS, lines.items(), strict=False):
        x, y = np.array(points, float).T
        if len(x) > MAX_POINTS:
            axes.plot(x, y, color=color, linewidth=0.7, alpha=0.3)
            x, y = ([part.mean() for part in np.array_split(values, N_WINDOWS)] for values in (x, y))
        axes.plot(x, y, color=color, linewidth=1.6, marker="o" if len(x) < N_WINDOWS // 2 else "", ms=4, label=name)
    if mark is not None:
        axes.axvline(mark, color=_TEXT_COLOR, linewidth=1, linestyle=(0, (4, 4)), alpha=0.6)
    top = 1 if share else max(_top([value for _, value in points]) for points in lines.values())
    axes.set(xlim=(0, None), ylim=(0, top), xlabel="samples seen")
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if share:
        axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.grid(axis="y", color=_GRID_COLOR, linewidth=0.8)
    axes.tick_params(colors=_MUTED_COLOR, length=0, labelsize=9)
    axes.xaxis.label.set(color=_MUTED_COLOR, size=9)
    axes.spines[:].set_visible(False)
    if len(lines) > 1:
        legend = figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=9, labelcolor=_TEXT_COLOR)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def inline_svg(figure: Figure, title: str) -> str:
    """An SVG element for an HTML page, with `title` as its accessible name; it takes its colors from report.css."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(buffer, format="svg")
    svg = re.sub(r"<(metadata|style).*?</\1>| xmlns(:\w+)?=\"[^\"]*\"", "", buffer.getvalue(), flags=re.DOTALL)
    svg = re.sub(r"#00000[1-6]", lambda match: f"var(--{_CSS_VARIABLES[match[0]]})", svg[svg.index("<svg") :])
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)


def _top(values: Sequence[float]) -> float:
    """Upper limit of the axis: above nearly all values, without outliers that would flatten the rest."""
    return max(1e-6, 1.1 * min(max(values), 4 * float(np.median(values)) or np.inf))
