"""Phases from magnitudes alone: phase gradients, integrated over the maximum spanning tree (MST) of the bins.

Phase gradient heap integration (PGHI: Průša, Balazs and Søndergaard 2017, "A noniterative method for reconstruction of
phase from STFT magnitude") adds the gradients up from the loudest bin on, always continuing at the loudest bin reached,
which needs a heap and visits one bin at a time. Here they are added up along the maximum spanning tree of the grid of
bins, where an edge weighs the product of its two magnitudes. Borůvka's algorithm needs only a few rounds of array
operations, and the phases fit better than PGHI's (docs/benchmarks/synthesis.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundgan.spectral.phase_gradients import phase_gradients
from soundgan.spectral.stft import STFT, Floats

Indices = NDArray[np.intp]

_AUDIBLE_THRESHOLD = np.float32(1e-3)  # bins 60 dB below the loudest of their sound stay out of the graph
_ANCHOR_WEIGHT = np.float32(1e-20)  # times a magnitude: less than the product of any two audible ones


class Edges(NamedTuple):
    """Edges of a graph whose nodes are numbered from 0. Shape of each field: (edges,)."""

    start: Indices
    stop: Indices
    weights: Floats  # not negative; of equally heavy edges, the later counts as heavier
    differences: Floats  # value of the node `stop` minus value of the node `start`


def integrate_phase(magnitudes: Floats, spans: Sequence[slice], stft: STFT) -> Floats:
    """Return phases that fit the magnitudes; bins 60 dB below the loudest of their sound get those of a pulse.

    Args:
        magnitudes: finite and not negative.
        spans: frames of each sound, separated by at least one silent frame. Sounds do not affect each other.

    Shape:
        magnitudes (frames, bins) → phases (frames, bins), in rad, within ±pi.
    """
    audible = np.zeros(magnitudes.shape, bool)
    for span in spans:
        np.greater(magnitudes[span], magnitudes[span].max(initial=0.0) * _AUDIBLE_THRESHOLD, out=audible[span])
    # Nodes of the graph: the audible bins, then one reference node for each sound.
    bin_of_node = np.flatnonzero(audible)
    node_of_bin = np.empty(magnitudes.size, np.intp)
    node_of_bin[bin_of_node] = np.arange(len(bin_of_node))
    sound_of_frame = np.searchsorted([span.start for span in spans], np.arange(len(magnitudes)), side="right") - 1
    reference_of_frame = len(bin_of_node) + sound_of_frame

    edges = build_edges(magnitudes, audible, node_of_bin, stft)
    anchors = anchor_dc_nyquist(magnitudes, audible, node_of_bin, reference_of_frame)
    graph = Edges._make(np.concatenate(fields) for fields in zip(edges, anchors, strict=True))
    values = integrate_over_mst(graph, len(bin_of_node) + len(spans))

    references = reference_of_frame.take(bin_of_node // magnitudes.shape[1])
    phase = np.zeros(magnitudes.shape, np.float32)
    phase[:, 1::2] = np.pi
    phase.reshape(-1)[bin_of_node] = values[: len(bin_of_node)] - values.take(references)
    phase -= np.rint(phase * np.float32(0.5 / np.pi)) * np.float32(2 * np.pi)
    return phase


def build_edges(magnitudes: Floats, audible: NDArray[np.bool_], node_of_bin: Indices, stft: STFT) -> Edges:
    """Return edges between audible neighbors in time or frequency: products of magnitudes, and phase gradients.

    Shape:
        magnitudes, audible (frames, bins); node_of_bin (frames * bins,)
    """
    in_time, in_frequency = phase_gradients(magnitudes, stft)
    earlier = _audible_pairs(audible, np.s_[:-1], np.s_[1:])
    lower = _audible_pairs(audible, np.s_[:, :-1], np.s_[:, 1:])
    start = np.concatenate([earlier, lower])
    stop = np.concatenate([earlier + magnitudes.shape[1], lower + 1])
    return Edges(
        node_of_bin.take(start),
        node_of_bin.take(stop),
        magnitudes.take(start) * magnitudes.take(stop),
        np.concatenate([in_time.take(earlier), in_frequency.take(lower)]),
    )


def anchor_dc_nyquist(
    magnitudes: Floats, audible: NDArray[np.bool_], node_of_bin: Indices, reference_of_frame: Indices
) -> Edges:
    """Return edges from the audible first and last bins to the reference node of their sound, with difference 0.

    Gradients determine the phases of a component of the graph up to a constant; a wrong one turns a click into its
    Hilbert transform. But DC and Nyquist bins of a real wave are real. These edges are lighter than all others, so just
    one of them, at the loudest of these bins, gets into the tree of each component, and gives that bin phase 0.

    Shape:
        magnitudes, audible (frames, bins); node_of_bin (frames * bins,); reference_of_frame (frames,)
    """
    real = np.zeros_like(audible)
    real[:, [0, -1]] = audible[:, [0, -1]]
    bins = np.flatnonzero(real)
    return Edges(
        node_of_bin.take(bins),
        reference_of_frame.take(bins // magnitudes.shape[1]),
        magnitudes.take(bins) * _ANCHOR_WEIGHT,
        np.zeros(len(bins), np.float32),
    )


def integrate_over_mst(edges: Edges, count: int) -> Floats:
    """Return values of `count` nodes: differences, added up along the maximum spanning tree (Borůvka 1926).

    In every round each node picks its heaviest edge; connected nodes become one node of the next round.

    Returns:
        (count,); some node of each component has the value 0.

    Examples:
        >>> start, stop = np.array([0, 1, 0]), np.array([1, 2, 2])
        >>> weights, differences = np.float32([3, 2, 1]), np.float32([0.5, 0.25, 9])
        >>> values = integrate_over_mst(Edges(start, stop, weights, differences), 3)  # the lightest edge is left out
        >>> (values - values[0]).tolist()
        [0.0, 0.5, 0.75]
    """
    start, stop, weights, differences = edges
    if not len(start):
        return np.zeros(count, np.float32)
    # Positive floats are ordered like their bits; the number of the edge makes every key different.
    keys = weights.view(np.int32).astype(np.int64) << 32
    keys += np.arange(len(keys))
    heaviest = np.full(count, -1, np.int64)
    np.maximum.at(heaviest, start, keys)
    np.maximum.at(heaviest, stop, keys)
    isolated = np.flatnonzero(heaviest < 0)
    heaviest &= 0xFFFFFFFF  # of the key, the number of the edge
    heaviest[isolated] = 0
    nodes = np.arange(count)
    outgoing = start.take(heaviest) == nodes
    parents = start.take(heaviest) + stop.take(heaviest) - nodes
    values = differences.take(heaviest) * (1 - 2 * outgoing.astype(np.float32))
    parents[isolated] = isolated
    roots = _pointer_jump(parents, values)
    if len(roots) == count:
        return values

    # Contract: each tree is a node of the next round, with the edges between trees.
    tree_of_node = np.empty(count, np.intp)
    tree_of_node[roots] = np.arange(len(roots))
    tree_of_node = tree_of_node.take(parents)
    start_trees, stop_trees = tree_of_node.take(start), tree_of_node.take(stop)
    between = np.flatnonzero(start_trees != stop_trees)
    rest = differences.take(between) + values.take(start.take(between)) - values.take(stop.take(between))
    contracted = Edges(start_trees.take(between), stop_trees.take(between), weights.take(between), rest)
    return values + integrate_over_mst(contracted, len(roots)).take(tree_of_node)


def _pointer_jump(parents: Indices, values: Floats) -> Indices:
    """Turn parents into roots, and differences to the parents into differences to the roots, in place.

    Pointer jumping (Wyllie 1979): every round makes each node's grandparent its parent, which halves the depth of the
    tree. Of two nodes that are each other's parents, the lower is the root.

    Returns:
        The roots.
    """
    nodes = np.arange(len(parents))
    grandparents = parents.take(parents)
    roots = np.flatnonzero((grandparents == nodes) & (nodes <= parents))
    parents[roots] = roots
    values[roots] = 0
    active = np.flatnonzero(parents.take(parents) != parents)
    while len(active):
        parent = parents.take(active)
        values[active] += values.take(parent)
        parents[active] = grandparents = parents.take(parent)
        active = active.compress(parents.take(grandparents) != grandparents)
    return roots


def _audible_pairs(
    audible: NDArray[np.bool_], first: tuple[slice, ...] | slice, second: tuple[slice, ...] | slice
) -> Indices:
    """Flat indices of the bins that are audible together with their neighbor."""
    pairs = np.zeros(audible.shape, bool)
    np.logical_and(audible[first], audible[second], out=pairs[first])
    return np.flatnonzero(pairs)
