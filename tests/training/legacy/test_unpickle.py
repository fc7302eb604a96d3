"""Nothing in a file ever runs: live attacks, and pickles made by hand for each instruction that could do harm."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from soundgan.errors import ModelError
from soundgan.training.legacy.import_generator import read_state


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A small module whose class is `sources.generator.Generator` for as long as the test lasts."""
    fake = types.ModuleType("sources.generator")
    fake.Generator = type("Generator", (nn.Sequential,), {"__module__": "sources.generator"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sources", types.ModuleType("sources"))
    monkeypatch.setitem(sys.modules, "sources.generator", fake)
    return fake.Generator(nn.ConvTranspose2d(2, 3, 4, bias=False), nn.LeakyReLU(0.2))


class Call:
    """Pickles as a call of `function`, which may be a `Call` itself."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call

    def __call__(self) -> None:
        raise AssertionError("only unpickling makes the call")


ATTACKS = {
    "system": (lambda marker: Call(os.system, f"touch '{marker}'"), rf"{os.system.__module__}\.system"),
    "eval": (lambda marker: Call(eval, f"open({str(marker)!r}, 'w').close()"), r"__builtin__\.eval|builtins\.eval"),
    "exec": (lambda marker: Call(exec, f"open({str(marker)!r}, 'w').close()"), r"__builtin__\.exec|builtins\.exec"),
    "check_call": (
        lambda marker: Call(subprocess.check_call, ["touch", str(marker)]),
        r"(subprocess|commands)\.check_call",
    ),
    "getattr chain": (
        lambda marker: Call(Call(getattr, Call(__import__, "os"), "system"), f"touch '{marker}'"),
        r"__builtin__\.getattr|builtins\.getattr",
    ),
}
CARRIERS = {
    "bare pickle": lambda evil, module, path: path.write_bytes(pickle.dumps(evil, 2)),
    "bare pickle, protocol 5": lambda evil, module, path: path.write_bytes(pickle.dumps(evil, 5)),
    "zip": lambda evil, module, path: torch.save(evil, path),
    "zip, protocol 4": lambda evil, module, path: torch.save([evil], path, pickle_protocol=4),
    "state dict": lambda evil, module, path: torch.save(module.state_dict() | {"1.weight": evil}, path),
    "module": lambda evil, module, path: torch.save(planted(module, "note", evil), path),
    "module in a module": lambda evil, module, path: torch.save(nn.DataParallel(planted(module, "note", evil)), path),
    "layer": lambda evil, module, path: torch.save(planted(module, "0.note", evil), path),
    "hook": lambda evil, module, path: torch.save(planted(module, "1._forward_hooks", {0: evil}), path),
    "old format": lambda evil, module, path: torch.save(
        module.state_dict() | {"x": evil}, path, _use_new_zipfile_serialization=False
    ),
}


def planted(module: nn.Module, where: str, evil: object) -> nn.Module:
    parent, _, name = where.rpartition(".")
    object.__setattr__(module.get_submodule(parent), name, evil)
    return module


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_runs_no_code(module: nn.Module, tmp_path: Path, attack: str, carrier: str) -> None:
    path, marker = tmp_path / "model_G.pt", tmp_path / "was here"
    make, culprit = ATTACKS[attack]
    CARRIERS[carrier](make(marker), module, path)

    with pytest.raises(ModelError, match=rf"model_G.pt: refused, and nothing was run: it names '({culprit})'"):
        read_state(path)
    assert not marker.exists()

    # The attack is a live one: what PyTorch does with the same file.
    with contextlib.suppress(Exception):
        torch.load(path, weights_only=False)
    assert marker.exists()


HANDMADE = {
    "instance of a class (INST)": (b"\x80\x02(X\x04\x00\x00\x00trueios\nsystem\n.", "INST 'os system'"),
    "extension registry": (b"\x80\x02\x82\x01.", "EXT1"),
    "named by text (PERSID)": (b"\x80\x02Pstorage\n.", "PERSID 'storage'"),
    "class with arguments": (b"\x80\x02ctorch.nn.modules.conv\nConv2d\nK\x01\x85\x81.", "torch.nn.modules.conv.Conv2d"),
    "function made an object": (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "collections.OrderedDict"),
    "class called": (b"\x80\x02csources.generator\nGenerator\n)R.", "sources.generator.Generator"),
    "storage type called": (b"\x80\x02ctorch\nFloatStorage\nK\x08\x85R.", "torch.FloatStorage"),
    "attribute of a class": (
        b"\x80\x04\x8c\x15torch.nn.modules.conv\x8c\x1fConv2d.__init__.__globals__.get\x93.",
        "torch.nn.modules.conv.Conv2d.__init__.__globals__.get",
    ),
    "another Generator": (b"\x80\x02cevil\nGenerator\n.", "evil.Generator"),
    "copyreg": (b"\x80\x02ccopy_reg\n_reconstructor\n.", "copy_reg._reconstructor"),
    "attributes set on a function": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__K\x07s\x86b.",
        "expected a dict, got a tuple",
    ),
    "state given to a function": (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.", "expected a dict, got a Name"),
    "bytes instead of a module": (b"\x80\x02U\x01x.", "SHORT_BINSTRING"),
    "key that hashes forever": (b"\x80\x02})" + b"2\x86" * 40 + b"Ns.", "DUP"),
    "key that is a tuple": (b"\x80\x02})Ns.", "expected a str, got a tuple"),
    "stack run dry": (b"\x80\x02R.", "damaged"),
    "mark run dry": (b"\x80\x02t.", "damaged"),
    "nothing remembered": (b"\x80\x02h\x07.", "damaged"),
    "cut short": (b"\x80\x02X\xff\xff\xff\x7fabc", "damaged"),
    "endless": (b"\x80\x02" + b"N" * 300_000 + b".", "far longer"),
}


@pytest.mark.parametrize("name", HANDMADE)
def test_handmade_pickles_are_refused(tmp_path: Path, name: str) -> None:
    content, culprit = HANDMADE[name]
    path = tmp_path / "model_G.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"model_G.pt: .*{re.escape(culprit)}") as caught:
        read_state(path)
    assert "\n" not in str(caught.value)


def test_importable_class_is_never_used(module: nn.Module, tmp_path: Path) -> None:
    """With the class importable: neither imported anew, nor made, nor given its state."""
    path = tmp_path / "model_G.pt"
    torch.save(module, path)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the file's class was used")

    for method in ("__new__", "__init__", "__setstate__", "__reduce_ex__"):
        setattr(type(module), method, never)
    assert len(read_state(path)) == 1
    with pytest.raises(AssertionError):
        torch.load(path, weights_only=False)


def test_file_cannot_modify_the_reader(tmp_path: Path) -> None:
    """BUILD on a name from the list must not set attributes of anything: a good file still reads afterwards."""
    evil, good = tmp_path / "evil.pt", tmp_path / "good.pt"
    torch.save({"weight": torch.arange(4.0)}, good)
    for name in ("attributes set on a function", "state given to a function"):
        evil.write_bytes(HANDMADE[name][0])
        with pytest.raises(ModelError):
            read_state(evil)
    assert read_state(good)["weight"].tolist() == [0, 1, 2, 3]
