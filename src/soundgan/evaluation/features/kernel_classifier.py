"""The second classifier of labels: ridge regression with a Gaussian kernel, solved in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg

from soundgan.errors import DataError
from soundgan.evaluation.features.kernel import Points, gaussian_kernel, median_distance

MAX_LANDMARKS = 1024  # points that the kernel is evaluated at; with as many or fewer points, the solution is exact
RIDGES = (1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)  # of which the best in leave-one-out prediction is taken
_JITTER = 1e-6  # on the diagonal, as equal points make the kernel singular


class KernelClassifier:
    """Kernel ridge regression of the labels (Saunders et al. 1998), approximated by Nyström's method for many points.

    The squared error is least for the probability of each label, so the outputs are estimates of probabilities. The
    bandwidth is the median distance of two points over √2; the ridge has the least leave-one-out error.

    Attributes:
        labels: sorted; the columns of the probabilities.
    """

    def __init__(self, points: Points, labels: Sequence[str], seed: int = 0) -> None:
        """Fit points of the training recordings, at least one of each of two labels or more.

        Args:
            points: (n, d).
            labels: one for each point.
            seed: of the choice of landmarks, if there are more points.

        Raises:
            DataError: there are fewer than two labels.
        """
        self.labels = sorted(set(labels))
        if len(self.labels) < 2:
            raise DataError(f"a classifier needs at least two labels, these sounds have {self.labels}")
        order = np.random.default_rng(seed).permutation(len(points))
        self._landmarks = points[np.sort(order[:MAX_LANDMARKS])]
        self._bandwidth = median_distance(self._landmarks) / np.sqrt(2)
        kernel = gaussian_kernel(self._landmarks, self._landmarks, self._bandwidth)
        self._root = np.linalg.cholesky(kernel + _JITTER * np.eye(len(kernel)))
        targets = np.array([[label == column for column in self.labels] for label in labels], np.float64)
        self._weights = _ridge_weights(self._features(points), targets - 1 / len(self.labels))

    def predict(self, points: Points) -> Points:
        """Return the probability of each label. Shape: (n, d) → (n, labels), rows sum to 1."""
        values = np.maximum(self._features(points) @ self._weights + 1 / len(self.labels), 1e-9)
        return values / values.sum(axis=1, keepdims=True)

    def _features(self, points: Points) -> Points:
        """Points as vectors whose products are the kernel. Shape: (n, d) → (n, landmarks)."""
        kernel = gaussian_kernel(self._landmarks, points, self._bandwidth)
        return scipy.linalg.solve_triangular(self._root, kernel, lower=True).T


def _ridge_weights(features: Points, targets: Points) -> Points:
    """Weights of the ridge regression with the least leave-one-out error. Shape: (n, d), (n, k) → (d, k)."""
    eigenvalues, vectors = np.linalg.eigh(features.T @ features)
    rotated = features @ vectors
    products = rotated.T @ targets

    def solution(ridge: float) -> tuple[float, Points]:
        shrunk = products / (np.maximum(eigenvalues, 0) + ridge)[:, None]
        leverage = np.square(rotated) @ (1 / (np.maximum(eigenvalues, 0) + ridge))
        left_out = (targets - rotated @ shrunk) / (1 - leverage)[:, None]
        return float(np.square(left_out).mean()), shrunk

    _, best = min((solution(ridge) for ridge in RIDGES), key=lambda pair: pair[0])
    return vectors @ best
