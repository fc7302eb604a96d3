"""Text tags of sound files."""

from __future__ import annotations

import os
from collections.abc import Mapping

from soundgan.audio.decode import open_audio
from soundgan.errors import AudioError

# Maximum length in bytes: a longer text would hide the other tags of a WAV file, and a longer software be cut off.
TAGS = {"title": 2_000, "comment": 2_000, "software": 100, "artist": 2_000, "copyright": 2_000}


def read_tags(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the tags of a sound file that `write` can set and that are not empty.

    Raises:
        AudioError: as `probe`.
    """
    with open_audio(path) as source:
        texts = {tag: getattr(source.stream, tag) for tag in TAGS}
    return {tag: text for tag, text in texts.items() if text}


def check_tags(tags: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the tags that are not empty, encodable as UTF-8; `name` is the file in error messages.

    Raises:
        AudioError: a tag is unknown, too long, or has a zero character.
    """
    # A label from a folder whose name is not UTF-8 has characters that no tag can hold: they become question marks.
    texts = {tag: text.encode(errors="replace").decode() for tag, text in tags.items()}
    for tag, text in texts.items():
        if tag not in TAGS:
            raise AudioError(f"{name}: unknown tag {tag!r}; use {', '.join(TAGS)}")
        if len(text.encode()) > TAGS[tag] or "\0" in text:
            raise AudioError(f"{name}: tag {tag!r} is over {TAGS[tag]} bytes or has a zero character; shorten it")
    return {tag: text for tag, text in texts.items() if text}
