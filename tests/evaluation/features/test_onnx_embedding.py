from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="networks are built with onnx, of the extra `train`")

import onnx
from onnx import TensorProto, helper
from sets import RATE
from waves import sine

from soundgan.errors import DataError, ModelError
from soundgan.evaluation.features.embedding import Embedding, OnnxEmbedding


def onnx_file(
    folder: Path,
    shape: list[int | str],
    *,
    nodes: list[onnx.NodeProto] | None = None,
    outputs: tuple[str, ...] = ("embedding",),
    kind: int = TensorProto.FLOAT,
    metadata: dict[str, str] | None = None,
) -> Path:
    """A network of one input `wave`; its embedding is (n, samples), the wave itself, unless other nodes are given."""
    graph = helper.make_graph(
        nodes or [helper.make_node("Identity", ["wave"], ["embedding"])],
        "test",
        [helper.make_tensor_value_info("wave", kind, shape)],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, folder / "network.onnx")
    return folder / "network.onnx"


@pytest.mark.parametrize("shape", [[400], [1, 400], ["n", 400]])
def test_waves_are_padded_or_cut_to_a_fixed_input_length(tmp_path: Path, shape: list[int | str]) -> None:
    embedding: Embedding = OnnxEmbedding(onnx_file(tmp_path, shape, metadata={"sample_rate": "8000"}))
    short, long = sine(100, RATE), sine(900, RATE)
    points = embedding.embed([short, long], RATE)
    assert embedding.name == "network.onnx" and points.dtype == np.float64
    np.testing.assert_array_equal(points, [np.pad(short, (0, 300)), long[:400]])


def test_embedding_is_the_mean_over_time_for_waves_of_any_length(tmp_path: Path) -> None:
    shape = helper.make_tensor("shape", TensorProto.INT64, [3], [1, -1, 10])
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("Reshape", ["wave", "shape"], ["embedding"]),
    ]
    embedding = OnnxEmbedding(onnx_file(tmp_path, ["n", "samples"], nodes=nodes), sample_rate=RATE)
    wave = sine(500, RATE)
    np.testing.assert_allclose(embedding.embed([wave], RATE), wave.reshape(1, 50, 10).mean(axis=1), atol=1e-7)
    with pytest.raises(ModelError, match=r"network\.onnx: fails on a wave of 505 samples"):
        embedding.embed([sine(505, RATE)], RATE)


def test_waves_are_resampled_to_the_rate_of_the_network(tmp_path: Path) -> None:
    embedding = OnnxEmbedding(onnx_file(tmp_path, [400], metadata={"sample_rate": "4000"}), sample_rate=RATE)
    assert embedding.sample_rate == 4000, "metadata takes precedence"
    (point,) = embedding.embed([sine(4000, RATE, 250)], RATE)
    np.testing.assert_allclose(point[50:350], sine(400, 4000, 250)[50:350], atol=0.01)


def test_output_named_embedding_is_used_among_several(tmp_path: Path) -> None:
    nodes = [helper.make_node("Neg", ["wave"], ["scores"]), helper.make_node("Identity", ["wave"], ["my_Embedding"])]
    embedding = OnnxEmbedding(
        onnx_file(tmp_path, [40], nodes=nodes, outputs=("scores", "my_Embedding"), metadata={"sample_rate": "8000"})
    )
    np.testing.assert_array_equal(embedding.embed([sine(40, RATE)], RATE)[0], sine(40, RATE))


@pytest.mark.parametrize(
    ("shape", "kind", "metadata", "message"),
    [
        ([1, 64, 96], TensorProto.FLOAT, {"sample_rate": "8000"}, r"takes wave tensor\(float\) \[1, 64, 96\]"),
        (["n", 40], TensorProto.DOUBLE, {"sample_rate": "8000"}, r"tensor\(double\)"),
        ([16, 40], TensorProto.FLOAT, {"sample_rate": "8000"}, "one wave at a time"),
        ([40], TensorProto.FLOAT, {}, "sample rate is not known; put `sample_rate`"),
        ([40], TensorProto.FLOAT, {"sample_rate": "fast"}, "'fast'"),
        ([40], TensorProto.FLOAT, {"sample_rate": "0"}, "'0'"),
    ],
)
def test_networks_that_embed_no_waves_are_refused(
    tmp_path: Path, shape: list[int | str], kind: int, metadata: dict[str, str], message: str
) -> None:
    file = onnx_file(tmp_path, shape, kind=kind, metadata=metadata)
    with pytest.raises(ModelError, match=message):
        OnnxEmbedding(file)


def test_damaged_files_and_invalid_outputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx: cannot be loaded"):
        OnnxEmbedding(tmp_path / "none.onnx", sample_rate=RATE)
    (tmp_path / "network.onnx").write_bytes(b"no network")
    with pytest.raises(ModelError, match=r"network\.onnx: cannot be loaded"):
        OnnxEmbedding(tmp_path / "network.onnx", sample_rate=RATE)
    identity = OnnxEmbedding(onnx_file(tmp_path, ["samples"]), sample_rate=RATE)
    with pytest.raises(ModelError, match="differ"):
        identity.embed([sine(100, RATE), sine(101, RATE)], RATE)
    logarithm = OnnxEmbedding(
        onnx_file(tmp_path, [40], nodes=[helper.make_node("Log", ["wave"], ["embedding"])]), sample_rate=RATE
    )
    with pytest.raises(ModelError, match="finite"):
        logarithm.embed([sine(40, RATE)], RATE)
    with pytest.raises(DataError, match="no sounds"):
        identity.embed([], RATE)
