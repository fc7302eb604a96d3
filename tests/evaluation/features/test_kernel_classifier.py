from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundgan.errors import DataError
from soundgan.evaluation.features import kernel_classifier
from soundgan.evaluation.features.kernel import Points
from soundgan.evaluation.features.kernel_classifier import KernelClassifier


def rings(n: int, seed: int, noise: float = 0.15) -> tuple[Points, list[str]]:
    """Points on two rings around each other, which no line separates, in the first two of six dimensions."""
    rng = np.random.default_rng(seed)
    angle, inner = rng.uniform(0, 2 * np.pi, n), np.arange(n) % 2
    points = noise * rng.normal(size=(n, 6))
    points[:, :2] += np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.where(inner, 1.0, 2.5)[:, None]
    return points, ["inner" if value else "outer" for value in inner]


def accuracy(classifier: KernelClassifier, points: Points, labels: list[str]) -> float:
    predicted = [classifier.labels[i] for i in classifier.predict(points).argmax(axis=1)]
    return float(np.mean([a == b for a, b in zip(predicted, labels, strict=True)]))


def test_classifier_separates_labels_that_no_line_separates() -> None:
    classifier = KernelClassifier(*rings(120, seed=0))
    assert classifier.labels == ["inner", "outer"]
    assert accuracy(classifier, *rings(200, seed=1)) > 0.97


@given(seed=st.integers(0, 20), n=st.integers(4, 30))
def test_probabilities_are_positive_and_sum_to_one(seed: int, n: int) -> None:
    points, labels = rings(n, seed)
    probabilities = KernelClassifier(points, labels).predict(np.vstack([points, 100 + points]))
    assert probabilities.shape == (2 * n, 2) and probabilities.min() > 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(probabilities[n:], 0.5, atol=1e-6)  # far from all recordings nothing is known


def test_landmarks_replace_most_points_with_little_loss_and_depend_on_the_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training, test = rings(300, seed=0), rings(200, seed=1)
    monkeypatch.setattr(kernel_classifier, "MAX_LANDMARKS", 60)
    few = KernelClassifier(*training)
    assert accuracy(few, *test) > 0.95
    np.testing.assert_array_equal(KernelClassifier(*training).predict(test[0]), few.predict(test[0]))
    assert not np.array_equal(KernelClassifier(*training, seed=1).predict(test[0]), few.predict(test[0]))


def test_landmarks_at_all_points_give_exact_kernel_ridge_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_classifier, "RIDGES", (0.1,))
    points, labels = rings(40, seed=0)
    new = rings(10, seed=1)[0]

    def squared(a: Points, b: Points) -> Points:
        return np.square(a[:, None] - b[None]).sum(axis=2)

    bandwidth = np.median(np.sqrt(squared(points, points)[np.triu_indices(40, 1)]))
    kernel, between = (np.exp(-squared(a, points) / bandwidth**2) for a in (points, new))
    targets = np.array([[1.0, 0.0] if label == "inner" else [0.0, 1.0] for label in labels]) - 0.5
    expected = between @ np.linalg.solve(kernel + 0.1 * np.eye(40), targets) + 0.5
    inside = (expected > 0).all(axis=1)  # negative ones are clipped
    assert inside.any()
    np.testing.assert_allclose(KernelClassifier(points, labels).predict(new)[inside], expected[inside], atol=1e-3)


def test_repeated_points_and_a_rare_label_are_fitted() -> None:
    points, labels = np.repeat(np.eye(3), 4, axis=0), ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    classifier = KernelClassifier(points[:9], labels[:9])
    np.testing.assert_array_equal(classifier.predict(np.eye(3)).argmax(axis=1), [0, 1, 2])


def test_a_single_label_is_refused() -> None:
    with pytest.raises(DataError, match="two labels"):
        KernelClassifier(np.eye(3), ["kick"] * 3)
