"""A sound in a page: its picture, which plays it, and its audio, both inside the HTML."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np
import soundfile
from numpy.typing import NDArray

from soundgan.evaluation.features.logmel import LogMel
from soundgan.viz.spectrogram_image import picture

_BANDS = 64


def player(wave: NDArray[np.float32], sample_rate: int, seconds: float, name: str, kind: str) -> str:
    """A figure of a sound: log-mel picture, FLAC, name.

    Args:
        wave: (any,), at `sample_rate` Hz; its picture is padded with silence to `seconds`.
        name: what stands below it.
        kind: class of the figure.
    """
    view = LogMel(sample_rate, seconds, _BANDS)
    image, audio, told = io.BytesIO(), io.BytesIO(), escape(name)
    picture(view.picture(view.fit(wave)[None])[0]).save(image, "PNG", optimize=True)
    # 16 bits: the waves of an evaluation are rounded to that. FLAC plays everywhere and loses nothing.
    samples = np.rint(wave * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)
    soundfile.write(audio, samples, sample_rate, "PCM_16", format="FLAC")
    return (
        f'<figure class="sound {kind}"><button type="button" aria-label="Play {told}">'
        f'<img alt="" src="data:image/png;base64,{_text(image)}"></button>'
        f'<audio controls preload="none" src="data:audio/flac;base64,{_text(audio)}"></audio>'
        f"<figcaption>{told}</figcaption></figure>"
    )


def _text(buffer: io.BytesIO) -> str:
    return base64.b64encode(buffer.getvalue()).decode()
