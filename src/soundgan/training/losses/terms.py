"""Weighted terms of a loss, and pairs of samples."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import reduce

from torch import Tensor

Terms = dict[str, tuple[float, Tensor]]  # weight and value (scalar) of each term, by its name in the log


def weighted_sum(terms: Terms) -> Tensor:
    """Return the loss to minimize."""
    return reduce(operator.add, (weight * value for weight, value in terms.values()))


def detached(terms: Terms) -> dict[str, Tensor]:
    """Return the unweighted values, for the log."""
    return {name: value.detach() for name, (_, value) in terms.items()}


@dataclass(frozen=True)
class PairedBatch:
    """Two samples of each label: rows 2k (`anchor`) and 2k + 1 (`partner`) of a batch (2n, …).

    The anchor is generated from the latent of the `LatentBank` nearest to a recording, the partner from a new latent.
    """

    rows: Tensor

    @property
    def anchor(self) -> Tensor:
        return self.rows[::2]

    @property
    def partner(self) -> Tensor:
        return self.rows[1::2]
