"""Export of a trained generator to a model folder, which inference loads without PyTorch."""

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
from onnx.external_data_helper import set_external_data
from safetensors.torch import save
from torch import Tensor, nn

from soundgan.errors import TrainingError
from soundgan.files import fsync
from soundgan.model_folder import CONFIG, DISCRIMINATOR, GENERATOR, MAPPING, WEIGHTS, ModelConfig, write_config
from soundgan.spectral.noise_texture import NoiseTexture
from soundgan.training.networks.base import Generator
from soundgan.training.networks.length_and_level import LengthAndLevel

OPSET = 20
W_AVG_SAMPLES = 4096  # latents averaged for w_avg, which truncation interpolates toward
# Between ONNX Runtime and PyTorch, of a range of 2: a rounding error of the pitch is multiplied by the number of the
# harmonic, some hundreds at most. A wrong graph differs by a hundred times as much.
MAX_ONNX_ERROR = 5e-3


class _Mapping(nn.Module):
    """z, label and truncation → w; truncation interpolates toward the label's average w (Karras et al. 2019)."""

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
    """w, and noise for generators that take it → spectrogram; length and level, of generators that have them."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        self.outputs = ["spectrogram", *(LengthAndLevel._fields if generator.has_length_and_level else ())]

    def forward(self, w: Tensor, noise: Tensor | None = None) -> tuple[Tensor, ...]:
        values = self.generator.length_and_level.values(w) if self.generator.has_length_and_level else ()
        return self.generator.synthesis(w, noise), *values


@torch.no_grad()
def export(
    generator: Generator, config: ModelConfig, folder: Path, discriminator: nn.Module | None = None
) -> ModelConfig:
    """Write `config.json`, the two ONNX graphs and their weights into `folder`, checked against PyTorch.

    The weights are rounded to half precision and stored once, in `model.safetensors`, which the graphs refer to. All
    files are written and checked before they replace those of an older model, `config.json` last: a folder with a
    `config.json` is complete.

    Args:
        discriminator: to store for other trainings that start from this model; without it, an older one is removed.

    Returns:
        `config` with the largest difference between ONNX Runtime and PyTorch.

    Raises:
        TrainingError: a weight cannot be stored, or the graphs differ from PyTorch; an older model stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = copy.deepcopy(generator).float().cpu().eval().requires_grad_(False)
    _round(generator, folder)
    mapping = _Mapping(generator, config.nz, len(config.labels))
    _round(mapping, folder)  # w_avg of the rounded generator, so that a second export gives the same bits
    synthesis = _SynthesisNetwork(generator)

    z, label, truncation = _example(config, 2)
    synthesis_inputs = _synthesis_inputs(synthesis, mapping(z, label, truncation), config)
    graphs = {
        MAPPING: _graph(mapping, (z, label, truncation), ["z", "label", "truncation"], ["w"]),
        GENERATOR: _graph(synthesis, tuple(synthesis_inputs.values()), list(synthesis_inputs), synthesis.outputs),
    }
    weights = mapping.state_dict()
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as temporary:
        new = Path(temporary)
        _write_half(new / WEIGHTS, weights)
        offsets = _offsets(new / WEIGHTS)
        for name, graph in graphs.items():
            _share_weights(graph, weights, offsets)
            onnx.save(graph, new / name)
        difference = _difference(new, mapping, synthesis, config)
        if not difference <= MAX_ONNX_ERROR:  # NaN is not close
            raise TrainingError(
                f"{folder}: the ONNX graphs differ from PyTorch by {difference:.2g}; please report this"
            )
        config = config.model_copy(update={"onnx_difference": float(f"{difference:.2g}")})
        write_config(new, config)
        names = [WEIGHTS, *graphs]
        if discriminator is not None:
            discriminator = copy.deepcopy(discriminator).float().cpu()
            _round(discriminator, folder)
            _write_half(new / DISCRIMINATOR, discriminator.state_dict())
            names.append(DISCRIMINATOR)
        for name in names:
            fsync(new / name)
        for name in (CONFIG, DISCRIMINATOR):
            (folder / name).unlink(missing_ok=True)
        for name in (*names, CONFIG):
            os.replace(new / name, folder / name)
    return config


