"""The classic functions: `inference` and `spectrogram_to_wav`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soundgan import Settings, SoundGANError, audio
from soundgan.errors import AudioError, SettingsError
from soundgan.inference import inference, spectrogram_to_wav


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps", "cpu", None])
def test_any_device_plays_because_a_missing_one_falls_back(device: str | None, tmp_path: Path) -> None:
    path = inference(device, Settings(saveroot=str(tmp_path)), tmp_path / "x.wav", prod=True)
    assert audio.probe(path).sample_rate == 8000


def test_prod_leaves_the_picture_out(tmp_path: Path) -> None:
    inference("cpu", Settings(saveroot=str(tmp_path)), str(tmp_path / "a.wav"), True)
    inference("cpu", Settings(saveroot=str(tmp_path)), str(tmp_path / "b.wav"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.png", "b.wav"]


def test_the_settings_may_be_a_mapping_or_a_file(tmp_path: Path) -> None:
    inference("cpu", {"saveroot": str(tmp_path)}, tmp_path / "a.wav", prod=True)
    (tmp_path / "c.json").write_text('{"saveroot": "nowhere"}')
    inference("cpu", tmp_path / "c.json", tmp_path / "b.wav", prod=True)
    assert (tmp_path / "a.wav").exists() and (tmp_path / "b.wav").exists()
    with pytest.raises(SettingsError, match="nz = 0"):
        inference("cpu", {"nz": 0}, tmp_path / "c.wav")


def test_the_bundled_model_plays_in_place_of_none_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inference("cpu", Settings(saveroot=str(tmp_path / "none")), tmp_path / "a.wav", prod=True)
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "bundled model digits" in said.err


def test_the_model_in_saveroot_plays_and_nothing_is_said(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = inference("cpu", Settings(saveroot=str(model_folder)), tmp_path / "a.wav")
    assert capsys.readouterr().err == ""
    assert audio.probe(path).seconds == pytest.approx(0.256, abs=1e-3)
    assert f"model={model_folder.name}" in audio.read_tags(path)["comment"]


def test_original_image_size_stretches_the_sound(model_folder: Path, tmp_path: Path) -> None:
    settings = Settings(saveroot=str(model_folder), original_image_size=(256, 64))
    path = inference("cpu", settings, tmp_path / "a.wav")
    assert audio.probe(path).frames == 64 * 128
    assert picture_size(tmp_path / "a.png") == (64 * 4, 256 * 4)
    wave, _ = audio.read(path)
    assert audio.peak_db(wave) == pytest.approx(-1, abs=0.1)


def test_a_failure_leaves_no_file_behind(tmp_path: Path) -> None:
    with pytest.raises(SoundGANError, match=r"x\.xyz"):
        inference("cpu", Settings(saveroot=str(tmp_path)), tmp_path / "x.xyz")
    with pytest.raises(SoundGANError, match="missing"):
        inference("cpu", Settings(saveroot=str(tmp_path)), tmp_path / "missing" / "x.wav")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("low", "high"), [(0, 255), (-1, 1), (-80, 0), (1e-3, 2e-3)])
def test_an_image_in_any_range_is_taken_from_its_minimum_to_its_maximum(
    low: float, high: float, tmp_path: Path
) -> None:
    image = np.full((128, 87), low, np.float32)
    image[60] = high
    wave, rate = audio.read(spectrogram_to_wav(image, tmp_path / "a.wav"))
    assert rate == 22050 and wave.size == 87 * 512
    mel = np.linspace(_mel(22050 / 1024), _mel(11025), 128)[60]
    expected = 700 * (10 ** (mel / 2595) - 1)
    loudest = np.abs(np.fft.rfft(wave)).argmax() * rate / wave.size
    assert abs(loudest - expected) < 22050 / 1024 * 1.5
    assert audio.peak_db(wave) == pytest.approx(-1, abs=0.1)


def test_a_flat_image_is_silence(tmp_path: Path) -> None:
    wave, _ = audio.read(spectrogram_to_wav(np.ones((64, 20)), tmp_path / "a.wav"))
    assert not wave.any()


@pytest.mark.parametrize("bad", [np.ones(5), np.ones((1, 5)), np.full((8, 8), np.nan), np.full((8, 8), np.inf)])
def test_what_is_no_image_is_refused(bad: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="image"):
        spectrogram_to_wav(bad, tmp_path / "a.wav")
    with pytest.raises(AudioError, match="hop_length = 300"):
        spectrogram_to_wav(np.ones((8, 8)), tmp_path / "a.wav", hop_length=300)
    assert list(tmp_path.iterdir()) == []


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def _mel(frequency: float) -> float:
    return 2595 * np.log10(1 + frequency / 700)
