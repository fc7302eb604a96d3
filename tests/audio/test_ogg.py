"""Ogg pages: the same sound is the same file, and every page holds together."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from soundgan import audio
from soundgan.audio import ogg

RATE = 16_000


def slow_checksum(page: bytes) -> int:
    """As RFC 3533 has it, bit by bit."""
    register = 0
    for byte in page:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1) ^ (0x04C11DB7 if register & 0x80000000 else 0)
        register &= 0xFFFFFFFF
    return register


def encode_noise(seconds: float = 1.0) -> bytes:
    """A file as libsndfile writes it."""
    buffer = io.BytesIO()
    wave = np.random.default_rng(0).normal(0, 0.1, round(RATE * seconds))
    soundfile.write(buffer, wave, RATE, format="OGG", subtype="VORBIS")
    return buffer.getvalue()


def test_checksum_matches_rfc_3533_and_libsndfile() -> None:
    for page in (b"", b"OggS", bytes(range(256)) * 3):
        assert ogg.checksum(page) == slow_checksum(page)
    pages = list(ogg._pages(encode_noise()))
    assert len(pages) > 2
    for page in pages:
        assert int.from_bytes(page[22:26], "little") == ogg.checksum(page[:22] + bytes(4) + page[26:])


def test_ogg_files_of_one_sound_differ_without_stable_serial() -> None:
    first, second = encode_noise(), encode_noise()
    assert first != second, "the serial number is drawn anew; if this ever fails, ogg.py can go"
    stable = ogg.with_stable_serial(first)
    assert stable == ogg.with_stable_serial(second) == ogg.with_stable_serial(stable)
    assert len(stable) == len(first)
    before, after = (soundfile.read(io.BytesIO(file))[0] for file in (first, stable))
    np.testing.assert_array_equal(before, after)
    assert stable[14:18] != ogg.with_stable_serial(encode_noise(0.5))[14:18], (
        "files of different sounds can be joined to one"
    )


def test_every_page_of_a_stable_file_has_a_valid_checksum() -> None:
    for page in ogg._pages(ogg.with_stable_serial(encode_noise())):
        assert int.from_bytes(page[22:26], "little") == slow_checksum(page[:22] + bytes(4) + page[26:])


def test_ogg_encoding_is_reproducible() -> None:
    wave = np.random.default_rng(1).normal(0, 0.1, RATE)
    files = [audio.encode(wave, RATE, "ogg", tags={"title": title}) for title in ("a", "a", "b")]
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("file", [b"RIFF" * 10, b"OggS", encode_noise() + b"more"])
def test_data_other_than_ogg_is_refused(file: bytes) -> None:
    with pytest.raises(ValueError, match="no Ogg page at byte"):
        ogg.with_stable_serial(file)
