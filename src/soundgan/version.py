"""The version of SoundGAN."""

__version__ = "0.1.0"
