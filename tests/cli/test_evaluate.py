"""Command `evaluate`: table, report and metrics of models and folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import invoke
from toy_sounds import fill


@pytest.fixture(scope="module")
def real_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("real"), n=20, seed=0)


def test_evaluate_prints_a_table_and_writes_report_and_metrics(real_folder: Path, tmp_path: Path) -> None:
    html, metrics = tmp_path / "new" / "report.html", tmp_path / "metrics.json"
    result = invoke(
        "evaluate", "digits", real_folder / "7", "-n", "4", "--quality", "fast", "--quick", "--seed", "3",
        "--html", html, "--json", metrics, COLUMNS="120",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "4 generated" in result.stdout and "5 real, unseen" in result.stdout and "Coverage" in result.stdout
    values = json.loads(metrics.read_text())
    assert values["conditions"]["seed"] == 3
    assert result.stdout.startswith(values["verdict"]["headline"])
    assert values["descriptors"][""]["length"]["real"] > 0
    report = html.read_text()
    assert report.startswith("<!doctype html>") and values["verdict"]["headline"] in report


@pytest.mark.parametrize("terminal", [True, False])
def test_evaluate_accepts_folders_and_omits_intervals_in_narrow_terminals(
    terminal: bool, real_folder: Path, tmp_path: Path
) -> None:
    generated = fill(tmp_path, n=6, seed=9, suffix=".wav", labels="7") / "7"
    result = invoke("evaluate", generated, real_folder / "7", COLUMNS="60", FORCE_COLOR="1" if terminal else "")
    assert result.exit_code == 0, result.output
    assert ("A wider terminal" in result.stdout) == terminal  # files have no width
    assert ("95 %" in result.stdout) != terminal
    assert "--classifier" not in result.stdout, "there are no labels"
    text = " ".join(result.stdout.split())
    assert "only 10 held-out real sounds" in text and "may have been trained on held-out sounds" in text
    assert "6 generated" in result.stdout and "10 real, perhaps seen" in result.stdout


def test_evaluate_refuses_options_of_models_for_a_folder_of_sounds(real_folder: Path) -> None:
    for options in (["--quick"], ["--number", "4", "--quick"]):
        result = invoke("evaluate", real_folder / "3", real_folder / "7", *options)
        assert result.exit_code != 0
        named = " and ".join(option for option in options if option != "4")
        assert str(result.exception).endswith(f"contains sounds, not a model: leave out {named}, only for models")
