"""Generators saved by the original toy (`model_G.pt`, `checkpoint_G_*.pt`), read without running anything in them.

A file is not believed: every record, size, stride and offset is checked against the bytes that are there, and no more
memory is taken than the file is long.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from soundgan.errors import ModelError
from soundgan.training.legacy.unpickle import LARGEST, Module, Storage, Tensor, interpret

if TYPE_CHECKING:
    from soundgan.training.networks.dcgan import DCGANGenerator

_MOST_TENSORS, _LONGEST_NAME = 1000, 200  # a Generator has seven, up to "module.conv7.weight"
_OLD_MAGIC, _OLD_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # how PyTorch's format before the zip begins

Contents = tuple[Any, dict[str, NDArray[Any]]]  # what the pickle describes, and the storages by key


def read_state(path: str | Path) -> dict[str, NDArray[Any]]:
    """The weights in a file that PyTorch saved, by name, without running anything in the file.

    Reads `torch.save(module)` of the original's Generator, plain or wrapped in `DataParallel`, and
    `torch.save(state_dict)`, in the zip format and in the one before it. Arrays are read-only and keep their shape and
    type (bfloat16 becomes float32); a `module.` before every name is taken off. Needs no PyTorch.

    Raises:
        ModelError: the file is missing, damaged, not such a file, or points outside itself; or it names anything but
            tensors and module classes, in which case the message says what.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start == b"PK\x03\x04":
            root, storages = _read_zip(path)
        elif start[:1] == b"\x80":
            root, storages = _read_old(path)
        else:
            raise ModelError("not a file that torch.save wrote")
        state = {name: _view(name, tensor, storages) for name, tensor in _collect(root).items()}
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from None
    # What zipfile, pickletools and the interpreter raise for bytes that make no sense.
    except (
        ValueError, LookupError, TypeError, AttributeError, OverflowError, EOFError, RuntimeError, MemoryError,
        struct.error, zlib.error, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        reason = f"{error!s:.200}" or type(error).__name__
        raise ModelError(f"{path}: damaged, or not a file that torch.save wrote ({reason})") from None
    wrapped = all(name.startswith("module.") for name in state)
    return {name.removeprefix("module.") if wrapped else name: array for name, array in state.items()}


def legacy_generator(path: str | Path, nz: int, ngf: int, nc: int) -> DCGANGenerator:
    """The Generator in a file of the original toy, its shape taken from the weights; float32, on the CPU.

    Args:
        path: `model_G.pt`, `checkpoint_G_*.pt`, or another file that `read_state` reads.
        nz, ngf, nc: what gan_config.json says.

    Raises:
        ModelError: as for `read_state`; or the weights are not those of such a Generator, are not finite, or are not
            of the shape that gan_config.json says, in which case the message names the key.
    """
    state = read_state(path)
    layers = [f"conv{number}.weight" for number in range(1, len(state) + 1)]
    strange = sorted(set(state) - set(layers))
    if strange or len(layers) < 3 or any(array.ndim != 4 for array in state.values()):
        found = repr(strange[0]) if strange else ", ".join(f"{name} {_by(state[name].shape)}" for name in layers)
        raise ModelError(f"{path}: not the classic Generator, convolutions conv1 to conv7 without bias: holds {found}")
    shapes = [state[name].shape for name in layers]
    found = {"nz": shapes[0][0], "ngf": shapes[-1][0], "nc": shapes[-1][1]}
    stages = len(layers) - 1
    widths = [found["ngf"] * 2**upsamples for upsamples in reversed(range(stages))] + [found["nc"]]
    expected = [(found["nz"], widths[0], *shapes[0][2:]), *((*pair, 4, 4) for pair in pairwise(widths))]
    for name, shape, wanted in zip(layers, shapes, expected, strict=True):
        if shape != wanted:
            raise ModelError(
                f"{path}: not the classic Generator (perhaps the Discriminator): {name} is {_by(shape)}, and before "
                f"the last layer, {_by(shapes[-1])}, should be {_by(wanted)}"
            )
    given = {"nz": nz, "ngf": ngf, "nc": nc}
    wrong = [f'"{key}" is {given[key]} but should be {found[key]}' for key in given if given[key] != found[key]]
    if wrong:
        raise ModelError(f"{path}: gan_config.json does not fit these weights: {', '.join(wrong)}")
    return _build(path, {name: state[name] for name in layers}, (*found.values(), *shapes[0][2:], stages))


def _build(path: str | Path, state: dict[str, NDArray[Any]], sizes: tuple[int, ...]) -> DCGANGenerator:
    import torch  # here, because reading needs none

    from soundgan.training.networks.dcgan import DCGANGenerator

    with torch.device("meta"):  # neither memory nor random numbers: every weight is replaced
        generator = DCGANGenerator(*sizes)
    weights = {}
    for name, array in state.items():
        with np.errstate(over="ignore"):
            values = np.array(array, np.float32, order="C")
        if not np.isfinite(values).all():
            raise ModelError(f"{path}: {name} holds NaN, infinity or values beyond float32; its training had diverged")
        weights[name] = torch.from_numpy(values)
    generator.load_state_dict(weights, assign=True)
    return generator


def _read_zip(path: Path) -> Contents:
    """The zip format: `<folder>/data.pkl`, and one record `<folder>/data/<key>` a storage."""
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: info for info in archive.infolist()}
        folders = [name.removesuffix("data.pkl") for name in records if name.endswith("/data.pkl")]
        if len(folders) != 1:
            raise ModelError("not a file that torch.save wrote: a zip without one data.pkl")
        room = path.stat().st_size

        def read(name: str) -> bytes:
            # PyTorch compresses nothing, and records that neither are compressed nor overlap fit into their file.
            nonlocal room
            info = records[folders[0] + name]
            room -= info.file_size
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or room < 0:
                raise ModelError(f"its record {name!r:.80} is compressed or overlaps another, as PyTorch's never are")
            return archive.read(info)

        if folders[0] + "byteorder" in records and read("byteorder") != b"little":
            raise ModelError("its numbers are big-endian; save it again on an ordinary computer")
        claimed: dict[str, Storage] = {}
        root = interpret(BytesIO(read("data.pkl")), claimed)
        return root, {key: _values(storage, read(f"data/{key}")) for key, storage in claimed.items()}


