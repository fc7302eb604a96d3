"""The figures of an evaluation: what each is called, which way is good, and how it is written."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple


class Figure(NamedTuple):
    """A measured value and its 95 % interval; None where no interval was made."""

    value: float
    low: float | None = None
    high: float | None = None


class Row(NamedTuple):
    """The figures of one set of sounds, by the keys of `KINDS`; those that could not be measured are not there."""

    what: str
    n: int
    figures: dict[str, Figure]


class Kind(NamedTuple):
    """A figure in words.

    Attributes:
        key: its name in code and JSON.
        title: its name for a person.
        good: which way is better: up, down, or near what real sounds have.
        text: what it asks, and what is good.
        share: it is a share, written in per cent.
        least: it cannot be less.
    """

    key: str
    title: str
    good: Literal["up", "down", "near"]
    text: str
    share: bool = False
    least: float = 0.0

    @property
    def most(self) -> float:
        """It cannot be more."""
        return 1.0 if self.share else math.inf

    @property
    def sign(self) -> str:
        """An arrow for the better way."""
        return {"up": "↑", "down": "↓", "near": "≈"}[self.good]

    def write(self, value: float | None) -> str:
        """A value as a person reads it."""
        if value is None:
            return "–"
        if self.share:
            return f"{value * 100:.1f} %"
        digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1
        return f"{value:.{digits}f}"

    def interval(self, figure: Figure) -> str:
        """The interval of a figure, or nothing."""
        if figure.low is None or figure.high is None:
            return ""
        if self.share:
            return f"{figure.low * 100:.1f} – {figure.high * 100:.1f}"
        return f"{self.write(figure.low)} – {self.write(figure.high)}"

    def as_good(self, figure: Figure, ceiling: Figure) -> bool:
        """Whether fresh real sounds could have this figure, or a worse one: it does not leave their interval."""
        low = ceiling.value if ceiling.low is None else ceiling.low
        high = ceiling.value if ceiling.high is None else ceiling.high
        return (self.good == "down" or figure.value >= low) and (self.good == "up" or figure.value <= high)


KINDS = (
    Kind(
        "frechet", "Fréchet distance", "down",
        "How far the cloud of generated sounds lies from that of real ones, in centre and shape. "
        "Good is what fresh real sounds have; even they are not at 0.",
    ),
    Kind(
        "kernel", "Kernel distance", "down",
        "The same question asked of all moments at once, and without a bias: good is 0, give or take the interval.",
        False, -math.inf,
    ),
    Kind(
        "precision", "Precision", "up",
        "Generated sounds that lie among real ones. Good is the share that fresh real sounds have; "
        "less means odd sounds.",
        True,
    ),
    Kind(
        "recall", "Recall", "up",
        "Real sounds that lie among generated ones. Good is the share that fresh real sounds reach; "
        "less means missing variety.",
        True,
    ),
    Kind(
        "density", "Density", "near",
        "How thickly real sounds lie where the generated ones are. Good is the figure of fresh real sounds, about 1; "
        "more means that only the typical is made.",
    ),
    Kind(
        "coverage", "Coverage", "up",
        "Real sounds with a generated one as near as their real neighbours. Good is the share of fresh real sounds; "
        "copies of a few sounds do not raise it.",
        True,
    ),
    Kind(
        "accuracy", "Recognised", "up",
        "Sounds that a classifier, which only knows real ones, hears as the label that was asked for. "
        "Good is the share at which it recognises fresh real sounds.",
        True,
    ),
    Kind(
        "inception", "Inception score", "up",
        "How clearly labels are heard, and how evenly. Good is the score of fresh real sounds, "
        "at most the number of labels.",
        False, 1.0,
    ),
    Kind(
        "modified_inception", "Modified Inception score", "near",
        "How differently any two sounds are heard by the classifier. Good is the score of fresh real sounds; "
        "1 means that all are heard alike.",
        False, 1.0,
    ),
    Kind(
        "am", "AM score", "down",
        "How far labels are from being heard clearly and as often as in the training. "
        "Good is 0, or what fresh real sounds have.",
    ),
    Kind(
        "ndb", "Different bins (NDB/K)", "down",
        "Kinds of sounds, found by grouping real ones, that are made too often or too seldom. "
        "Good is what fresh real sounds have, about 5 %.",
        True,
    ),
    Kind(
        "divergence", "Divergence of the bins", "down",
        "How far the shares of those kinds are from the real ones altogether (Jensen-Shannon). "
        "Good is what fresh real sounds have.",
    ),
    Kind(
        "periodicity", "Periodicity", "near",
        "How well a sound repeats itself from period to period where it is loud, from 0 to 1 (median of the sounds). "
        "Good is the figure of fresh real sounds; less means voices that whisper, and tones that hiss.",
    ),
    Kind(
        "memorised", "Memorised", "down",
        "Generated sounds that are nearer to a sound of the training than nineteen in twenty fresh real sounds are. "
        "Good is 5 % or less; much more means copying.",
        True,
    ),
)  # fmt: skip

BY_KEY = {kind.key: kind for kind in KINDS}
