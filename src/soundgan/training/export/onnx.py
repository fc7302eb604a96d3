"""From a trained Generator to a model folder that the player loads without PyTorch."""

from __future__ import annotations

import copy
import json
import logging
import os
import struct
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save
from torch import Tensor, nn

from soundgan.errors import TrainingError
from soundgan.files import fsync
from soundgan.model_folder import CONFIG, GENERATOR, MAPPING, WEIGHTS, ModelConfig, write_config
from soundgan.spectral.noise_texture import NoiseTexture
from soundgan.training.networks.base import Generator

OPSET = 20
W_AVG_SAMPLES = 4096  # latents averaged for the typical w that truncation moves towards
# Allowed difference between ONNX Runtime and PyTorch, of a range of 2: a rounding of the pitch is magnified by the
# number of the harmonic, some hundred at most. A wrong graph differs by a hundred times as much.
MAX_ONNX_ERROR = 5e-3


class _Mapping(nn.Module):
    """z, label and truncation → w; truncation interpolates towards the label's typical w (Karras et al. 2019)."""

    def __init__(self, generator: Generator, nz: int, labels: int) -> None:
        super().__init__()
        self.generator = generator
        z = torch.randn(W_AVG_SAMPLES, nz, generator=torch.Generator().manual_seed(0))
        w_avg = [generator.mapping(z, torch.full((W_AVG_SAMPLES,), label)).mean(0) for label in range(max(labels, 1))]
        self.w_avg = nn.Parameter(torch.stack(w_avg), requires_grad=False)

    def forward(self, z: Tensor, label: Tensor, truncation: Tensor) -> Tensor:
        w_avg = self.w_avg[label]
        return w_avg + truncation[:, None] * (self.generator.mapping(z, label) - w_avg)


class _SynthesisNetwork(nn.Module):
    """w, and grain for those that take it → spectrogram."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, w: Tensor) -> Tensor:
        return self.generator.synthesis(w)


class _NoisySynthesisNetwork(_SynthesisNetwork):
    def forward(self, w: Tensor, noise: Tensor) -> Tensor:  # type: ignore[override]
        return self.generator.synthesis(w, noise)


@torch.no_grad()
def export(generator: Generator, config: ModelConfig, folder: Path) -> ModelConfig:
    """Write `config.json`, the two ONNX graphs and their weights into `folder`, checked against PyTorch.

    The weights are rounded to half precision and stored once, in `model.safetensors`; the graphs refer to it. All files
    are made and checked before they take the place of an older model's, `config.json` last: a folder that has one is
    whole.

    Returns:
        `config` with the largest difference measured between ONNX Runtime and PyTorch.

    Raises:
        TrainingError: a weight cannot be stored, or the graphs do not paint what PyTorch paints; an older model stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = copy.deepcopy(generator).float().cpu().eval().requires_grad_(False)
    _round(generator, folder)
    mapping = _Mapping(generator, config.nz, len(config.labels))
    _round(mapping, folder)  # its typical w, that of the rounded Generator: one exported again stays as it is
    generator_inputs = _NoisySynthesisNetwork(generator) if generator.uses_noise else _SynthesisNetwork(generator)

    z, label, truncation = _example(config, 2)
    synthesis_inputs = _synthesis_inputs(generator_inputs, mapping(z, label, truncation), config)
    graphs = {
        MAPPING: _graph(mapping, (z, label, truncation), ["z", "label", "truncation"], "w"),
        GENERATOR: _graph(generator_inputs, tuple(synthesis_inputs.values()), list(synthesis_inputs), "spectrogram"),
    }
    weights = mapping.state_dict()
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as made:
        new = Path(made)
        (new / WEIGHTS).write_bytes(save({name: tensor.half().contiguous() for name, tensor in weights.items()}))
        offsets = _offsets(new / WEIGHTS)
        for name, graph in graphs.items():
            _share_weights(graph, weights, offsets)
            onnx.save(graph, new / name)
        difference = _difference(new, mapping, generator_inputs, config)
        if not difference <= MAX_ONNX_ERROR:  # NaN is not close
            raise TrainingError(
                f"{folder}: the ONNX graphs differ from PyTorch by {difference:.2g}; please report this"
            )
        config = config.model_copy(update={"onnx_difference": float(f"{difference:.2g}")})
        write_config(new, config)
        for name in (WEIGHTS, *graphs):
            fsync(new / name)
        (folder / CONFIG).unlink(missing_ok=True)
        for name in (WEIGHTS, *graphs, CONFIG):
            os.replace(new / name, folder / name)
    return config


