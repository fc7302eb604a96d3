"""The exported model folder: the same spectrograms as PyTorch, weights stored once, complete or absent."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file

import soundgan
from soundgan.errors import ModelError, TrainingError
from soundgan.model import SoundGAN
from soundgan.model_folder import CONFIG, GENERATOR, MAPPING, WEIGHTS, ModelConfig, read_config
from soundgan.settings import check_settings
from soundgan.spectral.noise_texture import NoiseTexture
from soundgan.spectral.presets import preset
from soundgan.training.export import onnx as exporter
from soundgan.training.networks.base import Generator
from soundgan.training.networks.build import build_generator
from soundgan.training.networks.residual import ResidualGenerator
from soundgan.training.pipeline import export_checkpoint

BOTH = pytest.mark.parametrize("which", ["model_folder", "flat_model_folder"])


@pytest.fixture
def folder(which: str, request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(which)


@pytest.fixture
def copied(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "copied"))


@pytest.fixture
def quick_graphs(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the graphs of the session's model: tracing them again is what takes time, and is not in question."""
    graphs = {"w": MAPPING, "spectrogram": GENERATOR}

    def graph(module: object, inputs: object, names: object, outputs: list[str]) -> onnx.ModelProto:
        return onnx.load(model_folder / graphs[outputs[0]], load_external_data=False)

    monkeypatch.setattr(exporter, "_graph", graph)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}


def generator_of(folder: Path) -> Generator:
    """The Generator in PyTorch, from nothing but `config.json` and `model.safetensors`."""
    config = read_config(folder)
    generator = build_generator(check_settings(config.settings).model, config.representation, len(config.labels))
    weights = weights_of(folder).items()
    prefix = "generator."
    generator.load_state_dict({name.removeprefix(prefix): v for name, v in weights if name.startswith(prefix)})
    return generator


def sessions(folder: Path) -> tuple[onnxruntime.InferenceSession, onnxruntime.InferenceSession]:
    mapping, generator = (onnxruntime.InferenceSession(folder / name) for name in (MAPPING, GENERATOR))
    return mapping, generator


@BOTH
@pytest.mark.parametrize("n", [1, 5])
@torch.no_grad()
def test_graphs_equal_pytorch(folder: Path, n: int) -> None:
    config, generator = read_config(folder), generator_of(folder)
    z = torch.randn(n, config.nz, generator=torch.Generator().manual_seed(5))
    labels = torch.arange(n) % max(len(config.labels), 1)
    truncation = torch.linspace(2, 0, n)
    w_avg = weights_of(folder)["w_avg"][labels]
    w = w_avg + truncation[:, None] * (generator.mapping(z, labels) - w_avg)
    noise = {"noise": torch.randn(n, 1, *config.representation.shape)} if generator.uses_noise else {}
    expected = generator.synthesis(w, *noise.values()).numpy()

    mapping, generator_inputs = sessions(folder)
    inputs = {"z": z.numpy(), "label": labels.numpy(), "truncation": truncation.numpy()}
    (mapped,) = mapping.run(["w"], inputs)
    synthesis_noise = {name: value.numpy() for name, value in noise.items()}
    (spectrogram,) = generator_inputs.run(["spectrogram"], {"w": mapped, **synthesis_noise})
    if generator.has_length_and_level:
        lengths, levels = generator_inputs.run(["length", "level"], {"w": mapped, **synthesis_noise})
        expected_lengths, expected_levels = generator.length_and_level.values(w)
        np.testing.assert_allclose(np.asarray(lengths), expected_lengths.numpy(), atol=1e-4)
        np.testing.assert_allclose(np.asarray(levels), expected_levels.numpy(), atol=1e-3)
    np.testing.assert_allclose(np.asarray(mapped), w.numpy(), atol=1e-4)
    np.testing.assert_allclose(np.asarray(spectrogram), expected, atol=1e-4)
    assert expected.std() > 0.01
    assert config.onnx_difference < 1e-4


@BOTH
@torch.no_grad()
def test_w_avg_is_the_mean_of_its_label(folder: Path) -> None:
    config, generator = read_config(folder), generator_of(folder)
    z = torch.randn(8192, config.nz, generator=torch.Generator().manual_seed(77))
    for label, w_avg in enumerate(weights_of(folder)["w_avg"]):
        mapped = generator.mapping(z, torch.full((len(z),), label))
        # Both are means of thousands: they differ by a few standard errors at most.
        assert ((w_avg - mapped.mean(0)).abs() <= 0.1 * mapped.std(0) + 1e-3).all()


