"""Phases from magnitudes alone: their derivatives, and the integration of these along the loudest paths.

With a Gaussian window, the logarithm of the magnitude and the phase of an STFT are tied to each other like the parts of
an analytic function: the phase's derivative in time follows from the magnitude's in frequency, and the other way round
(Portnoff 1979; Průša, Balazs and Søndergaard 2017, "A noniterative method for reconstruction of phase from STFT
magnitude", PGHI). PGHI adds the derivatives up from the loudest bin on, always going on from the loudest bin reached,
which needs a heap and a visit to one bin at a time. Here they are added up along the maximum spanning tree of the grid
of bins, where an edge weighs as much as the product of its two magnitudes. Borůvka's algorithm finds the tree in a few
rounds of array operations, and the phases fit better than PGHI's (docs/benchmarks/synthesis.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from soundgan.spectral.stft import STFT

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

_TINY = np.float32(1e-30)
_SILENT = np.float32(1e-3)  # a neighbour 60 dB lower tells nothing of a slope
_AUDIBLE = np.float32(1e-3)  # bins more than 60 dB below a sound's loudest are not worth a place in the tree


def integrated_phase(magnitudes: Floats, spans: Sequence[slice], stft: STFT) -> Floats:
    """Phases that fit the magnitudes, from their derivatives; bins far below a sound's loudest get that of a pulse.

    Args:
        magnitudes: (frames, bins), finite and not negative.
        spans: the frames of every sound, at least one silent frame apart. No phase is carried over between them.

    Returns:
        (frames, bins), in rad, within ±pi.
    """
    audible = np.zeros(magnitudes.shape, bool)
    for span in spans:
        np.greater(magnitudes[span], magnitudes[span].max(initial=0.0) * _AUDIBLE, out=audible[span])
    in_time, in_frequency = phase_gradients(magnitudes, stft)

    nodes = np.flatnonzero(audible)
    places = np.empty(magnitudes.size, np.intp)
    places[nodes] = np.arange(len(nodes))
    below = _pairs(audible, np.s_[:-1], np.s_[1:])
    left = _pairs(audible, np.s_[:, :-1], np.s_[:, 1:])
    flat = magnitudes.reshape(-1)
    start = np.concatenate([below, left])
    stop = np.concatenate([below + magnitudes.shape[1], left + 1])
    steps = np.concatenate([in_time.reshape(-1).take(below), in_frequency.reshape(-1).take(left)])
    # The first and the last bin of a real wave are real. The loudest of them in every part of the tree gets phase 0: by
    # an edge that weighs less than all others, to a node that stands for the sound.
    first = [span.start for span in spans]
    edge = np.zeros(magnitudes.shape, bool)
    edge[:, [0, -1]] = audible[:, [0, -1]]
    real = np.flatnonzero(edge)
    owner = np.searchsorted(first, real // magnitudes.shape[1], side="right") - 1
    values = integrate_over_mst(
        np.concatenate([places.take(start), places.take(real)]),
        np.concatenate([places.take(stop), len(nodes) + owner]),
        np.concatenate([flat.take(start) * flat.take(stop), flat.take(real) * np.float32(1e-20)]),
        np.concatenate([steps, np.zeros(len(real), np.float32)]),
        len(nodes) + len(spans),
    )
    owner = np.searchsorted(first, nodes // magnitudes.shape[1], side="right") - 1
    phase = np.zeros(magnitudes.shape, np.float32)
    phase[:, 1::2] = np.pi
    phase.reshape(-1)[nodes] = values[: len(nodes)] - values[len(nodes) :].take(owner)
    phase -= np.rint(phase * np.float32(0.5 / np.pi)) * np.float32(2 * np.pi)
    return phase


def phase_gradients(magnitudes: Floats, stft: STFT) -> tuple[Floats, Floats]:
    """How much the phase advances from a bin to its neighbour: in the next frame, and in the next bin.

    Shape:
        magnitudes (frames, bins) → twice the same, in rad; the last frame's and the last bin's have no meaning.
    """
    relative_hop = stft.hop_length / stft.n_fft
    # Whole turns are left out, which keeps float32 exact enough.
    turns = np.arange(stft.bins) * relative_hop
    advance = frequency_offset(magnitudes, stft)
    advance *= np.float32(np.pi * relative_hop)
    advance += (np.pi * (turns - np.rint(turns))).astype(np.float32)
    in_time = np.zeros_like(magnitudes)
    np.add(advance[:-1], advance[1:], out=in_time[:-1])
    delay = group_delay(magnitudes, stft)
    delay *= np.float32(-np.pi)
    in_frequency = np.zeros_like(magnitudes)
    np.add(delay[:, :-1], delay[:, 1:], out=in_frequency[:, :-1])
    in_frequency += np.float32(np.pi)  # the phase of a pulse in the middle of the window: pi times the bin
    return in_time, in_frequency


def frequency_offset(magnitudes: Floats, stft: STFT) -> Floats:
    """How far above the centre of a bin its frequency lies: (frames, bins), in bins; 0 in the first and the last bin.

    For a Hann window, exact for a steady sine between two bins, where the main lobe is sin(pi d) / (d (1 - d²)); for a
    Gaussian one as in PGHI.
    """
    offset = np.zeros_like(magnitudes)
    inner = offset[:, 1:-1]
    lower, middle, upper = magnitudes[:, :-2], magnitudes[:, 1:-1], magnitudes[:, 2:]
    if stft.window == "gaussian":
        np.multiply(_log_slope(lower, middle, upper), np.float32(0.5 / np.pi / stft.gaussian_spread), out=inner)
        return offset
    total = middle + middle
    total += lower
    total += upper
    total += _TINY
    np.subtract(upper, lower, out=inner)
    inner /= total
    inner *= 2
    return offset


def group_delay(magnitudes: Floats, stft: STFT) -> Floats:
    """How far behind the middle of its window a bin's energy lies: (frames, bins), in window lengths.

    For a Hann window, exact for a pulse, of which three neighbouring frames see cos²(pi t) at different t; for a
    Gaussian one as in PGHI, and exact for a pulse that only two of the frames hear, too.
    """
    silence = np.zeros((1, magnitudes.shape[1]), np.float32)
    padded = np.concatenate([silence, magnitudes, silence])
    if stft.window == "gaussian":
        slope = _log_slope(padded[:-2], magnitudes, padded[2:], bend=np.pi / stft.gaussian_spread / stft.overlap**2)
        slope *= np.float32(stft.gaussian_spread * stft.overlap / 2 / np.pi)
        return slope
    np.sqrt(padded, out=padded)
    before, middle, after = padded[:-2], padded[1:-1] + np.float32(1e-12), padded[2:]
    sine, cosine = np.float32(np.sin(np.pi / stft.overlap)), np.float32(np.cos(np.pi / stft.overlap))
    # The tangent, from both neighbours: 0 for what is steady.
    difference = (after - before) / middle
    both = np.divide(difference, 2 * sine, dtype=np.float32)
    # And from the greater neighbour alone: right for a pulse that the other frame does not see.
    lesser = np.minimum(before, after)
    lesser /= middle
    single = difference + np.copysign(lesser, difference)
    single -= np.copysign(cosine, difference)
    single /= sine
    share = np.maximum(1 - lesser, 0)
    share *= share
    single -= both
    single *= share
    both += single
    np.clip(both, -1e9, 1e9, out=both)
    delay = _arctan(both)
    delay *= np.float32(1 / np.pi)
    return delay


def integrate_over_mst(start: Indices, stop: Indices, weights: Floats, steps: Floats, count: int) -> Floats:
    """Values of `count` nodes, from differences between them, added up along the maximum spanning tree (Borůvka 1926).

    In every round each node picks its heaviest edge; what hangs together becomes one node of the next round.

    Args:
        start, stop: the nodes of every edge, different ones.
        weights: of the edges, not negative. Of equally heavy ones, the later counts as heavier.
        steps: value of `stop` less value of `start`, for every edge.

    Returns:
        (count,), in float32; some node of every connected part has the value 0.
    """
    if not len(start):
        return np.zeros(count, np.float32)
    # Order of positive floats is order of their bits; the edge's own number makes every key different.
    keys = weights.view(np.int32).astype(np.int64) << 32
    keys += np.arange(len(keys))
    heaviest = np.full(count, -1, np.int64)
    np.maximum.at(heaviest, start, keys)
    np.maximum.at(heaviest, stop, keys)
    alone = np.flatnonzero(heaviest < 0)
    heaviest &= 0xFFFFFFFF
    heaviest[alone] = 0
    nodes = np.arange(count)
    outwards = start.take(heaviest) == nodes
    parents = start.take(heaviest) + stop.take(heaviest) - nodes
    values = steps.take(heaviest) * (1 - 2 * outwards.astype(np.float32))
    parents[alone] = alone
    roots = _pointer_jump(parents, values)
    if len(roots) == count:
        return values

    groups = np.empty(count, np.intp)
    groups[roots] = np.arange(len(roots))
    groups = groups.take(parents)
    start_groups, stop_groups = groups.take(start), groups.take(stop)
    between = np.flatnonzero(start_groups != stop_groups)
    rest = steps.take(between) + values.take(start.take(between)) - values.take(stop.take(between))
    offsets = integrate_over_mst(
        start_groups.take(between), stop_groups.take(between), weights.take(between), rest, len(roots)
    )
    return values + offsets.take(groups)


def _pointer_jump(parents: Indices, values: Floats) -> Indices:
    """Turn parents into roots, and differences to the parents into differences to the roots, in place.

    Every jump doubles the way up. Two nodes that are each other's parents are the top of a tree.
    """
    nodes = np.arange(len(parents))
    up = parents.take(parents)
    roots = np.flatnonzero((up == nodes) & (nodes <= parents))
    parents[roots] = roots
    values[roots] = 0
    active = np.flatnonzero(parents.take(parents) != parents)
    while len(active):
        parent = parents.take(active)
        values[active] += values.take(parent)
        parents[active] = up = parents.take(parent)
        active = active.compress(parents.take(up) != up)
    return roots


def _log_slope(before: Floats, middle: Floats, after: Floats, bend: float = 0) -> Floats:
    """Half the difference of the logarithms; a neighbour that is silent is continued from the other, on a parabola."""
    middle = middle + _TINY
    least = middle * _SILENT
    rise = np.log(np.maximum(after, least) / middle)
    fall = np.log(middle / np.maximum(before, least))
    rises, falls = after > least, before > least
    rise, fall = np.where(rises, rise, fall), np.where(falls, fall, rise)
    return np.asarray((rise + fall) / 2 + (rises.astype(np.float32) - falls) * np.float32(bend), np.float32)


def _arctan(tangent: Floats) -> Floats:
    """Arc tangent, right to 0.00003 rad and four times as fast as NumPy's.

    Half the angle has a tangent within ±1, where a short polynomial will do (Abramowitz and Stegun 1964, 4.4.47).
    Errors add up over all the bins of a click: 0.002 rad would move it by half a sample.
    """
    half = tangent * tangent
    half += 1
    np.sqrt(half, out=half)
    half += 1
    np.divide(tangent, half, out=half)
    square = half * half
    angle = np.multiply(square, 0.0208351, dtype=np.float32)
    for factor in (-0.0851330, 0.1801410, -0.3302995):
        angle += np.float32(factor)
        angle *= square
    angle += np.float32(0.9998660)
    angle *= half
    angle *= 2
    return angle


def _pairs(audible: NDArray[np.bool_], first: tuple[slice, ...] | slice, second: tuple[slice, ...] | slice) -> Indices:
    """Flat places of the bins that are audible together with their neighbour."""
    pairs = np.zeros(audible.shape, bool)
    np.logical_and(audible[first], audible[second], out=pairs[first])
    return np.flatnonzero(pairs)
