"""Import of original files: the converted generator is the same, and mismatches are named."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from soundgan.errors import ModelError
from soundgan.training.legacy.import_generator import legacy_generator, read_state
from soundgan.training.networks.dcgan import DCGANDiscriminator

NZ, NGF, NC = 5, 2, 3
SIZES = [NZ, *(NGF * 2**upsamples for upsamples in (5, 4, 3, 2, 1, 0)), NC]


class Lookalike(nn.Module):
    """Seven transposed convolutions with their activations as submodules, as the original saved them."""

    def __init__(self) -> None:
        super().__init__()
        for number in range(1, 8):
            first = number == 1
            layer = nn.ConvTranspose2d(
                SIZES[number - 1], SIZES[number], 4, stride=1 if first else 2, padding=0 if first else 1, bias=False
            )
            # Larger than the original's 0.02, so that the spectrograms have contrast but the tanh is not saturated.
            nn.init.normal_(layer.weight, 0.0, (SIZES[number - 1] * (1 if first else 4)) ** -0.5)
            self.add_module(f"conv{number}", layer)
            self.add_module(f"relu{number}", nn.LeakyReLU(0.2, inplace=True))
        self.tanh = nn.Tanh()

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = z[:, :, None, None]
        for number in range(1, 7):
            x = self.get_submodule(f"conv{number}")(x)
            x = torch.where(x > 0, x, 0.2 * x)
        return torch.tanh(self.get_submodule("conv7")(x))


@pytest.fixture
def original(monkeypatch: pytest.MonkeyPatch) -> Lookalike:
    """A module whose class is called `sources.generator.Generator` for as long as the test lasts."""
    torch.manual_seed(0)
    lookalike = type("Generator", (Lookalike,), {"__module__": "sources.generator"})
    fake = types.ModuleType("sources.generator")
    fake.Generator = lookalike  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sources", types.ModuleType("sources"))
    monkeypatch.setitem(sys.modules, "sources.generator", fake)
    return lookalike()


def forget_sources() -> None:
    del sys.modules["sources.generator"], sys.modules["sources"]


SAVED = {
    "module": lambda module, path: torch.save(module, path),
    "state dict": lambda module, path: torch.save(module.state_dict(), path),
    "parallel module": lambda module, path: torch.save(nn.DataParallel(module), path),
    "parallel state dict": lambda module, path: torch.save(nn.DataParallel(module).state_dict(), path),
    "protocol 4": lambda module, path: torch.save(module, path, pickle_protocol=4),
    "old module": lambda module, path: torch.save(module, path, _use_new_zipfile_serialization=False),
    "old state dict": lambda module, path: torch.save(module.state_dict(), path, _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("saved", SAVED)
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")  # the old format wants the class's source text
def test_converted_generator_equals_the_original(
    original: Lookalike, tmp_path: Path, saved: str, dtype: torch.dtype
) -> None:
    path = tmp_path / "model_G.pt"
    SAVED[saved](original.to(dtype), path)
    forget_sources()

    generator = legacy_generator(path, NZ, NGF, NC)

    z = torch.randn(2, NZ)
    with torch.no_grad():
        spectrograms = generator(z, torch.zeros(2, dtype=torch.int64))
        expected = original.double()(z.double()) if dtype == torch.float64 else original.float()(z)
    assert spectrograms.shape == (2, NC, 256, 256) and spectrograms.dtype == torch.float32
    assert expected.std() > 0.05
    assert (spectrograms - expected).abs().max() <= 1e-6
    assert list(generator.state_dict()) == [f"conv{number}.weight" for number in range(1, 8)]
    assert all(parameter.requires_grad for parameter in generator.parameters())
    assert "sources.generator" not in sys.modules


def test_state_keeps_names_types_and_layout(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    saved = {"part": base[1:3, ::2], "turned": base.T, "count": torch.tensor(7), "half": base.half()}
    torch.save(saved, tmp_path / "state.pt")
    state = read_state(tmp_path / "state.pt")
    assert list(state) == list(saved)
    for name, tensor in saved.items():
        np.testing.assert_array_equal(state[name], tensor.numpy())
        assert state[name].dtype == tensor.numpy().dtype and not state[name].flags.writeable


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    values = torch.tensor([1.0, -2.5, 3e38, 1e-40, float("inf")]).bfloat16()
    torch.save({"weight": values}, tmp_path / "state.pt")
    weight = read_state(tmp_path / "state.pt")["weight"]
    np.testing.assert_array_equal(weight, values.float().numpy())
    assert weight.dtype == np.float32 and not weight.flags.writeable


def test_module_with_buffers_reads_as_its_state_dict(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.BatchNorm2d(2), nn.PReLU()))
    torch.save(module, tmp_path / "module.pt")
    state = read_state(tmp_path / "module.pt")
    assert set(state) == set(module.state_dict())
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(state[name], tensor.numpy())


def test_reading_needs_no_pytorch(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(3)}, tmp_path / "state.pt")
    program = (
        "import sys; from soundgan.training.legacy.import_generator import read_state;"
        f"assert read_state({str(tmp_path / 'state.pt')!r})['weight'].sum() == 3; assert 'torch' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


@pytest.mark.parametrize("key, sizes", [("nz", (6, NGF, NC)), ("ngf", (NZ, 128, NC)), ("nc", (NZ, NGF, 1))])
def test_message_names_the_mismatched_configuration_key(
    original: Lookalike, tmp_path: Path, key: str, sizes: tuple[int, int, int]
) -> None:
    torch.save(original.state_dict(), tmp_path / "model_G.pt")
    right = {"nz": NZ, "ngf": NGF, "nc": NC}[key]
    with pytest.raises(ModelError, match=rf'model_G.pt: gan_config.json .*: "{key}" is \d+ but should be {right}$'):
        legacy_generator(tmp_path / "model_G.pt", *sizes)


def spoiled(state: dict[str, torch.Tensor], how: str) -> dict[str, torch.Tensor]:
    state = dict(state)
    if how == "bias":
        state["conv3.bias"] = torch.zeros(8)
    elif how == "missing layer":
        del state["conv4.weight"]
    elif how == "kernel":
        state["conv2.weight"] = state["conv2.weight"][:, :, :3, :3].clone()
    elif how == "flat":
        state["conv5.weight"] = state["conv5.weight"].flatten()
    elif how == "nan":
        state["conv6.weight"] = torch.full_like(state["conv6.weight"], float("nan"))
    elif how == "beyond float32":
        state["conv6.weight"] = torch.full_like(state["conv6.weight"], 1e300, dtype=torch.float64)
    return state


@pytest.mark.parametrize(
    "how, named",
    [
        ("bias", "conv3.bias"),
        ("missing layer", "conv7.weight"),
        ("kernel", "conv2.weight is 64×32×3×3.*should be 64×32×4×4"),
        ("flat", "conv5.weight"),
        ("nan", "conv6.weight contains NaN"),
        ("beyond float32", "conv6.weight contains NaN, infinity"),
    ],
)
def test_other_weights_are_refused_by_name(original: Lookalike, tmp_path: Path, how: str, named: str) -> None:
    torch.save(spoiled(original.state_dict(), how), tmp_path / "model_G.pt")
    with pytest.raises(ModelError, match=named):
        legacy_generator(tmp_path / "model_G.pt", NZ, NGF, NC)


def test_discriminator_is_refused(tmp_path: Path) -> None:
    torch.save(DCGANDiscriminator(2, 3, 4, 4, 6).state_dict(), tmp_path / "checkpoint_D_3.pt")
    with pytest.raises(ModelError, match="discriminator"):
        legacy_generator(tmp_path / "checkpoint_D_3.pt", NZ, NGF, NC)


@pytest.mark.parametrize(
    "content, reason",
    [
        (None, "cannot be read"),
        (b"", "not a file"),
        (b"RIFF....WAVE", "not a file"),
        (b"PK\x03\x04 nothing", "not a file"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "model_G.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=f"model_G.pt: .*{reason}"):
        read_state(path)


def test_message_names_the_value_that_is_not_a_tensor(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2), "epoch": 3}, tmp_path / "run.pt")
    with pytest.raises(ModelError, match=r"'epoch' is not a tensor; save netG.state_dict\(\)"):
        read_state(tmp_path / "run.pt")