def _round(network: nn.Module, folder: Path) -> None:
    """Round weights to half precision, in place."""
    for name, tensor in network.state_dict().items():
        tensor.copy_(tensor.half().float())
        if not tensor.isfinite().all():
            raise TrainingError(
                f"{folder}: cannot be written: {name} holds NaN or numbers beyond half precision (65504); "
                "train anew with smaller lr_G and lr_D"
            )


def _example(config: ModelConfig, n: int) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    z = torch.randn(n, config.nz, generator=draw)
    label = torch.randint(max(len(config.labels), 1), (n,), generator=draw)
    return z, label, torch.linspace(0.5, 1, n)


def _synthesis_inputs(generator_inputs: nn.Module, w: Tensor, config: ModelConfig) -> dict[str, Tensor]:
    """The inputs of a painter by their names in the graph."""
    if not isinstance(generator_inputs, _NoisySynthesisNetwork):
        return {"w": w}
    noise = NoiseTexture(config.representation)
    return {"w": w, "noise": torch.from_numpy(np.concatenate([noise.crop(place) for place in range(len(w))]))}


def _graph(module: nn.Module, inputs: tuple[Tensor, ...], names: list[str], output: str) -> onnx.ModelProto:
    """The ONNX graph of a module, for any batch size."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            module,
            inputs,
            input_names=names,
            output_names=[output],
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None, "the exporter returns a program unless it is given a file"
    graph = program.model_proto
    # The metadata names paths of the machine that exported it.
    del graph.metadata_props[:], graph.graph.metadata_props[:]
    for node in graph.graph.node:
        del node.metadata_props[:]
    for value in (*graph.graph.value_info, *graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        del value.metadata_props[:]
    return graph


def _offsets(path: Path) -> dict[str, tuple[int, int]]:
    """Where every tensor lies in a safetensors file: name → (first byte, length in bytes)."""
    with path.open("rb") as file:
        (header_length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(header_length))
    begin = 8 + header_length
    return {
        name: (begin + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _share_weights(graph: onnx.ModelProto, weights: dict[str, Tensor], offsets: dict[str, tuple[int, int]]) -> None:
    """Let the graph take its weights from the half-precision `model.safetensors`, widened when it is loaded."""
    widen = []
    for initializer in graph.graph.initializer:
        name = initializer.name
        if name not in weights or not np.array_equal(numpy_helper.to_array(initializer), weights[name].numpy()):
            continue
        shape = list(initializer.dims)
        initializer.Clear()
        initializer.name = f"{name}.half"
        initializer.data_type = TensorProto.FLOAT16
        initializer.dims.extend(shape)
        initializer.data_location = TensorProto.EXTERNAL
        offset, length = offsets[name]
        for key, value in {"location": WEIGHTS, "offset": offset, "length": length}.items():
            entry = initializer.external_data.add()
            entry.key, entry.value = key, str(value)
        widen.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend([*widen, *nodes])


def _difference(folder: Path, mapping: nn.Module, generator_inputs: nn.Module, config: ModelConfig) -> float:
    """Largest difference between the spectrograms of the written graphs and those of PyTorch, over 16 latents."""
    z, label, truncation = _example(config, 16)
    synthesis_inputs = _synthesis_inputs(generator_inputs, mapping(z, label, truncation), config)
    expected = generator_inputs(*synthesis_inputs.values()).numpy()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    sessions = [onnxruntime.InferenceSession(folder / name, options) for name in (MAPPING, GENERATOR)]
    inputs = {"z": z.numpy(), "label": label.numpy(), "truncation": truncation.numpy()}
    (w,) = sessions[0].run(["w"], inputs)
    (spectrogram,) = sessions[1].run(
        ["spectrogram"], {name: x.numpy() for name, x in synthesis_inputs.items()} | {"w": w}
    )
    return float(np.abs(np.asarray(spectrogram) - expected).max())
