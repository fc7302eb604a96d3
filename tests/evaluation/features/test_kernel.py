from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundgan.evaluation.features.kernel import gaussian_kernel, median_distance


@given(seed=st.integers(0, 99), bandwidth=st.floats(0.1, 10))
def test_gaussian_kernel_is_the_formula_for_each_pair(seed: int, bandwidth: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    expected = [[np.exp(-np.square(x - y).sum() / (2 * bandwidth**2)) for y in b] for x in a]
    np.testing.assert_allclose(gaussian_kernel(a, b, bandwidth), expected)


def test_kernel_of_equal_points_is_one_even_without_bandwidth() -> None:
    points = np.array([[0.0, 1], [2, 3]])
    np.testing.assert_array_equal(gaussian_kernel(points, points, 0.0), np.eye(2))


def test_median_distance_is_that_of_the_pairs() -> None:
    assert median_distance(np.array([[0.0], [1], [3]])) == pytest.approx(2)  # of 1, 2 and 3
