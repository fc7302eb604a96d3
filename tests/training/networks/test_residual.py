"""Both kinds of networks: shapes, gradients and independence, at every size that the settings allow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from soundgan.settings import ModelSettings
from soundgan.spectral.presets import PRESETS, preset
from soundgan.spectral.representation import Representation
from soundgan.training.networks.base import Generator
from soundgan.training.networks.blocks import W_DIM
from soundgan.training.networks.build import build_discriminator, build_generator
from soundgan.training.networks.length_and_level import NUM_QUANTILES
from soundgan.training.networks.residual import ResidualDiscriminator, ResidualGenerator

KINDS = ["residual", "dcgan"]
LABELS = 3
NZ = 8


def tiny(**changes: Any) -> ModelSettings:
    return ModelSettings(**{"size": 8, "nz": NZ, "ngf": 2, "ndf": 2, **changes})


def sized(rows: int, columns: int) -> Representation:
    return preset(8000, 0.25, bands=rows, frames=columns)


def networks(kind: str) -> tuple[Generator, nn.Module]:
    """Generator and discriminator of spectrograms of 32 × 16, the same at every call."""
    torch.manual_seed(0)
    settings, representation = tiny(network=kind), sized(32, 16)
    return build_generator(settings, representation, LABELS), build_discriminator(settings, representation, LABELS)


def generated(generator: Any, z: Tensor, labels: Tensor) -> Tensor:
    """Spectrograms of 32 × 16, with noise drawn from each latent for generators that use noise."""
    if not generator.uses_noise:
        return generator(z, labels)
    seeds = (1000 * z[:, 0]).round().int().tolist()
    noise = [0.1 * torch.randn(1, 1, 32, 16, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return generator(z, labels, torch.cat(noise))


def shapes(
    settings: ModelSettings, representation: Representation, n: int = 3
) -> tuple[torch.Size, torch.Size, torch.dtype]:
    """Shapes of spectrograms and logits, without computing a number."""
    with FakeTensorMode():
        generator = build_generator(settings, representation, LABELS)
        discriminator = build_discriminator(settings, representation, LABELS)
        labels = torch.zeros(n, dtype=torch.int64)
        noise = (torch.zeros(n, 1, *representation.shape),) if generator.uses_noise else ()
        spectrograms = generator(torch.randn(n, settings.nz), labels, *noise)
        return spectrograms.shape, discriminator(spectrograms).shape, spectrograms.dtype


@pytest.fixture
def generator() -> ResidualGenerator:
    torch.manual_seed(0)
    return ResidualGenerator(sized(32, 16), size=8, nz=NZ, nc=1, labels=LABELS)


@pytest.fixture
def discriminator() -> ResidualDiscriminator:
    torch.manual_seed(0)
    return ResidualDiscriminator(32, 16, size=8, nc=1, labels=LABELS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("duration", [0.25, 3.3, 10.0])
@pytest.mark.parametrize("rate", PRESETS)
def test_networks_fit_every_preset(rate: int, duration: float, kind: str) -> None:
    representation = preset(rate, duration)
    spectrograms, logits, _ = shapes(tiny(network=kind), representation)
    assert spectrograms == (3, 1, *representation.shape)
    assert logits == (3, LABELS)


@pytest.mark.parametrize("kind", KINDS)
@given(rows=st.integers(1, 20), columns=st.integers(1, 20), nc=st.integers(1, 4), n=st.integers(1, 5))
@examples(max_examples=8)
def test_networks_fit_any_multiple_of_16(kind: str, rows: int, columns: int, nc: int, n: int) -> None:
    spectrograms, logits, dtype = shapes(tiny(network=kind, nc=nc), sized(16 * rows, 16 * columns), n)
    assert spectrograms == (n, nc, 16 * rows, 16 * columns)
    assert logits == (n, LABELS)
    assert dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_spectrograms_are_bounded_for_any_weights(kind: str) -> None:
    generator, _ = networks(kind)
    for strength in (1.0, 3.0):
        for parameter in generator.parameters():
            parameter.mul_(strength)
        spectrogram = generated(generator, torch.randn(5, NZ), torch.zeros(5, dtype=torch.int64))
        assert spectrogram.abs().max() <= 1
        assert spectrogram.std() > 0


@torch.no_grad()
def test_output_is_clamped_not_squashed(generator: ResidualGenerator) -> None:
    z, labels = torch.randn(4, NZ), torch.zeros(4, dtype=torch.int64)
    noise = torch.zeros(4, 1, 32, 16)
    generator.to_patches.kernel.mul_(0.3)
    before = generator(z, labels, noise)
    assert before.abs().max() < 1
    lower = 1 + before.median()
    generator.to_patches.bias.sub_(lower)
    after = generator(z, labels, noise)
    assert 0.1 < (after == -1).float().mean() < 0.9
    torch.testing.assert_close(after, (before - lower).clamp(min=-1))


@torch.no_grad()
def test_noise_is_added_with_gains_of_the_latent(generator: ResidualGenerator) -> None:
    z, labels = torch.randn(4, NZ), torch.zeros(4, dtype=torch.int64)
    generator.to_patches.kernel.mul_(0.1)  # far from the bounds
    smooth = generator(z, labels, torch.zeros(4, 1, 32, 16))
    laid = 10 * (generator(z, labels, torch.full((4, 1, 32, 16), 0.1)) - smooth)
    noise = 0.1 * torch.randn(4, 1, 32, 16)
    torch.testing.assert_close(generator(z, labels, noise), smooth + laid * noise)
    assert laid.min() > 0
    assert (
        laid.std(0).mean() > 0 and laid.std((2, 3)).mean() > 0
    )  # neither one for all, nor one for a whole spectrogram


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_has_a_gradient(kind: str) -> None:
    generator, discriminator = networks(kind)
    labels = torch.arange(LABELS)
    z = torch.randn(LABELS, NZ)
    discriminator(generated(generator, z, labels)).square().sum().backward()
    if generator.has_pitch:
        generator.pitch(generator.mapping(z, labels)).sum().backward()
    if generator.has_length_and_level:
        generator.length_and_level.quantiles.copy_(torch.linspace(0, 1, NUM_QUANTILES))
        generator.length_and_level(z, labels).sum().backward()
    for name, parameter in (*generator.named_parameters(), *discriminator.named_parameters()):
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("nc", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_discriminator_input_equals_pixel_unshuffle(nc: int, layout: torch.memory_format) -> None:
    discriminator, seen = ResidualDiscriminator(32, 16, 8, nc, LABELS), list[torch.Tensor]()
    discriminator.from_patch.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    spectrograms = torch.randn(2, nc, 32, 16).contiguous(memory_format=layout)
    discriminator(spectrograms)
    assert torch.equal(seen[0], F.pixel_unshuffle(spectrograms, 4))  # scaled by 1: patches of 4 × 4
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_step_of_all_weights_changes_logits_alike_for_all_patches() -> None:
    """Adam moves all weights by about the learning rate; a quiet patch is -1 throughout."""
    changes, seen = [], list[torch.Tensor]()
    for representation in (sized(128, 32), preset(44100, 0.25)):
        discriminator = ResidualDiscriminator(*representation.shape, 8, 1, LABELS)
        discriminator.stages[0].register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
        quiet = torch.full((1, 1, *representation.shape), -1.0)
        discriminator(quiet)
        discriminator.from_patch.weight += 1e-3
        discriminator(quiet)
        changes.append((seen[-1] - seen[-2]).abs().max())
    torch.testing.assert_close(changes[1], changes[0], rtol=1e-3, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_labels_change_spectrogram_and_logit(kind: str) -> None:
    generator, discriminator = networks(kind)
    z, labels = torch.randn(1, NZ).expand(LABELS, -1), torch.arange(LABELS)
    spectrograms = generated(generator, z, labels)
    logits = discriminator(spectrograms[:1])
    assert spectrograms.flatten(1).unique(dim=0).shape[0] == LABELS
    assert logits.unique().numel() == LABELS


@torch.no_grad()
def test_unlabeled_discriminator_has_one_logit() -> None:
    discriminator = ResidualDiscriminator(32, 16, size=8, nc=1, labels=0)
    assert discriminator.projection is None
    assert discriminator(torch.randn(2, 1, 32, 16)).shape == (2, 1)


@torch.no_grad()
def test_projection_is_linear_in_the_label_vector(discriminator: ResidualDiscriminator) -> None:
    spectrogram, labels = torch.randn(1, 1, 32, 16), torch.arange(LABELS)
    projection = discriminator.projection
    assert projection is not None
    one, other = torch.randn(2, LABELS, W_DIM)

    def logits_with(vectors: torch.Tensor) -> torch.Tensor:
        projection.weight.copy_(vectors)
        return discriminator(spectrogram)[0]

    plain = logits_with(torch.zeros_like(one))
    torch.testing.assert_close(plain, plain[:1].expand(LABELS))
    projected, others = logits_with(one) - plain, logits_with(other) - plain
    torch.testing.assert_close(logits_with(2 * one - 3 * other) - plain, 2 * projected - 3 * others)
    # The vector of one label is no matter to the others.
    torch.testing.assert_close(
        logits_with(one * torch.tensor([[0.0], [1.0], [0.0]])) - plain, projected * (labels == 1)
    )


@torch.no_grad()
def test_mapping_is_invariant_to_the_scale_of_z(generator: ResidualGenerator) -> None:
    z, labels = torch.randn(4, NZ), torch.arange(4) % LABELS
    torch.testing.assert_close(generator.mapping(7 * z, labels), generator.mapping(z, labels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_outputs_do_not_depend_on_the_batch(kind: str) -> None:
    generator, discriminator = networks(kind)
    z, labels = torch.randn(6, NZ), torch.arange(6) % LABELS
    together = generated(generator, z, labels)
    alone = torch.cat([generated(generator, z[i : i + 1], labels[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
    logits = torch.cat([discriminator(together[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(logits, discriminator(together), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_residual_outputs_are_float32_under_bfloat16_autocast(kind: str) -> None:
    generator, discriminator = networks(kind)
    z, labels = torch.randn(2, NZ), torch.zeros(2, dtype=torch.int64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        spectrograms = generated(generator, z, labels)
        logits = discriminator(spectrograms)
    assert spectrograms.dtype == logits.dtype == torch.float32
    torch.testing.assert_close(spectrograms, generated(generator, z, labels), rtol=0.1, atol=0.05)


def test_size_scales_the_number_of_parameters() -> None:
    counts = [
        sum(parameter.numel() for parameter in ResidualGenerator(sized(32, 16), size, NZ, 1, 0).parameters())
        for size in (8, 16, 32)
    ]
    assert counts == sorted(set(counts))
