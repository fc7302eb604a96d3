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
from soundgan.training.state.transfer import Adaptation, transfer_discriminator, transfer_generator

FRAMES = 48
Network = Literal["residual", "dcgan"]
NETWORKS: tuple[Network, ...] = ("residual", "dcgan")
KIT = ("hat", "kick", "snare")


def settings(network: Network) -> ModelSettings:
    return ModelSettings(network=network, size=8, nz=8, ngf=4, ndf=4)


def build(network: Network, labels: tuple[str, ...], frames: int = FRAMES, bands: int = 128) -> tuple[Any, Any]:
    """Generator and discriminator with random weights, in every layer and bias."""
    representation = preset(8000, 0.25, frames=frames, bands=bands)
    arguments = settings(network), representation, len(labels)
    networks = build_generator(*arguments), build_discriminator(*arguments)
    for parameter in itertools.chain(*(network.parameters() for network in networks)):
        nn.init.normal_(parameter, 0, 0.1)
    return networks


def transferred(
    network: Network, old_labels: tuple[str, ...], labels: tuple[str, ...], frames: int = FRAMES
) -> tuple[dict[str, Tensor], dict[str, Tensor], Any, Any]:
    """Weights of pretrained networks, and networks for other labels and frames that they were transferred to."""
    old_generator, old_discriminator = build(network, old_labels)
    generator, discriminator = build(network, labels, frames)
    weights = old_generator.state_dict(), old_discriminator.state_dict()
    adaptation = Adaptation(old_labels, labels, FRAMES, frames)
    transfer_generator(weights[0], generator, adaptation)
    transfer_discriminator(weights[1], discriminator, adaptation)
    return *weights, generator, discriminator


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("labels", [(), KIT])
def test_networks_of_the_same_labels_and_length_are_copied(network: Network, labels: tuple[str, ...]) -> None:
    *weights, generator, discriminator = transferred(network, labels, labels)
    for before, after in zip(weights, (generator, discriminator), strict=True):
        assert before.keys() == after.state_dict().keys()
        assert all(torch.equal(value, before[name]) for name, value in after.state_dict().items())


@pytest.mark.parametrize("network", NETWORKS)
@example_count(max_examples=15)
@given(names=st.lists(st.sampled_from([*KIT, "gravel", "snow"]), min_size=1, unique=True))
def test_labels_keep_the_weights_of_their_name_and_others_start_apart_around_the_mean(
    network: Network, names: list[str]
) -> None:
    old, new, adaptation = build(network, KIT), build(network, tuple(names)), Adaptation(KIT, names, FRAMES, FRAMES)
    initial = [{name: value.clone() for name, value in part.state_dict().items()} for part in new]
    transfer_generator(old[0].state_dict(), new[0], adaptation)
    transfer_discriminator(old[1].state_dict(), new[1], adaptation)
    name, first = ("conv1.weight", 8) if network == "dcgan" else ("embedding.weight", 0)  # rows of z come first
    for part, key, start in ((0, name, first), (1, "projection.weight", 0)):
        before, after = (networks[part].state_dict()[key][start:] for networks in (old, new))
        for index, label in enumerate(names):
            around_mean = before.mean(0) + initial[part][key][start:][index]
            assert torch.equal(after[index], before[KIT.index(label)] if label in KIT else around_mean)


@torch.no_grad()
@pytest.mark.parametrize("network", NETWORKS)
def test_known_label_generates_the_same_spectrograms_among_other_labels(network: Network) -> None:
    old, old_d = build(network, KIT)
    new, new_d = build(network, ("gravel", "kick"))
    adaptation, z = Adaptation(KIT, ("gravel", "kick"), FRAMES, FRAMES), torch.randn(2, 8)
    transfer_generator(old.state_dict(), new, adaptation)
    transfer_discriminator(old_d.state_dict(), new_d, adaptation)
    noise = torch.randn(2, 1, 128, FRAMES)
    before, after = (generator(z, torch.tensor([1, 1]), noise) for generator in (old, new))
    assert torch.equal(before, after) and before.std() > 0
    torch.testing.assert_close(old_d(before)[:, 1], new_d(after)[:, 1])


@torch.no_grad()
def test_labels_after_unlabeled_sounds_start_from_the_weights_of_all() -> None:
    old, old_d, new, new_d = transferred("residual", (), KIT)
    difference = new.state_dict()["embedding.weight"] - old["embedding.weight"]
    assert 0 < difference.abs().max() < 0.5, "random values of build"
    assert torch.equal(new_d.state_dict()["fc_out.weight"], old_d["fc_out.weight"])
    assert 0 < new_d.state_dict()["projection.weight"].abs().max() < 0.7


