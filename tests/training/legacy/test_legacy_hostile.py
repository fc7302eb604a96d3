"""Files that claim more than they hold: no tensor reaches outside its bytes, no file takes more memory than it has."""

from __future__ import annotations

import io
import pickle
import tracemalloc
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._utils import _rebuild_tensor_v2

from soundgan.errors import ModelError
from soundgan.training.legacy.import_generator import read_state


class Reference:
    """Pickles as a persistent id."""

    def __init__(self, *identity: object) -> None:
        self.identity = identity


class View:
    """Pickles as a tensor on a storage."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _rebuild_tensor_v2, (*self.arguments, False, OrderedDict())


@dataclass
class TensorFields:
    """Values of a pickled tensor and of its storage; `again` is another declared size of the storage."""

    count: object = 4
    offset: object = 0
    shape: object = (4,)
    strides: object = (1,)
    device: str = "cpu"
    key: object = "0"
    kind: str = "storage"
    storage_type: object = torch.FloatStorage
    view: object = None
    again: object = None


def tensor_pickle(*values: Any, **named: Any) -> bytes:
    """The pickle of {"weight": tensor} with the given `TensorFields`."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: object) -> object:
            return obj.identity if isinstance(obj, Reference) else None

    def reference(count: object) -> Reference:
        return Reference(fields.kind, fields.storage_type, fields.key, fields.device, count, fields.view)

    fields, stream = TensorFields(*values, **named), io.BytesIO()
    tensors = {"weight": View(reference(fields.count), fields.offset, fields.shape, fields.strides)}
    if fields.again is not None:
        tensors["again"] = View(reference(fields.again), 0, (1,), (1,))
    Pickler(stream, 2).dump(tensors)
    return stream.getvalue()


def write_zip(path: Path, content: bytes, record: bytes | None = None, compression: int = zipfile.ZIP_STORED) -> Path:
    """A file of PyTorch's zip format around `content`; its one storage is four float32 values by default."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("model_G/data.pkl", content)
        archive.writestr("model_G/data/0", np.arange(4, dtype="<f4").tobytes() if record is None else record)
    return path


def test_weights_from_a_gpu_are_read_on_the_cpu(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "gpu.pt", tensor_pickle(device="cuda:0"))
    np.testing.assert_array_equal(read_state(path)["weight"], [0, 1, 2, 3])


def test_module_that_contains_itself_is_refused(tmp_path: Path) -> None:
    layer = b"ctorch.nn.modules.container\nSequential\n)\x81q\x00"
    content = b"\x80\x02" + layer + b"}X\x08\x00\x00\x00_modules}X\x01\x00\x00\x00ah\x00ssb."
    with pytest.raises(ModelError, match="'a' is not a module or state dict, or contained in it twice"):
        read_state(write_zip(tmp_path / "model_G.pt", content))


def test_too_many_or_too_deeply_nested_tensors_are_refused(tmp_path: Path) -> None:
    deep: nn.Module = nn.Identity()
    for _ in range(120):
        deep = nn.Sequential(deep)
    wide = {f"copy {number}": torch.zeros(1) for number in range(1001)}
    for content in (deep, wide, {"x" * 201: torch.zeros(1)}):
        torch.save(content, tmp_path / "model_G.pt")
        with pytest.raises(ModelError, match="more tensors, or more deeply nested"):
            read_state(tmp_path / "model_G.pt")


def test_big_endian_numbers_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "model_G.pt", tensor_pickle())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model_G/byteorder", "big")
    with pytest.raises(ModelError, match="big-endian"):
        read_state(path)


def write_old(path: Path, content: bytes, count: int = 4) -> Path:
    """A file of PyTorch's format before the zip, with one storage that says it has `count` values."""
    start = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    record = count.to_bytes(8, "little") + np.arange(4, dtype="<f4").tobytes()
    path.write_bytes(start + content + pickle.dumps(["0"], 2) + record)
    return path


