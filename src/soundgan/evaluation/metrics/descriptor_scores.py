"""Comparison of the descriptors of generated sounds and recordings, with faults in plain words."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from soundgan.evaluation.features.descriptors import Descriptor

Floats = NDArray[np.float64]

N_HALVINGS = 50  # random halvings of the recordings, for the unit of the distance
MIN_DISTANCE = 1.5  # in that unit; a smaller difference may be chance
CLICK_THRESHOLD = 0.1  # first samples above this share of the peak are clicks
CLICK_TOLERANCE = 0.05  # share of sounds that may click beyond that of the recordings
MIN_PITCHED = 0.5  # share of recordings with a pitch below which a label counts as unpitched


class DescriptorInfo(NamedTuple):
    """Description of a descriptor.

    Attributes:
        title: its name in tables.
        unit: of its values; "%" for shares that are written in per cent.
        low: fault of generated sounds whose median is too low, as a clause; empty if that is none.
        high: the same for one that is too high.
        relative: tolerated difference of the medians, as a share of that of the recordings.
        absolute: tolerated difference in the unit; the larger of both counts.
        logarithmic: compare ratios, not differences.
    """

    title: str
    unit: str
    low: str
    high: str
    relative: float = 0.0
    absolute: float = 0.0
    logarithmic: bool = False

    def format(self, value: float) -> str:
        """Value with two significant digits or more, and its unit; a dash for NaN."""
        if math.isnan(value):
            return "–"
        if self.unit == "%":
            return f"{value * 100:.0f} %"
        digits = max(0, 1 - math.floor(math.log10(abs(value)))) if value else 0
        return f"{value:.{min(digits, 3)}f} {self.unit}".rstrip()


DESCRIPTORS: dict[Descriptor, DescriptorInfo] = {
    Descriptor.LENGTH: DescriptorInfo(
        "Length", "s", "sounds are too short", "sounds are too long", relative=0.15, logarithmic=True
    ),
    Descriptor.ATTACK: DescriptorInfo(
        "Attack", "ms", "attacks are hard", "attacks are soft", relative=0.2, absolute=2.0, logarithmic=True
    ),
    Descriptor.DECAY: DescriptorInfo(
        "Decay", "s", "decays are too short", "decays are too long", relative=0.3, absolute=0.02, logarithmic=True
    ),
    Descriptor.CENTROID: DescriptorInfo(
        "Centroid", "Hz", "sounds are dull", "sounds are bright", relative=0.25, logarithmic=True
    ),
    Descriptor.TONAL_SHARE: DescriptorInfo(
        "Tonal share", "", "partials are missing", "partials are too strong", relative=0.3, absolute=0.005,
        logarithmic=True,
    ),
    Descriptor.CREST_FACTOR: DescriptorInfo(
        "Crest factor", "dB", "hits are flattened", "hits stick out", absolute=1.5
    ),
    Descriptor.LEVEL: DescriptorInfo("Level", "dBFS", "sounds are too soft", "sounds are too loud", absolute=3.0),
    Descriptor.FIRST_SAMPLE: DescriptorInfo("Clicks at the start", "%", "", "sounds start with a click"),
    Descriptor.FLUTTER: DescriptorInfo("Flutter", "dB", "", "sounds flutter at the frame rate", absolute=1.0),
    Descriptor.PITCH: DescriptorInfo(
        "Pitch", "Hz", "pitches are too low", "pitches are too high", relative=0.12, logarithmic=True
    ),
    Descriptor.PITCH_RANGE: DescriptorInfo(
        "Range of pitch", "semitones", "pitches stand still", "pitches wander", relative=0.3, absolute=2.0
    ),
}  # fmt: skip


class Comparison(NamedTuple):
    """A descriptor of generated sounds beside that of recordings.

    Attributes:
        real: median of the recordings; for `FIRST_SAMPLE` the share of sounds that start with a click.
        generated: the same of the generated sounds.
        distance: Wasserstein distance of the distributions, in units of that between two random halves of the
            recordings; NaN for fewer than four recordings.
        fault: "attacks are soft: 16 ms, recordings 5.0 ms"; empty if there is none.
    """

    real: float
    generated: float
    distance: float
    fault: str


Comparisons = dict[Descriptor, Comparison]


def compare(real: dict[Descriptor, Floats], generated: dict[Descriptor, Floats], seed: int = 0) -> Comparisons:
    """Compare the descriptors of generated sounds with those of recordings of the same label.

    A difference of the medians is a fault where it exceeds the tolerance of `DESCRIPTORS`, and the distributions are
    farther apart than halves of the recordings are by chance. Without a pitch in most recordings, pitches are left out.

    Args:
        real: of `describe_all`.
        generated: of `describe_all`.
        seed: of the halvings.
    """
    comparisons = Comparisons()
    for descriptor, info in DESCRIPTORS.items():
        pitched = np.isfinite(real[descriptor])
        values, others = real[descriptor][pitched], generated[descriptor][np.isfinite(generated[descriptor])]
        if not len(values) or np.mean(pitched) < MIN_PITCHED:
            continue
        if len(others) < 0.5 * np.mean(pitched) * len(generated[descriptor]) or not len(others):
            if descriptor is Descriptor.PITCH:
                fault = f"pitches are missing: {len(others)} of {len(generated[descriptor])} sounds have one"
                comparisons[descriptor] = Comparison(float(np.median(values)), math.nan, math.nan, fault)
            continue
        statistic = _click_share if descriptor is Descriptor.FIRST_SAMPLE else np.median
        medians = float(statistic(values)), float(statistic(others))
        distance = _distance(_scaled(values, info), _scaled(others, info), seed)
        # Fewer generated sounds than half of the recordings differ more by chance.
        by_chance = distance < MIN_DISTANCE * math.sqrt(max(1, len(values) / 2 / len(others)))
        fault = "" if by_chance else _fault(descriptor, *medians)
        comparisons[descriptor] = Comparison(*medians, distance, fault)
    return comparisons


def _click_share(first_samples: Floats) -> float:
    return float(np.mean(first_samples > CLICK_THRESHOLD))


def _scaled(values: Floats, info: DescriptorInfo) -> Floats:
    return np.log(np.maximum(values, 1e-4)) if info.logarithmic else values


def _distance(real: Floats, generated: Floats, seed: int) -> float:
    """Wasserstein distance, in units of the mean between random halves of the recordings."""
    if len(real) < 4:
        return math.nan
    rng = np.random.default_rng(seed)
    shuffled = (rng.permutation(real) for _ in range(N_HALVINGS))
    unit = np.mean([wasserstein_distance(order[::2], order[1::2]) for order in shuffled])
    return float(wasserstein_distance(real, generated) / max(float(unit), 1e-9))


def _fault(descriptor: Descriptor, real: float, generated: float) -> str:
    info = DESCRIPTORS[descriptor]
    if descriptor is Descriptor.FIRST_SAMPLE:
        clicks = generated > real + CLICK_TOLERANCE
        return f"{info.high}: {info.format(generated)}, recordings {info.format(real)}" if clicks else ""
    clause = info.low if generated < real else info.high
    tolerance = max(info.relative * abs(real), info.absolute)
    if not clause or abs(generated - real) <= tolerance:
        return ""
    return f"{clause}: {info.format(generated)}, recordings {info.format(real)}"