def _read_old(path: Path) -> Contents:
    """The format before the zip: five pickles, the last a list of storage keys, and the storages in that order."""
    stream = BytesIO(path.read_bytes())
    claimed: dict[str, Storage] = {}
    if interpret(stream, claimed) != _OLD_MAGIC or interpret(stream, claimed) != _OLD_PROTOCOL:
        raise ModelError("a pickle, but not one that torch.save wrote")
    if interpret(stream, claimed).get("little_endian") is not True:
        raise ModelError("its numbers are big-endian; save it again on an ordinary computer")
    root = interpret(stream, claimed)
    storages = {}
    for key in interpret(stream, claimed):
        storage = claimed[key]
        if struct.unpack("<q", stream.read(8)) != (storage.count,):
            raise ModelError(f"its storage {key!r:.80} is not as long as its tensors say")
        storages[key] = _values(storage, stream.read(storage.count * storage.itemsize))
    return root, storages


def _values(storage: Storage, record: bytes) -> NDArray[Any]:
    if len(record) < storage.count * storage.itemsize:
        raise ModelError(f"its storage {storage.key!r:.80} of {len(record)} bytes cannot hold {storage.count} values")
    if storage.dtype == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(record, "<u2", storage.count).astype("<u4") << 16).view("<f4")
    return np.frombuffer(record, storage.dtype, storage.count)


def _view(name: str, tensor: Tensor, storages: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """The tensor as a view, never a copy, so that a thousand tensors on one storage take no more memory than one."""
    values = storages[tensor.storage.key]
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    if not isinstance(shape, tuple) or not isinstance(strides, tuple) or len(shape) != len(strides) or len(shape) > 8:
        raise ModelError(f"tensor {name!r} has a shape or strides that make no sense")
    if not all(type(number) is int and 0 <= number < LARGEST for number in (*shape, *strides, offset)):
        raise ModelError(f"tensor {name!r} has a shape, strides or offset that are negative or impossibly large")
    end = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) + 1
    if 0 in shape or math.prod(shape) > values.size or end > values.size:
        raise ModelError(
            f"tensor {name!r}, {_by(shape)} with strides {_by(strides)} from {offset}, reaches outside its storage of "
            f"{values.size} values"
        )
    step = values.itemsize
    view = np.ndarray(shape, values.dtype, values.data, offset * step, [stride * step for stride in strides])
    view.flags.writeable = False
    return view


def _collect(root: Any) -> dict[str, Tensor]:
    """Tensors by name, as the saved module's `state_dict()` lists them."""
    if isinstance(root, dict):
        root = Module({"_parameters": root})
    found: dict[str, Tensor] = {}
    pending, samples_seen = [("", root)], set()
    for prefix, module in pending:  # grows while it is walked
        if not isinstance(module, Module) or id(module) in samples_seen:
            raise ModelError(f"{prefix[:-1] or 'the whole'!r} is not a module or state dict, or stands in it twice")
        samples_seen.add(id(module))
        for kind in ("_parameters", "_buffers", "_modules"):
            for key, value in module.state.get(kind, {}).items():
                name = f"{prefix}{key}"
                if len(name) > _LONGEST_NAME or len(found) + len(pending) > _MOST_TENSORS:
                    raise ModelError("it holds more tensors, or more deeply nested ones, than a Generator")
                if value is None:  # such as the bias of a layer without one
                    continue
                if kind == "_modules":
                    pending.append((f"{name}.", value))
                elif isinstance(value, Tensor):
                    found[name] = value
                else:
                    raise ModelError(f"{name!r} is no tensor; save netG.state_dict() and nothing else")
    if not found:
        raise ModelError("it holds no tensors")
    return found


def _by(numbers: tuple[int, ...]) -> str:
    return "×".join(map(str, numbers)) or "scalar"
