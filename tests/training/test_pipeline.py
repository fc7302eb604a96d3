"""Training of model folders: exclusive access, unusable folders, disk errors, and import of classic generators."""

from __future__ import annotations

import os
import shutil
import sys
from html import escape
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from fixture_types import TinySettings
from safetensors.torch import load_file

from soundgan.data.dataset import prepare
from soundgan.errors import DataError, ModelError, TrainingError, one_line
from soundgan.model import SoundGAN
from soundgan.model_folder import DISCRIMINATOR, WEIGHTS
from soundgan.settings import Settings, check_settings
from soundgan.training import pipeline
from soundgan.training.export.onnx import export
from soundgan.training.monitor.log import read_log
from soundgan.training.monitor.monitor import COMPLETE
from soundgan.training.monitor.report import REPORT, remarks
from soundgan.training.networks.dcgan import DCGANGenerator
from soundgan.training.pipeline import TRAINING, export_checkpoint, import_legacy, train_model_folder
from soundgan.training.runtime.distributed import SINGLE_PROCESS
from soundgan.training.setup import setup_training
from soundgan.training.state import pretrained
from soundgan.training.state.pretrained import find_pretrained


def test_second_training_in_the_same_folder_is_rejected(tiny_settings: TinySettings, tmp_path: Path) -> None:
    settings = tiny_settings(saveroot=str(tmp_path / "model"))
    (tmp_path / "model" / TRAINING).mkdir(parents=True)
    with FileLock(tmp_path / "model" / TRAINING / "lock"), pytest.raises(TrainingError, match="another process"):
        train_model_folder(settings)
    assert not (tmp_path / "model" / "config.json").exists()


def test_saveroot_without_a_name_is_rejected(tiny_settings: TinySettings) -> None:
    with pytest.raises(TrainingError, match=r"^/: the model is named by its last part"):
        train_model_folder(tiny_settings(saveroot="/"))


def test_model_without_its_training_is_not_overwritten(tiny_settings: TinySettings, tmp_path: Path) -> None:
    settings = tiny_settings(saveroot=str(tmp_path / "model"))
    train_model_folder(settings)
    shutil.rmtree(tmp_path / "model" / TRAINING)
    before = {path: path.read_bytes() for path in (tmp_path / "model").rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match=r"model: holds config.json, and no training/.*another folder"):
        train_model_folder(settings)
    assert before == {path: path.read_bytes() for path in (tmp_path / "model").rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["README.md", "samples", "config.json"])
def test_existing_files_in_saveroot_are_not_overwritten(name: str, tiny_settings: TinySettings, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(TrainingError, match=rf"holds {name}, .* would be overwritten"):
        train_model_folder(tiny_settings(saveroot=str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "mine"


def test_finished_run_is_exported_again_only_after_a_change(tiny_settings: TinySettings, tmp_path: Path) -> None:
    settings, messages = tiny_settings(saveroot=str(tmp_path / "model")), list[str]()
    train_model_folder(settings)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "model").glob("*.*")}
    train_model_folder(settings, on_message=messages.append)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "model").glob("*.*")}
    assert messages[-1].endswith(COMPLETE)
    (tmp_path / "model" / DISCRIMINATOR).write_bytes(b"of the older model")
    train_model_folder(settings.with_values(license="CC0-1.0"), on_message=messages.append)
    assert not (tmp_path / "model" / DISCRIMINATOR).exists()
    assert messages[-1].startswith("Writing the model") and "CC0-1.0" in (tmp_path / "model" / "README.md").read_text()


def test_export_that_failed_at_the_samples_is_repeated(tiny_settings: TinySettings, tmp_path: Path) -> None:
    settings, model = tiny_settings(saveroot=str(tmp_path / "model")), tmp_path / "model"
    train_model_folder(settings)
    (model / "samples" / "spectrograms.png").unlink()
    (model / "samples" / "spectrograms.png").mkdir()  # cannot be replaced by a file
    with pytest.raises(OSError):
        train_model_folder(settings.with_values(license="CC0-1.0"))
    (model / "samples" / "spectrograms.png").rmdir()
    train_model_folder(settings.with_values(license="CC0-1.0"))
    assert (model / "samples" / "spectrograms.png").is_file() and "CC0-1.0" in (model / "README.md").read_text()


