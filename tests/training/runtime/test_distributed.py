"""Several processes, connected over loopback, end with the weights of a single one, or all stop or fail together.

Where weights are compared, everything is computed in double precision: Adam's first steps follow hardly more than the
sign of a gradient, and would make the rounding of single-precision sums visible.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from fixture_types import TinySettings
from training_folder import log_of, progress_of, tensors

from soundgan.data.dataset import Dataset
from soundgan.errors import TrainingError
from soundgan.model import SoundGAN
from soundgan.spectral.noise_texture import NoiseTexture
from soundgan.spectral.presets import preset
from soundgan.training import loop
from soundgan.training.loop import train
from soundgan.training.losses import augment
from soundgan.training.monitor import monitor
from soundgan.training.runtime.distributed import SINGLE_PROCESS, Distributed, init_distributed, rank
from soundgan.training.runtime.rng import StepRNG

PATIENCE = 120  # s that processes have on a busy machine before they count as hung
LOOPBACK = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo"}
NOISY = {"initial_noise_std": 0.2, "max_samples": 24}

WORKER = """
import json, os, signal, sys
from pathlib import Path

import torch

from soundgan.data.dataset import prepare
from soundgan.errors import TrainingError
from soundgan.settings import Settings
from soundgan.training import loop
from soundgan.training.monitor import monitor
from soundgan.training.losses import augment
from soundgan.training.runtime import rng as chance
from soundgan.training.runtime.distributed import init_distributed

torch.set_default_dtype(torch.float64)
torch.Tensor.float = torch.Tensor.double
loop.LOG_EVERY, monitor.save_snapshot, augment.ADA_RAMP_SAMPLES = 1, lambda *args: None, 20
settings, folder = Settings.model_validate_json(sys.argv[1]), Path(sys.argv[2])
batch, results, written, reports = chance.PairedSampler.__call__, {}, [], []

def watch(event, details):
    if event == "open" and (details[2] or 0) & (os.O_WRONLY | os.O_RDWR):
        written.append(str(details[0]))

sys.addaudithook(watch)

def at(seen, act):
    def acting(pairs, position, size):
        if position == seen:
            act()
        return batch(pairs, position, size)
    chance.PairedSampler.__call__ = acting

def error_of(act):
    try:
        act()
    except TrainingError as error:
        return str(error)

def fail():
    raise ZeroDivisionError

def together():
    with init_distributed(torch.device("cpu")) as distributed:
        with distributed.rank_zero_first():
            dataset = prepare(Path(settings.data.dataroot), settings.data, settings.spectrogram, folder / "cache")

        def train(name, **changes):
            changed = settings.with_values(**changes)
            return loop.train(dataset, changed, folder / name, reports.append, reports.append, distributed)

        train("two")
        train("two then one", max_samples=12)
        train("one then two")
        results["indivisible"] = error_of(lambda: train("indivisible", batch_size=6))
        results["unlike"] = error_of(lambda: train("unlike", license=str(distributed.rank)))
        if distributed.rank == 1:
            at(8, lambda: signal.raise_signal(signal.SIGINT))
        outcome = train("stopped")
        results["stopped"] = [outcome.progress.samples_seen, outcome.interrupted]
        if distributed.rank == 1:
            at(8, fail)
        train("failed")

try:
    results["lost"] = error_of(together)
except ZeroDivisionError:
    results["failed"] = True
results |= {"written": [path for path in written if path.startswith(str(folder))], "reports": len(reports)}
Path(sys.argv[3], os.environ["RANK"]).write_text(json.dumps(results))
"""


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def start(arguments: Sequence[object], size: int = 2) -> list[subprocess.Popen[str]]:
    """Start Python `size` times as a launcher would."""
    here = {**os.environ, **LOOPBACK, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    here["WORLD_SIZE"] = str(size)
    pipes: dict[str, Any] = {name: subprocess.PIPE for name in ("stdout", "stderr")}
    command = [sys.executable, *map(str, arguments)]
    return [
        subprocess.Popen(command, env={**here, "RANK": str(k), "LOCAL_RANK": str(k)}, text=True, **pipes)
        for k in range(size)
    ]


def finish(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Status, output and errors of every process, which end by themselves and soon."""
    try:
        ended = [process.communicate(timeout=PATIENCE) for process in processes]
        return [(process.returncode, *texts) for process, texts in zip(processes, ended, strict=True)]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@contextmanager
