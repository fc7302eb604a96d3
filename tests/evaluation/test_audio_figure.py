from __future__ import annotations

import base64
import io
import re
import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

from soundgan.evaluation.audio_figure import audio_figure, overview_figure
from soundgan.evaluation.sounds import Sounds, as_file

RATE = 8000


def test_audio_figure_embeds_the_sound_and_its_spectrogram_and_escapes_its_name() -> None:
    low, high = (as_file(np.sin(2 * np.pi * h * np.arange(2000) / RATE).astype(np.float32)) for h in (200, 3500))
    rows = []
    for wave in (low, high):
        html = audio_figure(wave, RATE, 0.5, "a <name>", "generated")
        assert "a &lt;name&gt;" in html
        png, flac = (base64.b64decode(text) for text in re.findall(r"base64,([^\"]+)", html))
        decoded, rate = soundfile.read(io.BytesIO(flac), dtype="float32")
        assert rate == RATE
        np.testing.assert_array_equal(decoded, wave)
        light = np.asarray(Image.open(io.BytesIO(png)).convert("L"), float)
        assert light[:, : light.shape[1] // 2 - 4].mean() > 2 * light[:, light.shape[1] // 2 + 4 :].mean()  # padded
        rows.append(light.mean(axis=1).argmax() / len(light))
    assert rows[0] > 0.7 and rows[1] < 0.2  # low pitch at the bottom


def test_overview_is_a_picture_and_omitted_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="pictures with axes need the extra `train`")
    sounds = Sounds([np.zeros(1000, np.float32), np.ones(2000, np.float32)], RATE, 0.25)
    url = overview_figure({"real": [sounds], "generated": [sounds]}, ["$a <name>"])
    assert url is not None and url.startswith("data:image/png;base64,")
    assert Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).width > 200
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for module in [name for name in sys.modules if name.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, module)
    assert overview_figure({"real": [sounds]}, []) is None
