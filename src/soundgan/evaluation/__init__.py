"""Metrics of generated sounds, computed from the waves and never from the generator's spectrograms."""
