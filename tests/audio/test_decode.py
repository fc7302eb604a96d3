"""Decoding of unreadable, truncated and oddly named files."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from recordings import RATE, noise, sine

from soundgan import audio
from soundgan.errors import AudioError


@pytest.mark.parametrize(
    "name",
    [
        "with spaces.wav",
        "quo'te\".wav",
        "emoji 🥁 日本.wav",
        "new\nline.wav",
        "-n.wav",
        "%s {0}.wav",
        "x" * 250,
    ],
)
def test_file_of_any_name_is_read_and_reported_on_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        soundfile.write(file, sine(), RATE, format="WAV")
    assert audio.read(path)[0].size == sine().size == audio.read(str(path))[0].size
    path.write_text("no sound")
    with pytest.raises(AudioError) as caught:
        audio.read(path)
    assert "\n" not in str(caught.value) and name.split("\n")[-1] in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name is Unicode")
def test_file_name_in_another_encoding_is_read_and_written(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    audio.write(path, sine(), RATE, tags={"title": path.stem})
    assert audio.read(path)[0].size == sine().size
    path.write_text("no sound")
    with pytest.raises(AudioError) as caught:
        audio.read(path)
    assert "caf" in str(caught.value).encode().decode()


# Unreadable files


def wav(path: Path, wave: NDArray[np.float32] | None = None, **patches: tuple[int, str, int]) -> None:
    """Write a 16-bit WAV whose header is patched by (offset, struct format, value)."""
    buffer = io.BytesIO()
    soundfile.write(buffer, sine() if wave is None else wave, RATE, format="WAV", subtype="PCM_16")
    data = bytearray(buffer.getvalue())
    for offset, form, value in patches.values():
        struct.pack_into(form, data, offset, value)
    path.write_bytes(data)


def float_wav(path: Path, value: float) -> None:
    wave = np.full(2000, 0.1)
    wave[1500] = value
    soundfile.write(path, wave, 8000, subtype="DOUBLE", format="WAV")


def truncated_flac(path: Path, kept: float) -> None:
    soundfile.write(path, noise(RATE), RATE, format="FLAC")
    data = path.read_bytes()
    path.write_bytes(data[: round(kept * len(data))])


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "No such file"),
    "in a missing folder": (lambda path: path.parent.rmdir(), "No such file"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "pipe": (lambda path: os.mkfifo(path), "not a regular file"),
    "link to itself": (lambda path: path.symlink_to(path), "symbolic links"),
    "empty": (lambda path: path.touch(), r"empty \(0 bytes\)"),
    "text": (lambda path: path.write_text("not a sound at all " * 100), "not a sound file"),
    "random bytes": (lambda path: path.write_bytes(np.random.default_rng(1).bytes(5000)), "not a sound file"),
    "header cut": (lambda path: (wav(path), os.truncate(path, 30)), "not a sound file"),
    "header only": (lambda path: (wav(path), os.truncate(path, 44)), "zero length"),
    "no samples": (lambda path: wav(path, np.zeros(0, np.float32)), "zero length"),
    "0 Hz": (lambda path: wav(path, rate=(24, "<I", 0)), "not a sound file"),
    "3 Hz": (lambda path: wav(path, rate=(24, "<I", 3)), "3 Hz"),
    "4 GHz": (lambda path: wav(path, rate=(24, "<I", 2**31 - 1)), "2147483647 Hz"),
    "60,000 channels": (lambda path: wav(path, channels=(22, "<H", 60_000)), "not a sound file"),
    "NaN": (lambda path: float_wav(path, float("nan")), "not finite"),
    "infinity": (lambda path: float_wav(path, float("-inf")), "not finite"),
    "beyond float32": (lambda path: float_wav(path, 1e300), "not finite"),
    "FLAC cut early": (lambda path: truncated_flac(path, 0.3), "cut short at 0.* of 1.00 s"),
    "FLAC cut in its first block": (lambda path: truncated_flac(path, 0.01), "cut short at 0.00 s"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_unreadable_file_error_names_file_and_way_out(tmp_path: Path, kind: str) -> None:
    create, message = HOSTILE[kind]
    path = tmp_path / "folder" / "bad.wav"
    path.parent.mkdir()
    create(path)
    with pytest.raises(AudioError, match=message) as caught:
        audio.read(path, 16_000)
    name, remedy = str(caught.value).split("bad.wav: ")
    assert name == f"{path.parent}{os.sep}" and "; " in remedy and "\n" not in remedy


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind not in ("NaN", "infinity", "beyond float32")])
def test_probe_refuses_invalid_headers(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "folder" / "bad.wav"
    path.parent.mkdir()
    HOSTILE[kind][0](path)
    if kind.startswith("FLAC cut"):
        assert audio.probe(path).frames == RATE  # the header alone cannot know
    else:
        with pytest.raises(AudioError, match=r"bad\.wav: "):
            audio.probe(path)


def test_samples_without_a_header_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(noise(1000).tobytes())
    with pytest.raises(AudioError, match=r"a\.raw: not a sound file"):
        audio.read(tmp_path / "a.raw")


def test_impossible_name_is_an_audio_error() -> None:
    with pytest.raises(AudioError, match="null byte"):
        audio.read("a\0.wav")
    with pytest.raises(AudioError, match="null byte"):
        audio.write("a\0.wav", sine(), RATE)


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Drop the privileges of root, whom permissions do not bind."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions are another matter here")
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(65534)
    except OSError:
        pytest.skip("cannot give up the privileges of root")
    try:
        yield
    finally:
        os.seteuid(0)


def test_missing_permission_is_an_audio_error() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = audio.write(Path(folder, "secret.wav"), sine(), RATE)
        path.chmod(0)
        Path(folder).chmod(0o555)
        with without_privileges():
            with pytest.raises(AudioError, match=r"secret\.wav: cannot be opened \(Permission denied\); check"):
                audio.read(path)
            with pytest.raises(AudioError, match=r"other\.wav: cannot be written \(Permission denied\); check"):
                audio.write(Path(folder, "other.wav"), sine(), RATE)
        Path(folder).chmod(0o755)
        assert os.listdir(folder) == ["secret.wav"]


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_samples_whose_power_would_overflow_are_refused(rate: int, tmp_path: Path) -> None:
    square = np.where(np.arange(2000) // 50 % 2, 1.0, -1.0)  # it overshoots when it is resampled
    soundfile.write(tmp_path / "integers.wav", square * 2**31, 8000, subtype="FLOAT")
    assert np.isfinite(audio.read(tmp_path / "integers.wav", rate)[0]).all()
    soundfile.write(tmp_path / "a.wav", square * 3.4e38, 8000, subtype="FLOAT")
    with pytest.raises(AudioError, match="too large"):
        audio.read(tmp_path / "a.wav", rate)


def test_sound_too_short_for_resampling_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sine()[1:2], RATE)
    assert audio.read(tmp_path / "a.wav")[0].size == 1
    with pytest.raises(AudioError, match="too short"):
        audio.read(tmp_path / "a.wav", 8000)


# Truncated files and wrong headers


@pytest.mark.parametrize("suffix", [".wav", ".aiff", ".ogg"])
def test_truncated_sound_is_a_shorter_sound(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, noise(8 * RATE), RATE)
    whole, _ = audio.read(path)
    os.truncate(path, path.stat().st_size * 2 // 3)
    rest, _ = audio.read(path)
    assert rest.size == audio.probe(path).frames == pytest.approx(whole.size * 2 / 3, rel=0.1)
    assert np.array_equal(rest[: -RATE // 10], whole[: rest.size - RATE // 10])


@pytest.mark.parametrize("how", ["cut", "damaged"])
def test_flac_truncated_late_is_read_up_to_there_with_a_warning(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.flac"
    wave = noise(2 * RATE)
    audio.write(path, wave, RATE)
    data = bytearray(path.read_bytes())
    cut_at = len(data) * 3 // 4
    path.write_bytes(data[:cut_at] if how == "cut" else data[:cut_at] + bytes(200) + data[cut_at + 200 :])
    with pytest.warns(audio.TruncatedWarning, match=r"a\.flac: damaged or cut short at 1\.\d\d s of 2\.00 s"):
        rest, _ = audio.read(path)
    assert 0.7 * wave.size < rest.size < 0.76 * wave.size and np.allclose(rest, wave[: rest.size], atol=2**-15)
    sound, _ = audio.read(path, seconds=1.0)  # warnings are errors: this part is whole
    assert sound.size == RATE
    if how == "cut":
        with pytest.raises(AudioError, match="damaged or cut short"):
            audio.read(path, start=1.8)


def test_streamed_wav_is_read_to_its_end(tmp_path: Path) -> None:
    wav(tmp_path / "a.wav", riff=(4, "<I", 2**32 - 1), data=(40, "<I", 2**32 - 1))
    assert audio.probe(tmp_path / "a.wav").frames == audio.read(tmp_path / "a.wav")[0].size == sine().size


def test_flac_without_length_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    audio.write(path, noise(RATE), RATE)
    whole, _ = audio.read(path)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the number of samples, 36 bits in STREAMINFO: 0 is "unknown"
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert audio.probe(path) == (RATE, RATE, 1)
    assert np.array_equal(audio.read(path)[0], whole)
    assert np.array_equal(audio.read(path, start=0.5, seconds=0.1)[0], whole[RATE // 2 :][: RATE // 10])
    with pytest.raises(AudioError, match=r"ends at 1\.00 s"):
        audio.read(path, start=1.5)
    path.write_bytes(data[: len(data) * 3 // 4])
    with pytest.warns(audio.TruncatedWarning, match=r"cut short at 0\.7\d s; the sound before"):
        rest, _ = audio.read(path)
    assert np.array_equal(rest, whole[: rest.size])


def first_mp3_frame_bytes(data: bytes) -> int:
    """Length in bytes of the first frame (MPEG-1 layer III), which holds only the length of the sound."""
    bit_rate = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[(data[2] >> 4) - 1]
    return 144_000 * bit_rate // RATE + (data[2] >> 1 & 1)


@pytest.mark.parametrize("id3", [b"", b"ID3\x04\0\0\0\0\x60\0" + bytes(0x60 * 128)])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_without_length_is_read_to_its_end(
    tmp_path: Path, mode: str, id3: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    buffer = io.BytesIO()
    sound = np.concatenate([sine(seconds=1.0), noise(RATE), sine(seconds=1.0)])
    soundfile.write(buffer, sound, RATE, format="MP3", bitrate_mode=mode, compression_level=0.5)
    data = buffer.getvalue()
    (tmp_path / "known.mp3").write_bytes(id3 + data)
    assert audio.probe(tmp_path / "known.mp3").frames == audio.read(tmp_path / "known.mp3")[0].size == sound.size
    assert capfd.readouterr().err == ""  # of a file that claims a false length, the decoder complains on its own
    path = tmp_path / "guessed.mp3"
    path.write_bytes(id3 + data[first_mp3_frame_bytes(data) :])
    whole, rate = audio.read(path)
    # With the tag went how much silence the coder put around the sound: a few frames of 1152 samples.
    assert audio.probe(path).frames == whole.size and sound.size <= whole.size < sound.size + 3 * 1152
    for half_second in (whole[: rate // 2], whole[-rate // 2 :]):
        assert np.argmax(np.abs(np.fft.rfft(half_second))) == 220  # 440 Hz, in steps of 2 Hz
    part, _ = audio.read(path, start=1.0, seconds=0.5)
    assert np.allclose(part, whole[RATE : RATE + RATE // 2], atol=1e-5)
