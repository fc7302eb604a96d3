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
from classic import CLASSIC
from model_folders import copy_model, edit_config, picture_size, read_config

from soundgan import SoundGAN, SoundGANError, audio
from soundgan.errors import AudioError, ModelError, SettingsError
from soundgan.inference import inference, save_at_size, spectrogram_to_wav
from soundgan.model_folder import bundled
from soundgan.settings import check_settings
from soundgan.sound import Finish, Sound
from soundgan.spectral.presets import preset
from soundgan.spectral.representation import analyze


def run_inference(path: Path, saveroot: Path | None = None, prod: bool = True, **changes: Any) -> Path:
    """Generate a sound on the CPU, by default with the bundled model as `saveroot` has none."""
    return inference("cpu", check_settings({"saveroot": str(saveroot or path.parent), **changes}), path, prod=prod)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps", "cpu", None, torch.device("cuda", 1)])
def test_missing_device_falls_back(device: object, tmp_path: Path) -> None:
    path = inference(device, check_settings({"saveroot": str(tmp_path)}), tmp_path / "x.wav", prod=True)
    assert audio.probe(path).sample_rate == 8000


@pytest.mark.parametrize("device", ["toaster", "", 0])
def test_unknown_device_is_refused(device: object, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"device = '{device}': must be cuda, mps, cpu"):
        inference(device, check_settings({"saveroot": str(tmp_path)}), tmp_path / "x.wav", prod=True)
    assert list(tmp_path.iterdir()) == []


