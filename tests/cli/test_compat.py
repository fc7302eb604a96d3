"""Classic entry point: training and inference by `main.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from commands import ROOT, assert_one_line_error, run_python, write_config
from model_folders import picture_size

from soundgan import audio


def test_classic_inference_prints_two_lines_and_writes_sound_and_picture(tmp_path: Path) -> None:
    write_config(tmp_path)
    result = run_python(ROOT / "main.py", "--inference", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "Starting to create a new sound file...\nSound created and saved as output.wav!\n"
    assert result.stderr.count("\n") == 1 and "model digits" in result.stderr
    wave, rate = audio.read(tmp_path / "output.wav")
    assert rate == 8000 and 0.9 < wave.size / rate < 1.2
    assert 0.01 < np.abs(wave).max() <= 1
    assert picture_size(tmp_path / "output.png") == (64 * 4, 128 * 4)


def test_classic_inference_generates_a_new_sound_each_time(tmp_path: Path) -> None:
    write_config(tmp_path)
    waves = []
    for name in ("a.wav", "b.flac"):
        assert run_python(ROOT / "main.py", "--inference", "--output", name, cwd=tmp_path).returncode == 0
        waves.append(audio.read(tmp_path / name)[0])
    assert not np.array_equal(*waves)


def test_classic_inference_imports_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    write_config(tmp_path)
    script = (
        "import sys; sys.argv[1:] = ['--inference']; import runpy;"
        f"runpy.run_path({str(ROOT / 'main.py')!r}, run_name='__main__');"
        "assert not sys.modules.keys() & {'torch', 'typer', 'matplotlib', 'scipy', 'scipy.special', 'numpy.f2py'}"
    )
    result = run_python("-c", script, cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_classic_entry_points_say_what_is_missing(tmp_path: Path) -> None:
    assert_one_line_error(run_python(ROOT / "main.py", "--inference", cwd=tmp_path), "gan_config.json", "--config")
    write_config(tmp_path)
    result = run_python(ROOT / "main.py", "--training", cwd=tmp_path)
    assert_one_line_error(result, "data: no such folder of sounds; set dataroot in gan_config.json")
    for script in ("main.py", "app.py"):
        result = run_python("-S", ROOT / script, cwd=tmp_path)  # without the installed packages
        assert result.returncode == 1 and ".venv/bin/activate" in result.stderr, result.stderr


def test_classic_training_saves_a_model_for_classic_inference(sounds_folder: Path, tmp_path: Path) -> None:
    write_config(
        tmp_path, dataroot=str(sounds_folder), size=8, nz=8, batch_size=4, duration=0.25, sample_rate=8000,
        minutes=None, num_epochs=1, precision="float32", original_image_size=[128, 48],
    )  # fmt: skip
    result = run_python(ROOT / "main.py", "--training", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "save" / "config.json").is_file() and (tmp_path / "save" / "README.md").is_file()
    result = run_python(ROOT / "main.py", "--inference", cwd=tmp_path)
    assert result.returncode == 0 and result.stderr == ""
    wave, rate = audio.read(tmp_path / "output.wav")
    assert rate == 8000 and wave.size == 48 * 128, "three times the frames, by original_image_size"
    assert picture_size(tmp_path / "output.png") == (48 * 4, 128 * 4)
