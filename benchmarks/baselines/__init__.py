"""Published generators of sounds, trained for as long as ours and scored in the same way.

The modules of `NAMES` have one function

    train(waves, sample_rate, options, *, width, config) -> TrainedBaseline

whose result generates waves: `trained(n, seed)`. The baselines have no labels, as in their papers.
"""

from __future__ import annotations

NAMES = ("dcgan", "wavegan", "specgan")
