"""Writing: accuracy, full scale, tags, refusals, and failures that keep the older file."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from recordings import RATE, difference_db, middle, noise, pitch, sine

from soundgan import audio
from soundgan.errors import AudioError


@pytest.mark.parametrize(
    ("name", "subtype", "error_db"),
    [
        ("a.wav", "PCM_16", -101.0),  # uniform rounding: 2^-15 / √12 is -101.1 dBFS
        ("a.wav", "PCM_24", -148.0),  # 2^-23 / √12 is -149.3 dBFS, but many a float32 lies between two steps
        ("a.wav", "FLOAT", -np.inf),
        ("a.flac", "PCM_16", -101.0),
        ("a.flac", "PCM_24", -148.0),
        ("A.WAV", "PCM_16", -101.0),
    ],
)
def test_written_wave_is_read_back(tmp_path: Path, name: str, subtype: audio.Subtype, error_db: float) -> None:
    wave = noise(RATE, 0.9)
    path = audio.write(str(tmp_path / name), wave, RATE, subtype=subtype)
    assert path == tmp_path / name and soundfile.info(path).subtype == subtype
    back, rate = audio.read(path)
    assert rate == RATE and back.shape == wave.shape
    assert difference_db(back, wave) <= error_db
    step = {"PCM_16": 2**-15, "PCM_24": 2**-23, "FLOAT": 0}[subtype]
    assert np.abs(back.astype(np.float64) - wave).max() <= step / 2
    assert abs(np.mean(back.astype(np.float64) - wave)) <= step / 50  # no direct current from rounding one way


def test_written_ogg_is_read_back_approximately(tmp_path: Path) -> None:
    tone = sine(seconds=1.0)
    back, rate = audio.read(audio.write(tmp_path / "a.ogg", tone, RATE, subtype="PCM_24"))
    assert soundfile.info(tmp_path / "a.ogg").subtype == "VORBIS"
    assert back.size == tone.size and pitch(back, rate) == pytest.approx(440, abs=0.1)
    assert difference_db(middle(back), middle(tone)) < -40


@pytest.mark.parametrize(("name", "subtype"), [("a.wav", "PCM_16"), ("a.wav", "PCM_24"), ("a.flac", "PCM_16")])
def test_full_scale_is_kept_without_warning(tmp_path: Path, name: str, subtype: audio.Subtype) -> None:
    wave = np.array([1, -1, 0.5, -0.5, 0], dtype=np.float32)
    assert np.allclose(audio.read(audio.write(tmp_path / name, wave, 8000, subtype=subtype))[0], wave, atol=2**-15)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.wav", "PCM_16"), ("a.wav", "PCM_24"), ("a.flac", "PCM_16"), ("a.flac", "PCM_24"), ("a.ogg", "PCM_16")],
)
def test_wave_above_full_scale_is_attenuated_with_a_warning(tmp_path: Path, name: str, subtype: audio.Subtype) -> None:
    loud = sine(seconds=1.0, amplitude=2.0)
    before = loud.copy()
    with pytest.warns(audio.ClippingWarning, match=rf"{name}: 6\.02 dB above full scale; attenuated"):
        path = audio.write(tmp_path / name, loud, RATE, subtype=subtype)
    assert np.array_equal(loud, before)
    back, _ = audio.read(path)
    # Clipping would leave a square-ish wave at the same level; scaling leaves the sine at half its size.
    assert difference_db(back, loud / 2) < (-30 if name == "a.ogg" else -90)
    assert audio.rms_db(back) == pytest.approx(-3.01, abs=0.1)


def test_float_file_keeps_samples_above_full_scale(tmp_path: Path) -> None:
    loud = sine(amplitude=2.0)
    assert np.array_equal(audio.read(audio.write(tmp_path / "a.wav", loud, RATE, subtype="FLOAT"))[0], loud)


@given(hnp.arrays(np.float32, st.integers(1, 200), elements=st.floats(-100, 100, width=32)))
def test_writing_never_clips(wave: NDArray[np.float32]) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        back, _ = audio.read(audio.write(Path(folder, "a.wav"), wave, 8000))
    peak = max(1.0, float(np.abs(wave).max()))
    assert np.abs(back - wave / np.float64(peak)).max() <= 2**-15
    assert [item.category for item in caught] == ([audio.ClippingWarning] if peak > 1 else [])


@pytest.mark.parametrize(
    ("name", "keywords", "message"),
    [
        ("a.mp3", {}, r"a\.mp3: cannot write \.mp3; use \.wav, \.flac, \.ogg"),
        ("a", {}, r"a: cannot write a file without a suffix; use \.wav"),
        (".wav", {}, "without a suffix"),
        ("a.flac", {"subtype": "FLOAT"}, r"a\.flac: FLAC cannot hold FLOAT samples; use PCM_24"),
        ("a.wav", {"subtype": "PCM_8"}, "unknown subtype 'PCM_8'; use PCM_16, PCM_24, FLOAT"),
        ("a.wav", {"sample_rate": 0}, r"a\.wav: cannot write a sample rate of 0 Hz; use 1000 to 192000"),
        ("a.ogg", {"sample_rate": 200_001}, "200001 Hz"),
        ("a.wav", {"sample_rate": 8000.5}, r"8000\.5 Hz"),
        ("a.wav", {"wave": np.zeros(0)}, r"a\.wav: cannot write a wave of shape \(0,\)"),
        ("a.wav", {"wave": np.zeros((2, 100))}, r"shape \(2, 100\); use \(samples,\)"),
        ("a.wav", {"wave": [0.0, float("nan")]}, r"a\.wav: the wave has samples that are not finite"),
        ("a.ogg", {"wave": [0.0, float("inf")]}, "not finite"),
        ("a.wav", {"tags": {"genre": "noise"}}, r"a\.wav: unknown tag 'genre'; use title, comment"),
        ("a.wav", {"tags": {"comment": "é" * 1001}}, r"a\.wav: tag 'comment' is over 2000 bytes"),
        ("a.wav", {"tags": {"software": "s" * 101}}, r"tag 'software' is over 100 bytes"),
        ("a.wav", {"tags": {"title": "a\0b"}}, r"zero character; shorten"),
        ("missing/a.wav", {}, r"a\.wav: cannot be written \(No such file or directory\); check that its folder exists"),
        ("older.flac/a.wav", {}, r"a\.wav: cannot be written \(Not a directory\)"),
    ],
)
def test_invalid_write_raises_and_leaves_no_file(tmp_path: Path, name: str, keywords: dict, message: str) -> None:
    (tmp_path / "older.flac").write_bytes(b"older")
    with pytest.raises(AudioError, match=message):
        audio.write(tmp_path / name, **{"wave": sine(), "sample_rate": RATE, **keywords})
    assert os.listdir(tmp_path) == ["older.flac"]


def full_disk(path: Path, data: bytes) -> int:
    with path.open("wb") as file:
        file.write(data[: len(data) // 2])
    raise OSError(28, "No space left on device")


def refuse(source: object, target: object) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize(
    ("where", "what", "trouble", "message"),
    [(Path, "write_bytes", full_disk, "No space left"), (os, "replace", refuse, "Permission denied")],
)
def test_failed_write_keeps_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: object, what: str, trouble: object, message: str
) -> None:
    path = audio.write(tmp_path / "a.wav", sine(220), RATE)
    older = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(where, what, trouble)
        with pytest.raises(AudioError, match=rf"a\.wav: cannot be written \({message}"):
            audio.write(path, sine(880), RATE)
    assert os.listdir(tmp_path) == ["a.wav"] and path.read_bytes() == older
    audio.write(path, sine(880), RATE)
    assert os.listdir(tmp_path) == ["a.wav"] and pitch(audio.read(path)[0], RATE) == pytest.approx(880, abs=1)


def test_write_keeps_a_folder_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "a.wav").mkdir()
    with pytest.raises(AudioError, match=r"a\.wav: cannot be written \(Is a directory\)"):
        audio.write(tmp_path / "a.wav", sine(), RATE)
    assert os.listdir(tmp_path) == ["a.wav"] and (tmp_path / "a.wav").is_dir()


def test_long_ogg_is_encoded(tmp_path: Path) -> None:
    # Given as one block, from about 2 million samples on, libvorbis overruns its stack: a process of its own may fall.
    code = "import sys, numpy; from soundgan import audio; audio.write(sys.argv[1], numpy.zeros(3_000_000), 44_100)"
    subprocess.run([sys.executable, "-c", code, tmp_path / "long.ogg"], check=True, timeout=60)
    assert audio.probe(tmp_path / "long.ogg").frames == 3_000_000


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_tags_are_read_back(tmp_path: Path, suffix: str) -> None:
    tags = {
        "title": "Fünf 🥁",
        "comment": '{"seed": 7, "label": "five"}' + "c" * 1900,
        "software": "SoundGAN 1.0",
        "artist": "é" * 1000,
        "copyright": "CC BY-SA 4.0",
    }
    with soundfile.SoundFile(audio.write(tmp_path / f"a{suffix}", sine(), RATE, tags=tags)) as file:
        back = file.copy_metadata()
    assert back.pop("software").startswith(tags.pop("software")) and back == tags
    assert audio.read(tmp_path / f"a{suffix}")[0].size == sine().size


def test_empty_tag_is_omitted(tmp_path: Path) -> None:
    with soundfile.SoundFile(audio.write(tmp_path / "a.wav", sine(), RATE, tags={"title": "", "artist": "A"})) as file:
        assert file.copy_metadata() == {"artist": "A"}
