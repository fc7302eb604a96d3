from __future__ import annotations

import numpy as np

from soundgan.evaluation.features.predictions import Predictions


def test_label_accuracy_omits_labels_that_were_not_requested() -> None:
    confusion = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 2]])
    predictions = Predictions(["a", "b", "c"], np.eye(3, dtype=np.float32), confusion, 8)
    assert predictions.n_correct == 5 and predictions.label_accuracy == {"a": 0.75, "c": 0.5}
