"""Pre-echo: energy that phase retrieval spreads before a hit, over the length of a window.

The magnitudes themselves say that it does not belong there: the energy of a frame is the sum of the wave's energy as
the window weights it, so no part of a wave can have more than each of the frames over it allows, and the frames that
end just before a hit are silent. Below the floor of a spectrogram, energies are not known exactly, so only parts that
are softer than what follows within a window are reduced, and never a hit itself.
"""

from __future__ import annotations

import numpy as np

from soundgan.spectral.stft import STFT, Floats

_BLOCKS_PER_HOP = 4  # of 1.5 ms at 44.1 kHz
_SILENCE = 1e-12  # of the energy of the loudest frame
_PRE_ECHO_SHARE = 0.1  # of the energy of a later block within a window: blocks above it are no pre-echo


def suppress_pre_echo(wave: Floats, magnitudes: Floats, stft: STFT) -> Floats:
    """Return a wave without the energy that its magnitudes rule out before hits, in blocks of a fourth of a hop.

    A wave whose STFT has these magnitudes is returned unchanged.

    Args:
        wave: from phase retrieval.
        magnitudes: from which it was retrieved.

    Shape:
        wave (frames * hop_length,), magnitudes (frames, bins) → (frames * hop_length,)

    Examples:
        A hit, and its pre-echo 100 samples earlier:

        >>> stft = STFT(n_fft=256, hop_length=64)
        >>> hit = np.zeros(2048, np.float32)
        >>> hit[1024:] = np.random.default_rng(0).standard_normal(1024) * np.exp(-np.arange(1024) / 200)
        >>> wave = hit + np.float32(0.02) * np.roll(hit, -100)
        >>> clean = suppress_pre_echo(wave, np.abs(stft.forward(hit)), stft)
        >>> bool(np.abs(clean[:960]).max() < 0.001 * np.abs(wave[:960]).max())
        True
    """
    size = _block_size(stft)
    squares = np.square(np.pad(wave, stft.padding)).reshape(-1, size)
    weights = np.square(stft.window_values).reshape(-1, size)
    windows = np.lib.stride_tricks.sliding_window_view(squares, len(weights), axis=0)[:: stft.hop_length // size]
    parts = np.einsum("fsb,bs->fb", windows, weights)  # energy of each block in each frame
    power = np.square(np.ascontiguousarray(magnitudes))  # sums depend on the order in memory
    energies = (2 * power.sum(axis=1) - power[:, 0] - power[:, -1]) / stft.n_fft
    silence = _SILENCE * energies.max(initial=0.0) + np.float32(1e-30)
    shares = (energies[:, None] + silence) / (parts + silence)  # of the energy of a block that its frame allows
    inside = slice(stft.padding // size, (stft.padding + len(wave)) // size)
    gains = np.sqrt(_minimum_over_frames(shares, stft))[inside]
    blocks = squares[inside].sum(axis=1)
    ahead = np.pad(blocks, (0, len(weights)))
    loudest_ahead = np.lib.stride_tricks.sliding_window_view(ahead, len(weights) + 1).max(axis=1)
    gains[blocks > _PRE_ECHO_SHARE * loudest_ahead] = 1
    if gains.min() == 1:
        return wave
    centers = (np.arange(len(gains)) + 0.5) * size
    smooth = np.interp(np.arange(len(wave)) + 0.5, centers, gains)
    # A hit keeps the gain of its block from the first sample on, which interpolation alone would fade in.
    return wave * np.maximum(smooth, np.repeat(gains, size)).astype(np.float32)


def _block_size(stft: STFT) -> int:
    """Length of a block in samples: at most a fourth of a hop; hop and padding are multiples of it."""
    sizes = range(max(1, stft.hop_length // _BLOCKS_PER_HOP), 0, -1)
    return next(size for size in sizes if not (stft.hop_length % size or stft.padding % size))


def _minimum_over_frames(shares: Floats, stft: STFT) -> Floats:
    """Least share of each block, at most 1. Shape: (frames, blocks of a window) → (blocks of the padded wave,)."""
    hops = shares.reshape(len(shares), stft.overlap, -1)
    least = np.ones((len(shares) + stft.overlap - 1, hops.shape[2]), np.float32)
    for shift in range(stft.overlap):
        part = least[shift : shift + len(shares)]
        np.minimum(part, hops[:, shift], out=part)
    return least.reshape(-1)
