"""Command `config`: checks, values and schema of settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import ROOT, assert_one_line_error, invoke, run_python, soundgan, write_config

from soundgan.model import SoundGAN
from soundgan.settings import SECTIONS, Settings, check_settings, load_settings


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"ngff": 3}', "did you mean ngf?"),
        ('{"nz": 0}', "nz = 0"),
        ('{"level": "loud"}', "'peak', 'rms' or 'none'"),
        ("{", "line 1"),
        ("[]", "one JSON object"),
    ],
)
def test_invalid_settings_file_gives_one_line_and_status_2(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "gan_config.json").write_text(content)
    assert_one_line_error(run_python(ROOT / "main.py", "--inference", cwd=tmp_path), "gan_config.json", message)
    assert_one_line_error(soundgan("config", "--check", "gan_config.json", cwd=tmp_path), "gan_config.json", message)
    assert not (tmp_path / "output.wav").exists()


def test_config_accepts_committed_settings_and_prints_values_and_schema() -> None:
    assert invoke("config", "--check", ROOT / "gan_config.json").exit_code == 0
    for recipe in (ROOT / "recipes").glob("*.json"):
        assert invoke("config", "--check", recipe).exit_code == 0
        settings, config = load_settings(recipe), SoundGAN.load(recipe.stem).config
        for name in ("network", "size", "nz", "batch_size", "sample_rate", "duration", "exclude"):
            assert check_settings(config.settings).flat()[name] == settings.flat()[name], name
    listed = invoke("config").stdout
    for line in ('scale = null   (or "mel", "linear")', 'level = "peak"   (or "rms", "none")', "nz = 64"):
        assert line in map(str.strip, listed.splitlines())
    schema = json.loads(invoke("config", "--schema").stdout)
    assert schema["properties"].keys() == Settings.model_fields.keys()
    assert schema["additionalProperties"] is False
    for section in SECTIONS.values():
        assert all(entry["description"] for entry in schema["$defs"][section.__name__]["properties"].values())


def test_config_check_reports_settings_without_effect(tmp_path: Path) -> None:
    path = write_config(tmp_path, workers=4)
    result = invoke("config", "--check", path)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{path}: workers has no effect: the data is read once, on all cores, and cached",
        f"{path}: valid",
    ]
