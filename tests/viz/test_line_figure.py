"""Curves: axes, scales, and the inline SVG."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
from pages import parsed

from soundgan.viz.line_figure import MAX_POINTS, Points, inline_svg, line_figure


def drawn(lines: Mapping[str, Points], **options: bool) -> list[list[tuple[float, float]]]:
    """Points of every drawn curve as fractions of the width and height of the axes."""
    (axes,) = line_figure(lines, **options).axes
    to_axes = axes.transData + axes.transAxes.inverted()
    return [list(map(tuple, to_axes.transform(line.get_xydata()))) for line in axes.lines]  # type: ignore[misc, arg-type]


def test_curve_runs_left_to_right_and_up_where_values_rise() -> None:
    (points,) = drawn({"rising": [(100.0 * k, 0.1 * k) for k in range(1, 10)]})
    for (x, y), (later, higher) in pairwise(points):
        assert later > x and higher > y
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in points)
    steps = [later - x for (x, _), (later, _) in pairwise(points)]
    assert max(steps) == pytest.approx(min(steps))


def test_shares_are_drawn_from_0_to_1_whatever_their_values() -> None:
    (points,) = drawn({"share": [(1.0, 0.0), (2.0, 0.5), (3.0, 1.0)]}, share=True)
    assert [y for _, y in points] == pytest.approx([0, 0.5, 1])
    (flat,) = drawn({"share": [(1.0, 0.5), (2.0, 0.5)]}, share=True)
    assert flat[0][1] == pytest.approx(0.5)


def test_many_points_are_drawn_faintly_and_their_means_on_top() -> None:
    lines = {"noisy": [(float(k), 1.0 + (-1) ** k) for k in range(1, 5 * MAX_POINTS + 1)]}
    raw, means = drawn(lines)
    assert len(raw) == 5 * MAX_POINTS and len(means) < len(raw) / 3
    faint, plain = line_figure(lines).axes[0].lines
    assert (faint.get_alpha() or 1) < (plain.get_alpha() or 1)
    assert np.ptp([y for _, y in means]) < 0.3 * np.ptp([y for _, y in raw])


def test_outlier_does_not_flatten_the_rest() -> None:
    (points,) = drawn({"spike": [(1.0, 5000.0), *((float(k), 1.0 + k % 2) for k in range(2, 40))]})
    heights = [y for _, y in points[1:]]
    assert max(heights) - min(heights) > 1 / 12
    assert points[0][1] == max(y for _, y in points)


def test_every_curve_fits_whatever_the_others_values() -> None:
    small, large = drawn({"small": [(float(k), 0.01) for k in range(1, 40)], "large": [(1.0, 1.0), (2.0, 1.1)]})
    assert all(0 <= y <= 1 for _, y in small + large)


@pytest.mark.parametrize("value", [0.0, 1e-9, 1.0, 1e9])
def test_any_value_is_drawn(value: float) -> None:
    figure = line_figure({"value": [(1.0, value), (2.0, value)]}, mark=1.0)
    svg = inline_svg(figure, "Title")
    parsed(svg)
    assert "nan" not in svg and "inf" not in svg
    assert len(figure.axes[0].lines) == 2 and "stroke-dasharray" in svg


def test_curves_without_points_are_left_out() -> None:
    figure = line_figure({"empty": [], "one": [(1.0, 1.0)], "other": [(1.0, 2.0)]})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "other"]


def test_svg_is_escaped_and_takes_its_colors_from_the_page() -> None:
    evil = "<b>\"&' $x^$"
    svg = inline_svg(line_figure({evil: [(1.0, 1.0)], "other": [(1.0, 2.0)]}), evil)
    page = parsed(svg)
    assert svg.startswith("<svg ") and "b" not in page.seen and evil in page.text
    assert set(re.findall(r"(?:fill|stroke): (#\w+)", svg)) == set() and "var(--accent)" in svg and "http" not in svg


def test_same_figure_gives_the_same_svg() -> None:
    first, second = (inline_svg(line_figure({"a": [(1.0, 1.0), (2.0, 3.0)]}), "Title") for _ in range(2))
    assert first == second
