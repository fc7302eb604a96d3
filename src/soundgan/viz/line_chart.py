"""Curves over the sounds seen, as SVG inside a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 520, 220, 44, 10, 24  # the last three are margins
RIGHT = 18
COLOURS = ("accent", "real", "good")
MOST, WINDOWS = 120, 60  # points drawn as they are; beyond, they are drawn faintly, and the means of so many windows


def chart(title: str, told: str, lines: Mapping[str, Points], *, share: bool = False, mark: float | None = None) -> str:
    """A figure of one to three lines, from 0 up; nothing if no line has a point.

    Args:
        told: what can be seen in it.
        lines: by name, points (sounds seen, value).
        share: values are from 0 to 1, and told in per cent.
        mark: sounds seen at which a dashed line stands.
    """
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return ""
    end = max(points[-1][0] for points in lines.values())
    top = 1.0 if share else _top([value for points in lines.values() for _, value in points])
    right, low = WIDTH - RIGHT, HEIGHT - BOTTOM

    def place(seen: float, value: float) -> str:
        return f"{LEFT + (right - LEFT) * seen / end:.1f},{low + (TOP - low) * min(max(value, 0), top) / top:.1f}"

    parts = []
    for value in [0.0, *_rounds(top, 4)]:
        x, y = place(0, value).split(",")
        written = f"{value:.0%}" if share else f"{value:g}"
        parts.append(f'<line x1="{x}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y}" dy="0.33em" text-anchor="end">{written}</text>')
    for seen in _rounds(end, 4):
        x = place(seen, 0).split(",")[0]
        parts.append(f'<text x="{x}" y="{HEIGHT - 5}" text-anchor="middle">{_count(seen)}</text>')
    if mark is not None:
        x = place(mark, 0).split(",")[0]
        parts.append(f'<line class="mark" x1="{x}" x2="{x}" y1="{TOP}" y2="{low}"/>')
    for colour, points in zip(COLOURS, lines.values(), strict=False):
        style = f'style="--c:var(--{colour})"'
        if len(points) > MOST:
            parts.append(f'<polyline class="faint" {style} points="{" ".join(place(*one) for one in points)}"/>')
            points = _means(points)
        parts.append(f'<polyline {style} points="{" ".join(place(*one) for one in points)}"/>')
        if len(points) < WINDOWS // 2:
            spots = (place(*one).split(",") for one in points)
            parts += [f'<circle {style} cx="{x}" cy="{y}" r="3"/>' for x, y in spots]
    keys = "".join(
        f'<span class="nowrap" style="--c:var(--{colour})"><i class="key"></i>{escape(name)}</span> '
        for colour, name in zip(COLOURS, lines, strict=False)
    )
    legend = f"<p>{keys}</p>" if len(lines) > 1 else ""
    return (
        f'<figure class="chart"><h3>{escape(title)}</h3><p>{escape(told)}</p>{legend}'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg></figure>'
    )


def _top(values: Sequence[float]) -> float:
    """Upper end of an axis: above nearly all values, and not so high that a few leave the others flat."""
    return max(1e-6, 1.1 * min(max(values), 4 * float(np.median(values)) or math.inf))


def _rounds(top: float, most: int) -> list[float]:
    """At most so many round numbers at equal steps, above 0 and up to `top`."""
    power = 10.0 ** math.floor(math.log10(top))
    step = next(power * one for one in (0.25, 0.5, 1, 2.5, 5) if top / (power * one) < most + 1)
    return [step * k for k in range(1, math.floor(top / step + 1e-9) + 1)]


def _count(number: float) -> str:
    return f"{number / 1e6:g} M" if number >= 1e6 else f"{number / 1e3:g} k" if number >= 1e4 else f"{number:,.0f}"


def _means(points: Points) -> Points:
    return [(float(some[:, 0].mean()), float(some[:, 1].mean())) for some in np.array_split(np.array(points), WINDOWS)]
