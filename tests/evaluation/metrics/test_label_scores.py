from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sets import LABELS, RATE, SECONDS, copies, fresh, one_class

from soundgan.errors import DataError
from soundgan.evaluation.features.embedding import LogMelStatistics
from soundgan.evaluation.metrics.label_scores import (
    am_score,
    inception_score,
    modified_inception_score,
    ndb_jsd,
)

seeds = st.integers(0, 2**32 - 1)


def shares(n: int, labels: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).dirichlet(np.full(labels, 0.3), n)


@given(labels=st.integers(2, 12), n=st.integers(1, 5))
def test_inception_score_is_the_number_of_labels_predicted_with_certainty(labels: int, n: int) -> None:
    certain = np.tile(np.eye(labels, dtype=np.float32), (n, 1))
    assert inception_score(certain) == pytest.approx(labels)
    assert inception_score(np.full((n, labels), 1 / labels, np.float32)) == pytest.approx(1)
    assert inception_score(np.repeat(certain[:1], n, axis=0)) == pytest.approx(1)


@given(seed=seeds, n=st.integers(1, 20), labels=st.integers(2, 8))
def test_inception_score_is_between_one_and_the_number_of_labels(seed: int, n: int, labels: int) -> None:
    assert 1 - 1e-9 <= inception_score(shares(n, labels, seed)) <= labels + 1e-9


def test_label_scores_of_a_single_label_are_worse() -> None:
    # Predictions of a classifier with an accuracy of 90 %.
    predictions = np.full((len(LABELS), len(LABELS)), 0.1 / (len(LABELS) - 1))
    np.fill_diagonal(predictions, 0.9)
    all_labels, single_label = np.tile(predictions, (20, 1)), np.tile(predictions[0], (80, 1))
    assert inception_score(all_labels) > 2 and inception_score(single_label) == pytest.approx(1)
    uniform = np.ones(len(LABELS))
    assert am_score(single_label, uniform) > am_score(all_labels, uniform) + 0.5


@given(seed=seeds, n=st.integers(1, 8), labels=st.integers(2, 5))
def test_modified_inception_score_is_the_mean_over_pairs(seed: int, n: int, labels: int) -> None:
    p = shares(n, labels, seed) * 0.99 + 0.01 / labels  # above the minimum probability
    expected = np.exp(np.mean([(a * np.log(a / b)).sum() for a in p for b in p]))
    assert modified_inception_score(p) == pytest.approx(expected)


def test_modified_inception_score_grows_with_the_difference_of_predictions() -> None:
    assert modified_inception_score(np.tile([0.7, 0.3], (5, 1))) == pytest.approx(1), "all predictions are the same"
    varied = np.array([[0.8, 0.2], [0.6, 0.4], [0.2, 0.8], [0.4, 0.6]])
    assert 1 < modified_inception_score(varied) < modified_inception_score(np.tile(np.eye(3), (4, 1)))


@given(seed=seeds, labels=st.integers(2, 8))
def test_am_score_of_certain_predictions_is_the_divergence_of_their_shares(seed: int, labels: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 9, labels)
    predictions = np.repeat(np.eye(labels), counts, axis=0)
    training = rng.integers(1, 9, labels)
    a, b = training / training.sum(), counts / counts.sum()
    assert am_score(predictions, training) == pytest.approx((a * np.log(a / b)).sum(), abs=1e-5)
    assert am_score(predictions, counts) == pytest.approx(0, abs=1e-5)


def test_am_score_of_uncertain_predictions_is_their_entropy() -> None:
    assert am_score(np.full((5, 4), 0.25), [1, 1, 1, 1]) == pytest.approx(np.log(4))
    assert 2 < am_score([[1.0, 0.0]] * 3, [0.5, 0.5]) < np.inf, (
        "a label that is never predicted costs much, but not infinitely"
    )


@pytest.mark.parametrize("wrong", [[], [0.5, 0.5], [[0.5, 0.6]], [[-0.5, 1.5]], np.zeros((0, 3)), [[np.nan, 1]]])
def test_label_scores_refuse_values_that_are_no_probabilities(wrong: object) -> None:
    for score in (inception_score, modified_inception_score, lambda p: am_score(p, [1, 1])):
        with pytest.raises(DataError, match="must be"):
            score(wrong)  # type: ignore[arg-type]


def test_am_score_refuses_label_counts_that_do_not_match() -> None:
    for training in ([1, 1, 1], [0, 0], [-1, 2]):
        with pytest.raises(DataError, match="not counts of 2 labels"):
            am_score(np.eye(2), training)


def test_ndb_jsd_of_a_set_with_itself_and_with_a_quarter_of_it() -> None:
    rng = np.random.default_rng(0)
    training = np.concatenate([rng.normal(10 * i, 1, (50, 2)) for i in range(4)])
    assert ndb_jsd(training, training, bins=4) == (0, 0)
    # All generated points in one of four equal bins: all bins differ, and the JSD has a closed form.
    result = ndb_jsd(training, training[:50], bins=4)
    mean = np.array([5, 1, 1, 1]) / 8
    expected = (np.log2(1 / mean[0]) + (0.25 * np.log2(0.25 / mean)).sum()) / 2
    assert result == pytest.approx((1, expected))


@given(seed=seeds, n=st.integers(4, 60), m=st.integers(1, 60), bins=st.integers(2, 4))
def test_ndb_jsd_is_reproducible_and_invariant_to_scale(seed: int, n: int, m: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    training, generated = rng.normal(size=(n, 2)), rng.normal(size=(m, 2))
    result = ndb_jsd(training, generated, bins=bins, seed=seed)
    assert all(0 <= value <= 1 for value in result)
    assert ndb_jsd(training * 8, generated * 8, bins=bins, seed=seed) == pytest.approx(result)


def test_ndb_of_fresh_points_is_the_significance_level() -> None:
    rng = np.random.default_rng(0)
    draws = [ndb_jsd(rng.normal(size=(600, 3)), rng.normal(size=(300, 3)), bins=15, seed=seed)[0] for seed in range(40)]
    assert np.mean(draws) == pytest.approx(0.05, abs=0.03)


def test_ndb_and_jsd_of_copies_and_of_a_single_label_are_high() -> None:
    embedding = LogMelStatistics(SECONDS)
    waves, _ = fresh(240, seed=0)
    training = embedding.embed(waves, RATE)
    good = ndb_jsd(training, embedding.embed(fresh(160, seed=1)[0], RATE))
    for bad in (copies(waves, 160), one_class(160, seed=1)):
        ndb, jsd = ndb_jsd(training, embedding.embed(bad, RATE))
        assert ndb > good[0] + 0.3 and jsd > good[1] + 0.1


def test_ndb_jsd_accepts_equal_points_and_refuses_impossible_bins() -> None:
    assert ndb_jsd(np.ones((9, 2)), np.ones((5, 2)), bins=3) == (0, 0)
    for bins in (1, 10):
        with pytest.raises(DataError, match=f"{bins} bins for 9"):
            ndb_jsd(np.ones((9, 2)), np.ones((5, 2)), bins=bins)
    with pytest.raises(DataError, match="one embedding"):
        ndb_jsd(np.ones((9, 2)), np.ones((5, 3)))
