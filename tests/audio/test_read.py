"""Reading, resampling and levels: decoded sounds match the encoded ones, and obey physics."""

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
def test_the_mix_down_is_the_mean_of_the_channels(channels: NDArray[np.float32]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "many.wav")
        soundfile.write(path, channels, 8000, subtype="FLOAT")
        assert np.allclose(audio.read(path)[0], channels.mean(axis=1, dtype=np.float64), atol=1e-7)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_a_part_is_a_part_of_the_whole(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, noise(2 * RATE), RATE)
    whole, _ = audio.read(tmp_path / name)
    for start, seconds in ((0.0, 0.25), (0.5, 0.25), (1.3, 0.0001), (1.5, None), (1.5, 99.0)):
        first = round(start * RATE)
        end = None if seconds is None else first + round(seconds * RATE)
        part, _ = audio.read(tmp_path / name, start=start, seconds=seconds)
        assert part.shape == whole[first:end].shape and np.allclose(part, whole[first:end], atol=1e-5)


def test_only_the_part_asked_for_is_decoded(tmp_path: Path) -> None:
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


# Resampling


@pytest.mark.parametrize(
    ("source", "target"), [(44_100, 16_000), (44_100, 8000), (8000, 44_100), (96_000, 22_050), (48_000, 44_100)]
)
def test_a_tone_keeps_its_frequency_and_level_through_resampling(source: int, target: int) -> None:
    there = audio.resample(sine(1234.5, 1.0, source), source, target)
    assert there.dtype == np.float32 and there.size == target
    assert pitch(there, target) == pytest.approx(1234.5, abs=0.05)
    assert audio.rms_db(middle(there)) == pytest.approx(audio.rms_db(sine(1234.5, 1.0, source)), abs=0.01)
    assert difference_db(middle(there), middle(sine(1234.5, 1.0, target))) < -90  # and its phase


def test_resampling_removes_frequencies_above_nyquist() -> None:
    assert audio.rms_db(middle(audio.resample(sine(10_000, 1.0), RATE, 16_000))) < -100


def test_reading_resamples(tmp_path: Path) -> None:
    stereo = np.stack([sine(440, 0.5, 96_000), sine(440, 0.5, 96_000)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 96_000, subtype="PCM_24")
    wave, rate = audio.read(tmp_path / "a.wav", 16_000, start=0.1, seconds=0.3)
    assert rate == 16_000 and wave.size == 4800 and pitch(wave, rate) == pytest.approx(440, abs=0.5)


@given(st.integers(1, 3000), st.sampled_from([8000, 16_000, 22_050, 44_100, 48_000]), st.sampled_from([8000, 44_100]))
def test_resampling_keeps_the_duration(samples: int, source: int, target: int) -> None:
    assert abs(audio.resample(np.zeros(samples), source, target).size - samples * target / source) <= 0.5 + 1e-6


def test_resampling_wants_rates_above_zero(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", sine(), RATE)
    for source, target in ((0, 8000), (8000, 0), (-1, -1)):
        with pytest.raises(ValueError, match="above 0 Hz"):
            audio.resample(sine(), source, target)
    with pytest.raises(ValueError, match="above 0 Hz"):
        audio.read(tmp_path / "a.wav", 0)


# Levels

WAVES = hnp.arrays(np.float32, st.integers(1, 400), elements=st.floats(-4, 4, width=32))
TARGETS = st.floats(-60, 0)


def test_peak_and_rms_levels_match_their_definitions() -> None:
    full = sine(441, 1.0, amplitude=1.0)
    assert audio.peak_db(full) == pytest.approx(0, abs=0.01) and audio.rms_db(full) == pytest.approx(-3.0103, abs=1e-3)
    assert audio.peak_db(np.sign(full + 1e-9)) == audio.rms_db(np.sign(full + 1e-9)) == 0
    assert audio.peak_db(0.5 * full) == pytest.approx(-6.0206, abs=0.01)
    for silence in (np.zeros(10), np.zeros(0)):
        assert audio.peak_db(silence) == audio.rms_db(silence) == -np.inf


@given(WAVES, TARGETS)
def test_peak_leveling_sets_the_peak_and_nothing_else(wave: NDArray[np.float32], target: float) -> None:
    out = audio.level(wave, "peak", target)
    assert out.dtype == np.float32 and out.shape == wave.shape
    if not wave.any():
        assert not out.any()
        return
    assert audio.peak_db(out) == pytest.approx(target, abs=1e-4)
    # The same shape: sample for sample one gain, and the sign stays.
    unit, unit_out = wave / np.float64(np.abs(wave).max()), out / np.float64(np.abs(out).max())
    assert np.allclose(unit, unit_out, atol=1e-6)


@given(WAVES, TARGETS)
def test_rms_leveling_sets_the_rms_or_stops_at_full_scale(wave: NDArray[np.float32], target: float) -> None:
    out = audio.level(wave, "rms", target)
    if not wave.any():
        assert not out.any()
        return
    assert np.abs(out).max() <= 1
    reached = audio.rms_db(out) == pytest.approx(target, abs=1e-4)
    stopped = audio.peak_db(out) == pytest.approx(0, abs=1e-4) and audio.rms_db(out) < target
    assert reached or stopped
    assert np.allclose(wave / np.float64(np.abs(wave).max()), out / np.float64(np.abs(out).max()), atol=1e-6)


def test_rms_leveling_equalizes_sounds_except_clicks() -> None:
    soft, loud = audio.level(sine(amplitude=0.01), "rms", -20), audio.level(sine(amplitude=0.9), "rms", -20)
    assert np.allclose(soft, loud, atol=1e-6) and audio.rms_db(soft) == pytest.approx(-20, abs=1e-4)
    click = np.zeros(10_000)
    click[5] = 0.1
    assert audio.rms_db(audio.level(click, "rms", -20)) == pytest.approx(-40) and audio.level(click, "rms", -20)[5] == 1


@given(WAVES)
def test_no_leveling_changes_nothing(wave: NDArray[np.float32]) -> None:
    assert np.array_equal(audio.level(wave, "none"), wave)


@pytest.mark.parametrize("scale", [1e-45, 1e-30, 1.0, 3e38])
def test_leveling_reaches_from_the_softest_to_the_loudest(scale: float) -> None:
    wave = np.array([0, scale, -scale], dtype=np.float32)
    for method in ("peak", "rms"):
        assert audio.level(wave, method, 0) == pytest.approx([0, 1, -1])


def test_leveling_refuses_other_methods_and_targets_above_full_scale() -> None:
    with pytest.raises(ValueError, match="'peak', 'rms' or 'none', not 'loud'"):
        audio.level(sine(), "loud")  # pyright: ignore[reportArgumentType]
    for target in (0.1, float("nan"), float("-inf")):
        with pytest.raises(ValueError, match="at most 0 dBFS"):
            audio.level(sine(), "peak", target)


def test_audio_imports_no_heavy_library() -> None:
    code = "import sys; import soundgan.audio; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "soxr" in loaded and not {"torch", "scipy", "onnxruntime", "matplotlib"} & set(loaded)
