"""Command `models`: bundled models and those of a folder."""

from __future__ import annotations

from pathlib import Path

from commands import assert_one_line_error, invoke, soundgan

from soundgan.model_folder import bundled


def test_models_lists_labels_and_license() -> None:
    output = invoke("models").stdout
    assert "digits" in output and "0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in output and "CC BY-SA 4.0" in output


def test_models_lists_a_folder_and_reports_damaged_models(tmp_path: Path) -> None:
    config = (bundled()["digits"] / "config.json").read_bytes()
    for name in ("intact model", "damaged", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_bytes(config if name != "damaged" else b"{")
    result = soundgan("models", tmp_path, cwd=tmp_path)
    assert_one_line_error(result, "damaged")
    assert "intact model: 1.02 s" in result.stdout and "other: 1.02 s" in result.stdout
    assert result.stderr.startswith("soundgan: ")
    result = soundgan("models", tmp_path / "other", cwd=tmp_path)
    assert result.returncode == 0 and result.stdout.startswith("other: 1.02 s") and result.stderr == ""
