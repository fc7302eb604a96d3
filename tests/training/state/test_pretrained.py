"""Pretrained models: which may be fine-tuned with which settings, and how a checkpoint remembers its model."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fixture_types import TinySettings
from model_folders import copy_model, edit_config, read_config
from safetensors.torch import load_file, save_file

from soundgan.data.dataset import Dataset, prepare
from soundgan.errors import ModelError, TrainingError
from soundgan.model_folder import DISCRIMINATOR, WEIGHTS, bundled
from soundgan.settings import Settings, check_settings
from soundgan.training.state import pretrained
from soundgan.training.state.pretrained import PretrainedModel, find_pretrained, suggestion
from soundgan.training.state.train_state import init_state

NOWHERE = Path("nowhere/checkpoint.safetensors")


def opened(folder: Path) -> PretrainedModel:
    model = find_pretrained(str(folder), NOWHERE)
    assert model is not None
    return model


def test_settings_take_over_networks_spectrograms_and_leveling(pretrained_folder: Path) -> None:
    settings = opened(pretrained_folder).adopt(check_settings({"batch_size": 4}))
    assert (settings.model.size, settings.model.nz, settings.model.network) == (8, 8, "residual")
    spectrogram = settings.spectrogram
    assert (spectrogram.sample_rate, spectrogram.scale, spectrogram.overlap) == (8000, "linear", 2)
    assert spectrogram.range_db == 70 and spectrogram.duration is None and settings.optim.batch_size == 4
    assert opened(pretrained_folder).adopt(settings) == settings


def test_leveling_is_taken_over_unless_it_is_set(pretrained_folder: Path, tmp_path: Path) -> None:
    folder = copy_model(pretrained_folder, tmp_path / "copy")
    edit_config(folder, settings={**read_config(folder)["settings"], "data": {"level": "rms"}})
    assert opened(folder).adopt(Settings()).data.level == "rms"
    assert opened(folder).adopt(check_settings({"level": "none"})).data.level == "none"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"nz": 100}, "nz = 8, not 100;"),
        ({"network": "dcgan"}, "network = residual, not dcgan;"),
        ({"nc": 2, "size": 16}, "size = 8, not 16, nc = 1, not 2;"),
        ({"sample_rate": 44100}, "sample_rate = 8000, not 44100;"),
        ({"scale": "mel"}, "scale = linear, not mel;"),
        ({"overlap": 4, "window": "gaussian"}, "window = hann, not gaussian, overlap = 2, not 4;"),
        ({"range_db": 90.0}, "range_db = 70.0, not 90.0;"),
        ({"image_size": [64, 32]}, "image_size = [128, 32], not [64, 32];"),
    ],
)
def test_other_networks_and_spectrograms_are_refused(
    values: dict[str, Any], problem: str, pretrained_folder: Path
) -> None:
    with pytest.raises(TrainingError) as caught:
        opened(pretrained_folder).adopt(check_settings(values))
    assert problem in str(caught.value)
    assert str(caught.value).startswith("tiny: ") and "remove them" in str(caught.value)
    assert "train from scratch without --from (init_from)" in str(caught.value)


def test_values_that_a_network_does_not_use_may_differ(pretrained_folder: Path) -> None:
    settings = opened(pretrained_folder).adopt(check_settings({"ngf": 64, "nz": 8, "image_size": [128, 32]}))
    assert settings.model.ngf == 64 and settings.spectrogram.image_size == (128, 32)


def test_missing_model_is_refused_with_the_bundled_names() -> None:
    with pytest.raises(ModelError, match="nowhere: neither a model folder nor a bundled model"):
        find_pretrained("nowhere", NOWHERE)
    assert find_pretrained(None, NOWHERE) is None


def without_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def with_damaged_weights(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:100])


def without_dense(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    save_file({name: value for name, value in weights.items() if name != "generator.dense.weight"}, folder / WEIGHTS)


def with_another_pitch(folder: Path) -> None:
    save_file({**load_file(folder / WEIGHTS), "generator.harmonics.to_pitch.bias": torch.zeros(3)}, folder / WEIGHTS)


def without_settings(folder: Path) -> None:
    edit_config(folder, settings={})


def with_a_damaged_discriminator(folder: Path) -> None:
    (folder / DISCRIMINATOR).write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (without_weights, "model.safetensors: cannot be read"),
        (with_damaged_weights, "model.safetensors: cannot be read"),
        (with_a_damaged_discriminator, "discriminator.safetensors: cannot be read"),
        (without_dense, "dense.weight of its generator is missing"),
        (with_another_pitch, "harmonics.to_pitch.bias of its generator is of another shape"),
        (without_settings, "lacks the settings of its networks"),
    ],
)
def test_model_without_usable_weights_is_refused(
    damage: Any, problem: str, pretrained_folder: Path, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    folder = copy_model(pretrained_folder, tmp_path / "copy")
    damage(folder)
    with pytest.raises(ModelError) as caught:
        model = opened(folder)
        settings = model.adopt(Settings())
        model.load_into(init_state(tiny_dataset, settings, torch.device("cpu")), tiny_dataset)
    assert problem in str(caught.value)
    assert "copy the model folder again" in str(caught.value) or "train from scratch without" in str(caught.value)


def test_dataset_of_another_representation_is_refused(
    pretrained_folder: Path, tiny_dataset: Dataset, tiny_settings: TinySettings
) -> None:
    other = tiny_dataset.representation.with_changes(floor_db=-50.0)
    dataset = replace(tiny_dataset, representation=other)
    with pytest.raises(TrainingError, match="prepare it with the representation of the model"):
        opened(pretrained_folder).load_into(init_state(dataset, tiny_settings(), torch.device("cpu")), dataset)


def test_length_that_changes_the_networks_is_refused_with_the_duration_of_the_model(
    flat_model_folder: Path, sounds_folder: Path, tmp_path: Path
) -> None:
    model = opened(copy_model(flat_model_folder, tmp_path / "flat"))
    settings = model.adopt(check_settings({"duration": 1.0, "batch_size": 4}))
    dataset = prepare(sounds_folder, settings.data, settings.spectrogram, tmp_path, base=model.config.representation)
    assert dataset.representation.frames == 64
    with pytest.raises(TrainingError, match=r"size \(its conv1.weight .* duration to that of the model, 0\.26 s, or"):
        model.load_into(init_state(dataset, settings, torch.device("cpu")), dataset)


def test_discriminator_is_optional(pretrained_folder: Path, tiny_dataset: Dataset, tmp_path: Path) -> None:
    folder = copy_model(pretrained_folder, tmp_path / "copy")
    stored = load_file(folder / DISCRIMINATOR)
    assert all(value.dtype == torch.float16 for value in stored.values())

    def loaded() -> tuple[torch.Tensor, torch.Tensor]:
        settings = opened(folder).adopt(Settings())
        state = init_state(tiny_dataset, settings, torch.device("cpu"))
        before = state.discriminator.state_dict()["fc_out.weight"].clone()
        opened(folder).load_into(state, tiny_dataset)
        return before, state.discriminator.state_dict()["fc_out.weight"]

    assert opened(folder).has_discriminator
    assert torch.equal(loaded()[1], stored["fc_out.weight"].float())
    (folder / DISCRIMINATOR).unlink()
    assert not opened(folder).has_discriminator and torch.equal(*loaded())


def test_fine_tuning_is_suggested_for_few_sounds_if_a_model_for_it_is_bundled(
    pretrained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(suggestion(30) == "" for folder in bundled().values() if not (folder / DISCRIMINATOR).exists())
    player_only = tmp_path / "player_only"
    shutil.copytree(pretrained_folder, player_only, ignore=shutil.ignore_patterns(DISCRIMINATOR))
    models = {"tiny": pretrained_folder, "player_only": player_only}
    monkeypatch.setattr(pretrained, "bundled", lambda: models)
    assert suggestion(28) == (
        "Note: 28 sounds: fine-tuning from a model of similar sounds, `--from tiny`, needs less data and time"
    )
    assert suggestion(1000) == ""
