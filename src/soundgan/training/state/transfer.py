"""Transfer of weights to networks for other labels, or for sounds of another length.

Weights are matched by name. The few layers with an entry for each label, or for each column of the coarsest grid, are
listed here with their axes; all others must have the same shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from soundgan.training.networks.base import Generator
from soundgan.training.networks.dcgan import DCGANGenerator
from soundgan.training.networks.residual import ResidualGenerator


class Labels(NamedTuple):
    """Labels of the pretrained and of the new network, in the order of their indices."""

    old: tuple[str, ...]
    new: tuple[str, ...]


class LabelAxis(NamedTuple):
    """An axis with an entry for each label, after `first` others."""

    axis: int
    first: int = 0


class TimeAxis(NamedTuple):
    """An axis with an entry for each column, after `first` others; `columns` times as many if other axes are in it.

    Attributes:
        columns: of the new network; None if the axis has no others in it.
    """

    axis: int
    first: int = 0
    columns: int | None = None


Axes = Mapping[str, tuple[LabelAxis | TimeAxis, ...]]


def transfer_generator(weights: Mapping[str, Tensor], generator: Generator, labels: Labels) -> None:
    """Copy weights into a generator.

    A label keeps the weights of the label with its name; other labels start with the mean of all. Shorter sounds keep
    the first columns; longer ones repeat the last one, usually that of silence.

    Raises:
        ValueError: the weight that the message names does not fit.
    """
    axes: Axes
    if isinstance(generator, DCGANGenerator):
        axes = {"conv1.weight": (LabelAxis(0, first=generator.w_dim - generator.labels), TimeAxis(3))}
    else:
        assert isinstance(generator, ResidualGenerator)
        columns = generator.grid[2]
        pitch, dense = (TimeAxis(0, first=1),), (TimeAxis(0, columns=columns),)
        axes = {"embedding.weight": (LabelAxis(0),), "dense.weight": dense, "dense.bias": dense}
        axes |= {"harmonics.to_pitch.weight": pitch, "harmonics.to_pitch.bias": pitch}
    _transfer(weights, generator, axes, labels, repeat_last=True)


def transfer_discriminator(
    weights: Mapping[str, Tensor], discriminator: nn.Module, generator: Generator, labels: Labels
) -> None:
    """Copy weights into the discriminator of a generator, as `transfer_generator`.

    For longer sounds its last layers begin with weights of zero for the new columns, and so with its old logits.
    """
    axes: dict[str, tuple[LabelAxis | TimeAxis, ...]] = {"projection.weight": (LabelAxis(0),)}
    if isinstance(generator, ResidualGenerator):
        axes["dense.weight"] = (TimeAxis(1, columns=generator.grid[2]),)
    else:
        last = [name for name in discriminator.state_dict() if name.startswith("conv")][-1]
        axes[last] = (TimeAxis(3),)
    if labels.new and not labels.old:  # all labels begin with the same logits
        features = discriminator.state_dict()["projection.weight"].shape[1]
        weights = {**weights, "projection.weight": torch.zeros(0, features)}
    _transfer(weights, discriminator, axes, labels, repeat_last=False)


@torch.no_grad()
def _transfer(
    weights: Mapping[str, Tensor], network: nn.Module, axes: Axes, labels: Labels, *, repeat_last: bool
) -> None:
    adapted: dict[str, Tensor] = {}
    for name, target in network.state_dict().items():
        if name not in weights:
            raise ValueError(f"it has no {name}")
        weight = weights[name]
        for axis in axes.get(name, ()):
            if isinstance(axis, LabelAxis):
                weight = _for_labels(weight, axis, labels, target.shape[axis.axis])
            else:
                weight = _for_columns(weight, axis, target.shape[axis.axis], repeat_last=repeat_last)
        if weight.shape != target.shape:
            raise ValueError(f"its {name} has the shape {tuple(weight.shape)}, needed is {tuple(target.shape)}")
        adapted[name] = weight
    network.load_state_dict(adapted)


def _for_labels(weight: Tensor, axis: LabelAxis, labels: Labels, size: int) -> Tensor:
    """Return a weight whose entries along an axis of `size` entries are those of the new labels."""
    weight = weight.movedim(axis.axis, 0)
    others, entries = weight[: axis.first], weight[axis.first :]
    mean = entries.mean(0) if len(entries) else torch.zeros_like(entries.sum(0))
    rows = [entries[labels.old.index(label)] if label in labels.old else mean for label in labels.new]
    rows = rows or [mean] * (size - axis.first)  # the single one of an embedding for unlabeled sounds
    return torch.stack([*others, *rows]).movedim(0, axis.axis)


def _for_columns(weight: Tensor, axis: TimeAxis, size: int, *, repeat_last: bool) -> Tensor:
    """Return a weight whose columns along an axis of `size` entries are cut or extended at their end."""
    columns = axis.columns or size - axis.first
    weight = weight.movedim(axis.axis, 0)
    others, entries = weight[: axis.first], weight[axis.first :]
    rows = (size - axis.first) // columns
    kept = entries.unflatten(0, (rows, -1))[:, :columns]
    last = kept[:, -1:] if repeat_last else torch.zeros_like(kept[:, -1:])
    extended = torch.cat([kept, *[last] * (columns - kept.shape[1])], dim=1)
    return torch.cat([others, extended.flatten(0, 1)]).movedim(0, axis.axis)
