"""Weighted terms of a loss."""

from __future__ import annotations

import operator
from functools import reduce

from torch import Tensor

Terms = dict[str, tuple[float, Tensor]]  # weight and value (scalar) of each term, by its name in the log


def weighted_sum(terms: Terms) -> Tensor:
    """Return the loss to minimize."""
    return reduce(operator.add, (weight * value for weight, value in terms.values()))


def detached(terms: Terms) -> dict[str, Tensor]:
    """Return the unweighted values, for the log."""
    return {name: value.detach() for name, (_, value) in terms.items()}
