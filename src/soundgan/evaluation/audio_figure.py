"""HTML figure of a sound: a spectrogram that plays it on a click, with both embedded as data URLs."""

from __future__ import annotations

import base64
import io

import numpy as np
import soundfile
from markupsafe import Markup
from numpy.typing import NDArray

from soundgan.evaluation.features.logmel import LogMel
from soundgan.viz.html import render
from soundgan.viz.spectrogram_image import picture

BANDS = 64


def audio_figure(wave: NDArray[np.float32], sample_rate: int, seconds: float, name: str, css_class: str) -> Markup:
    """Figure of a sound: log-mel spectrogram (PNG), audio (FLAC) and name.

    Args:
        wave: (samples,), at `sample_rate` Hz; its spectrogram is padded with silence to `seconds`.
        name: caption.
        css_class: of the figure, "generated" or "real".
    """
    frontend = LogMel(sample_rate, seconds, BANDS)
    image, audio = io.BytesIO(), io.BytesIO()
    picture(frontend.spectrograms(frontend.fit(wave)[None])[0]).save(image, "PNG", optimize=True)
    # FLAC is lossless and supported by every browser; the waves of an evaluation are rounded to 16 bits.
    samples = np.rint(wave * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)
    soundfile.write(audio, samples, sample_rate, "PCM_16", format="FLAC")
    sources = {"picture": _data_url("image/png", image), "audio": _data_url("audio/flac", audio)}
    return Markup(render("audio_figure.html.j2", name=name, css_class=css_class, **sources))


def _data_url(media_type: str, buffer: io.BytesIO) -> str:
    return f"data:{media_type};base64,{base64.b64encode(buffer.getvalue()).decode()}"
