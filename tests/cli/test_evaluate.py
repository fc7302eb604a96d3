from __future__ import annotations

import json
from pathlib import Path

import pytest
from toy_sounds import fill
from typer.testing import CliRunner

from soundgan.cli.app import app


@pytest.fixture(scope="module")
def real_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("real"), n=20, seed=0)


def test_evaluate_prints_a_table_and_writes_report_and_metrics(real_folder: Path, tmp_path: Path) -> None:
    html, metrics = tmp_path / "new" / "report.html", tmp_path / "metrics.json"
    done = CliRunner().invoke(
        app,
        [
            *("evaluate", "digits", str(real_folder / "7"), "-n", "4", "--quality", "fast", "--quick", "--seed", "3"),
            *("--html", str(html), "--json", str(metrics)),
        ],
        env={"COLUMNS": "120"},
    )
    assert done.exit_code == 0, done.output
    assert "4 generated" in done.stdout and "5 real, unseen" in done.stdout and "Coverage" in done.stdout
    assert json.loads(metrics.read_text())["conditions"]["seed"] == 3
    assert html.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("terminal", [True, False])
def test_evaluate_accepts_folders_and_omits_intervals_in_narrow_terminals(
    terminal: bool, real_folder: Path, tmp_path: Path
) -> None:
    generated = fill(tmp_path, n=6, seed=9, suffix=".wav", labels="7") / "7"
    narrow = {"COLUMNS": "60", "FORCE_COLOR": "1" if terminal else ""}
    done = CliRunner().invoke(app, ["evaluate", str(generated), str(real_folder / "7")], env=narrow)
    assert done.exit_code == 0, done.output
    assert ("A wider terminal" in done.stdout) == terminal and (
        "95 %" in done.stdout
    ) != terminal  # files have no width
    assert "--classifier" not in done.stdout, "there are no labels"
    assert "Only 10 held-out real sounds" in " ".join(done.stdout.split())
    assert "6 generated" in done.stdout and "10 real, perhaps seen" in done.stdout
    assert "Not all held-out sounds are unseen" in " ".join(done.stdout.split())


def test_evaluate_refuses_options_of_models_for_a_folder_of_sounds(real_folder: Path) -> None:
    done = CliRunner().invoke(app, ["evaluate", str(real_folder / "3"), str(real_folder / "7"), "--quick"])
    assert done.exit_code != 0
    assert "have no effect on sounds" in str(done.exception)
