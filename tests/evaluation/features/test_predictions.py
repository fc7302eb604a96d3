from __future__ import annotations

import numpy as np

from soundgan.evaluation.features.predictions import Predictions, count_predictions


def test_label_accuracy_omits_labels_that_were_not_requested() -> None:
    confusion = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 2]])
    predictions = Predictions(["a", "b", "c"], np.eye(3, dtype=np.float32), confusion, 8)
    assert predictions.n_correct == 5 and predictions.label_accuracy == {"a": 0.75, "c": 0.5}
    assert predictions.label_counts == {"a": (3, 4), "c": (2, 4)}


def test_predictions_are_counted_and_unknown_requested_labels_are_errors() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    predictions = count_predictions(["a", "b"], probabilities, ["a", "b", "b", "unknown"])
    assert predictions.confusion.tolist() == [[1, 0], [1, 1]] and predictions.n_requested == 4
    assert count_predictions(["a", "b"], probabilities, []).n_requested == 0
