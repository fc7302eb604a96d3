"""Measures of generated sounds, made from the sounds themselves and never from the generator's spectrograms."""