@BOTH
def test_inference_equals_the_exported_graphs(folder: Path) -> None:
    model = SoundGAN.load(folder)
    mapping, generator_inputs = sessions(folder)
    label = len(model.labels) // 2
    z = np.random.RandomState(3).standard_normal(model.config.nz).astype(np.float32)[None]
    inputs = {"z": z, "label": np.array([label]), "truncation": np.ones(1, np.float32)}
    synthesis_inputs = {"w": mapping.run(["w"], inputs)[0]}
    if len(generator_inputs.get_inputs()) > 1:
        (drawn,) = model._draw_inputs([3])
        synthesis_inputs["noise"] = NoiseTexture(model.representation).crop(drawn.noise_offset)
    (spectrogram,) = generator_inputs.run(["spectrogram"], synthesis_inputs)
    # The first channel, clipped: tanh of ONNX Runtime oversteps 1 by a rounding.
    np.testing.assert_array_equal(model.spectrogram(3, label), np.clip(np.asarray(spectrogram)[0, 0], -1, 1))


@BOTH
def test_weights_are_stored_once_in_half_precision(folder: Path) -> None:
    stored = load_file(folder / WEIGHTS)
    assert {value.dtype for value in stored.values()} == {torch.float16}
    numbers = sum(value.numel() for value in stored.values())
    assert (folder / WEIGHTS).stat().st_size < 2 * numbers + 120 * len(stored)
    for name in (MAPPING, GENERATOR):
        assert (folder / name).stat().st_size < 64_000
        graph = onnx.load(folder / name, load_external_data=False)
        inside = [t for t in graph.graph.initializer if t.data_location != onnx.TensorProto.EXTERNAL]
        # Beside them, the matrices that enlarge a few channels to full size.
        assert sum(len(tensor.SerializeToString()) for tensor in inside) < 24_000
        outside = [t for t in graph.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
        locations = {e.value for tensor in outside for e in tensor.external_data if e.key == "location"}
        assert locations <= {WEIGHTS}


@BOTH
def test_files_contain_nothing_about_the_machine(folder: Path, sounds_folder: Path) -> None:
    package = Path(soundgan.__file__).parent
    secrets = [str(package), str(package.parent), str(sounds_folder), str(folder.parent), sys.prefix, os.getcwd()]
    secrets += ["site-packages", ".py", "stack_trace"]
    for name in (MAPPING, GENERATOR, CONFIG, WEIGHTS, "README.md"):
        content = (folder / name).read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], name


@BOTH
def test_files_are_readable_by_other_users(folder: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    for path in (folder / name for name in (MAPPING, GENERATOR, CONFIG, WEIGHTS, "README.md")):
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask, path
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


@BOTH
def test_configuration_describes_the_training(folder: Path) -> None:
    config = read_config(folder)
    generator = generator_of(folder)
    assert config.name == folder.name
    assert config.training["samples_seen"] == config.settings["run"]["max_samples"]
    assert config.training["steps"] == config.training["samples_seen"] // 4
    assert config.training["generator_parameters"] == sum(p.numel() for p in generator.parameters())
    assert config.labels in ((), ("kick", "noise", "tone"))
    assert (folder / "samples" / "spectrograms.png").is_file()
    assert len(list((folder / "samples").glob("*.flac"))) == (len(config.labels) or 4)
    assert config.name in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("quick_graphs")
def test_checkpoint_exports_to_the_same_weights(model_folder: Path, copied: Path) -> None:
    for name in (MAPPING, GENERATOR, CONFIG, WEIGHTS):
        (copied / name).unlink()
    export_checkpoint(copied)
    for name in (MAPPING, GENERATOR, WEIGHTS):
        assert (copied / name).read_bytes() == (model_folder / name).read_bytes(), name
    before, after = read_config(model_folder), read_config(copied)
    assert after.name == "copied"
    measured_anew = {"name": before.name, "onnx_difference": before.onnx_difference}
    assert after.model_copy(update=measured_anew) == before


def test_folder_without_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"holds no training/checkpoint\.safetensors; name the model folder"):
        export_checkpoint(tmp_path)