def _round(network: nn.Module, folder: Path) -> None:
    """Round weights to half precision, in place."""
    for name, tensor in network.state_dict().items():
        tensor.copy_(tensor.half().float())
        if not tensor.isfinite().all():
            raise TrainingError(
                f"{folder}: cannot be written: {name} holds NaN or numbers beyond half precision (65504); "
                "train again with smaller lr_G and lr_D"
            )


def _write_half(path: Path, weights: dict[str, Tensor]) -> None:
    path.write_bytes(save({name: tensor.half().contiguous() for name, tensor in weights.items()}))


def _example(config: ModelConfig, n: int) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    z = torch.randn(n, config.nz, generator=draw)
    label = torch.randint(max(len(config.labels), 1), (n,), generator=draw)
    return z, label, torch.linspace(0.5, 1, n)


def _synthesis_inputs(synthesis: _SynthesisNetwork, w: Tensor, config: ModelConfig) -> dict[str, Tensor]:
    """Inputs of the synthesis network by their names in the graph."""
    if not synthesis.generator.uses_noise:
        return {"w": w}
    noise = NoiseTexture(config.representation)
    return {"w": w, "noise": torch.from_numpy(np.concatenate([noise.crop(offset) for offset in range(len(w))]))}


def _graph(module: nn.Module, inputs: tuple[Tensor, ...], names: list[str], outputs: list[str]) -> onnx.ModelProto:
    """ONNX graph of a module, for any batch size."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        options: dict[str, Any] = {"opset_version": OPSET, "dynamo": True, "verbose": False}
        shapes = tuple({0: batch} for _ in inputs)
        program = torch.onnx.export(
            module, inputs, input_names=names, output_names=outputs, dynamic_shapes=shapes, **options
        )
    assert program is not None, "the exporter returns a program unless it is given a file"
    graph = program.model_proto
    # The metadata contains paths of the machine.
    del graph.metadata_props[:], graph.graph.metadata_props[:]
    for node in graph.graph.node:
        del node.metadata_props[:]
    for value in (*graph.graph.value_info, *graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        del value.metadata_props[:]
    return graph


def _offsets(path: Path) -> dict[str, tuple[int, int]]:
    """Position of every tensor in a safetensors file: name → (offset, length), in bytes."""
    with path.open("rb") as file:
        (header_length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(header_length))
    header.pop("__metadata__", None)
    spans = {name: entry["data_offsets"] for name, entry in header.items()}
    return {name: (8 + header_length + start, end - start) for name, (start, end) in spans.items()}


def _share_weights(graph: onnx.ModelProto, weights: dict[str, Tensor], offsets: dict[str, tuple[int, int]]) -> None:
    """Replace the weights of a graph by references to `model.safetensors`, cast to float32 when it is loaded."""
    casts = []
    for initializer in graph.graph.initializer:
        name = initializer.name
        if name not in weights or not np.array_equal(numpy_helper.to_array(initializer), weights[name].numpy()):
            continue
        initializer.CopyFrom(numpy_helper.from_array(weights[name].half().numpy(), f"{name}.half"))
        set_external_data(initializer, WEIGHTS, *offsets[name])
        initializer.ClearField("raw_data")
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend([*casts, *nodes])


def _difference(folder: Path, mapping: _Mapping, synthesis: _SynthesisNetwork, config: ModelConfig) -> float:
    """Largest difference between the outputs of the ONNX graphs and PyTorch, over 16 latents."""
    z, label, truncation = _example(config, 16)
    synthesis_inputs = _synthesis_inputs(synthesis, mapping(z, label, truncation), config)
    expected = synthesis(*synthesis_inputs.values())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    sessions = [onnxruntime.InferenceSession(folder / name, options) for name in (MAPPING, GENERATOR)]
    inputs = {"z": z.numpy(), "label": label.numpy(), "truncation": truncation.numpy()}
    (w,) = sessions[0].run(["w"], inputs)
    outputs: Any = sessions[1].run(
        synthesis.outputs, {name: x.numpy() for name, x in synthesis_inputs.items()} | {"w": w}
    )
    pairs = zip(outputs, expected, strict=True)
    return float(np.max([np.abs(output - tensor.numpy()).max() for output, tensor in pairs]))
