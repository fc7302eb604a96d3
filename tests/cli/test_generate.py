"""Command `generate`: names, formats, quality and devices."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from commands import assert_one_line_error, invoke, soundgan
from model_folders import edit_config, read_config

from soundgan import audio
from soundgan.model_folder import bundled
from soundgan.spectral.phase_retrieval import QUALITIES


def test_generate_names_files_by_label_and_seed_reproducibly(tmp_path: Path) -> None:
    options = ["generate", "digits", "-n", "3", "--seed", "7", "--label", "3", "--picture"]
    for folder in ("a", "b"):
        result = soundgan(*options, "-o", folder, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        names = [f"3_{seed}.{suffix}" for seed in (7, 8, 9) for suffix in ("wav", "png")]
        assert result.stdout.splitlines() == [f"{folder}/{name}" for name in names]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(names)
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    alone = soundgan("generate", "-n", "1", "--seed", "8", "--label", "3", "-o", "c", cwd=tmp_path)
    assert alone.returncode == 0
    assert (tmp_path / "c" / "3_8.wav").read_bytes() == (tmp_path / "a" / "3_8.wav").read_bytes()


def test_generate_quality_changes_the_sound_and_is_tagged(tmp_path: Path) -> None:
    files = set()
    for quality in QUALITIES:
        result = soundgan("generate", "-n", "1", "--seed", "8", "--quality", quality, "-o", quality, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        (path,) = (tmp_path / quality).iterdir()
        assert audio.read_tags(path)["comment"].endswith(f"quality={quality} level=recorded")
        files.add(path.read_bytes())
    assert len(files) == 3
    refused = soundgan("generate", "--quality", "perfect", cwd=tmp_path)
    assert refused.returncode == 2 and "fast" in refused.stderr


def test_generate_sets_level_and_length(tmp_path: Path) -> None:
    options = ["generate", "-n", "2", "--seed", "8", "--label", "3"]
    for folder, *more in (["trimmed"], ["kept", "--keep-length"], ["peak", "--level", "peak"]):
        assert invoke(*options, *more, "-o", tmp_path / folder).exit_code == 0
    waves = {
        folder: [audio.read(tmp_path / folder / f"3_{seed}.wav")[0] for seed in (8, 9)]
        for folder in ("trimmed", "kept", "peak")
    }
    assert [wave.size for wave in waves["kept"]] == [8192, 8192]
    assert all(wave.size < 8192 for wave in waves["trimmed"]) and len({wave.size for wave in waves["trimmed"]}) == 2
    assert [audio.peak_db(wave) for wave in waves["peak"]] == pytest.approx([-1, -1], abs=0.01)
    refused = invoke(*options, "--level", "loud", "-o", tmp_path)
    assert refused.exit_code == 2 and "loudness" in refused.output


def test_generate_replaces_the_same_sound_only(tmp_path: Path) -> None:
    options = ["generate", "-n", "1", "--seed", "8", "--label", "3", "--format", "ogg", "-o", tmp_path]
    for _ in range(2):
        assert invoke(*options).exit_code == 0
    before = (tmp_path / "3_8.ogg").read_bytes()
    result = invoke(*options, "--truncation", "0.5")
    assert result.exit_code != 0 and "3_8.ogg: already exists with other tags" in str(result.exception)
    assert (tmp_path / "3_8.ogg").read_bytes() == before


def test_generate_refuses_labels_that_leave_the_output_folder(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shutil.copytree(bundled()["digits"], shared)
    labels = read_config(shared)["labels"]
    edit_config(shared, labels=[*labels[:3], "../../escaped", *labels[4:]])
    result = soundgan("generate", shared, "-n", "20", "-o", tmp_path / "deep" / "sounds", cwd=tmp_path)
    assert_one_line_error(result, "labels.3 = '../../escaped'", "config.json")
    assert not list(tmp_path.rglob("*.wav"))


def test_generate_falls_back_from_a_missing_device(tmp_path: Path) -> None:
    for device in ("cpu", "cuda:0"):
        result = invoke("generate", "-n", "1", "--seed", "5", "--device", device, "-o", tmp_path / device[:4])
        assert result.exit_code == 0 and len(list((tmp_path / device[:4]).glob("*_5.wav"))) == 1
