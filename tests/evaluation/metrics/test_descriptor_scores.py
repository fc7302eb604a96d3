"""Comparison of descriptors: faults name what differs by more than tolerance and chance."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from soundgan.evaluation.features.descriptors import Descriptor
from soundgan.evaluation.metrics.descriptor_scores import DESCRIPTORS, compare

Values = dict[Descriptor, NDArray[np.float64]]

TYPICAL = {
    Descriptor.LENGTH: 0.3, Descriptor.ATTACK: 5.0, Descriptor.DECAY: 0.1, Descriptor.CENTROID: 2000.0,
    Descriptor.TONAL_SHARE: 0.1, Descriptor.CREST_FACTOR: 17.0, Descriptor.LEVEL: -3.0, Descriptor.FIRST_SAMPLE: 0.01,
    Descriptor.FLUTTER: -1.0, Descriptor.PITCH: 200.0, Descriptor.PITCH_RANGE: 1.0,
}  # fmt: skip


def sounds(n: int = 60, /, seed: int = 0, **changes: float) -> Values:
    """Return descriptors that vary by 20 % (0.5 dB) around typical values, or around those of `changes`."""
    rng = np.random.default_rng(seed)
    values = Values()
    for descriptor, typical in (TYPICAL | {Descriptor(key): value for key, value in changes.items()}).items():
        spread = rng.standard_normal(n)
        in_db = DESCRIPTORS[descriptor].unit.startswith("dB")
        values[descriptor] = typical + 0.5 * spread if in_db else typical * np.exp(0.2 * spread)
    return values


@pytest.mark.parametrize(
    ("descriptor", "value", "fault"),
    [
        ("attack", 16.0, "attacks are soft: 1"),
        ("attack", 1.0, "attacks are hard: "),
        ("length", 0.6, "sounds are too long: 0."),
        ("tonal_share", 0.01, "partials are missing: 0.0"),
        ("crest_factor", 21.0, "hits stick out: 21 dB, recordings 17 dB"),
        ("level", -30.0, "sounds are too soft: -30 dBFS, recordings -3."),
        ("flutter", 3.0, "sounds flutter at the frame rate: "),
        ("first_sample", 0.4, "sounds start with a click: 100 %, recordings 0 %"),
        ("pitch", 100.0, "pitches are too low: "),
        ("pitch_range", 6.0, "pitches wander: "),
    ],
)
def test_the_changed_descriptor_alone_is_a_fault(descriptor: str, value: float, fault: str) -> None:
    comparisons = compare(sounds(), sounds(60, 1, **{descriptor: value}))
    faults = {key.value: comparison.fault for key, comparison in comparisons.items() if comparison.fault}
    assert list(faults) == [descriptor]
    assert faults[descriptor].startswith(fault)


def test_other_sounds_of_the_same_distribution_have_no_fault() -> None:
    for seed in range(1, 6):
        assert not any(comparison.fault for comparison in compare(sounds(), sounds(seed=seed)).values())


def test_distance_is_near_one_for_the_same_distribution_and_grows_with_the_difference() -> None:
    same, near, far = (
        compare(sounds(), sounds(seed=1, attack=attack))[Descriptor.ATTACK] for attack in (5.0, 8.0, 16.0)
    )
    assert 0.3 < same.distance < 1.5 < near.distance < far.distance


def test_a_large_difference_of_a_few_scattered_recordings_may_be_chance() -> None:
    recordings = sounds(4)
    recordings[Descriptor.ATTACK] = np.array([1.0, 4.0, 20.0, 90.0])
    assert compare(recordings, sounds(50, seed=1, attack=25.0))[Descriptor.ATTACK].fault == ""


def test_pitch_counts_only_where_most_recordings_have_one() -> None:
    unpitched = sounds()
    unpitched[Descriptor.PITCH][10:] = unpitched[Descriptor.PITCH_RANGE][10:] = np.nan
    assert Descriptor.PITCH not in compare(unpitched, sounds(seed=1))
    assert compare(sounds(), unpitched)[Descriptor.PITCH].fault == "pitches are missing: 10 of 60 sounds have one"


def test_two_recordings_are_compared_without_distance_and_fault() -> None:
    comparison = compare(sounds(2), sounds(30, seed=1, attack=50.0))[Descriptor.ATTACK]
    assert np.isnan(comparison.distance) and comparison.generated > 40
