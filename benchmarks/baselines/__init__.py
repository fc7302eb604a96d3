"""Published generators of sounds, trained for as long as ours and scored in the same way.

The modules of `NAMES` have one function

    train(sounds, options, *, width, config) -> TrainedBaseline

whose result generates a wave for each label: `trained(labels, seed)`. The papers have no labels. Where `TrainingSounds`
has some, z is followed by the label as a one-hot vector, and the critic projects its features on a learned vector of
each label (Miyato and Koyama, "cGANs with Projection Discriminator", 2018). `resampling`, which trains nothing, is the
peer that none of them should lose against.
"""

from __future__ import annotations

NAMES = ("dcgan", "wavegan", "specgan")
