"""Figures of sounds for HTML: spectrograms that play on a click, and an overview with axes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
import soundfile
from markupsafe import Markup
from numpy.typing import NDArray

from soundgan.evaluation.features.logmel import LogMel
from soundgan.evaluation.sounds import Sounds
from soundgan.viz.html import render
from soundgan.viz.spectrogram_figure import SpectrogramAxes, png, spectrogram_figure
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
    picture(frontend.spectrograms([wave])[0]).save(image, "PNG", optimize=True)
    # FLAC is lossless and supported by every browser; the waves of an evaluation are rounded to 16 bits.
    samples = np.rint(wave * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)
    soundfile.write(audio, samples, sample_rate, "PCM_16", format="FLAC")
    sources = {"picture": _data_url("image/png", image.getvalue()), "audio": _data_url("audio/flac", audio.getvalue())}
    return Markup(render("audio_figure.html.j2", name=name, css_class=css_class, **sources))


def overview_figure(groups: Mapping[str, Sequence[Sounds]], names: Sequence[str]) -> str | None:
    """Data URL of a grid of spectrograms with axes, as PNG; None if matplotlib is not installed.

    Args:
        groups: rows of sounds by heading; all of one length and sample rate.
        names: of the rows.
    """
    first = next(iter(groups.values()))[0]
    frontend = LogMel(first.sample_rate, first.seconds, BANDS)
    spectrograms = {
        heading: [list(frontend.spectrograms(row.waves)) for row in rows] for heading, rows in groups.items()
    }
    axes = SpectrogramAxes(frontend.seconds, frontend.band_centers, -frontend.range_db, 0, "dB")
    try:
        figure = spectrogram_figure(spectrograms, axes, names)
    except ModuleNotFoundError:  # matplotlib, of the extra `train`
        return None
    return _data_url("image/png", png(figure))


def _data_url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