def test_old_format_with_contradictory_sizes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model_G.pt"
    np.testing.assert_array_equal(read_state(write_old(path, tensor_pickle()))["weight"], [0, 1, 2, 3])
    with pytest.raises(ModelError, match="'0' is not as long as its tensors declare"):
        read_state(write_old(path, tensor_pickle(), count=3))
    with pytest.raises(ModelError, match="'0' of 16 bytes cannot hold 5 values"):
        read_state(write_old(path, tensor_pickle(count=5), count=5))
    with pytest.raises(ModelError, match="other than a whole storage"):
        read_state(write_old(path, tensor_pickle(view=("1", 0, 4))))


TERA = 10**12
OUTSIDE = {
    "huge shape": (tensor_pickle(shape=(TERA,)), "'weight'.*outside its storage"),
    "huge shape without strides": (tensor_pickle(shape=(TERA,), strides=(0,)), "'weight'.*outside its storage"),
    "huge shape in two steps": (tensor_pickle(shape=(2**31, 2**33), strides=(0, 0)), "'weight'.*outside its storage"),
    "shape beyond 64 bits": (tensor_pickle(shape=(2**63,), strides=(2,)), "'weight'.*impossibly large"),
    "shape of a million digits": (tensor_pickle(shape=(1 << 2_000_000,)), "opcode LONG4"),
    "one value too many": (tensor_pickle(shape=(5,)), "'weight'.*outside its storage"),
    "last row outside": (tensor_pickle(shape=(2, 2), strides=(3, 1)), "'weight'.*outside its storage"),
    "negative stride": (tensor_pickle(offset=3, strides=(-1,)), "'weight'.*negative"),
    "negative offset": (tensor_pickle(offset=-1, shape=(1,)), "'weight'.*negative"),
    "negative size": (tensor_pickle(shape=(-4,)), "'weight'.*negative"),
    "offset behind the end": (tensor_pickle(offset=4, shape=(1,)), "'weight'.*outside its storage"),
    "offset far behind the end": (tensor_pickle(offset=TERA, shape=(1,)), "'weight'.*outside its storage"),
    "nothing": (tensor_pickle(shape=(0,)), "'weight'.*outside its storage"),
    "fractions": (tensor_pickle(shape=(1.5,)), "'weight'.*negative or impossibly large"),
    "strides of another rank": (tensor_pickle(strides=(1, 1)), "'weight'.*invalid shape or strides"),
    "a hundred dimensions": (tensor_pickle(shape=(1,) * 100, strides=(1,) * 100), "'weight'.*invalid shape or strides"),
    "storage larger than its record": (tensor_pickle(count=TERA, shape=(TERA,)), "'0' of 16 bytes cannot hold"),
    "storage of another type": (tensor_pickle(storage_type=torch.DoubleStorage), "'0' of 16 bytes cannot hold"),
    "negative storage": (tensor_pickle(count=-4), "'0' has an invalid size"),
    "storage of two sizes": (tensor_pickle(again=2), "'0' has an invalid size, or two"),
    "storage that is not there": (tensor_pickle(key="../../data.pkl"), "damaged"),
    "reference to something else": (tensor_pickle(kind="file"), "other than a whole storage"),
    "type that is none": (tensor_pickle(storage_type=OrderedDict), "other than a whole storage"),
    "unlisted type": (tensor_pickle(storage_type=torch.UntypedStorage), "torch.storage.UntypedStorage"),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_tensor_outside_its_storage_is_refused(tmp_path: Path, name: str) -> None:
    content, reason = OUTSIDE[name]
    with pytest.raises(ModelError, match=f"model_G.pt: .*({reason})"):
        read_state(write_zip(tmp_path / "model_G.pt", content))


@settings(max_examples=300, deadline=None)
@given(
    count=st.integers(-1, 5),
    offset=st.integers(-1, 5),
    axes=st.lists(st.tuples(st.integers(-1, 5), st.integers(-2, 4)), max_size=3),
)
def test_tensor_is_read_correctly_or_refused(
    tmp_path_factory: pytest.TempPathFactory, count: int, offset: int, axes: list[tuple[int, int]]
) -> None:
    shape, strides = tuple(size for size, _ in axes), tuple(stride for _, stride in axes)
    path = write_zip(tmp_path_factory.getbasetemp() / "view.pt", tensor_pickle(count, offset, shape, strides))
    places = [
        offset + sum(i * s for i, s in zip(index, strides, strict=True)) for index in np.ndindex(*map(abs, shape))
    ]
    sound = 0 <= count <= 4 and offset >= 0 and all(size > 0 and stride >= 0 for size, stride in axes)
    if sound and max(places) < count and len(places) <= count:
        array = read_state(path)["weight"]
        assert array.shape == shape
        assert array.flatten().tolist() == places  # value k of the storage is k
    else:
        with pytest.raises(ModelError):
            read_state(path)


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage") / "whole.pt"
    torch.save({"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3, dtype=torch.float16)}, path)
    return path


@pytest.fixture(scope="module")
def small_old_file(small_file: Path) -> Path:
    path = small_file.with_name("old.pt")
    torch.save(torch.load(small_file), path, _use_new_zipfile_serialization=False)
    return path


@settings(max_examples=300, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("old", [False, True], ids=["zip", "old"])
def test_damaged_file_raises_model_error_and_nothing_else(
    small_file: Path, small_old_file: Path, old: bool, data: st.DataObject
) -> None:
    content = bytearray((small_old_file if old else small_file).read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = small_file.with_name("damaged.pt")
    path.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    try:
        state = read_state(path)
    except ModelError as error:
        assert "damaged.pt: " in str(error) and "\n" not in str(error)
    else:
        assert all(array.size for array in state.values())


BOMBS = {
    "compressed zeros": lambda path: write_zip(
        path, tensor_pickle(2**23, shape=(2**23,)), bytes(2**25), zipfile.ZIP_DEFLATED
    ),
    "compressed pickle": lambda path: write_zip(path, b"\x80\x02" + b"N" * 2**25, b"", zipfile.ZIP_DEFLATED),
    "ten bytes of memo": lambda path: write_zip(path, b"\x80\x02Nr\xff\xff\xff\x3f."),
    "string of two gigabytes": lambda path: write_zip(path, b"\x80\x02X\xff\xff\xff\x7fa."),
    "integer of two gigabytes": lambda path: write_zip(path, b"\x80\x02\x8b\xff\xff\xff\x7fa."),
    "record that claims a terabyte": lambda path: overstated(path, TERA),
    "old storage that claims a terabyte": lambda path: write_old(path, tensor_pickle(count=TERA), count=TERA),
}  # fmt: skip


def overstated(path: Path, size: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model_G/data.pkl", tensor_pickle(count=size // 4))
        archive.writestr("model_G/data/0", bytes(16))
        info = archive.getinfo("model_G/data/0")
        info.file_size = info.compress_size = size


@pytest.mark.parametrize("bomb", BOMBS)
def test_decompression_bomb_takes_no_memory(tmp_path: Path, bomb: str) -> None:
    path = tmp_path / "model_G.pt"
    BOMBS[bomb](path)
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=r"model_G\.pt: "):
            read_state(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_many_tensors_on_one_storage_take_the_memory_of_one(tmp_path: Path) -> None:
    storage = torch.zeros(250_000)  # 1 MB
    torch.save({f"copy {number}": storage.view(500, 500) for number in range(100)}, tmp_path / "many.pt")
    tracemalloc.start()
    try:
        assert len(read_state(tmp_path / "many.pt")) == 100
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_string_with_an_invalid_escape_is_refused_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "escape.pt").write_bytes(b"\x80\x02S'\\o'\n.")
    with pytest.raises(ModelError, match=r"escape\.pt"):
        read_state(tmp_path / "escape.pt")
