"""STFT, log spectrograms, phase retrieval, pitch and noise texture: NumPy and SciPy, no I/O.

To analyze and synthesize sounds, start at `representation`; to change an STFT, at `presets`.
"""
