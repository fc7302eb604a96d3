"""Ogg files with a serial number that is a checksum of their content, so that the same sound gives the same bytes.

libsndfile draws the serial number at random. Any number is valid: it distinguishes streams joined into one file.
Format: RFC 3533.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_HEAD = 27  # bytes of a page before the table of its segments, whose length is the last of them
_SERIAL, _CHECKSUM = slice(14, 18), slice(22, 26)
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def with_stable_serial(file: bytes) -> bytes:
    """Return an Ogg file of one stream with a checksum as its serial number; raise `ValueError` for other files."""
    pages = [bytearray(page) for page in _pages(file)]
    for page in pages:
        page[_SERIAL] = page[_CHECKSUM] = bytes(4)
    serial = zlib.crc32(b"".join(pages)).to_bytes(4, "little")
    for page in pages:
        page[_SERIAL] = serial
        page[_CHECKSUM] = checksum(page).to_bytes(4, "little")
    return b"".join(pages)


def checksum(page: bytes | bytearray) -> int:
    """Return the CRC-32 of a page whose checksum field is zero.

    Ogg uses the polynomial of zlib with the bits of a byte mirrored and without inversions, so zlib can compute it.
    """
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED), "big")


def _pages(file: bytes) -> Iterator[bytes]:
    first = 0
    while first < len(file):
        head = file[first : first + _HEAD]
        if len(head) < _HEAD or not head.startswith(b"OggS"):
            raise ValueError(f"no Ogg page at byte {first}")
        body = first + _HEAD + head[-1]
        last = body + sum(file[first + _HEAD : body])
        yield file[first:last]
        first = last
