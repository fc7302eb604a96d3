"""State of a training: learning rates, EMA, and the inputs of the generator."""

from __future__ import annotations

import pytest
import torch
from fixture_types import TinySettings

from soundgan.data.dataset import Dataset
from soundgan.training.runtime.rng import StepRNG
from soundgan.training.state.train_state import (
    CONSTANT_LR_STEPS,
    NOISE_BUFFER_SAMPLES,
    GeneratorInputs,
    TrainState,
    init_state,
)

CPU = torch.device("cpu")


@pytest.fixture
def train_state(tiny_dataset: Dataset, tiny_settings: TinySettings) -> TrainState:
    return init_state(tiny_dataset, tiny_settings(), CPU)


def rates(train_state: TrainState) -> list[float]:
    return [optimizer.param_groups[0]["lr"] for optimizer in train_state.optimizers().values()]


def test_learning_rates_are_constant_and_then_decay_with_the_square_root(
    train_state: TrainState, tiny_settings: TinySettings
) -> None:
    settings = tiny_settings(lr_G=2e-3, lr_D=1e-3)
    constant = CONSTANT_LR_STEPS * settings.optim.batch_size
    for samples_seen in (0, 8, constant):
        train_state.set_learning_rates(settings.optim, samples_seen)
        assert rates(train_state) == [2e-3, 1e-3]
    train_state.set_learning_rates(settings.optim, 4 * constant)
    assert rates(train_state) == pytest.approx([1e-3, 5e-4])
    train_state.set_learning_rates(settings.optim, 400 * constant)
    assert rates(train_state) == pytest.approx([1e-4, 5e-5])
    train_state.set_learning_rates(settings.optim, 0)  # they follow from the samples seen, not from what they were
    assert rates(train_state) == [2e-3, 1e-3]


def test_ema_moves_by_one_minus_the_decay(train_state: TrainState) -> None:
    with torch.no_grad():
        for parameter in train_state.generator.parameters():
            parameter += 1
    before = [parameter.clone() for parameter in train_state.generator_ema.parameters()]
    train_state.update_ema(0.75)
    for old, now in zip(before, train_state.generator_ema.parameters(), strict=True):
        torch.testing.assert_close(now, old + 0.25)


def test_noise_buffer_is_refreshed_in_place(tiny_dataset: Dataset, tiny_settings: TinySettings) -> None:
    generator_inputs = GeneratorInputs(tiny_settings().model.nz, tiny_dataset.representation)
    generator_inputs.refresh_noise(StepRNG(3, 0, CPU))
    before, address = generator_inputs._noise_buffer.clone(), generator_inputs._noise_buffer.data_ptr()
    generator_inputs.refresh_noise(StepRNG(3, NOISE_BUFFER_SAMPLES, CPU))
    assert not torch.equal(generator_inputs._noise_buffer, before)
    assert generator_inputs._noise_buffer.data_ptr() == address  # read by captured CUDA graphs


@torch.no_grad()
def test_spectrograms_are_a_function_of_seed_and_samples_seen(
    train_state: TrainState, tiny_dataset: Dataset, tiny_settings: TinySettings
) -> None:
    generator_inputs = GeneratorInputs(tiny_settings().model.nz, tiny_dataset.representation)
    labels = torch.tensor([0, 1, 1])

    def generated(samples_seen: int, shared_noise: bool = False) -> torch.Tensor:
        return generator_inputs.generate(
            train_state.generator, labels, StepRNG(3, samples_seen, CPU), shared_noise=shared_noise
        )

    assert torch.equal(generated(8), generated(8))
    assert not torch.equal(generated(8), generated(16))
    assert not torch.equal(generated(0), generated(NOISE_BUFFER_SAMPLES))
    assert torch.equal(generated(0), generated(0))  # after another noise texture
    assert not torch.equal(generated(8), generated(8, shared_noise=True))
