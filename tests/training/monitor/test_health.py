"""Checks for divergence; mode collapse is tested with whole trainings in `test_loop.py`."""

from __future__ import annotations

import math

import pytest

from soundgan.errors import TrainingError
from soundgan.training.monitor.health import check_finite
from soundgan.training.state.train_state import Progress


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_message_names_the_value_and_the_settings_to_change(value: float) -> None:
    with pytest.raises(
        TrainingError, match=rf"loss_G is {value} after 40 samples.*halve lr_G and lr_D.*gradient_penalty"
    ):
        check_finite({"loss_D": 1.0, "loss_G": value}, Progress(40))


def test_finite_values_pass() -> None:
    check_finite({"loss_D": -1e30, "loss_G": 0.0}, Progress(40))