def test_prod_omits_the_picture(tmp_path: Path) -> None:
    inference("cpu", check_settings({"saveroot": str(tmp_path)}), str(tmp_path / "a.wav"), True)
    inference("cpu", check_settings({"saveroot": str(tmp_path)}), str(tmp_path / "b.wav"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.png", "b.wav"]


def test_inference_accepts_settings_as_mapping_or_file(tmp_path: Path) -> None:
    inference("cpu", {"saveroot": str(tmp_path)}, tmp_path / "a.wav", prod=True)
    (tmp_path / "c.json").write_text('{"saveroot": "nowhere"}')
    inference("cpu", tmp_path / "c.json", tmp_path / "b.wav", prod=True)
    assert (tmp_path / "a.wav").exists() and (tmp_path / "b.wav").exists()
    with pytest.raises(SettingsError, match="nz = 0"):
        inference("cpu", {"nz": 0}, tmp_path / "c.wav")


def test_missing_model_is_replaced_by_the_bundled_one_with_a_notice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_inference(tmp_path / "a.wav", tmp_path / "none")
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "bundled model digits" in captured.err


def test_model_in_saveroot_is_used_without_a_notice(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run_inference(tmp_path / "a.wav", model_folder, prod=False)
    assert capsys.readouterr().err == ""
    assert audio.probe(path).seconds == pytest.approx(0.256, abs=1e-3)
    assert f"model={model_folder.name}" in audio.read_tags(path)["comment"]


def test_bundled_model_ignores_original_image_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gan_config.json").write_text(json.dumps(CLASSIC))
    shutil.copytree(bundled()["digits"], "digits")  # a folder of the same name must not replace the bundled model
    edit_config(Path("digits"), name="mine")
    path = inference("cpu", "gan_config.json", "a.wav")
    captured = capsys.readouterr()
    assert captured.err == "No trained model in ./save: using the bundled model digits, without original_image_size.\n"
    rep = SoundGAN.load(bundled()["digits"]).representation
    assert audio.probe(path).frames == rep.samples
    assert "model=digits" in audio.read_tags(path)["comment"]
    assert picture_size(tmp_path / "a.png") == (rep.frames * 4, rep.bands * 4)


def test_original_image_size_resizes_the_sound(model_folder: Path, tmp_path: Path) -> None:
    path = run_inference(tmp_path / "a.wav", model_folder, prod=False, original_image_size=(256, 64))
    assert audio.probe(path).frames == 64 * 128
    assert picture_size(tmp_path / "a.png") == (64 * 4, 256 * 4)


def test_output_level_and_the_length_of_the_model_are_those_of_classic_sounds(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "randbelow", lambda _: 1)
    model = SoundGAN.load(model_folder)
    for size in (None, (128, 64)):
        wave, _ = audio.read(run_inference(tmp_path / "a.wav", model_folder, original_image_size=size))
        recorded = model.generate(seed=1)[0].samples
        assert audio.peak_db(wave) == pytest.approx(audio.peak_db(recorded), abs=0.01)
        assert wave.size == (model.representation.samples if size is None else 64 * 128)
        values = {"original_image_size": size, "output_level": "peak"}
        wave, _ = audio.read(run_inference(tmp_path / "b.wav", model_folder, **values))
        assert audio.peak_db(wave) == pytest.approx(-1, abs=0.01)


def test_resizing_stretches_the_length_of_a_sound(tmp_path: Path) -> None:
    representation = preset(16000, 0.25)
    tone = (0.5 * np.sin(2 * np.pi * 500 / 16000 * np.arange(representation.samples))).astype(np.float32)
    sound = Sound(tone, 16000, None, 0, analyze(tone, representation)[0, 0], {}, Finish(representation.samples // 2))
    save_at_size(sound, tmp_path / "sound.wav", representation, (128, 2 * representation.frames))
    assert len(audio.read(tmp_path / "sound.wav")[0]) == representation.samples


@pytest.mark.parametrize("ceiling", [-40.0, 30.0])
def test_resized_spectrogram_keeps_its_loudness(
    ceiling: float, flat_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = copy_model(flat_model_folder, tmp_path / "copied")
    values = read_config(copied)["representation"]
    edit_config(copied, representation={**values, "ceiling_db": ceiling, "floor_db": ceiling - 70})
    monkeypatch.setattr(secrets, "randbelow", lambda _: 1)  # loudest in the middle
    rep = SoundGAN.load(copied).representation
    waves = []
    for name, size in (("original", None), ("same_size", rep.shape), ("wide", (rep.bands, 4 * rep.frames))):
        waves.append(audio.read(run_inference(tmp_path / f"{name}.wav", copied, original_image_size=size))[0])
    np.testing.assert_array_equal(waves[1], waves[0])
    if ceiling > 0:  # too loud: turned down to full scale, as a whole
        assert [audio.peak_db(wave) for wave in waves] == pytest.approx([0, 0, 0], abs=1e-3)
    else:
        assert audio.peak_db(waves[0]) < -12
        assert audio.rms_db(waves[2]) == pytest.approx(audio.rms_db(waves[0]), abs=3)


@pytest.mark.parametrize(("frames", "lead_in"), [(32, 1), (128, 4)])
def test_resizing_stretches_the_lead_in_with_the_sound(frames: int, lead_in: int, tmp_path: Path) -> None:
    representation = preset(16000, 0.25)
    assert (representation.frames, representation.lead_in) == (64, 2)
    tone = (0.5 * np.sin(2 * np.pi * 500 / 16000 * np.arange(representation.samples))).astype(np.float32)
    sound = Sound(tone, 16000, None, 0, analyze(tone, representation)[0, 0], {})
    save_at_size(sound, tmp_path / "sound.wav", representation, (256, frames))
    wave, _ = audio.read(tmp_path / "sound.wav")
    assert len(wave) == (frames - lead_in) * representation.hop_length
    assert np.abs(wave[: round(0.02 * 16000)]).max() > 0.1, "silence before the sound"


def test_failed_inference_leaves_no_file(tmp_path: Path) -> None:
    for name, message in (("x.xyz", r"x\.xyz"), ("missing/x.wav", "missing")):
        with pytest.raises(SoundGANError, match=message):
            run_inference(tmp_path / name, tmp_path, prod=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("low", "high"), [(0, 255), (-1, 1), (-80, 0), (1e-3, 2e-3)])
def test_image_is_scaled_from_its_minimum_to_its_maximum(low: float, high: float, tmp_path: Path) -> None:
    image = np.full((128, 87), low, np.float32)
    image[60] = high
    wave, rate = audio.read(spectrogram_to_wav(image, tmp_path / "a.wav"))
    assert rate == 22050 and wave.size == 87 * 512
    mel = np.linspace(_mel(22050 / 1024), _mel(11025), 128)[60]
    expected = 700 * (10 ** (mel / 2595) - 1)
    loudest = np.abs(np.fft.rfft(wave)).argmax() * rate / wave.size
    assert abs(loudest - expected) < 22050 / 1024 * 1.5
    assert audio.peak_db(wave) == pytest.approx(-1, abs=0.1)


def test_constant_image_gives_silence(tmp_path: Path) -> None:
    wave, _ = audio.read(spectrogram_to_wav(np.ones((64, 20)), tmp_path / "a.wav"))
    assert not wave.any()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        *((np.ones(shape), "image") for shape in (5, (1, 5))),
        *((np.full((8, 8), value), "image") for value in (np.nan, np.inf)),
        *((image, r"^image: must be a") for image in ([[1, 2], [3]], [["a", "b"], ["c", "d"]], None)),
    ],
)
def test_invalid_image_is_refused(image: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=message):
        spectrogram_to_wav(image, tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
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
def test_argument_out_of_range_is_refused(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=f"^{message}"):
        spectrogram_to_wav(np.eye(8), tmp_path / "a.wav", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_numpy_integers_are_accepted_as_arguments(tmp_path: Path) -> None:
    sizes = {"sr": np.int32(8000), "hop_length": np.int64(64), "n_fft": np.uint16(256)}
    info = audio.probe(spectrogram_to_wav(np.eye(8), tmp_path / "a.wav", **sizes))  # type: ignore[arg-type]
    assert (info.sample_rate, info.frames) == (8000, 8 * 64)


def test_spectrogram_must_have_the_shape_of_its_representation(model: SoundGAN, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"image: is of shape \(8, 8\), its representation of "):
        spectrogram_to_wav(np.eye(8), tmp_path / "a.wav", representation=model.representation)


def _mel(frequency: float) -> float:
    return 2595 * np.log10(1 + frequency / 700)