def doubles() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        patch.setattr(loop, "LOG_EVERY", 1)
        patch.setattr(monitor, "save_snapshot", lambda *args: None)
        patch.setattr(augment, "ADA_RAMP_SAMPLES", 20)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def trainings(tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of trainings of one process, of two, and of both in turn."""
    folder, settings = tmp_path_factory.mktemp("trainings"), tiny_settings(**NOISY)
    results = folder.with_name(f"{folder.name} results")
    results.mkdir()
    with doubles():
        train(tiny_dataset, settings, folder / "one")
        train(tiny_dataset, settings.with_values(max_samples=12), folder / "one then two")
        ended = finish(start(["-c", WORKER, settings.model_dump_json(), folder, results]))
        assert [status for status, *_ in ended] == [0, 0], ended
        train(tiny_dataset, settings, folder / "two then one")
    return folder


@pytest.fixture(scope="module")
def results(trainings: Path) -> list[dict[str, Any]]:
    """Results that the two processes wrote, by rank."""
    return [json.loads((trainings.with_name(f"{trainings.name} results") / str(k)).read_text()) for k in range(2)]


@pytest.mark.parametrize("name", ["two", "two then one", "one then two"])
def test_two_processes_compute_the_weights_of_one(name: str, trainings: Path) -> None:
    mine, theirs = tensors(trainings / name), tensors(trainings / "one")
    assert mine.keys() == theirs.keys()
    for key in theirs:
        torch.testing.assert_close(mine[key], theirs[key], rtol=1e-5, atol=1e-8, msg=lambda text, key=key: key + text)
    assert progress_of(trainings / name).samples_seen == progress_of(trainings / "one").samples_seen == 24


def test_log_of_two_processes_is_that_of_one(trainings: Path) -> None:
    one, two = log_of(trainings / "one"), log_of(trainings / "two")
    mixed = "label_loss", "imle_loss", "texture_loss", "pitch_loss", "diversity"
    for key in ("samples_seen", "steps", "loss_D", "loss_G", "d_accuracy", "gradient_penalty", "augment_p", *mixed):
        assert [line[key] for line in two] == pytest.approx([line[key] for line in one], rel=1e-4, abs=2e-5)
    assert max(line["augment_p"] for line in one) > 0.3  # changes of spectrograms take part in what is compared


def test_rank_zero_alone_writes_and_reports(results: list[dict[str, Any]]) -> None:
    assert results[0]["written"] and results[0]["reports"]
    assert not results[1]["written"] and not results[1]["reports"]


def test_indivisible_batch_is_rejected(results: list[dict[str, Any]]) -> None:
    for result in results:
        assert result["indivisible"].startswith("batch_size = 6 cannot be split into pairs among 2 processes: ")


def test_processes_with_different_settings_are_rejected(results: list[dict[str, Any]]) -> None:
    for result in results:
        assert "the processes differ in their checkpoint, data or settings" in result["unlike"]


def test_signal_to_one_process_stops_all_at_the_same_step(trainings: Path, results: list[dict[str, Any]]) -> None:
    for result in results:
        assert result["stopped"] == [12, True]
    assert progress_of(trainings / "stopped").samples_seen == 12


def test_failure_of_one_process_stops_the_other(trainings: Path, results: list[dict[str, Any]]) -> None:
    assert results[1]["failed"]
    assert results[0]["lost"].startswith("process 0 of 2 stops because another one failed, see its message; ")
    assert not list((trainings / "failed").glob("*.safetensors"))


CLI = "from soundgan.cli.app import main; main()"


def test_failure_of_rank_zero_while_others_wait_stops_all(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    command = ["-c", CLI, "train", tmp_path / "empty", "-o", tmp_path / "model"]
    (first, _, why), (second, _, consequence) = finish(start(command))
    assert first == second == 2
    assert str(tmp_path / "empty") in why and len(why.splitlines()) == 1
    assert "process 1 of 2 stops because another one failed" in consequence


def test_torchrun_trains_a_model(tiny_settings: TinySettings, tmp_path: Path) -> None:
    settings = tiny_settings(max_samples=8, saveroot=str(tmp_path / "model"))
    (tmp_path / "settings.json").write_text(settings.model_dump_json())
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python"]
    command = [sys.executable, *launcher, sys.executable, "-c", CLI, "train", "--config", tmp_path / "settings.json"]
    done = subprocess.run(
        command, env={**os.environ, **LOOPBACK}, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Model:") == 1 and done.stderr.count("Training on 2 × 1 CPU thread, float32") == 1
    model = SoundGAN.load(tmp_path / "model")
    assert model.config.training["samples_seen"] == 8
    assert model.config.training["machine"] == "2 × 1 CPU thread, float32"


# Without other processes


def test_shards_concatenate_to_the_batch() -> None:
    batch = torch.arange(12).reshape(6, 2)
    shares = [Distributed(k, 3).shard(batch) for k in range(3)]
    assert torch.equal(torch.cat(shares), batch) and {len(share) for share in shares} == {2}
    assert torch.equal(SINGLE_PROCESS.shard(batch), batch)


def test_gather_of_a_single_process_returns_its_argument() -> None:
    share = torch.randn(3, 2)
    assert SINGLE_PROCESS.gather(share) is share


@pytest.mark.parametrize("shape", [(64,), (1, 16, 32)])
def test_random_numbers_do_not_depend_on_the_number_of_processes(shape: tuple[int, ...]) -> None:
    cpu, texture = torch.device("cpu"), torch.from_numpy(NoiseTexture(preset(8000, 0.25)).levels)
    whole, shares = StepRNG(3, 40, cpu), [StepRNG(3, 40, cpu, Distributed(k, 4)) for k in range(4)]
    for _ in range(2):
        assert torch.equal(torch.cat([share.normal(2, *shape) for share in shares]), whole.normal(8, *shape))
        assert torch.equal(torch.cat([share.uniform(2, *shape) for share in shares]), whole.uniform(8, *shape))
        assert torch.equal(
            torch.cat([share.random_crops(texture, 16, 2) for share in shares]), whole.random_crops(texture, 16, 8)
        )


def test_process_without_launcher_is_single(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("RANK", "3")  # left over from something else
    assert rank() == 0
    with init_distributed(torch.device("cpu")) as distributed:
        assert distributed is SINGLE_PROCESS
        assert (
            distributed.is_rank_zero
            and distributed.any_rank(True)
            and not distributed.any_rank(False)
            and distributed.all_ranks_equal("all")
        )
        assert distributed.mean({"loss": 1.5}) == {"loss": 1.5}
    assert not torch.distributed.is_initialized()


def test_incomplete_launcher_environment_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(TrainingError, match=r"WORLD_SIZE is 2, but RANK is not set: .*torchrun"),
        init_distributed(torch.device("cpu")),
    ):
        pass
