"""Reading of PyTorch pickles as inert data, without executing them.

A pickle is a program, and unpickling runs it. This interpreter knows only the opcodes that build data; a Python object
that the pickle names becomes its bare name, and only names on an allow-list pass. Nothing is imported, called, or given
an attribute. (A subclass of `pickle.Unpickler` is not enough: BUILD sets attributes on the objects that stand in for
others, `__defaults__` of a function included, and the memo of a ten-byte pickle can take gigabytes.)
"""

from __future__ import annotations

import pickletools
import re
from io import BytesIO
from typing import Any, NamedTuple, TypeVar

from soundgan.errors import ModelError

T = TypeVar("T")

# PyTorch storage type → NumPy type and bytes per value. NumPy has no bfloat16.
STORAGE_TYPES = {
    "FloatStorage": ("<f4", 4),
    "DoubleStorage": ("<f8", 8),
    "HalfStorage": ("<f2", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("<i8", 8),
}
MAX_OPCODES = 200_000  # a generator needs a few thousand
MAX_INTEGER = 2**48  # above any count, size, stride or offset; hostile integers stay cheap to compute with

_TENSOR, _PARAMETER = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"
_DICTS, _SETS, _DEVICE = {"collections.OrderedDict"}, {"__builtin__.set", "builtins.set"}, "torch.device"
_FUNCTIONS = {_TENSOR, _PARAMETER, _DEVICE} | _DICTS | _SETS
_STORAGE = re.compile(rf"torch\.(?:cuda\.)?({'|'.join(STORAGE_TYPES)})", re.ASCII)
_MODULE = re.compile(
    r"torch\.nn\.modules\.[a-z]+\.[A-Z]\w*|torch\.nn\.parallel\.data_parallel\.DataParallel"
    r"|(sources\.generator|__main__)\.Generator",
    re.ASCII,
)


class Name(NamedTuple):
    """Dotted name of a Python object."""

    name: str


class Module(NamedTuple):
    """State of an instance of a module class."""

    state: dict[Any, Any]


class Storage(NamedTuple):
    """`size` values of `itemsize` bytes each, stored elsewhere in the file under `key`."""

    key: str
    dtype: str
    itemsize: int
    size: int


class Tensor(NamedTuple):
    """View of a storage. Offset, shape and strides, in values, are unchecked."""

    storage: Storage
    offset: Any
    shape: Any
    strides: Any


def interpret(stream: BytesIO, storages: dict[str, Storage]) -> Any:
    """Return the object of the next pickle in `stream`: plain Python data, `Module`, `Tensor`.

    Args:
        stream: read up to the end of the pickle.
        storages: receives every storage that the pickle refers to, by key.

    Raises:
        ModelError: the pickle names an object, or has an opcode, that a saved module does not need.
        ValueError, LookupError, AttributeError, TypeError: the pickle is invalid.
    """
    stack: list[Any] = []
    marks: list[list[Any]] = []
    memo: dict[Any, Any] = {}
    for count, (opcode, value, _) in enumerate(pickletools.genops(stream)):
        if count >= MAX_OPCODES:
            raise ModelError("its pickle is far longer than that of a generator")
        match opcode.name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                marks.append(stack)
                stack = []
            case "NONE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(value)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST" | "EMPTY_SET":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [stack.pop() for _ in range(int(opcode.name[-1]))]
                stack.append(tuple(reversed(items)))
            case "TUPLE":
                items, stack = stack, marks.pop()
                stack.append(tuple(items))
            case "APPEND":
                item = stack.pop()
                _require(list, stack[-1]).append(item)
            case "APPENDS" | "ADDITEMS":
                items, stack = stack, marks.pop()
                _require(list, stack[-1]).extend(items)
            case "SETITEM":
                item, key = stack.pop(), stack.pop()
                _require(dict, stack[-1])[_key(key)] = item
            case "SETITEMS":
                items, stack = stack, marks.pop()
                pairs = zip(map(_key, items[::2]), items[1::2], strict=True)
                _require(dict, stack[-1]).update(pairs)
            case "BINPUT" | "LONG_BINPUT":
                memo[value] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[value])
            case "GLOBAL":
                stack.append(_named(_require(str, value).replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_named(f"{_require(str, module)}.{_require(str, name)}"))
            case "BINPERSID":
                stack.append(_persistent(_require(tuple, stack.pop()), storages))
            case "NEWOBJ":
                arguments, named = stack.pop(), _require(Name, stack.pop())
                if not _MODULE.fullmatch(named.name) or arguments != ():
                    raise ModelError(f"refused, and nothing was run: it creates an instance of {named.name}")
                stack.append(Module({}))
            case "REDUCE":
                arguments, named = _require(tuple, stack.pop()), _require(Name, stack.pop())
                stack.append(_call(named.name, arguments))
            case "BUILD":
                state = _require(dict, stack.pop())
                if isinstance(stack[-1], Module):
                    stack[-1].state.update(state)
                else:
                    _require(dict, stack[-1])  # the versions in a state dict are not needed
            case other:
                argument = f" {value!r:.80}" if isinstance(value, str) else ""
                raise ModelError(f"refused, and nothing was run: its pickle has the opcode {other}{argument}")
    (result,) = stack
    return result


def _named(name: str) -> Name:
    if name not in _FUNCTIONS and not _STORAGE.fullmatch(name) and not _MODULE.fullmatch(name):
        raise ModelError(
            f"refused, and nothing was run: it names {name!r:.80}, which no saved generator needs; a file with only "
            "the weights, torch.save(netG.state_dict(), …), names no such objects"
        )
    return Name(name)


def _call(function: str, arguments: tuple[Any, ...]) -> Any:
    """Result of calling `function`, as data."""
    if function in _DICTS and not arguments:
        return {}
    if function in _SETS:
        return []
    if function == _DEVICE:
        return None
    if function == _PARAMETER:
        return _require(Tensor, arguments[0])
    if function == _TENSOR:
        storage, offset, shape, strides = arguments[:4]
        return Tensor(_require(Storage, storage), offset, shape, strides)
    raise ModelError(f"refused, and nothing was run: it calls {function} in a way that no saved generator does")


def _persistent(reference: tuple[Any, ...], storages: dict[str, Storage]) -> Storage | Name:
    """A storage; or, in the format before the zip, a module class, whose source text beside it is ignored."""
    kind, named, key, *rest = reference
    if kind == "module":
        return _require(Name, named)
    storage_type = _STORAGE.fullmatch(_require(Name, named).name)
    if kind != "storage" or storage_type is None or any(rest[2:]):
        raise ModelError("refused: it refers to something other than a whole storage")
    count = _require(int, rest[1])  # rest[0] is the device, such as "cuda:0", and ignored
    storage = Storage(_require(str, key), *STORAGE_TYPES[storage_type[1]], count)
    if not 0 <= count < MAX_INTEGER or storages.setdefault(storage.key, storage) != storage:
        raise ModelError(f"storage {key!r:.80} has an invalid size, or two")
    return storage


def _key(key: Any) -> str | int:
    """Require a string or integer: hashing a deeply nested tuple would exhaust the stack."""
    return key if type(key) is int else _require(str, key)


def _require(kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise TypeError(f"expected a {kind.__name__}, got a {type(value).__name__}")
    return value
