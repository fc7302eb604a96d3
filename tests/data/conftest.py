"""Folders of tones, with and without labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from sound_folders import tone, write_sound


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Nine different tones of 0.3 s, unlabeled."""
    for k in range(9):
        write_sound(tmp_path / "flat" / f"{k}.wav", tone(200 + 50 * k))
    return tmp_path / "flat"


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    """Four kicks and five snares, some of them in a deeper folder."""
    for k in range(4):
        write_sound(tmp_path / "drums" / "kick" / f"{k}.wav", tone(200 + 50 * k))
    for k in range(5):
        write_sound(tmp_path / "drums" / "snare" / ("1 deep/er" if k % 2 else "") / f"{k}.flac", tone(1000 + 50 * k))
    return tmp_path / "drums"
