"""The classic functions: `inference` and `spectrogram_to_wav`."""

from __future__ import annotations

import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from soundgan import Settings, SoundGAN, SoundGANError, audio
from soundgan.errors import AudioError, ModelError, SettingsError
from soundgan.inference import inference, spectrogram_to_wav
from soundgan.model_folder import bundled

# The settings file of the original SoundGAN.
CLASSIC: dict[str, Any] = {
    "dataroot": "./data", "num_epochs": 300, "original_image_size": [775, 308], "image_size": [256, 256], "workers": 1,
    "batch_size": 32, "nc": 3, "nz": 100, "ngf": 128, "ndf": 128, "lr_G": 0.00005, "lr_D": 0.0001, "beta1": 0.5,
    "ngpu": 1, "initial_noise_std": 0.2, "noise_decay_rate": 0.997,
}  # fmt: skip


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps", "cpu", None, torch.device("cuda", 1)])
def test_any_device_plays_because_a_missing_one_falls_back(device: object, tmp_path: Path) -> None:
    path = inference(device, Settings.from_flat(saveroot=str(tmp_path)), tmp_path / "x.wav", prod=True)
    assert audio.probe(path).sample_rate == 8000


@pytest.mark.parametrize("device", ["toaster", "", 0])
def test_what_is_no_device_is_refused(device: object, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"device = '{device}': must be cuda, mps, cpu"):
        inference(device, Settings.from_flat(saveroot=str(tmp_path)), tmp_path / "x.wav", prod=True)
    assert list(tmp_path.iterdir()) == []


def test_prod_leaves_the_picture_out(tmp_path: Path) -> None:
    inference("cpu", Settings.from_flat(saveroot=str(tmp_path)), str(tmp_path / "a.wav"), True)
    inference("cpu", Settings.from_flat(saveroot=str(tmp_path)), str(tmp_path / "b.wav"))
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
    inference("cpu", Settings.from_flat(saveroot=str(tmp_path / "none")), tmp_path / "a.wav", prod=True)
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "bundled model digits" in said.err


