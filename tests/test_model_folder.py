"""Model folders: resolution of paths and bundled names, and errors for damaged folders."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folders import copy_model, edit_config, read_config

from soundgan import model_folder
from soundgan.errors import ModelError
from soundgan.model import SoundGAN
from soundgan.model_folder import CONFIG, GENERATOR, MAPPING, SCHEMA, WEIGHTS, bundled, models_in, resolve_model


@pytest.fixture
def copied(model_folder: Path, tmp_path: Path) -> Path:
    return copy_model(model_folder, tmp_path / "copied")


def test_model_is_loaded_from_any_path(
    model: SoundGAN, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = model.generate(seed=6)[0].samples
    moved = tmp_path / "another place" / "ünïcode"
    moved.parent.mkdir()
    shutil.move(copied, moved)
    (tmp_path / "link").symlink_to(moved)
    monkeypatch.chdir(moved.parent)
    for path in (moved, str(moved), "ünïcode", Path("ünïcode"), tmp_path / "link"):
        np.testing.assert_array_equal(SoundGAN.load(path).generate(seed=6)[0].samples, expected)


def test_path_precedes_a_bundled_name(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled_folder = Path(shutil.copytree(copied, tmp_path / "package" / "drums"))
    monkeypatch.setattr(model_folder, "bundled", lambda: {"drums": bundled_folder})
    monkeypatch.chdir(copied.parent)
    assert resolve_model("drums") == bundled_folder
    (copied.parent / "drums").mkdir()
    assert resolve_model("drums") == bundled_folder  # an empty folder is no model
    shutil.copytree(copied, copied.parent / "drums", dirs_exist_ok=True)
    assert resolve_model("drums") == Path("drums")
    assert resolve_model(Path("drums")) == Path("drums")


def test_unknown_model_error_lists_the_bundled_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_folder, "bundled", lambda: {"drums": tmp_path, "birds": tmp_path})
    with pytest.raises(ModelError, match=r"whales: neither a model folder nor a bundled model \(drums, birds\)"):
        SoundGAN.load("whales")


def test_bundled_models_are_complete() -> None:
    for name, folder in bundled().items():
        assert SoundGAN.load(name).config.name == name
        assert {path.name for path in folder.iterdir()} >= {CONFIG, MAPPING, GENERATOR, WEIGHTS, "README.md"}


Damage = Callable[[Path], object]


def edit(**changes: Any) -> Damage:
    return lambda folder: edit_config(folder, **changes)


def write(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def remove(name: str) -> Damage:
    return lambda folder: (folder / name).unlink()


def truncate(name: str) -> Damage:
    return lambda folder: os.truncate(folder / name, 1000)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove(CONFIG), r"copied: not a model folder: it has no config\.json"),
        (write(CONFIG, b'{"name": "tiny", '), r"config\.json: cannot be read"),
        (write(CONFIG, b"\xff\xfe\x00"), r"config\.json: cannot be read"),
        (write(CONFIG, b"[" * 100_000), r"config\.json: cannot be read"),
        (write(CONFIG, b"[]"), r"config\.json: .*export the model again"),
        (edit(schema_version=SCHEMA + 1), rf"config\.json: has schema_version {SCHEMA + 1}, .*reads {SCHEMA}; update"),
        (edit(schema_version=SCHEMA + 1, surprise=True), r"update SoundGAN"),
        (edit(nz="many"), r"config\.json: nz = 'many': .*export the model again"),
        (edit(surprise=True), r"config\.json: surprise: "),
        (edit(representation={"sample_rate": 8000}), r"config\.json: representation\.n_fft: field required"),
        (remove(MAPPING), r"mapping\.onnx: is missing; copy or export the model again"),
        (remove(GENERATOR), r"generator\.onnx: is missing; copy or export the model again"),
        (remove(WEIGHTS), r"model\.safetensors: is missing; copy or export the model again"),
        (truncate(MAPPING), r"mapping\.onnx: cannot be loaded .*copy or export the model again"),
        (truncate(GENERATOR), r"generator\.onnx: cannot be loaded .*copy or export the model again"),
        (truncate(WEIGHTS), r"mapping\.onnx: cannot be loaded .*copy or export the model again"),
        (write(GENERATOR, b"<html>not found</html>"), r"generator\.onnx: cannot be loaded"),
    ],
)
def test_damaged_model_folder_error_names_the_file_and_the_remedy(damage: Damage, message: str, copied: Path) -> None:
    damage(copied)
    with pytest.raises(ModelError, match=message) as caught:
        SoundGAN.load(copied)
    assert str(copied) in str(caught.value)
    assert "\n" not in str(caught.value)


UNSAFE = ["", ".", "..", "../up", "/etc/passwd", "..\\up", "a\0b", "a\nb", "\x1b[2J", "\x7f", "\x85", "caf\udce9"]


@pytest.mark.parametrize("text", UNSAFE)
def test_label_or_name_unsafe_in_a_path_is_refused(text: str, copied: Path) -> None:
    for change, field in (
        ({"labels": ["kick", text, "tone"]}, r"labels\.1"),
        ({"labels": ["kick", "noise", "tone"], "name": text}, "name"),
    ):
        edit_config(copied, **change)
        with pytest.raises(ModelError, match=rf"config\.json: {field} = {re.escape(repr(text))}: .*again$") as caught:
            SoundGAN.load(copied)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["Ünï cödé", "...", ".hidden", "日本", "🥁", 'it\'s "so"', "-rf", "a:b", " "])
def test_unusual_folder_names_are_valid_labels(text: str, copied: Path, tmp_path: Path) -> None:
    edit_config(copied, labels=["kick", text, "tone"], name=text)
    sound = SoundGAN.load(copied).generate(label=text, seed=1)[0]
    path = sound.save(tmp_path / f"{sound.label}_{sound.seed}.wav")
    assert path.parent == tmp_path and path.is_file()


def test_duplicate_label_is_refused(copied: Path) -> None:
    edit_config(copied, labels=["kick", "Tone", "Tone"])
    with pytest.raises(ModelError, match=r"config\.json: labels: 'Tone' is given twice; export the model again"):
        SoundGAN.load(copied)


@pytest.mark.parametrize("more", [1, 20])
def test_labels_beyond_those_of_the_generator_are_refused(
    more: int, copied: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    edit_config(copied, labels=["kick", "noise", "tone", *map(str, range(more))])
    with pytest.raises(ModelError, match=rf"config\.json: the generator does not have all of its {3 + more} labels; "):
        SoundGAN.load(copied)
    assert capfd.readouterr().err == "", "ONNX Runtime must not print the error too"


def test_unlabeled_model_refuses_labels(flat_model_folder: Path, tmp_path: Path) -> None:
    folder = copy_model(flat_model_folder, tmp_path / "flat")
    SoundGAN.load(folder)
    edit_config(folder, labels=["kick", "tone"])
    with pytest.raises(ModelError, match=r"config\.json: the generator does not have all of its 2 labels"):
        SoundGAN.load(folder)


def test_installation_without_bundled_models_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_folder, "__file__", str(tmp_path / "model_folder.py"))
    assert bundled() == {}
    with pytest.raises(ModelError, match=r"digits: neither a model folder nor a bundled model \(none\)"):
        SoundGAN.load("digits")


def test_models_in_a_folder_include_the_folder_itself(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert models_in(tmp_path) == {"copied": copied}
    assert models_in(copied) == {"copied": copied}
    monkeypatch.chdir(copied)
    assert models_in(Path(".")) == {"copied": Path(".")}
    for missing in (tmp_path / "missing", copied / CONFIG):
        with pytest.raises(ModelError, match=f"{missing.name}: no such folder"):
            models_in(missing)


def test_files_of_different_models_are_refused(copied: Path, flat_model_folder: Path) -> None:
    representation = {**read_config(flat_model_folder)["representation"], "frames": 32}
    for source, changes in ((copied, {"nz": 5}), (flat_model_folder, {"representation": representation})):
        (copied / CONFIG).write_bytes((source / CONFIG).read_bytes())
        edit_config(copied, **changes)
        with pytest.raises(ModelError, match=r"copied: config\.json and the ONNX files are of different models"):
            SoundGAN.load(copied)
