"""Transfer of weights between networks for other labels and lengths: which values end where."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import settings as example_count
from hypothesis import strategies as st
from torch import Tensor, nn

from soundgan.settings import ModelSettings
from soundgan.spectral.presets import preset
from soundgan.training.networks.build import build_discriminator, build_generator
from soundgan.training.state.transfer import Labels, transfer_discriminator, transfer_generator

FRAMES = 48
Network = Literal["residual", "dcgan"]
NETWORKS: tuple[Network, ...] = ("residual", "dcgan")
KIT = ("hat", "kick", "snare")


def settings(network: Network) -> ModelSettings:
    return ModelSettings(network=network, size=8, nz=8, ngf=4, ndf=4)


def build(network: Network, labels: tuple[str, ...], frames: int = FRAMES) -> tuple[Any, Any]:
    """Generator and discriminator with random weights, in every layer and bias."""
    representation = preset(8000, 0.25, frames=frames)
    arguments = settings(network), representation, len(labels)
    networks = build_generator(*arguments), build_discriminator(*arguments)
    for parameter in itertools.chain(*(network.parameters() for network in networks)):
        nn.init.normal_(parameter, 0, 0.1)
    return networks


def transferred(
    network: Network, labels: Labels, frames: int = FRAMES
) -> tuple[dict[str, Tensor], dict[str, Tensor], Any, Any]:
    """Weights of pretrained networks, and networks for other labels and frames that they were transferred to."""
    old_generator, old_discriminator = build(network, labels.old)
    generator, discriminator = build(network, labels.new, frames)
    weights = old_generator.state_dict(), old_discriminator.state_dict()
    transfer_generator(weights[0], generator, labels)
    transfer_discriminator(weights[1], discriminator, generator, labels)
    return *weights, generator, discriminator


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("labels", [(), KIT])
def test_networks_of_the_same_labels_and_length_are_copied(network: Network, labels: tuple[str, ...]) -> None:
    *weights, generator, discriminator = transferred(network, Labels(labels, labels))
    for before, after in zip(weights, (generator, discriminator), strict=True):
        assert before.keys() == after.state_dict().keys()
        assert all(torch.equal(value, before[name]) for name, value in after.state_dict().items())


@pytest.mark.parametrize("network", NETWORKS)
@example_count(max_examples=15)
@given(names=st.lists(st.sampled_from([*KIT, "gravel", "snow"]), min_size=1, unique=True))
def test_labels_keep_the_weights_of_their_name_and_others_start_from_the_mean(
    network: Network, names: list[str]
) -> None:
    old, old_d, generator, discriminator = transferred(network, Labels(KIT, tuple(names)))
    name, first = ("conv1.weight", 8) if network == "dcgan" else ("embedding.weight", 0)  # rows of z come first
    pairs = [(old[name][first:], generator.state_dict()[name][first:])]
    pairs.append((old_d["projection.weight"], discriminator.state_dict()["projection.weight"]))
    for before, after in pairs:
        for index, label in enumerate(names):
            expected = before[KIT.index(label)] if label in KIT else before.mean(0)
            assert torch.equal(after[index], expected)


@torch.no_grad()
@pytest.mark.parametrize("network", NETWORKS)
def test_known_label_generates_the_same_spectrograms_among_other_labels(network: Network) -> None:
    old, old_d = build(network, KIT)
    new, new_d = build(network, ("gravel", "kick"))
    labels, z = Labels(KIT, ("gravel", "kick")), torch.randn(2, 8)
    transfer_generator(old.state_dict(), new, labels)
    transfer_discriminator(old_d.state_dict(), new_d, new, labels)
    noise = torch.randn(2, 1, 128, FRAMES)
    before, after = (generator(z, torch.tensor([1, 1]), noise) for generator in (old, new))
    assert torch.equal(before, after) and before.std() > 0
    torch.testing.assert_close(old_d(before)[:, 1], new_d(after)[:, 1])


@torch.no_grad()
def test_unlabeled_networks_pass_their_weights_to_every_label() -> None:
    old, old_d, new, new_d = transferred("residual", Labels((), KIT))
    assert torch.equal(new.state_dict()["embedding.weight"], old["embedding.weight"].expand(3, -1))
    assert torch.equal(new_d.state_dict()["fc_out.weight"], old_d["fc_out.weight"])
    logits = new_d(torch.randn(2, 1, 128, FRAMES))
    torch.testing.assert_close(logits, logits[:, :1].expand(-1, 3))


def test_unlabeled_sounds_start_from_the_mean_of_the_labels() -> None:
    old, _, new, _ = transferred("residual", Labels(KIT, ()))
    torch.testing.assert_close(new.state_dict()["embedding.weight"], old["embedding.weight"].mean(0, keepdim=True))


@torch.no_grad()
@pytest.mark.parametrize("frames", [32, 64, 128])
def test_coarsest_grid_is_cut_or_extended_by_its_last_column(frames: int) -> None:
    old, _ = build("residual", KIT)
    new, _ = build("residual", KIT, frames)
    transfer_generator(old.state_dict(), new, Labels(KIT, KIT))
    w = torch.randn(5, 128)
    before, after = (layer(w).view(-1, *grid) for layer, grid in ((old.dense, old.grid), (new.dense, new.grid)))
    columns = min(before.shape[3], after.shape[3])
    torch.testing.assert_close(after[..., :columns], before[..., :columns])
    torch.testing.assert_close(after[..., columns:], before[..., -1:].expand_as(after[..., columns:]))


@torch.no_grad()
@pytest.mark.parametrize("frames", [32, 64])
def test_pitch_is_cut_or_held(frames: int) -> None:
    old, _ = build("residual", KIT)
    new, _ = build("residual", KIT, frames)
    transfer_generator(old.state_dict(), new, Labels(KIT, KIT))
    w = torch.randn(5, 128)
    inner = min(frames, FRAMES) - 4  # values between frames are interpolated
    torch.testing.assert_close(new.pitch(w)[:, :inner], old.pitch(w)[:, :inner])
    torch.testing.assert_close(new.pitch(w)[:, inner + 4 :], old.pitch(w)[:, -1:].expand(-1, max(0, frames - FRAMES)))


@torch.no_grad()
@pytest.mark.parametrize("frames", [32, 64])
def test_discriminator_ignores_new_columns_at_first(frames: int) -> None:
    _, old = build("residual", KIT)
    new_generator, new = build("residual", KIT, frames)
    transfer_discriminator(old.state_dict(), new, new_generator, Labels(KIT, KIT))
    rows, columns = 128 // 16, (FRAMES // 16, frames // 16)
    x = torch.randn(5, 24, rows, max(columns))
    x[..., min(columns) :] *= torch.tensor(columns).diff() > 0  # a cut leaves out the weights of the later columns
    before, after = (
        layer(x[..., :count].flatten(1)) for layer, count in zip((old.dense, new.dense), columns, strict=True)
    )
    torch.testing.assert_close(after, before)


@torch.no_grad()
def test_dcgan_kernels_are_cut_or_extended() -> None:
    old, old_d, new, new_d = transferred("dcgan", Labels(KIT, KIT), frames=32)
    assert torch.equal(new.state_dict()["conv1.weight"], old["conv1.weight"][..., :2])
    assert torch.equal(new_d.state_dict()["conv4.weight"], old_d["conv4.weight"][..., :2])
    old, old_d, new, new_d = transferred("dcgan", Labels(KIT, KIT), frames=80)
    assert torch.equal(new.state_dict()["conv1.weight"], old["conv1.weight"][..., [0, 1, 2, 2, 2]])
    assert torch.equal(new_d.state_dict()["conv4.weight"][..., 3:], torch.zeros(1, 16, 8, 2))


@torch.no_grad()
@pytest.mark.parametrize("labels", [*itertools.product([(), ("kick",), KIT], repeat=2)])
@pytest.mark.parametrize("frames", [16, 96])
def test_every_layer_of_the_residual_networks_is_adapted(labels: Any, frames: int) -> None:
    *_, generator, discriminator = transferred("residual", Labels(*labels), frames)
    count = max(len(labels[1]), 1)
    spectrograms = generator(torch.randn(count, 8), torch.arange(count), torch.randn(count, 1, 128, frames))
    assert spectrograms.shape == (count, 1, 128, frames) and discriminator(spectrograms).shape == (count, count)
    assert spectrograms.isfinite().all()


def test_network_of_another_depth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"its conv1\.weight has the shape"):
        transferred("dcgan", Labels(KIT, KIT), frames=64)
    generator, _ = build("residual", KIT)
    with pytest.raises(ValueError, match=r"it has no embedding\.weight"):
        transfer_generator({}, generator, Labels(KIT, KIT))
