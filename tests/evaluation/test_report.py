"""The report of an evaluation, as a browser gets it."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pages import parsed
from PIL import Image

from soundgan.evaluation.audio_figure import player
from soundgan.evaluation.data import Real, Sounds, as_file
from soundgan.evaluation.features.predictions import Predictions
from soundgan.evaluation.metrics.catalog import KINDS
from soundgan.evaluation.report import render, write_page
from soundgan.evaluation.result import Evaluation
from soundgan.evaluation.score import judge

RATE, SECONDS = 8000, 0.3
EVIL = '<script>alert("a & b")</script>'


class Ear:
    """A classifier that hears pitch: high or low."""

    labels = ["high", EVIL]  # noqa: RUF012
    training = {"files": 2}  # noqa: RUF012

    class view:
        sample_rate = RATE

    def predict(self, waves: list[np.ndarray]) -> tuple[list[str], np.ndarray]:
        pitch = [np.abs(np.fft.rfft(wave)).argmax() * RATE / len(wave) for wave in waves]
        high = np.array([0.95 if hertz > 1000 else 0.05 for hertz in pitch], np.float32)
        return [self.labels[int(p < 0.5)] for p in high], np.stack([high, 1 - high], axis=1)


def tones(n: int, seed: int, labelled: bool) -> Sounds:
    rng = np.random.default_rng(seed)
    time = np.arange(round(SECONDS * RATE)) / RATE
    hertz = [rng.uniform(200, 600) if i % 2 else rng.uniform(1500, 3000) for i in range(n)]
    waves = [as_file(np.sin(2 * np.pi * h * time + rng.uniform(0, 6)).astype(np.float32)) for h in hertz]
    labels = [EVIL if i % 2 else "high" for i in range(n)] if labelled else []
    return Sounds(waves, RATE, SECONDS, labels, [f"{EVIL} {seed}-{i}" for i in range(n)])


def evaluation(labelled: bool = True, many: bool = True, unseen: bool = True) -> Evaluation:
    made, training, test = (tones(n, seed, labelled) for n, seed in ((20, 1), (40, 2), (20, 3)))
    ear: Any = Ear() if labelled else None
    real = Real(training, test, unseen, [], [])
    extra = tones(40, 4, labelled) if many else None
    judged = judge(made, training, test, classifier=ear, many=extra, known=real.known)
    conditions = {"data": EVIL, "seed": 0, "classifier": None, "versions": {"soundgan": "9.9"}}
    return Evaluation(EVIL, judged, made, real, conditions, [f"Beware of {EVIL}."])


@pytest.fixture(scope="module")
def report() -> str:
    return render(evaluation())


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize("unseen", [True, False])
def test_every_report_is_whole_and_shows_what_was_measured(labelled: bool, many: bool, unseen: bool) -> None:
    found = evaluation(labelled, many, unseen)
    page = parsed(render(found))
    titles = {kind.title for kind in KINDS if kind.key in found.judgement.rows[0].figures}
    assert len(titles) == (14 if labelled else 10)
    for kind in KINDS:
        assert (kind.text in page.text) == (kind.title in titles)
    assert ("Beside all 40 training sounds" in page.text) == many
    assert ("never met" in page.text) == unseen
    assert ("Confused labels" in page.text) == labelled
    assert "Seed 0" in page.text and "soundgan 9.9" in page.text and "20 of the 40" in page.text


def test_names_from_folders_are_text_and_nothing_else(report: str) -> None:
    page = parsed(report)
    assert EVIL not in report and page.seen.count("script") == 1
    assert f"Beware of {EVIL}." in page.text


def test_the_file_needs_nothing_else(report: str) -> None:
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', report)
    assert len(sources) > 20 and all(source.startswith("data:") for source in sources)
    assert "http" not in report and "@import" not in report and "url(" not in report
    assert "prefers-color-scheme: dark" in report and 'name="viewport"' in report


def test_a_player_holds_the_sound_itself_and_its_picture() -> None:
    low, high = (as_file(np.sin(2 * np.pi * h * np.arange(2000) / RATE).astype(np.float32)) for h in (200, 3500))
    centres = []
    for wave in (low, high):
        html = player(wave, RATE, 0.5, "a <name>", "made")
        assert "a &lt;name&gt;" in html
        png, flac = (base64.b64decode(text) for text in re.findall(r"base64,([^\"]+)", html))
        heard, rate = soundfile.read(io.BytesIO(flac), dtype="float32")
        assert rate == RATE
        np.testing.assert_array_equal(heard, wave)
        light = np.asarray(Image.open(io.BytesIO(png)).convert("L"), float)
        assert light[:, : light.shape[1] // 2 - 4].mean() > 2 * light[:, light.shape[1] // 2 + 4 :].mean()  # padded
        centres.append(light.mean(axis=1).argmax() / len(light))
    assert centres[0] > 0.7 and centres[1] < 0.2  # low pitch at the bottom


def test_confusions_count_every_sound_and_shares_their_right_ones() -> None:
    heard = Predictions(["a", "b", "c"], np.eye(3, dtype=np.float32), np.array([[3, 1, 0], [0, 0, 0], [2, 0, 2]]), 8)
    assert heard.right == 5 and heard.shares == {"a": 0.75, "c": 0.5}


def test_a_report_is_written_whole(tmp_path: Path) -> None:
    path = write_page(evaluation(many=False), tmp_path / "report.html")
    parsed(path.read_text(encoding="utf-8"))
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
