"""The command line and the classic doors, as a user meets them: in processes of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from soundgan import audio
from soundgan.cli.app import app
from soundgan.cli.generate import QualityOption
from soundgan.model import SoundGAN
from soundgan.model_folder import bundled
from soundgan.settings import SECTIONS, Settings, check_settings, load_settings
from soundgan.spectral.phase_retrieval import QUALITIES
from soundgan.version import __version__

ROOT = Path(__file__).parents[2]


def shell(*arguments: str | Path, cwd: Path, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, env=environment)


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def soundgan(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return shell("-c", "from soundgan.cli.app import main; main()", *arguments, cwd=cwd)


def write_config(folder: Path, **values: object) -> Path:
    path = folder / "gan_config.json"
    path.write_text(json.dumps({"saveroot": str(folder / "save"), **values}))
    return path


def test_classic_inference_says_its_two_lines_and_leaves_sound_and_picture(tmp_path: Path) -> None:
    write_config(tmp_path)
    done = shell(ROOT / "main.py", "--inference", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Starting to create a new sound file...\nSound created and saved as output.wav!\n"
    assert done.stderr.count("\n") == 1 and "model digits" in done.stderr
    wave, rate = audio.read(tmp_path / "output.wav")
    assert rate == 8000 and 0.9 < wave.size / rate < 1.2
    assert 0.01 < np.abs(wave).max() <= 1
    assert picture_size(tmp_path / "output.png") == (64 * 4, 128 * 4)


def test_classic_inference_makes_a_new_sound_every_time(tmp_path: Path) -> None:
    write_config(tmp_path)
    waves = []
    for name in ("a.wav", "b.flac"):
        assert shell(ROOT / "main.py", "--inference", "--output", name, cwd=tmp_path).returncode == 0
        waves.append(audio.read(tmp_path / name)[0])
    assert not np.array_equal(*waves)


def test_the_player_never_imports_torch(tmp_path: Path) -> None:
    write_config(tmp_path)
    script = (
        "import sys; sys.argv[1:] = ['--inference']; import runpy;"
        f"runpy.run_path({str(ROOT / 'main.py')!r}, run_name='__main__');"
        "assert 'torch' not in sys.modules and 'typer' not in sys.modules"
    )
    done = shell("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"ngff": 3}', "did you mean ngf?"),
        ('{"nz": 0}', "nz = 0"),
        ('{"level": "loud"}', "'peak', 'rms' or 'none'"),
        ("{", "line 1"),
        ("[]", "one JSON object"),
    ],
)
def test_a_wrong_settings_file_is_one_line_and_status_2(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "gan_config.json").write_text(content)
    for done in (
        shell(ROOT / "main.py", "--inference", cwd=tmp_path),
        soundgan("config", "--check", "gan_config.json", cwd=tmp_path),
    ):
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1 and "gan_config.json" in done.stderr and told in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "output.wav").exists()


def test_the_committed_settings_are_good_and_the_schema_knows_every_field(tmp_path: Path) -> None:
    assert soundgan("config", "--check", ROOT / "gan_config.json", cwd=tmp_path).returncode == 0
    for recipe in (ROOT / "recipes").glob("*.json"):
        assert soundgan("config", "--check", recipe, cwd=tmp_path).returncode == 0
        recipe_of, bundled = load_settings(recipe), SoundGAN.load(recipe.stem).config
        for name in ("network", "size", "nz", "batch_size", "sample_rate", "duration", "exclude"):
            assert check_settings(bundled.settings).flat()[name] == recipe_of.flat()[name], name
    listed = CliRunner().invoke(app, ["config"]).stdout
    for line in ('scale = null   (or "mel", "linear")', 'level = "peak"   (or "rms", "none")', "nz = 64"):
        assert line in map(str.strip, listed.splitlines())
    schema = json.loads(CliRunner().invoke(app, ["config", "--schema"]).stdout)
    assert schema["properties"].keys() == Settings.model_fields.keys()
    assert schema["additionalProperties"] is False
    assert all(
        entry["description"]
        for name in SECTIONS.values()
        for entry in schema["$defs"][name.__name__]["properties"].values()
    )


def test_config_check_reports_settings_without_effect(tmp_path: Path) -> None:
    path = write_config(tmp_path, workers=4)
    done = CliRunner().invoke(app, ["config", "--check", str(path)])
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"{path}: workers has no effect: the data is read once, on all cores, and cached",
        f"{path}: valid",
    ]


def test_generate_names_files_by_label_and_seed_and_gives_the_same_bytes_again(tmp_path: Path) -> None:
    options = ["generate", "digits", "-n", "3", "--seed", "7", "--label", "3", "--picture"]
    for folder in ("a", "b"):
        done = soundgan(*options, "-o", folder, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        names = [f"3_{seed}.{suffix}" for seed in (7, 8, 9) for suffix in ("wav", "png")]
        assert done.stdout.splitlines() == [f"{folder}/{name}" for name in names]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(names)
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    alone = soundgan("generate", "-n", "1", "--seed", "8", "--label", "3", "-o", "c", cwd=tmp_path)
    assert alone.returncode == 0
    assert (tmp_path / "c" / "3_8.wav").read_bytes() == (tmp_path / "a" / "3_8.wav").read_bytes()


def test_generate_takes_its_time_where_it_is_told_to(tmp_path: Path) -> None:
    assert {quality.value for quality in QualityOption} == set(QUALITIES)
    told = set()
    for quality in QualityOption:
        done = soundgan("generate", "-n", "1", "--seed", "8", "--quality", quality, "-o", quality, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (path,) = (tmp_path / quality).iterdir()
        assert audio.read_tags(path)["comment"].endswith(f"quality={quality}")
        told.add(path.read_bytes())
    assert len(told) == 3
    refused = soundgan("generate", "--quality", "perfect", cwd=tmp_path)
    assert refused.returncode == 2 and "fast" in refused.stderr


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_generate_writes_every_format_and_about_tells_where_it_comes_from(tmp_path: Path, suffix: str) -> None:
    runner = CliRunner()
    out = runner.invoke(app, ["generate", "-n", "1", "--seed", "5", "-o", str(tmp_path), "--format", suffix])
    assert out.exit_code == 0
    file = Path(out.stdout.strip())
    told = runner.invoke(app, ["about", str(file)]).stdout
    assert "1.024 s, 8000 Hz" in told and "model=digits" in told and "seed=5" in told


def test_about_goes_on_after_a_file_that_is_no_sound(sounds_folder: Path) -> None:
    sound, none = sounds_folder / "tone" / "7.wav", ROOT / "main.py"
    done = soundgan("about", none, sound, cwd=sounds_folder)
    assert done.returncode == 2 and done.stdout.startswith(f"{sound}: ")
    assert done.stderr.startswith("soundgan: ") and done.stderr.count("\n") == 1 and "main.py" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["generate", "nowhere"], "digits"),
        (["generate", "--label", "eleven"], "0, 1, 2"),
        (["generate", "--seed=4294967296"], "4294967295"),
        (["generate", "--device", "toaster"], "'toaster': must be cuda, mps, cpu"),
        (["models", "nowhere"], "nowhere: no such folder"),
        (["models", "file"], "file: no such folder"),
        (["generate", "--subtype", "PCM_8"], "PCM_16, PCM_24, FLOAT"),
        (["generate", "-o", "file/below"], "file/below"),
        (["generate", "-o", "x.wav"], "x.wav: names a folder"),
        (["generate", "begun"], "soundgan export begun"),
        (["export", "begun"], "no training/checkpoint.safetensors yet"),
        (["inspect", "nowhere"], "nowhere"),
        (["train"], "FOLDER"),
        (["train", "nowhere"], "nowhere"),
        (["train", "file", "--size", "7"], "size = 7"),
        (["export", "."], "checkpoint"),
        (["import", "file", "--config", "config.json"], "file"),
        (["about", "file"], "file"),
    ],
)
def test_every_command_fails_with_one_line_and_status_2(tmp_path: Path, arguments: list[str], told: str) -> None:
    (tmp_path / "file").write_text("not a sound")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "begun" / "training").mkdir(parents=True)
    done = soundgan(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.startswith("soundgan: ") and done.stderr.count("\n") == 1


def test_models_lists_labels_and_license() -> None:
    told = CliRunner().invoke(app, ["models"]).stdout
    assert "digits" in told and "0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in told and "CC BY-SA 4.0" in told


def test_models_of_a_folder_are_listed_but_for_a_damaged_one_which_is_told(tmp_path: Path) -> None:
    good = bundled()["digits"] / "config.json"
    for name in ("a good one", "damaged", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_bytes(good.read_bytes() if name != "damaged" else b"{")
    done = soundgan("models", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert "a good one: 1.02 s" in done.stdout and "other: 1.02 s" in done.stdout
    assert done.stderr.startswith("soundgan: ") and done.stderr.count("\n") == 1 and "damaged" in done.stderr
    done = soundgan("models", tmp_path / "other", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("other: 1.02 s") and done.stderr == ""


def test_a_shared_model_writes_only_into_the_folder_of_sounds(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shutil.copytree(bundled()["digits"], shared)
    values = json.loads((shared / "config.json").read_text())
    values["labels"][3] = "../../escaped"
    (shared / "config.json").write_text(json.dumps(values))
    out = tmp_path / "deep" / "sounds"
    done = soundgan("generate", shared, "-n", "20", "-o", out, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "labels.3 = '../../escaped'" in done.stderr and "config.json" in done.stderr
    assert not list(tmp_path.rglob("*.wav"))


def test_generate_plays_on_the_next_device_where_one_is_missing(tmp_path: Path) -> None:
    arguments = ["generate", "-n", "1", "--seed", "5", "--device"]
    for device in ("cpu", "cuda:0"):
        done = CliRunner().invoke(app, [*arguments, device, "-o", str(tmp_path / device[:4])])
        assert done.exit_code == 0 and len(list((tmp_path / device[:4]).glob("*_5.wav"))) == 1


def test_inspect_leaves_out_what_is_excluded(sounds_folder: Path) -> None:
    arguments = ["inspect", str(sounds_folder), "--exclude", "kick/*", "--exclude", "*/7.wav"]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0
    assert "excluded" in told.stdout and "kick/0.wav" in told.stdout and "tone/7.wav" in told.stdout
    assert "kick/0.wav: by kick/*\n" in told.stdout and "tone/7.wav: by */7.wav\n" in told.stdout
    assert "excluded" not in CliRunner().invoke(app, arguments[:2]).stdout.lower()


def test_inspect_names_a_pattern_that_excludes_nothing(sounds_folder: Path) -> None:
    told = CliRunner().invoke(app, ["inspect", str(sounds_folder), "--exclude", "*/7.wav", "--exclude", "7.wav"])
    assert told.exit_code == 0
    assert re.search(r"^Excluded +nothing by 7\.wav: no file matches$", told.stdout, re.MULTILINE)


def test_help_is_quick_because_nothing_heavy_is_imported(tmp_path: Path) -> None:
    script = (
        "import sys; from soundgan.cli.app import app\ntry:\n  app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'scipy', 'onnxruntime', 'torch', 'pydantic', 'PIL', 'soundfile'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = shell("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_training_from_the_classic_door_and_inference_with_its_model(sounds_folder: Path, tmp_path: Path) -> None:
    write_config(
        tmp_path, dataroot=str(sounds_folder), size=8, nz=8, batch_size=4, duration=0.25, sample_rate=8000,
        minutes=None, num_epochs=1, precision="float32", original_image_size=[128, 48],
    )  # fmt: skip
    done = shell(ROOT / "main.py", "--training", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "save" / "config.json").is_file() and (tmp_path / "save" / "README.md").is_file()
    done = shell(ROOT / "main.py", "--inference", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    wave, rate = audio.read(tmp_path / "output.wav")
    assert rate == 8000 and wave.size == 48 * 128, (
        "three times the frames of the spectrogram, as original_image_size says"
    )
    assert picture_size(tmp_path / "output.png") == (48 * 4, 128 * 4)


def test_the_version_is_told(tmp_path: Path) -> None:
    done = soundgan("--version", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout == f"soundgan {__version__}\n"
    assert shell("-m", "soundgan", "--version", cwd=tmp_path).stdout == done.stdout
