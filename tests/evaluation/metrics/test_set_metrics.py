from __future__ import annotations

import numpy as np
import pytest

from soundgan.errors import DataError
from soundgan.evaluation.metrics.frechet import frechet_distance, kernel_distance
from soundgan.evaluation.metrics.prdc import prdc
from soundgan.evaluation.metrics.set_metrics import set_metrics


@pytest.mark.parametrize(("n", "k"), [(40, 5), (4, 3), (2, 1)])
def test_set_metrics_use_fewer_neighbors_where_a_set_is_small(n: int, k: int) -> None:
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(40, 3)), rng.normal(size=(n, 3))
    metrics = set_metrics(real, generated)
    assert metrics[:2] == (frechet_distance(real, generated), kernel_distance(real, generated))
    assert metrics[2:] == prdc(real, generated, k)


def test_set_metrics_refuse_a_single_point() -> None:
    with pytest.raises(DataError, match="at least two"):
        set_metrics(np.zeros((5, 2)), np.zeros((1, 2)))