def test_the_model_in_saveroot_plays_and_nothing_is_said(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = inference("cpu", Settings.from_flat(saveroot=str(model_folder)), tmp_path / "a.wav")
    assert capsys.readouterr().err == ""
    assert audio.probe(path).seconds == pytest.approx(0.256, abs=1e-3)
    assert f"model={model_folder.name}" in audio.read_tags(path)["comment"]


def test_the_bundled_model_is_not_stretched_to_the_size_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gan_config.json").write_text(json.dumps({"saveroot": "./save", **CLASSIC}))
    shutil.copytree(bundled()["digits"], "digits")  # a folder of that name is not what is told
    values = json.loads(Path("digits/config.json").read_text())
    Path("digits/config.json").write_text(json.dumps({**values, "name": "mine"}))
    path = inference("cpu", "gan_config.json", "a.wav")
    said = capsys.readouterr()
    assert said.err == "No trained model in ./save: using the bundled model digits, without original_image_size.\n"
    rep = SoundGAN.load(bundled()["digits"]).representation
    assert audio.probe(path).frames == rep.samples
    assert "model=digits" in audio.read_tags(path)["comment"]
    assert picture_size(tmp_path / "a.png") == (rep.frames * 4, rep.bands * 4)


def test_original_image_size_stretches_the_sound(model_folder: Path, tmp_path: Path) -> None:
    settings = Settings.from_flat(saveroot=str(model_folder), original_image_size=(256, 64))
    path = inference("cpu", settings, tmp_path / "a.wav")
    assert audio.probe(path).frames == 64 * 128
    assert picture_size(tmp_path / "a.png") == (64 * 4, 256 * 4)


@pytest.mark.parametrize("ceiling", [-40.0, 30.0])
def test_a_resized_spectrogram_is_as_loud_as_it_was(
    ceiling: float, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = shutil.copytree(model_folder, tmp_path / "copied", ignore=shutil.ignore_patterns("training"))
    values = json.loads((copied / "config.json").read_text(encoding="utf-8"))
    values["representation"].update(ceiling_db=ceiling, floor_db=ceiling - 70)
    (copied / "config.json").write_text(json.dumps(values), encoding="utf-8")
    monkeypatch.setattr(secrets, "randbelow", lambda _: 1)  # loudest in the middle
    rep = SoundGAN.load(copied).representation
    waves = []
    for name, size in (("as_it_is", None), ("same_size", rep.shape), ("wide", (rep.bands, 4 * rep.frames))):
        settings = Settings.from_flat(saveroot=str(copied), original_image_size=size)
        waves.append(audio.read(inference("cpu", settings, tmp_path / f"{name}.wav", prod=True))[0])
    np.testing.assert_array_equal(waves[1], waves[0])
    if ceiling > 0:  # too loud: turned down to full scale, as a whole
        assert [audio.peak_db(wave) for wave in waves] == pytest.approx([0, 0, 0], abs=1e-3)
    else:
        assert audio.peak_db(waves[0]) < -12
        assert audio.rms_db(waves[2]) == pytest.approx(audio.rms_db(waves[0]), abs=3)


def test_a_failure_leaves_no_file_behind(tmp_path: Path) -> None:
    with pytest.raises(SoundGANError, match=r"x\.xyz"):
        inference("cpu", Settings.from_flat(saveroot=str(tmp_path)), tmp_path / "x.xyz")
    with pytest.raises(SoundGANError, match="missing"):
        inference("cpu", Settings.from_flat(saveroot=str(tmp_path)), tmp_path / "missing" / "x.wav")
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
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [[[1, 2], [3]], [["a", "b"], ["c", "d"]], None])
def test_what_is_no_array_is_refused(bad: Any, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"^image: must be a"):
        spectrogram_to_wav(bad, tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"hop_length": 0}, r"hop_length = 0: must be an integer from 1 "),
        ({"hop_length": -512}, r"hop_length = -512: "),
        ({"hop_length": 300}, r"hop_length = 300: must divide n_fft = 1024 at least twice"),
        ({"hop_length": 1024}, r"hop_length = 1024: must divide n_fft = 1024 at least twice"),
        ({"hop_length": 1}, r"hop_length = 1: .* n_fft - hop_length be even"),
        ({"hop_length": 512.0}, r"hop_length = 512\.0: must be an integer"),
        ({"n_fft": 0}, r"n_fft = 0: must be an integer from 16 to "),
        ({"n_fft": 2, "hop_length": 1}, r"n_fft = 2: "),
        ({"n_fft": 2**40}, r"n_fft = 1099511627776: "),
        ({"sr": 0}, r"sr = 0: must be an integer from 1000 to 192000"),
        ({"sr": -8000}, r"sr = -8000: "),
        ({"sr": 8000.5}, r"sr = 8000\.5: "),
        ({"sr": "fast"}, r"sr = 'fast': "),
        ({"quality": "perfect"}, r"quality = 'perfect': must be one of fast, balanced, best"),
    ],
)
def test_an_argument_out_of_range_is_named(arguments: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=f"^{told}"):
        spectrogram_to_wav(np.eye(8), tmp_path / "a.wav", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_whole_numbers_of_numpy_serve_as_arguments(tmp_path: Path) -> None:
    sizes = {"sr": np.int32(8000), "hop_length": np.int64(64), "n_fft": np.uint16(256)}
    info = audio.probe(spectrogram_to_wav(np.eye(8), tmp_path / "a.wav", **sizes))  # type: ignore[arg-type]
    assert (info.sample_rate, info.frames) == (8000, 8 * 64)


def test_a_spectrogram_of_another_shape_than_its_representation_is_refused(model: SoundGAN, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"image: is of shape \(8, 8\), its representation of "):
        spectrogram_to_wav(np.eye(8), tmp_path / "a.wav", representation=model.representation)


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def _mel(frequency: float) -> float:
    return 2595 * np.log10(1 + frequency / 700)
