"""Import of generators saved by the original SoundGAN (`model_G.pt`, `checkpoint_G_*.pt`), without executing them.

Files are untrusted: every record, size, stride and offset is checked against the bytes in the file, and no more
memory is taken than the file is long.
"""

from __future__ import annotations

import math
import struct
import warnings
import zipfile
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from soundgan.errors import ModelError
from soundgan.training.legacy.unpickle import MAX_INTEGER, Module, Storage, Tensor, interpret

if TYPE_CHECKING:
    from soundgan.training.networks.dcgan import DCGANGenerator

_MAX_TENSORS, _MAX_NAME_LENGTH = 1000, 200  # a generator has seven, up to "module.conv7.weight"
_OLD_MAGIC, _OLD_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # the first pickles of PyTorch's format before the zip

Contents = tuple[Any, dict[str, NDArray[Any]]]  # unpickled object, storages by key


def read_state(path: str | Path) -> dict[str, NDArray[Any]]:
    """Return the weights in a file written by `torch.save`, by name, without executing anything in the file.

    Reads `torch.save(module)` of the original generator, plain or wrapped in `DataParallel`, and
    `torch.save(state_dict)`, in the zip format and in the one before it. Arrays are read-only and keep their shape and
    type (bfloat16 becomes float32); a common prefix `module.` is removed. Needs no PyTorch.

    Raises:
        ModelError: the file is missing, damaged, of another kind, or refers to bytes outside itself; or it names
            objects other than tensors and module classes, which the message contains.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of pickletools, for escapes in a damaged string
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
    except Exception as error:  # of many types, from zipfile, pickletools and the interpreter, for invalid bytes
        reason = f"{error!s:.200}" or type(error).__name__
        raise ModelError(f"{path}: damaged, or not a file that torch.save wrote ({reason})") from None
    wrapped = all(name.startswith("module.") for name in state)
    return {name.removeprefix("module.") if wrapped else name: array for name, array in state.items()}


def legacy_generator(path: str | Path, nz: int, ngf: int, nc: int) -> DCGANGenerator:
    """Load a generator of the original SoundGAN, float32, on the CPU; its shape is taken from the weights.

    Args:
        path: `model_G.pt`, `checkpoint_G_*.pt`, or another file that `read_state` reads.
        nz, ngf, nc: values in gan_config.json.

    Raises:
        ModelError: as for `read_state`; or the weights are not those of such a generator, not finite, or not of the
            shape in gan_config.json; then the message contains the key.
    """
    state = read_state(path)
    layers = [f"conv{number}.weight" for number in range(1, len(state) + 1)]
    unexpected = sorted(set(state) - set(layers))
    if unexpected or len(layers) < 3 or any(array.ndim != 4 for array in state.values()):
        shapes_found = ", ".join(f"{name} {_dims(state[name].shape)}" for name in state)
        content = repr(unexpected[0]) if unexpected else shapes_found
        problem = "not the classic generator, convolutions conv1 to conv7 without bias"
        raise ModelError(f"{path}: {problem}: contains {content}")
    shapes = [state[name].shape for name in layers]
    sizes = {"nz": shapes[0][0], "ngf": shapes[-1][0], "nc": shapes[-1][1]}
    stages = len(layers) - 1
    widths = [sizes["ngf"] * 2**stage for stage in reversed(range(stages))] + [sizes["nc"]]
    expected = [(sizes["nz"], widths[0], *shapes[0][2:]), *((*pair, 4, 4) for pair in pairwise(widths))]
    for name, shape, required in zip(layers, shapes, expected, strict=True):
        if shape != required:
            raise ModelError(
                f"{path}: not the classic generator (perhaps the discriminator): {name} is {_dims(shape)}, and before "
                f"the last layer, {_dims(shapes[-1])}, should be {_dims(required)}"
            )
    given = {"nz": nz, "ngf": ngf, "nc": nc}
    mismatches = [f'"{key}" is {given[key]} but should be {sizes[key]}' for key in given if given[key] != sizes[key]]
    if mismatches:
        raise ModelError(f"{path}: gan_config.json does not fit these weights: {', '.join(mismatches)}")
    return _build(path, {name: state[name] for name in layers}, (*sizes.values(), *shapes[0][2:], stages))


def _build(path: str | Path, state: dict[str, NDArray[Any]], sizes: tuple[int, ...]) -> DCGANGenerator:
    import torch  # not needed for reading

    from soundgan.training.networks.dcgan import DCGANGenerator

    with torch.device("meta"):  # takes no memory and no random numbers: every weight is replaced
        generator = DCGANGenerator(*sizes)
    weights = {}
    for name, array in state.items():
        with np.errstate(over="ignore"):
            values = np.array(array, np.float32, order="C")
        if not np.isfinite(values).all():
            problem = f"{name} contains NaN, infinity or values beyond float32"
            raise ModelError(f"{path}: {problem}; its training had diverged")
        weights[name] = torch.from_numpy(values)
    generator.load_state_dict(weights, assign=True)
    return generator


def _read_zip(path: Path) -> Contents:
    """Read the zip format: `<folder>/data.pkl`, and a record `<folder>/data/<key>` per storage."""
    with zipfile.ZipFile(path) as archive:
        records = {info.filename: info for info in archive.infolist()}
        folders = [name.removesuffix("data.pkl") for name in records if name.endswith("/data.pkl")]
        if len(folders) != 1:
            raise ModelError("not a file that torch.save wrote: a zip without one data.pkl")
        remaining = path.stat().st_size

        def read(name: str) -> bytes:
            # PyTorch compresses nothing, and records that are neither compressed nor overlap fit into their file.
            nonlocal remaining
            info = records[folders[0] + name]
            remaining -= info.file_size
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or remaining < 0:
                raise ModelError(f"its record {name!r:.80} is compressed or overlaps another, as PyTorch's never are")
            return archive.read(info)

        if folders[0] + "byteorder" in records and read("byteorder") != b"little":
            raise ModelError("its numbers are big-endian; save it again on an ordinary computer")
        declared: dict[str, Storage] = {}
        root = interpret(BytesIO(read("data.pkl")), declared)
        return root, {key: _values(storage, read(f"data/{key}")) for key, storage in declared.items()}


def _read_old(path: Path) -> Contents:
    """Read the format before the zip: five pickles, the last a list of storage keys, and the storages in that order."""
    stream = BytesIO(path.read_bytes())
    declared: dict[str, Storage] = {}
    if interpret(stream, declared) != _OLD_MAGIC or interpret(stream, declared) != _OLD_PROTOCOL:
        raise ModelError("a pickle, but not one that torch.save wrote")
    if interpret(stream, declared).get("little_endian") is not True:
        raise ModelError("its numbers are big-endian; save it again on an ordinary computer")
    root = interpret(stream, declared)
    storages = {}
    for key in interpret(stream, declared):
        storage = declared[key]
        if struct.unpack("<q", stream.read(8)) != (storage.size,):
            raise ModelError(f"its storage {key!r:.80} is not as long as its tensors declare")
        storages[key] = _values(storage, stream.read(storage.size * storage.itemsize))
    return root, storages


def _values(storage: Storage, record: bytes) -> NDArray[Any]:
    if len(record) < storage.size * storage.itemsize:
        raise ModelError(f"its storage {storage.key!r:.80} of {len(record)} bytes cannot hold {storage.size} values")
    if storage.dtype == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(record, "<u2", storage.size).astype("<u4") << 16).view("<f4")
    return np.frombuffer(record, storage.dtype, storage.size)


def _view(name: str, tensor: Tensor, storages: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Return a view, never a copy, so that a thousand tensors of one storage take no more memory than one."""
    values = storages[tensor.storage.key]
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    if not isinstance(shape, tuple) or not isinstance(strides, tuple) or len(shape) != len(strides) or len(shape) > 8:
        raise ModelError(f"tensor {name!r} has an invalid shape or strides")
    if not all(type(number) is int and 0 <= number < MAX_INTEGER for number in (*shape, *strides, offset)):
        raise ModelError(f"tensor {name!r} has a shape, strides or offset that are negative or impossibly large")
    end = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) + 1
    if 0 in shape or math.prod(shape) > values.size or end > values.size:
        raise ModelError(
            f"tensor {name!r}, {_dims(shape)} with strides {_dims(strides)} from {offset}, reaches outside its storage "
            f"of {values.size} values"
        )
    step = values.itemsize
    view = np.ndarray(shape, values.dtype, values.data, offset * step, [stride * step for stride in strides])
    view.flags.writeable = False
    return view


