"""The metrics of an evaluation: names, better direction, range and format."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Literal, NamedTuple

FEW_SOUNDS = 100  # below which a fault cannot be excluded; see docs/decisions/evaluation.md


class SoundSet(StrEnum):
    """A set of sounds that metrics are computed of, by its key in JSON.

    The first two are compared with a sample of the training sounds as large as they are, the last two with all of them.
    """

    GENERATED = "generated"
    REAL_BASELINE = "real_baseline"
    GENERATED_FULL = "generated_full"
    REAL_BASELINE_FULL = "real_baseline_full"


class Estimate(NamedTuple):
    """A value and its 95 % confidence interval; None where there is no interval."""

    value: float
    low: float | None = None
    high: float | None = None


class MetricRow(NamedTuple):
    """The metrics of one set of `n` sounds by key; without those that could not be computed."""

    n: int
    estimates: dict[str, Estimate]


class Metric(NamedTuple):
    """Description of a metric.

    Attributes:
        title: its name in tables.
        better: which direction is better: higher, lower, or near the real baseline.
        description: its meaning and its good values, as sentences.
        is_share: a share from 0 to 1, written in percent.
        minimum: lower end of its range.
    """

    title: str
    better: Literal["higher", "lower", "near"]
    description: str
    is_share: bool = False
    minimum: float = 0.0

    @property
    def direction_symbol(self) -> str:
        """Sign of the better direction."""
        return {"higher": "↑", "lower": "↓", "near": "≈"}[self.better]

    def clip(self, value: float, low: float, high: float) -> Estimate:
        """Estimate with its interval clipped to the range of the metric."""
        return Estimate(
            float(value), max(float(low), self.minimum), min(float(high), 1.0 if self.is_share else math.inf)
        )

    def format(self, value: float) -> str:
        """Value as text, with three significant digits or in percent."""
        if self.is_share:
            return f"{value * 100:.1f} %"
        digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1
        return f"{value:.{digits}f}"

    def format_interval(self, estimate: Estimate) -> str:
        """Confidence interval as text; empty if there is none."""
        if estimate.low is None or estimate.high is None:
            return ""
        return f"{self.format(estimate.low)} – {self.format(estimate.high)}".replace(" %", "")

    def comparison_mark(self, estimate: Estimate | None, baseline: Estimate | None, n: int) -> Literal["", "✓", "?"]:
        """Mark of a value that is inside the interval of the real baseline, or better; empty for others.

        It is "?" for fewer than 100 sounds, among which a fault cannot be excluded.

        Args:
            n: sounds in the smaller of the two sets.
        """
        if estimate is None or baseline is None:
            return ""
        low = baseline.value if baseline.low is None else baseline.low
        high = baseline.value if baseline.high is None else baseline.high
        if (self.better != "lower" and estimate.value < low) or (self.better != "higher" and estimate.value > high):
            return ""
        return "?" if n < FEW_SOUNDS else "✓"


METRICS = {  # by key in JSON
    "frechet_distance": Metric(
        "Fréchet distance", "lower",
        "Distance between the distributions of generated and real sounds, in mean and covariance. "
        "Good is the value of held-out real sounds; even theirs is not 0.",
    ),
    "kernel_distance": Metric(
        "Kernel distance (KAD)", "lower",
        "Distance between the distributions that does not depend on the number of sounds. "
        "Good is 0, within the interval; 100 and more means that hardly any sounds overlap.",
        minimum=-math.inf,
    ),
    "second_kernel_distance": Metric(
        "Kernel distance, second features", "lower",
        "The same in the features of the second classifier, which no choice of a model depends on.",
        minimum=-math.inf,
    ),
    "precision": Metric(
        "Precision", "higher",
        "Share of generated sounds among real ones. Good is the share of held-out real sounds; "
        "less means unrealistic sounds.",
        is_share=True,
    ),
    "recall": Metric(
        "Recall", "higher",
        "Share of real sounds among generated ones. Good is the share that held-out real sounds reach; "
        "less means missing variety.",
        is_share=True,
    ),
    "density": Metric(
        "Density", "near",
        "Density of real sounds around the generated ones. Good is the value of held-out real sounds, about 1; "
        "more means that only typical sounds are generated.",
    ),
    "coverage": Metric(
        "Coverage", "higher",
        "Share of real sounds with a generated sound as near as their real neighbors. Good is the share of held-out "
        "real sounds; copies of a few sounds do not raise it.",
        is_share=True,
    ),
    "accuracy": Metric(
        "Label accuracy", "higher",
        "Share of sounds that a classifier, trained on real sounds only, predicts to have the requested label. "
        "Good is its accuracy on held-out real sounds.",
        is_share=True,
    ),
    "second_accuracy": Metric(
        "Label accuracy, second classifier", "higher",
        "The same by another classifier, on cepstra of linear frequency bands, which no choice of a model depends on. "
        "Good is its accuracy on held-out real sounds.",
        is_share=True,
    ),
    "inception_score": Metric(
        "Inception score", "higher",
        "Confidence of the predicted labels, and their balance. Good is the score of held-out real sounds, "
        "at most the number of labels.",
        minimum=1.0,
    ),
    "modified_inception_score": Metric(
        "Modified Inception score", "near",
        "Difference between the predictions of any two sounds. Good is the score of held-out real sounds; "
        "1 means that all predictions are the same.",
        minimum=1.0,
    ),
    "am_score": Metric(
        "AM score", "lower",
        "Uncertainty of the predicted labels, and their deviation from the label frequencies of the training sounds. "
        "Good is 0, or the score of held-out real sounds.",
    ),
    "ndb": Metric(
        "Different bins (NDB/K)", "lower",
        "Share of clusters of real sounds that are significantly over- or under-represented. "
        "Good is the share of held-out real sounds, about 5 %.",
        is_share=True,
    ),
    "jsd": Metric(
        "Jensen-Shannon divergence", "lower",
        "Divergence of the frequencies of those clusters from the real ones. "
        "Good is the value of held-out real sounds.",
    ),
    "periodicity": Metric(
        "Periodicity", "near",
        "Similarity of successive periods in the loud parts, from 0 to 1 (median of the sounds). "
        "Good is the value of held-out real sounds; less means whispering voices and hissing tones.",
    ),
    "memorized_fraction": Metric(
        "Memorized", "lower",
        "Share of generated sounds that are nearer to a training sound than 95 % of held-out real sounds are. "
        "Good is 5 % or less; much more means copying.",
        is_share=True,
    ),
}  # fmt: skip
