"""Tags of sound files."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from recordings import RATE, sine

from soundgan import audio


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
