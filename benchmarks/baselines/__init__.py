"""Generators of sounds that others have published, to be trained for as long as ours and judged by the same harness.

Every module but `game`, which they share, has one function

    train(waves, sample_rate, *, minutes, seed, …) -> Trained

whose result makes waves: `trained(n, seed)`. None of them knows labels, as in their papers.
"""

from __future__ import annotations

NAMES = ("dcgan", "wavegan", "specgan")