def test_report_contains_the_remarks(tiny_settings: TinySettings, tmp_path: Path) -> None:
    train_model_folder(tiny_settings(saveroot=str(tmp_path / "model")))
    report = (tmp_path / "model" / TRAINING / REPORT).read_text(encoding="utf-8")
    sentences = remarks(read_log(tmp_path / "model" / TRAINING))
    assert sentences and all(escape(sentence) in report for sentence in sentences)


def test_exclude_pattern_without_a_match_is_noted(tiny_settings: TinySettings, tmp_path: Path) -> None:
    messages: list[str] = []
    settings = tiny_settings(max_samples=4, saveroot=str(tmp_path / "model"), exclude=["*/7.wav", "*_9.*"])
    train_model_folder(settings, on_message=messages.append)
    assert messages[0] == "Note: no file matches the exclude pattern *_9.*; it holds out nothing"
    assert messages[1].startswith("Training on")


def test_missing_dataroot_creates_nothing(tiny_settings: TinySettings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        train_model_folder(tiny_settings(dataroot=str(tmp_path / "nowhere"), saveroot=str(tmp_path / "model")))
    assert not list(tmp_path.iterdir())


def test_saveroot_that_is_a_file_is_rejected(tiny_settings: TinySettings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TrainingError, match=r"file.*Not a directory.*another folder"):
        train_model_folder(tiny_settings(saveroot=str(tmp_path / "file")))
    assert (tmp_path / "file").read_text() == "mine"


def test_model_card_includes_notes(tiny_settings: TinySettings, tmp_path: Path) -> None:
    settings = tiny_settings(saveroot=str(tmp_path / "model"), license="CC0-1.0", attribution="the garden")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "NOTES.md").write_text("Heard: all of them ring.\n")
    train_model_folder(settings)
    card = (tmp_path / "model" / "README.md").read_text()
    assert card.endswith("\nHeard: all of them ring.\n") and "CC0-1.0" in card and "the garden" in card
    assert "float32" in card and "64 samples seen" in card


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
@pytest.mark.parametrize("name", [b"t\xffne", b"t\\ne", b"t\nne", b"t" * 250])
def test_label_folder_with_an_invalid_name_is_skipped(name: bytes, sounds_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(sounds_folder, folder)
    os.rename(os.fsencode(folder / "tone"), os.fsencode(folder) + b"/" + name)
    settings = Settings()
    dataset = prepare(folder, settings.data, settings.spectrogram, tmp_path / "cache")
    assert dataset.label_names == ["kick", "noise"]
    assert "rename its folder" in dataset.report


def test_import_of_a_classic_generator_never_overwrites_a_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = DCGANGenerator(nz=12, ngf=2, nc=3, grid_rows=4, grid_cols=4, stages=6)
    torch.save(generator.state_dict(), tmp_path / "model_G.pt")
    settings = check_settings({"nz": 12, "ngf": 2, "nc": 3})
    (tmp_path / "save" / "training").mkdir(parents=True)  # of a training that never began
    import_legacy(tmp_path / "model_G.pt", settings, tmp_path / "save")
    model = SoundGAN.load(tmp_path / "save")
    assert model.representation.shape == (256, 256) and model.representation.sample_rate == 22050
    sound = model.generate(1, seed=3)[0]
    assert sound.samples.shape == (256 * 512,) and model.config.settings["model"]["network"] == "dcgan"
    with pytest.raises(ModelError, match="already holds a model"):
        import_legacy(tmp_path / "model_G.pt", settings, tmp_path / "save")


def test_disk_errors_are_one_line() -> None:
    message = one_line(OSError(28, "No space left on device", "/x/model.wav"))
    assert message.startswith("/x/model.wav: No space left on device; ") and "\n" not in message
    assert one_line(ModelError("two\nlines")) == "two lines"
    assert one_line(ModelError("\x1b[31m \udcff")) == r"\x1b[31m \udcff"


def test_fine_tuned_model_states_its_origin_with_license_and_attribution(
    fine_tuning_settings: TinySettings, tmp_path: Path
) -> None:
    messages: list[str] = []
    train_model_folder(fine_tuning_settings(license="CC BY 4.0", attribution="the garden"), on_message=messages.append)
    model, card = SoundGAN.load(tmp_path / "model"), (tmp_path / "model" / "README.md").read_text()
    assert model.labels == ("bell", "kick") and model.representation.sample_rate == 8000
    config = model.config
    assert config.fine_tuned_from == "tiny" and config.license == "CC BY 4.0; fine-tuned from tiny: CC0-1.0"
    assert config.attribution == "the garden; fine-tuned from tiny: not stated"
    assert config.settings["model"]["size"] == 8 and "init_from" not in config.settings["run"], "the path is private"
    for line in ("| fine-tuned from | tiny |", f"| license of the data | {config.license} |", config.attribution):
        assert line in card
    assert not any("fine-tuning from a model" in message for message in messages)
    assert not (tmp_path / "model" / DISCRIMINATOR).exists()
    export_checkpoint(tmp_path / "model", keep_discriminator=True)
    exported = SoundGAN.load(tmp_path / "model").config
    assert exported.model_copy(update={"onnx_difference": config.onnx_difference}) == config
    assert (tmp_path / "model" / DISCRIMINATOR).exists()


def test_model_before_its_first_fine_tuning_step_has_the_sounds_of_the_pretrained_one(
    fine_tuning_settings: TinySettings, pretrained_folder: Path, tmp_path: Path
) -> None:
    pretrained = find_pretrained(str(pretrained_folder), tmp_path / "none")
    assert pretrained is not None
    settings = pretrained.adopt(fine_tuning_settings())
    base = pretrained.config.representation
    dataset = prepare(Path(settings.data.dataroot), settings.data, settings.spectrogram, tmp_path / "cache", base=base)
    setup = setup_training(dataset, settings, tmp_path / "training", SINGLE_PROCESS)
    config = pretrained.config.model_copy(update={"labels": tuple(dataset.label_names)})
    # Lengths and levels are those of the new recordings, which are the old ones but for the rounding of their storage.
    stored = load_file(pretrained_folder / WEIGHTS)["generator.length_and_level.quantiles"]
    quantiles = setup.train_state.generator_ema.length_and_level.quantiles[1]
    assert torch.equal(quantiles.half(), stored[0]) and not torch.equal(quantiles, stored[0].float())
    quantiles.copy_(stored[0])
    export(setup.train_state.generator_ema, config, tmp_path / "model")
    before, after = (
        SoundGAN.load(folder).generate(3, label="kick", seed=5, truncation=0.7)
        for folder in (pretrained_folder, tmp_path / "model")
    )
    for first, second in zip(before, after, strict=True):
        np.testing.assert_array_equal(first.samples, second.samples)


def test_setting_other_than_that_of_the_pretrained_model_creates_nothing(
    fine_tuning_settings: TinySettings, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"^tiny: a training from this model has its nz = 8, not 9; remove"):
        train_model_folder(fine_tuning_settings(nz=9))
    assert not (tmp_path / "model" / "config.json").exists()


def test_few_sounds_get_the_advice_to_fine_tune(
    tiny_settings: TinySettings, pretrained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "bundled", lambda: {"tiny": pretrained_folder})
    monkeypatch.setattr(pipeline, "export", lambda *arguments: None)  # which takes seconds
    monkeypatch.setattr(pipeline, "write_card", lambda *arguments: None)
    messages: list[str] = []
    train_model_folder(tiny_settings(saveroot=str(tmp_path / "model"), max_samples=4), on_message=messages.append)
    assert messages[0].startswith("Note: 24 sounds: fine-tuning from a model of similar sounds, `--from tiny`,")
