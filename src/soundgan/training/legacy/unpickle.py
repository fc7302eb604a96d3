"""What a PyTorch pickle describes, as inert data: it is read like a document, never run.

A pickle is a program, and unpickling one runs whatever its author wrote. Here its instructions are walked one by one by
an interpreter that knows only those which build data; a Python object that the program names becomes its bare name,
and only names on a short list pass. Nothing is imported, called, or given an attribute. (A subclass of
`pickle.Unpickler` would not be enough: BUILD sets attributes on the very objects handed out as harmless stand-ins,
`__defaults__` of a function included, and a pickle of ten bytes can make its memo take gigabytes.)
"""

from __future__ import annotations

import pickletools
import re
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, TypeVar

from soundgan.errors import ModelError

T = TypeVar("T")

# PyTorch's storage types → numpy's type and the bytes of one value. numpy has no bfloat16.
TYPES = {
    "FloatStorage": ("<f4", 4),
    "DoubleStorage": ("<f8", 8),
    "HalfStorage": ("<f2", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("<i8", 8),
}
MOST_INSTRUCTIONS = 200_000  # a generator needs a few thousand
LARGEST = 2**48  # no count, size, stride or offset comes near it; hostile integers stay small enough to compute with

_TENSOR, _PARAMETER = "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter"
_DICTS, _SETS, _DEVICE = {"collections.OrderedDict"}, {"__builtin__.set", "builtins.set"}, "torch.device"
_FUNCTIONS = {_TENSOR, _PARAMETER, _DEVICE} | _DICTS | _SETS
_STORAGE = re.compile(rf"torch\.(?:cuda\.)?({'|'.join(TYPES)})", re.ASCII)
_MODULE = re.compile(
    r"torch\.nn\.modules\.[a-z]+\.[A-Z]\w*|torch\.nn\.parallel\.data_parallel\.DataParallel"
    r"|(sources\.generator|__main__)\.Generator",
    re.ASCII,
)


@dataclass(frozen=True, eq=False, slots=True)
class Name:
    """A Python object that the file names, as nothing but its dotted name."""

    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Module:
    """An object that the file would make of a module class, as nothing but its state."""

    state: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Storage:
    """A run of `count` values of `itemsize` bytes that stands elsewhere in the file, under `key`."""

    key: str
    dtype: str
    itemsize: int
    count: int


@dataclass(frozen=True, eq=False, slots=True)
class Tensor:
    """A view on a storage. Offset, shape and strides count values and are not to be trusted: they are not checked."""

    storage: Storage
    offset: Any
    shape: Any
    strides: Any


def interpret(stream: BytesIO, storages: dict[str, Storage]) -> Any:
    """The object that the next pickle of `stream` describes: plain Python data, `Module`, `Tensor`.

    Args:
        stream: left just behind the pickle.
        storages: every storage that the pickle speaks of is added, by its key.

    Raises:
        ModelError: the pickle names an object, or has an instruction, that a saved module does not need.
        ValueError, LookupError, AttributeError, TypeError: its instructions make no sense.
    """
    stack: list[Any] = []
    marks: list[list[Any]] = []
    memo: dict[Any, Any] = {}
    for count, (instruction, value, _) in enumerate(pickletools.genops(stream)):
        if count >= MOST_INSTRUCTIONS:
            raise ModelError("its pickle is far longer than a generator's")
        match instruction.name:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "MARK":
                marks.append(stack)
                stack = []
            case "NONE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(value)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(instruction.name == "NEWTRUE")
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST" | "EMPTY_SET":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [stack.pop() for _ in range(int(instruction.name[-1]))]
                stack.append(tuple(reversed(items)))
            case "TUPLE":
                items, stack = stack, marks.pop()
                stack.append(tuple(items))
            case "APPEND":
                item = stack.pop()
                _a(list, stack[-1]).append(item)
            case "APPENDS" | "ADDITEMS":
                items, stack = stack, marks.pop()
                _a(list, stack[-1]).extend(items)
            case "SETITEM":
                item, key = stack.pop(), stack.pop()
                _a(dict, stack[-1])[_key(key)] = item
            case "SETITEMS":
                items, stack = stack, marks.pop()
                pairs = zip(map(_key, items[::2]), items[1::2], strict=True)
                _a(dict, stack[-1]).update(pairs)
            case "BINPUT" | "LONG_BINPUT":
                memo[value] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[value])
            case "GLOBAL":
                stack.append(_named(_a(str, value).replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_named(f"{_a(str, module)}.{_a(str, name)}"))
            case "BINPERSID":
                stack.append(_persistent(_a(tuple, stack.pop()), storages))
            case "NEWOBJ":
                arguments, named = stack.pop(), _a(Name, stack.pop())
                if not _MODULE.fullmatch(named.name) or arguments != ():
                    raise ModelError(f"refused, and nothing was run: it makes an object of {named.name}")
                stack.append(Module())
            case "REDUCE":
                arguments, named = _a(tuple, stack.pop()), _a(Name, stack.pop())
                stack.append(_described(named.name, arguments))
            case "BUILD":
                state = _a(dict, stack.pop())
                if isinstance(stack[-1], Module):
                    stack[-1].state.update(state)
                else:
                    _a(dict, stack[-1])  # the version notes on a state dict, which nothing here needs
            case other:
                shown = f" {value!r:.80}" if isinstance(value, str) else ""
                raise ModelError(f"refused, and nothing was run: its pickle has the instruction {other}{shown}")
    (result,) = stack
    return result


def _named(name: str) -> Name:
    if name not in _FUNCTIONS and not _STORAGE.fullmatch(name) and not _MODULE.fullmatch(name):
        raise ModelError(
            f"refused, and nothing was run: it names {name!r:.80}, which no saved Generator needs; a file with the "
            "weights alone, torch.save(netG.state_dict(), …), names nothing of the kind"
        )
    return Name(name)


def _described(function: str, arguments: tuple[Any, ...]) -> Any:
    """What calling `function` would have made, as data."""
    if function in _DICTS and not arguments:
        return {}
    if function in _SETS:
        return []
    if function == _DEVICE:
        return None
    if function == _PARAMETER:
        return _a(Tensor, arguments[0])
    if function == _TENSOR:
        storage, offset, shape, strides = arguments[:4]
        return Tensor(_a(Storage, storage), offset, shape, strides)
    raise ModelError(f"refused, and nothing was run: it calls {function} in a way that no saved Generator does")


def _persistent(reference: tuple[Any, ...], storages: dict[str, Storage]) -> Storage | Name:
    """A storage; or, in the format before the zip, a module's class beside its source text, which is not looked at."""
    kind, named, key, *rest = reference
    if kind == "module":
        return _a(Name, named)
    storage_type = _STORAGE.fullmatch(_a(Name, named).name)
    if kind != "storage" or storage_type is None or any(rest[2:]):
        raise ModelError("refused: it refers to something other than a whole storage")
    count = _a(int, rest[1])  # rest[0] is the device it was on, "cuda:0" or "cpu": here everything is on the CPU
    storage = Storage(_a(str, key), *TYPES[storage_type[1]], count)
    if not 0 <= count < LARGEST or storages.setdefault(storage.key, storage) != storage:
        raise ModelError(f"storage {key!r:.80} has an impossible size, or two")
    return storage


def _key(key: Any) -> str | int:
    """Keys are strings and numbers; a deeply nested tuple would exhaust the stack when hashed."""
    return key if type(key) is int else _a(str, key)


def _a(kind: type[T], thing: Any) -> T:
    if type(thing) is not kind:
        raise TypeError(f"a {type(thing).__name__} stands where a {kind.__name__} belongs")
    return thing
