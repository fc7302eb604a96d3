"""STFT, log spectrograms (`representation`), phase retrieval, pitch and noise texture: NumPy and SciPy, no I/O."""
