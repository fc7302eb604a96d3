"""Transfer of weights to networks for other labels, or for sounds of another length.

Weights are matched by name. The few layers with an entry for each label, or for every so many frames, are listed here
with their axes; all others must have the same shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from soundgan.training.networks.base import Generator
from soundgan.training.networks.dcgan import DCGANGenerator
from soundgan.training.networks.harmonics import FRAMES_PER_VALUE
from soundgan.training.networks.profiles import FACTOR
from soundgan.training.networks.residual import ResidualDiscriminator, ResidualGenerator

MEASURED = {"length_and_level.quantiles"}  # on the new recordings


class Adaptation(NamedTuple):
    """Labels, in the order of their indices, and frames of the pretrained networks (old) and of the new ones."""

    old_labels: Sequence[str]
    labels: Sequence[str]
    old_frames: int
    frames: int


class LabelAxis(NamedTuple):
    """An axis with an entry for each label, after `first` others."""

    axis: int
    first: int = 0


class TimeAxis(NamedTuple):
    """An axis with an entry for every `step` frames, after `first` others; several times as many if others are in it.

    Time is innermost in such an axis.
    """

    axis: int
    step: int
    first: int = 0


Axes = Mapping[str, tuple[LabelAxis | TimeAxis, ...]]


def transfer_generator(weights: Mapping[str, Tensor], generator: Generator, adaptation: Adaptation) -> None:
    """Copy weights into a generator.

    A label keeps the weights of the label with its name; other labels start with the mean of all plus the random values
    of the new network, as equal starts would be separated late. Shorter sounds keep the weights of the first frames;
    longer ones repeat those of the last frames, usually of silence.

    Raises:
        ValueError: the weight that the message names does not fit.
    """
    axes: Axes
    if isinstance(generator, DCGANGenerator):
        labels, columns = LabelAxis(0, first=generator.w_dim - generator.labels), generator.conv1.kernel_size[1]
        axes = {"conv1.weight": (TimeAxis(3, adaptation.frames // columns), labels)}
    else:
        assert isinstance(generator, ResidualGenerator)
        layers = {
            "dense": TimeAxis(0, adaptation.frames // generator.grid[2]),
            "harmonics.to_pitch": TimeAxis(0, FRAMES_PER_VALUE, first=1),
            "over_frames.dense": TimeAxis(0, FACTOR**2),
        }
        axes = {f"{name}.{part}": (axis,) for name, axis in layers.items() for part in ("weight", "bias")}
        axes = {**axes, "embedding.weight": (LabelAxis(0),), "length_and_level.directions": (LabelAxis(0),)}
    _transfer(weights, generator, axes, adaptation, repeat_last=True)


def transfer_discriminator(weights: Mapping[str, Tensor], discriminator: nn.Module, adaptation: Adaptation) -> None:
    """Copy weights into a discriminator, as `transfer_generator`.

    For longer sounds the weights of new frames are zero, and so logits at first the old ones.
    """
    axes: dict[str, tuple[LabelAxis | TimeAxis, ...]] = {"projection.weight": (LabelAxis(0),)}
    layers = dict(discriminator.named_parameters())
    if isinstance(discriminator, ResidualDiscriminator):
        pooled = 4 * discriminator.stride[1]
        axes["dense.weight"] = (TimeAxis(1, pooled),)
        axes["profile_features.0.convs.0.weight"] = (TimeAxis(1, pooled),)
        axes["profile_features.1.dense.weight"] = (TimeAxis(1, 2**3),)  # behind three convolutions of stride 2
    else:
        last = [name for name in layers if name.startswith("conv")][-1]
        axes[last] = (TimeAxis(3, adaptation.frames // layers[last].shape[3]),)
    if adaptation.labels and not adaptation.old_labels:  # all labels begin with the same logits
        weights = {**weights, "projection.weight": torch.zeros(0, layers["projection.weight"].shape[1])}
    _transfer(weights, discriminator, axes, adaptation, repeat_last=False)


@torch.no_grad()
def _transfer(
    weights: Mapping[str, Tensor], network: nn.Module, axes: Axes, adaptation: Adaptation, *, repeat_last: bool
) -> None:
    adapted: dict[str, Tensor] = {}
    for name, initial in network.state_dict().items():
        if name in MEASURED:
            adapted[name] = initial
            continue
        if name not in weights:
            raise ValueError(f"it has no {name}")
        weight = weights[name]
        for axis in axes.get(name, ()):
            if isinstance(axis, LabelAxis):
                weight = _for_labels(weight, axis, adaptation, initial)
            else:
                weight = _for_frames(weight, axis, adaptation, repeat_last=repeat_last)
        if weight.shape != initial.shape:
            raise ValueError(f"its {name} has the shape {tuple(weight.shape)}, needed is {tuple(initial.shape)}")
        adapted[name] = weight
    network.load_state_dict(adapted)


def _for_labels(weight: Tensor, axis: LabelAxis, adaptation: Adaptation, initial: Tensor) -> Tensor:
    """Return a weight whose entries along an axis are those of the new labels, random as `initial` for others."""
    weight, initial = (x.movedim(axis.axis, 0) for x in (weight, initial))
    others, entries = weight[: axis.first], weight[axis.first :]
    if others.shape[1:] != initial.shape[1:]:
        return weight.movedim(0, axis.axis)  # of a network of another depth
    mean = entries.mean(0) if len(entries) else torch.zeros_like(initial[0])
    rows = [mean + row if adaptation.labels else mean for row in initial[axis.first :]]
    for index, label in enumerate(adaptation.labels):
        if label in adaptation.old_labels:
            rows[index] = entries[adaptation.old_labels.index(label)]
    return torch.stack([*others, *rows]).movedim(0, axis.axis)


def _for_frames(weight: Tensor, axis: TimeAxis, adaptation: Adaptation, *, repeat_last: bool) -> Tensor:
    """Return a weight whose entries along an axis are cut, or extended at their end, to the new frames."""
    old_count, count = adaptation.old_frames // axis.step, adaptation.frames // axis.step
    moved = weight.movedim(axis.axis, 0)
    others, entries = moved[: axis.first], moved[axis.first :]
    if not old_count or len(entries) % old_count:
        return weight  # of a network of another depth
    kept = entries.unflatten(0, (-1, old_count))[:, :count]
    last = kept[:, -1:] if repeat_last else torch.zeros_like(kept[:, -1:])
    extended = torch.cat([kept, *[last] * (count - kept.shape[1])], dim=1)
    return torch.cat([others, extended.flatten(0, 1)]).movedim(0, axis.axis)