def test_strong_harmonics_of_a_fine_spectrogram_are_close_enough(model_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    representation = preset(44100, 0.25, bands=1024, frames=32, scale="linear")
    config = read_config(model_folder).model_copy(update={"representation": representation})
    generator = ResidualGenerator(representation, 8, config.nz, 1, len(config.labels))
    with torch.no_grad():
        generator.harmonics.to_pitch.weight.mul_(20)
        generator.harmonics.to_pitch.bias.sub_(2)  # low voices have hundreds of harmonics
        generator.to_gains.bias[1:].fill_(4)  # type: ignore[index] - harmonics, not noise
    assert exporter.export(generator, config, tmp_path).onnx_difference < exporter.MAX_ONNX_ERROR / 2


# Complete or absent


def export_again(folder: Path, generator: Generator | None = None) -> ModelConfig:
    return exporter.export(generator or generator_of(folder), read_config(folder), folder)


def refused(folder: Path) -> None:
    assert not (folder / CONFIG).exists()
    with pytest.raises(
        ModelError, match=r"its training has written no model yet; `soundgan export .*copied` writes one$"
    ):
        SoundGAN.load(folder)
    assert not [path for path in folder.iterdir() if ".tmp" in path.name]


@pytest.mark.usefixtures("quick_graphs")
def test_exporting_again_replaces_the_model(copied: Path) -> None:
    generator = generator_of(copied)
    with torch.no_grad():
        generator.to_patches.bias.fill_(-5)  # type: ignore[union-attr, operator]
    export_again(copied, generator)
    assert (SoundGAN.load(copied).spectrogram(0) == -1).all()


@pytest.mark.usefixtures("quick_graphs")
@pytest.mark.parametrize("name", [MAPPING, GENERATOR])
def test_interrupted_export_leaves_the_older_model(name: str, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = onnx.save

    def full(graph: onnx.ModelProto, path: Path) -> None:
        if path.name == name:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        original(graph, path)

    monkeypatch.setattr(onnx, "save", full)
    before, listed = SoundGAN.load(copied).spectrogram(1), sorted(copied.iterdir())
    with pytest.raises(OSError, match="No space"):
        export_again(copied)
    np.testing.assert_array_equal(SoundGAN.load(copied).spectrogram(1), before)
    assert sorted(copied.iterdir()) == listed


@pytest.mark.usefixtures("quick_graphs")
def test_graphs_that_differ_leave_the_older_model(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = exporter._share_weights

    def crossed(graph: onnx.ModelProto, *others: Any) -> None:
        original(graph, *others)
        for node in graph.graph.node:
            if node.op_type == "Clip":
                node.op_type = "Relu"
                del node.input[1:]

    monkeypatch.setattr(exporter, "_share_weights", crossed)
    before = SoundGAN.load(copied).spectrogram(1)
    with pytest.raises(TrainingError, match=r"differ from PyTorch by \d"):
        export_again(copied)
    np.testing.assert_array_equal(SoundGAN.load(copied).spectrogram(1), before)


@pytest.mark.usefixtures("quick_graphs")
def test_kill_between_the_files_leaves_an_incomplete_model(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = exporter.os.replace

    def killed(source: Path, target: Path) -> None:
        if target.name == GENERATOR:
            raise KeyboardInterrupt
        original(source, target)

    monkeypatch.setattr(exporter.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        export_again(copied)
    refused(copied)


@pytest.mark.usefixtures("quick_graphs")
@pytest.mark.parametrize("value", [1e6, float("nan")])  # beyond half precision, and no number at all
def test_weights_that_cannot_be_stored_leave_the_older_model(value: float, copied: Path) -> None:
    generator = generator_of(copied)
    with torch.no_grad():
        generator.dense.weight[0].fill_(value)  # type: ignore[union-attr, operator, index]
    before = SoundGAN.load(copied).spectrogram(1)
    with pytest.raises(TrainingError, match=r": dense\.weight holds NaN or numbers beyond .*lr_G"):
        export_again(copied, generator)
    np.testing.assert_array_equal(SoundGAN.load(copied).spectrogram(1), before)


def test_export_that_fails_early_leaves_the_older_model(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> onnx.ModelProto:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(exporter, "_graph", broken)
    before = SoundGAN.load(copied).spectrogram(1)
    with pytest.raises(RuntimeError, match="no such operator"):
        export_again(copied)
    np.testing.assert_array_equal(SoundGAN.load(copied).spectrogram(1), before)


@pytest.mark.usefixtures("quick_graphs")
def test_damaged_checkpoint_is_named_on_export(copied: Path) -> None:
    checkpoint = copied / "training" / "checkpoint.safetensors"
    save_file({"weight": torch.zeros(2)}, checkpoint)
    with pytest.raises(TrainingError, match=r"checkpoint\.safetensors: not a checkpoint.*delete it"):
        export_checkpoint(copied)
    assert json.loads((copied / CONFIG).read_text(encoding="utf-8"))["name"] == "tiny"