def test_unlabeled_sounds_start_from_the_mean_of_the_labels() -> None:
    old, _, new, _ = transferred("residual", KIT, ())
    torch.testing.assert_close(new.state_dict()["embedding.weight"], old["embedding.weight"].mean(0, keepdim=True))


def over_time(generator: Any, w: Tensor) -> list[Tensor]:
    """Outputs of the layers that depend on the length, time last: coarsest grid, pitch contour, profile."""
    profile = generator.over_frames.dense(w).unflatten(1, (24, -1))
    return [generator.dense(w).view(-1, *generator.grid), generator.harmonics.to_pitch(w)[:, 1:], profile]


@torch.no_grad()
@pytest.mark.parametrize("bands", [128, 512])
@pytest.mark.parametrize("frames", [(96, 64), (96, 128), (64, 192)])
def test_shorter_sounds_keep_the_first_frames_and_longer_ones_repeat_the_last(
    bands: int, frames: tuple[int, int]
) -> None:
    old, new = (build("residual", KIT, count, bands)[0] for count in frames)
    transfer_generator(old.state_dict(), new, Adaptation(KIT, KIT, *frames))
    w = torch.randn(5, 128)
    for before, after in zip(over_time(old, w), over_time(new, w), strict=True):
        count = min(before.shape[-1], after.shape[-1])
        torch.testing.assert_close(after[..., :count], before[..., :count])
        torch.testing.assert_close(after[..., count:], before[..., -1:].expand_as(after[..., count:]))
        assert after.shape[-1] * frames[0] == before.shape[-1] * frames[1]
    torch.testing.assert_close(new.harmonics.to_pitch(w)[:, 0], old.harmonics.to_pitch(w)[:, 0])


@torch.no_grad()
@pytest.mark.parametrize("bands", [128, 512])
@pytest.mark.parametrize("frames", [(96, 64), (96, 128)])
def test_discriminator_ignores_new_frames_at_first(bands: int, frames: tuple[int, int]) -> None:
    old, new = (build("residual", KIT, count, bands)[1] for count in frames)
    transfer_discriminator(old.state_dict(), new, Adaptation(KIT, KIT, *frames))
    step = 4 * old.stride[1]
    for name, per_frames, others in [
        ("dense", step, 24 * (bands // (4 * old.stride[0]))),
        ("profile_features.0.convs.0", step, 1),
        ("profile_features.1.dense", 8, 48),
    ]:
        before, after = (network.get_submodule(name).weight.transpose(0, 1) for network in (old, new))
        before, after = (weight.unflatten(0, (others, -1)) for weight in (before, after))
        counts = frames[0] // per_frames, frames[1] // per_frames
        assert (before.shape[1], after.shape[1]) == counts
        assert torch.equal(after[:, : min(counts)], before[:, : min(counts)])
        assert not after[:, counts[0] :].any()


@torch.no_grad()
def test_dcgan_kernels_are_cut_or_extended() -> None:
    old, old_d, new, new_d = transferred("dcgan", KIT, KIT, frames=32)
    assert torch.equal(new.state_dict()["conv1.weight"], old["conv1.weight"][..., :2])
    assert torch.equal(new_d.state_dict()["conv4.weight"], old_d["conv4.weight"][..., :2])
    old, old_d, new, new_d = transferred("dcgan", KIT, KIT, frames=80)
    assert torch.equal(new.state_dict()["conv1.weight"], old["conv1.weight"][..., [0, 1, 2, 2, 2]])
    assert torch.equal(new_d.state_dict()["conv4.weight"][..., 3:], torch.zeros(1, 16, 8, 2))


@torch.no_grad()
@pytest.mark.parametrize("labels", [*itertools.product([(), ("kick",), KIT], repeat=2)])
@pytest.mark.parametrize("frames", [16, 96])
def test_every_layer_of_the_residual_networks_is_adapted(labels: Any, frames: int) -> None:
    *_, generator, discriminator = transferred("residual", labels[0], labels[1], frames)
    count = max(len(labels[1]), 1)
    spectrograms = generator(torch.randn(count, 8), torch.arange(count), torch.randn(count, 1, 128, frames))
    assert spectrograms.shape == (count, 1, 128, frames) and discriminator(spectrograms).shape == (count, count)
    assert spectrograms.isfinite().all()


def test_network_of_another_depth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"its conv1\.weight has the shape"):
        transferred("dcgan", KIT, KIT, frames=64)
    generator, _ = build("residual", KIT)
    with pytest.raises(ValueError, match=r"it has no embedding\.weight"):
        transfer_generator({}, generator, Adaptation(KIT, KIT, FRAMES, FRAMES))
