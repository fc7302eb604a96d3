"""The classic networks: shapes, labels, and the results of the original."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from soundgan.errors import SettingsError
from soundgan.training.networks.dcgan import DCGANDiscriminator, DCGANGenerator


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 4),
    cols=st.integers(1, 4),
    stages=st.integers(2, 4),
    nc=st.integers(1, 3),
    labels=st.sampled_from([0, 3]),
)
def test_shapes_follow_grid_stages_and_labels(rows: int, cols: int, stages: int, nc: int, labels: int) -> None:
    generator = DCGANGenerator(6, 2, nc, rows, cols, stages, labels)
    discriminator = DCGANDiscriminator(2, nc, rows, cols, stages, labels)
    z, label = torch.randn(3, 6), torch.tensor([0, max(labels - 1, 0), 0])
    w = generator.mapping(z, label)
    assert w.shape == (3, generator.w_dim)
    spectrograms = generator(z, label)
    assert spectrograms.shape == (3, nc, rows * 2**stages, cols * 2**stages) and spectrograms.abs().max() <= 1
    torch.testing.assert_close(generator.synthesis(w), spectrograms)
    logits = discriminator(spectrograms)
    assert logits.shape == (3, max(labels, 1))
    logits.sum().backward()
    reached = [*generator.parameters(), *discriminator.parameters()]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in reached)


def test_only_labeled_networks_depend_on_the_label() -> None:
    torch.manual_seed(0)
    z, first, second = torch.randn(2, 8), torch.zeros(2, dtype=torch.int64), torch.ones(2, dtype=torch.int64)
    for labels in (0, 2):
        generator = DCGANGenerator(8, 4, 1, 2, 2, 2, labels)
        discriminator = DCGANDiscriminator(4, 1, 2, 2, 2, labels)
        spectrograms = torch.randn(2, 1, 8, 8)
        assert torch.equal(generator(z, first), generator(z, second)) is (labels == 0)
        logits = discriminator(spectrograms)
        assert torch.equal(logits[:, 0], logits[:, -1]) is (labels == 0)


def test_logit_is_the_mean_of_the_original_25_scores() -> None:
    torch.manual_seed(0)
    discriminator = DCGANDiscriminator(2, 3, 4, 4, 6)
    for parameter in discriminator.parameters():
        nn.init.normal_(parameter, 0.0, 0.2)
    x = spectrograms = torch.randn(2, 3, 256, 256)
    weights = list(discriminator.state_dict().values())
    assert [tuple(weight.shape[:2]) for weight in weights] == [(2, 3), (4, 2), (8, 4), (16, 8), (32, 16), (1, 32)]
    for weight in weights[:-1]:
        x = nn.functional.conv2d(x, weight, stride=2, padding=1)
        x = torch.where(x > 0, x, 0.2 * x)
    scores = nn.functional.conv2d(x, weights[-1]).flatten(1)
    assert scores.shape == (2, 25)
    torch.testing.assert_close(discriminator(spectrograms), scores.mean(dim=1, keepdim=True))


def test_weights_are_initialized_as_in_the_original() -> None:
    torch.manual_seed(0)
    for network in (DCGANGenerator(64, 16, 1, 4, 4, 4, 3), DCGANDiscriminator(16, 1, 4, 4, 4, 3)):
        values = torch.cat([parameter.flatten() for parameter in network.parameters()])
        assert abs(values.mean()) < 1e-3 and abs(values.std() - 0.02) < 1e-3


def test_outputs_are_float32_under_bfloat16_autocast() -> None:
    generator, discriminator = DCGANGenerator(8, 4, 1, 2, 2, 2, 2), DCGANDiscriminator(4, 1, 2, 2, 2, 2)
    label = torch.tensor([0, 1])
    with torch.autocast("cpu", torch.bfloat16):
        spectrograms = generator(torch.randn(2, 8), label)
        assert spectrograms.dtype == torch.float32
        assert discriminator(spectrograms).dtype == torch.float32


@pytest.mark.parametrize("size", ["nz", "ngf", "nc", "grid_rows", "grid_cols"])
def test_sizes_below_one_are_rejected(size: str) -> None:
    sizes = {"nz": 8, "ngf": 4, "nc": 1, "grid_rows": 2, "grid_cols": 2} | {size: 0}
    with pytest.raises(SettingsError, match=f"{size}: 0"):
        DCGANGenerator(**sizes, stages=2)


def test_spectrograms_that_cannot_be_halved_are_rejected() -> None:
    with pytest.raises(SettingsError, match="multiples of 4"):
        DCGANDiscriminator(4, 1, 65, 33, 0)