def _collect(root: Any) -> dict[str, Tensor]:
    """Tensors by name, as in the `state_dict()` of the saved module."""
    if isinstance(root, dict):
        root = Module({"_parameters": root})
    tensors: dict[str, Tensor] = {}
    pending, visited = [("", root)], set()
    for prefix, module in pending:  # grows during the loop
        if not isinstance(module, Module) or id(module) in visited:
            raise ModelError(f"{prefix[:-1] or 'the whole'!r} is not a module or state dict, or contained in it twice")
        visited.add(id(module))
        for kind in ("_parameters", "_buffers", "_modules"):
            for key, value in module.state.get(kind, {}).items():
                name = f"{prefix}{key}"
                if len(name) > _MAX_NAME_LENGTH or len(tensors) + len(pending) > _MAX_TENSORS:
                    raise ModelError("it contains more tensors, or more deeply nested ones, than a generator")
                if value is None:  # such as the bias of a layer without one
                    continue
                if kind == "_modules":
                    pending.append((f"{name}.", value))
                elif isinstance(value, Tensor):
                    tensors[name] = value
                else:
                    raise ModelError(f"{name!r} is not a tensor; save netG.state_dict() and nothing else")
    if not tensors:
        raise ModelError("it contains no tensors")
    return tensors


def _dims(numbers: tuple[int, ...]) -> str:
    return "×".join(map(str, numbers)) or "scalar"
