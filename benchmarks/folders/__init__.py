"""Folders as users have them, few and uneven sounds: SoundGAN, published baselines and a peer that only resamples."""
