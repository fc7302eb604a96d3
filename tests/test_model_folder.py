"""Model folders: they lie anywhere, go before bundled names, and a damaged one is told in plain words."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundgan import model_folder
from soundgan.errors import ModelError
from soundgan.model import SoundGAN
from soundgan.model_folder import CONFIG, GENERATOR, MAPPING, SCHEMA, WEIGHTS, bundled, models_in, resolve_model


@pytest.fixture
def copied(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model without its training, to be damaged."""
    return Path(shutil.copytree(model_folder, tmp_path / "copied", ignore=shutil.ignore_patterns("training")))


def test_a_model_folder_may_lie_anywhere(
    model: SoundGAN, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = model.generate(seed=6)[0].samples
    moved = tmp_path / "another place" / "ünïcode"
    moved.parent.mkdir()
    shutil.move(copied, moved)
    (tmp_path / "link").symlink_to(moved)
    monkeypatch.chdir(moved.parent)
    for place in (moved, str(moved), "ünïcode", Path("ünïcode"), tmp_path / "link"):
        np.testing.assert_array_equal(SoundGAN.load(place).generate(seed=6)[0].samples, expected)


def test_a_path_goes_before_a_bundled_name(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Path(shutil.copytree(copied, tmp_path / "package" / "drums"))
    monkeypatch.setattr(model_folder, "bundled", lambda: {"drums": ours})
    monkeypatch.chdir(copied.parent)
    assert resolve_model("drums") == ours
    (copied.parent / "drums").mkdir()
    assert resolve_model("drums") == ours  # an empty folder is no model
    shutil.copytree(copied, copied.parent / "drums", dirs_exist_ok=True)
    assert resolve_model("drums") == Path("drums")
    assert resolve_model(Path("drums")) == Path("drums")


def test_what_is_neither_a_folder_nor_a_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_folder, "bundled", lambda: {"drums": tmp_path, "birds": tmp_path})
    with pytest.raises(ModelError, match=r"whales: neither a model folder nor a bundled model \(drums, birds\)"):
        SoundGAN.load("whales")


def test_bundled_models_are_whole() -> None:
    for name, folder in bundled().items():
        assert SoundGAN.load(name).config.name == name
        assert {path.name for path in folder.iterdir()} >= {CONFIG, MAPPING, GENERATOR, WEIGHTS, "README.md"}


def edit(**changes: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        (folder / CONFIG).write_text(json.dumps({**values, **changes}), encoding="utf-8")

    return apply


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: void((folder / name).write_bytes(content))


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: void((folder / name).write_bytes((folder / name).read_bytes()[:1000]))


def void(_: object) -> None:
    """Nothing: for a function whose result is no matter."""


@pytest.mark.parametrize(
    ("damage", "told"),
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
        (cut(MAPPING), r"mapping\.onnx: cannot be loaded .*copy or export the model again"),
        (cut(GENERATOR), r"generator\.onnx: cannot be loaded .*copy or export the model again"),
        (cut(WEIGHTS), r"mapping\.onnx: cannot be loaded .*copy or export the model again"),
        (write(GENERATOR, b"<html>not found</html>"), r"generator\.onnx: cannot be loaded"),
    ],
)
def test_a_damaged_model_folder_is_told(damage: Callable[[Path], None], told: str, copied: Path) -> None:
    damage(copied)
    with pytest.raises(ModelError, match=told) as caught:
        SoundGAN.load(copied)
    assert str(copied) in str(caught.value)
    assert "\n" not in str(caught.value)


OUTSIDE = ["", ".", "..", "../up", "/etc/passwd", "..\\up", "a\0b", "a\nb", "\x1b[2J", "\x7f", "\x85", "caf\udce9"]


@pytest.mark.parametrize("text", OUTSIDE)
def test_a_label_or_name_that_leads_out_of_the_folder_of_sounds_is_refused(text: str, copied: Path) -> None:
    for change, where in (
        ({"labels": ["kick", text, "tone"]}, r"labels\.1"),
        ({"labels": ["kick", "noise", "tone"], "name": text}, "name"),
    ):
        edit(**change)(copied)
        with pytest.raises(ModelError, match=rf"config\.json: {where} = {re.escape(repr(text))}: .*again$") as caught:
            SoundGAN.load(copied)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["Ünï cödé", "...", ".hidden", "日本", "🥁", 'it\'s "so"', "-rf", "a:b", " "])
def test_any_other_name_of_a_folder_is_a_label(text: str, copied: Path, tmp_path: Path) -> None:
    edit(labels=["kick", text, "tone"], name=text)(copied)
    sound = SoundGAN.load(copied).generate(label=text, seed=1)[0]
    path = sound.save(tmp_path / f"{sound.label}_{sound.seed}.wav")
    assert path.parent == tmp_path and path.is_file()


def test_a_label_twice_is_told(copied: Path) -> None:
    edit(labels=["kick", "Tone", "Tone"])(copied)
    with pytest.raises(ModelError, match=r"config\.json: labels: 'Tone' is given twice; export the model again"):
        SoundGAN.load(copied)


@pytest.mark.parametrize("more", [1, 20])
def test_more_labels_than_the_generator_knows_are_told(
    more: int, copied: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    edit(labels=["kick", "noise", "tone", *map(str, range(more))])(copied)
    with pytest.raises(ModelError, match=rf"config\.json: the generator does not have all of its {3 + more} labels; "):
        SoundGAN.load(copied)
    assert capfd.readouterr().err == "", "ONNX Runtime does not tell it a second time"


def test_a_model_without_labels_knows_none(flat_model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(flat_model_folder, tmp_path / "flat", ignore=shutil.ignore_patterns("training")))
    SoundGAN.load(folder)
    edit(labels=["kick", "tone"])(folder)
    with pytest.raises(ModelError, match=r"config\.json: the generator does not have all of its 2 labels"):
        SoundGAN.load(folder)


def test_an_installation_may_have_no_bundled_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_files_of_different_models_are_told(copied: Path, flat_model_folder: Path) -> None:
    edit(nz=5)(copied)
    with pytest.raises(ModelError, match=r"copied: config\.json and the ONNX files are of different models"):
        SoundGAN.load(copied)
    shutil.copy(flat_model_folder / CONFIG, copied)
    values = json.loads((copied / CONFIG).read_text(encoding="utf-8"))
    edit(representation={**values["representation"], "frames": 32})(copied)
    with pytest.raises(ModelError, match=r"copied: config\.json and the ONNX files are of different models"):
        SoundGAN.load(copied)
