"""Reading: formats, mix-down, parts and resampling."""

from __future__ import annotations

import subprocess
import sys
import tempfile
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

KINDS = [
    *(("WAV", width) for width in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW")),
    *(("FLAC", width) for width in ("PCM_S8", "PCM_16", "PCM_24")),
    *(("AIFF", width) for width in ("PCM_S8", "PCM_16", "PCM_24")),
    ("OGG", "VORBIS"),
    ("MP3", "MPEG_LAYER_III"),
]


@pytest.mark.parametrize(
    ("container", "subtype", "channels"),
    [(*kind, channels) for kind in KINDS for channels in (1, 2, 6) if channels <= 2 or kind[0] != "MP3"],
)
def test_every_kind_of_file_is_read(tmp_path: Path, container: str, subtype: str, channels: int) -> None:
    path = tmp_path / "a sound"  # without an extension: the content decides
    tone = sine(seconds=0.7)
    soundfile.write(path, np.tile(tone[:, None], channels), RATE, format=container, subtype=subtype)
    assert audio.probe(path) == (RATE, tone.size, channels)
    assert audio.probe(path).seconds == pytest.approx(0.7)
    wave, rate = audio.read(path)
    assert (wave.dtype, wave.shape, rate) == (np.float32, tone.shape, RATE)
    assert pitch(wave, rate) == pytest.approx(440, abs=0.5)
    lossy = subtype in ("PCM_U8", "PCM_S8", "ULAW", "VORBIS", "MPEG_LAYER_III")
    assert difference_db(wave, tone) < (-24 if lossy else -90)


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 300), st.integers(1, 6)), elements=st.floats(-1, 1, width=32)))
def test_mix_down_is_the_mean_of_the_channels(channels: NDArray[np.float32]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "many.wav")
        soundfile.write(path, channels, 8000, subtype="FLOAT")
        assert np.allclose(audio.read(path)[0], channels.mean(axis=1, dtype=np.float64), atol=1e-7)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_part_equals_that_of_the_whole_file(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, noise(2 * RATE), RATE)
    whole, _ = audio.read(tmp_path / name)
    for start, seconds in ((0.0, 0.25), (0.5, 0.25), (1.3, 0.0001), (1.5, None), (1.5, 99.0)):
        first = round(start * RATE)
        end = None if seconds is None else first + round(seconds * RATE)
        part, _ = audio.read(tmp_path / name, start=start, seconds=seconds)
        assert part.shape == whole[first:end].shape and np.allclose(part, whole[first:end], atol=1e-5)


def test_read_decodes_only_the_requested_part(tmp_path: Path) -> None:
    wave = sine(seconds=2.0)
    wave[RATE] = np.nan  # at 1 s
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    for start, seconds in ((0.0, 1.0), (1.1, 0.5)):
        part, _ = audio.read(tmp_path / "a.wav", start=start, seconds=seconds)
        assert np.isfinite(part).all() and part.size == round(seconds * RATE)
    with pytest.raises(AudioError, match="not finite"):
        audio.read(tmp_path / "a.wav", start=0.9, seconds=0.2)


@pytest.mark.parametrize(("start", "seconds"), [(-1, None), (float("nan"), 1), (0, 0), (0, -1), (0, float("nan"))])
def test_invalid_part_is_a_value_error(tmp_path: Path, start: float, seconds: float | None) -> None:
    soundfile.write(tmp_path / "a.wav", sine(), RATE)
    with pytest.raises(ValueError, match=r"^(start|seconds) must be"):
        audio.read(tmp_path / "a.wav", start=start, seconds=seconds)


def test_start_behind_the_end_is_an_audio_error(tmp_path: Path) -> None:
    for name in ("a.wav", "a.mp3"):
        soundfile.write(tmp_path / name, sine(seconds=0.5), RATE)
        with pytest.raises(AudioError, match=r"a\.\w+: ends at 0\.50 s; .* 2\.00 s"):
            audio.read(tmp_path / name, start=2.0)


@pytest.mark.parametrize(
    ("source", "target"), [(44_100, 16_000), (44_100, 8000), (8000, 44_100), (96_000, 22_050), (48_000, 44_100)]
)
def test_resampling_keeps_frequency_level_and_phase_of_a_tone(source: int, target: int) -> None:
    resampled = audio.resample(sine(1234.5, 1.0, source), source, target)
    assert resampled.dtype == np.float32 and resampled.size == target
    assert pitch(resampled, target) == pytest.approx(1234.5, abs=0.05)
    assert audio.rms_db(middle(resampled)) == pytest.approx(audio.rms_db(sine(1234.5, 1.0, source)), abs=0.01)
    assert difference_db(middle(resampled), middle(sine(1234.5, 1.0, target))) < -90  # and its phase


def test_resampling_removes_frequencies_above_nyquist() -> None:
    assert audio.rms_db(middle(audio.resample(sine(10_000, 1.0), RATE, 16_000))) < -100


def test_read_resamples_a_stereo_part(tmp_path: Path) -> None:
    stereo = np.stack([sine(440, 0.5, 96_000), sine(440, 0.5, 96_000)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 96_000, subtype="PCM_24")
    wave, rate = audio.read(tmp_path / "a.wav", 16_000, start=0.1, seconds=0.3)
    assert rate == 16_000 and wave.size == 4800 and pitch(wave, rate) == pytest.approx(440, abs=0.5)


@given(st.integers(1, 3000), st.sampled_from([8000, 16_000, 22_050, 44_100, 48_000]), st.sampled_from([8000, 44_100]))
def test_resampling_keeps_the_duration(samples: int, source: int, target: int) -> None:
    assert abs(audio.resample(np.zeros(samples), source, target).size - samples * target / source) <= 0.5 + 1e-6


def test_resampling_refuses_rates_of_zero_and_below(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", sine(), RATE)
    for source, target in ((0, 8000), (8000, 0), (-1, -1)):
        with pytest.raises(ValueError, match="above 0 Hz"):
            audio.resample(sine(), source, target)
    with pytest.raises(ValueError, match="above 0 Hz"):
        audio.read(tmp_path / "a.wav", 0)


def test_audio_imports_no_heavy_library() -> None:
    code = "import sys; import soundgan.audio; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "soxr" in loaded and not {"torch", "scipy", "onnxruntime", "matplotlib"} & set(loaded)
