"""HTML report of an evaluation."""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pages import parsed
from PIL import Image

from soundgan.evaluation.metrics.catalog import METRICS, SoundSet
from soundgan.evaluation.report import audio_figure, render_report, write_report
from soundgan.evaluation.result import Evaluation
from soundgan.evaluation.score import score
from soundgan.evaluation.sounds import RealSplit, Sounds, as_file

RATE, SECONDS = 8000, 0.3
EVIL = '<script>alert("a & b")</script>'


class PitchClassifier:
    """A classifier of high and low pitch."""

    labels = ["high", EVIL]  # noqa: RUF012
    training = {"files": 2}  # noqa: RUF012

    class frontend:
        sample_rate = RATE

    def predict(self, waves: list[np.ndarray]) -> np.ndarray:
        pitch = [np.abs(np.fft.rfft(wave)).argmax() * RATE / len(wave) for wave in waves]
        high = np.array([0.95 if hertz > 1000 else 0.05 for hertz in pitch], np.float32)
        return np.stack([high, 1 - high], axis=1)


def tones(n: int, seed: int, labeled: bool) -> Sounds:
    rng = np.random.default_rng(seed)
    time = np.arange(round(SECONDS * RATE)) / RATE
    hertz = [rng.uniform(200, 600) if i % 2 else rng.uniform(1500, 3000) for i in range(n)]
    waves = [as_file(np.sin(2 * np.pi * h * time + rng.uniform(0, 6)).astype(np.float32)) for h in hertz]
    labels = [EVIL if i % 2 else "high" for i in range(n)] if labeled else []
    return Sounds(waves, RATE, SECONDS, labels, [f"{EVIL} {seed}-{i}" for i in range(n)])


def evaluation(labeled: bool = True, full: bool = True, unseen: bool = True) -> Evaluation:
    generated, train, held_out = (tones(n, seed, labeled) for n, seed in ((20, 1), (40, 2), (20, 3)))
    classifier: Any = PitchClassifier() if labeled else None
    real = RealSplit(train, held_out, unseen)
    scores = score(generated, real, classifier=classifier, generated_full=tones(40, 4, labeled) if full else None)
    conditions = {"data": EVIL, "seed": 0, "classifier": None, "versions": {"soundgan": "9.9"}}
    return Evaluation(EVIL, generated, real, scores, conditions, [f"Beware of {EVIL}."])


@pytest.fixture(scope="module")
def report() -> str:
    return render_report(evaluation())


@pytest.mark.parametrize("labeled", [True, False])
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("unseen", [True, False])
def test_report_is_well_formed_and_has_every_metric(labeled: bool, full: bool, unseen: bool) -> None:
    result = evaluation(labeled, full, unseen)
    page = parsed(render_report(result))
    metrics = set(result.scores.table[SoundSet.GENERATED].estimates)
    assert len(metrics) == (16 if labeled else 11)
    for key, metric in METRICS.items():
        assert (metric.description in page.text) == (key in metrics)
    assert (f"Compared with all 40 {'training' if unseen else 'other real'} sounds" in page.text) == full
    assert ("was not trained on" in page.text) == unseen
    assert ("Confused labels" in page.text) == labeled
    assert ("First classifier" in page.text) == ("Second classifier" in page.text) == labeled
    assert "? few sounds" in page.text and page.text.count("✓ like real") == 1, "in the legend alone, as 20 are few"
    assert "spans 0–0.3 s, 0–4 kHz (mel scale)" in page.text
    assert "Seed 0" in page.text and "soundgan 9.9" in page.text and "20 of the 40" in page.text


def test_report_escapes_hostile_names(report: str) -> None:
    page = parsed(report)
    assert EVIL not in report and page.seen.count("script") == 1
    assert f"Beware of {EVIL}." in page.text


def test_report_refers_to_no_other_file(report: str) -> None:
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', report)
    assert len(sources) > 20 and all(source.startswith("data:") for source in sources)
    assert "http" not in report and "@import" not in report and "url(" not in report
    assert "prefers-color-scheme: dark" in report and 'name="viewport"' in report


def test_report_is_written_without_temporary_files(tmp_path: Path) -> None:
    path = write_report(evaluation(full=False), tmp_path / "report.html")
    parsed(path.read_text(encoding="utf-8"))
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


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


def test_overview_with_axes_is_in_the_report_and_omitted_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="pictures with axes need the extra `train`")
    result = evaluation(full=False)
    picture = re.search(r'alt="Spectrograms with axes" src="data:image/png;base64,([^"]+)"', render_report(result))
    assert picture is not None
    assert Image.open(io.BytesIO(base64.b64decode(picture[1]))).width > 200
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for module in [name for name in sys.modules if name.startswith("matplotlib.")]:
        monkeypatch.delitem(sys.modules, module)
    assert "with axes" not in render_report(result)
