"""Training that was interrupted or killed ends with the bits of one that was not, or says why it cannot go on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from fixture_types import TinySettings
from safetensors import safe_open
from safetensors.torch import save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_folder import NAME, assert_same_best, assert_same_bits, log_of, progress_of, tensors

from soundgan.data.dataset import Dataset, prepare
from soundgan.errors import TrainingError
from soundgan.model import SoundGAN
from soundgan.training import loop, step
from soundgan.training.loop import TrainingResult, train
from soundgan.training.losses import augment
from soundgan.training.monitor import monitor, schedule
from soundgan.training.monitor.report import REPORT
from soundgan.training.monitor.snapshot import save_snapshot
from soundgan.training.monitor.validation import BEST, ValidationResult, load_best
from soundgan.training.pipeline import TRAINING, export_checkpoint
from soundgan.training.runtime import device
from soundgan.training.runtime.rng import PairedSampler

Resume = Callable[..., TrainingResult]
# Instance noise takes part in what has to be reproduced.
NOISY = {"initial_noise_std": 0.2, "noise_decay_rate": 0.9}
# The figures of the two kinds of lines in a log.
LOGGED = {
    "loss_D": ("samples_seen", "steps", "loss_D", "loss_G", "d_accuracy", "gradient_penalty", "augment_p"),
    "frechet": ("samples_seen", "frechet", "precision", "recall", "coverage", "near_duplicate_rate"),
}


def hasten(patch: pytest.MonkeyPatch) -> None:
    """A line of the log every step, checks after 8, 12, 20, 28, 44 and 64 sounds, and changes soon and often.

    No pictures and sounds, except where they are in question.
    """
    patch.setattr(loop, "LOG_EVERY", 1)
    patch.setattr(monitor, "save_snapshot", lambda *args: None)
    patch.setattr(schedule, "FIRST_VALIDATION", 8)
    patch.setattr(schedule, "GROWTH", 1.5)
    patch.setattr(augment, "ADA_RAMP_SAMPLES", 80)


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    hasten(monkeypatch)


@pytest.fixture(scope="module")
def uninterrupted(tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training folder of 64 sounds in one go."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        hasten(patch)
        train(tiny_dataset, tiny_settings(**NOISY), folder)
    return folder


@pytest.fixture
def started(tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path) -> Path:
    """A training folder of 8 sounds, to go on from."""
    train(tiny_dataset, tiny_settings(max_samples=8), tmp_path / "training")
    return tmp_path / "training"


@pytest.fixture
def resume(tiny_dataset: Dataset, tiny_settings: TinySettings, started: Path) -> Resume:
    """Resume `started`, up to 16 sounds, with other settings, or with data of another digest."""

    def resume(digest: str = tiny_dataset.digest, **changes: Any) -> TrainingResult:
        return train(replace(tiny_dataset, digest=digest), tiny_settings(**{"max_samples": 16, **changes}), started)

    return resume


def at_sounds(monkeypatch: pytest.MonkeyPatch, samples_seen: int, act: Any) -> None:
    """Let `act` happen in the step that begins when `samples_seen` sounds have been seen."""
    original = PairedSampler.__call__

    def acting(pairs: PairedSampler, position: int, size: int) -> torch.Tensor:
        if position == samples_seen:
            act()
        return original(pairs, position, size)

    monkeypatch.setattr(PairedSampler, "__call__", acting)


def test_reference_training_has_augmentation_and_validations(uninterrupted: Path) -> None:
    shares = {line["augment_p"] for line in log_of(uninterrupted)}
    assert len(shares) > 5 and max(shares) > 0.2
    assert [line["samples_seen"] for line in log_of(uninterrupted, "frechet")] == [8, 12, 20, 28, 44, 64]
    found = [
        ValidationResult._make(line[name] for name in ValidationResult._fields)
        for line in log_of(uninterrupted, "frechet")
    ]
    assert load_best(uninterrupted / BEST).samples_seen == min(found, key=lambda check: check.score).samples_seen


def test_training_is_bit_identical_for_a_seed(
    tiny_dataset: Dataset, tiny_settings: TinySettings, uninterrupted: Path, tmp_path: Path
) -> None:
    train(tiny_dataset, tiny_settings(**NOISY), tmp_path)
    assert_same_bits(tmp_path, uninterrupted)
    assert_same_best(tmp_path, uninterrupted)
    train(tiny_dataset, tiny_settings(**NOISY, seed=1), tmp_path / "other")
    assert not torch.equal(
        tensors(tmp_path / "other")["generator_ema/dense.weight"], tensors(tmp_path)["generator_ema/dense.weight"]
    )


@pytest.mark.parametrize("log_every", [1, 25])
def test_extended_training_is_bit_identical_to_an_uninterrupted_one(
    log_every: int,
    tiny_dataset: Dataset,
    tiny_settings: TinySettings,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", log_every)
    for sounds in (4, 36, 64):
        outcome = train(tiny_dataset, tiny_settings(**NOISY, max_samples=sounds), tmp_path)
        assert outcome.progress.samples_seen == sounds
        assert not outcome.interrupted
    assert_same_bits(tmp_path, uninterrupted)
    assert [line["samples_seen"] for line in log_of(tmp_path)] == (list(range(4, 68, 4)) if log_every == 1 else [])


KILLED = """
import os, signal, sys
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace

from soundgan.data.dataset import prepare
from soundgan.settings import Settings
from soundgan.training import loop
from soundgan.training.losses import augment
from soundgan.training.monitor import monitor
from soundgan.training.state import checkpoint
from soundgan.training.monitor import schedule

seconds, saves, whole = count(), count(1), checkpoint.atomic_write

@contextmanager
def killed_in_the_middle_of_the_third(path):
    with whole(path) as temporary:
        yield temporary
        if next(saves) == 3:
            os.truncate(temporary, 1000)
            os.kill(os.getpid(), signal.SIGKILL)

checkpoint.atomic_write = killed_in_the_middle_of_the_third
loop.time = SimpleNamespace(monotonic=lambda: float(next(seconds)))
loop.LOG_EVERY, monitor.save_snapshot = 1, lambda *args: None
schedule.FIRST_VALIDATION, schedule.GROWTH, augment.ADA_RAMP_SAMPLES = 8, 1.5, 80
settings = Settings.model_validate_json(sys.argv[1])
dataset = prepare(Path(settings.data.dataroot), settings.data, settings.spectrogram, Path(sys.argv[2]))
loop.train(dataset, settings, Path(sys.argv[3]))
"""


def test_killed_training_resumes_bit_identically(
    tiny_settings: TinySettings, sounds_folder: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "training"
    settings = tiny_settings(**NOISY, snapshot_minutes=4 / 60)
    killed = subprocess.run([sys.executable, "-c", KILLED, settings.model_dump_json(), cache, folder], check=False)
    assert killed.returncode == -signal.SIGKILL
    kept, logged = progress_of(folder), log_of(folder)
    assert 0 < kept.samples_seen < logged[-1]["samples_seen"] < 64

    train(prepare(sounds_folder, settings.data, settings.spectrogram, cache), settings, folder)
    assert_same_bits(folder, uninterrupted)
    assert_same_best(folder, uninterrupted)
    for kind, keys in LOGGED.items():
        log, reference = log_of(folder, kind), log_of(uninterrupted, kind)
        for key in keys:
            assert [line[key] for line in log] == [line[key] for line in reference]
        assert all(before["seconds"] <= after["seconds"] for before, after in pairwise(log))


def test_truncated_log_line_is_dropped(tiny_dataset: Dataset, tiny_settings: TinySettings, started: Path) -> None:
    with (started / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"samples_seen": 12, "steps": 3, "sec')
    train(tiny_dataset, tiny_settings(max_samples=16), started)
    assert [line["samples_seen"] for line in log_of(started)] == [4, 8, 12, 16]


@pytest.mark.parametrize(("number", "log_every"), [(signal.SIGINT, 1), (signal.SIGTERM, 25)])
def test_signal_saves_before_stopping(
    number: signal.Signals,
    log_every: int,
    tiny_dataset: Dataset,
    tiny_settings: TinySettings,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.getsignal(number)
    monkeypatch.setattr(loop, "LOG_EVERY", log_every)
    with monkeypatch.context() as patch:
        patch.setattr(monitor, "save_snapshot", save_snapshot)
        at_sounds(patch, 28, lambda: signal.raise_signal(number))
        messages: list[str] = []
        outcome = train(tiny_dataset, tiny_settings(**NOISY), tmp_path, on_message=messages.append)
    assert outcome.interrupted and len(messages) == 2 and messages[1].startswith("Stopping: the training is saved")
    assert outcome.progress.samples_seen == progress_of(tmp_path).samples_seen == 32
    assert (tmp_path / "snapshots" / "000000032.png").is_file()
    assert signal.getsignal(number) == before
    for samples_seen, end in ((32, "minutes"), (64, f"minutes{monitor.COMPLETE}")):
        messages.clear()
        assert not train(tiny_dataset, tiny_settings(**NOISY), tmp_path, on_message=messages.append).interrupted
        (line,) = messages[1:]
        assert line.startswith(f"Resuming after {samples_seen} samples seen in ") and line.endswith(end)
    assert_same_bits(tmp_path, uninterrupted)
    assert_same_best(tmp_path, uninterrupted)


def test_a_second_signal_interrupts_at_once(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    at_sounds(monkeypatch, 4, lambda: [signal.raise_signal(signal.SIGINT) for _ in range(2)])
    with pytest.raises(KeyboardInterrupt):
        train(tiny_dataset, tiny_settings(), tmp_path)
    assert signal.getsignal(signal.SIGINT) == before
    assert not (tmp_path / NAME).exists()


def nan_from(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """Make the discriminator's loss NaN from a step on."""
    original, calls = step.discriminator_loss, count()

    def broken(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        return result._replace(loss=result.loss * float("nan")) if next(calls) >= first else result

    monkeypatch.setattr(step, "discriminator_loss", broken)


def test_best_generator_has_a_checkpoint_before_the_first_snapshot(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, folder = tiny_settings(**NOISY, saveroot=str(tmp_path / "model")), tmp_path / "model" / TRAINING
    with monkeypatch.context() as patch:
        nan_from(patch, 4)
        with pytest.raises(TrainingError, match=r"diverged.*soundgan export"):
            train(tiny_dataset, settings, folder)
    best = load_best(folder / BEST)
    assert best.samples_seen <= progress_of(folder).samples_seen
    export_checkpoint(tmp_path / "model")
    assert SoundGAN.load(tmp_path / "model").config.training["samples_seen"] == progress_of(folder).samples_seen


def test_snapshots_of_a_deleted_training_are_removed(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "save_snapshot", save_snapshot)
    for sounds in (16, 8):
        train(tiny_dataset, tiny_settings(max_samples=sounds), tmp_path)
        (tmp_path / NAME).unlink()
    assert [path.name for path in (tmp_path / "snapshots").glob("*.png")] == ["000000008.png"]


def test_tensorboard_matches_the_log(tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path) -> None:
    for sounds in (16, 24):
        train(tiny_dataset, tiny_settings(max_samples=sounds), tmp_path)
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    logged = [line["samples_seen"] for line in log_of(tmp_path) if "loss_D" in line]
    assert [event.step for event in board.Scalars("loss_D")] == logged == list(range(4, 28, 4))


@pytest.mark.parametrize("log_every", [1, 25])
def test_divergence_raises_and_the_last_checkpoint_resumes(
    log_every: int,
    tiny_dataset: Dataset,
    tiny_settings: TinySettings,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train(tiny_dataset, tiny_settings(**NOISY, max_samples=24), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", log_every)
        nan_from(patch, 3)
        with pytest.raises(TrainingError, match=r"diverged.*lr_G and lr_D.*penalty"):
            train(tiny_dataset, tiny_settings(**NOISY), tmp_path)
    kept = progress_of(tmp_path).samples_seen
    assert kept in (24, 28), "28 if the check there found the best"
    assert all(value.isfinite().all() for value in tensors(tmp_path).values())
    train(tiny_dataset, tiny_settings(**NOISY), tmp_path)
    assert_same_bits(tmp_path, uninterrupted)
    logged = [samples_seen for samples_seen in range(4, 68, 4) if log_every == 1 or not 24 < samples_seen <= kept]
    assert [line["samples_seen"] for line in log_of(tmp_path)] == logged


@pytest.mark.parametrize(
    ("key", "value"),
    [("size", 16), ("nz", 16), ("batch_size", 8), ("seed", 1), ("network", "dcgan"), ("ema_rampup", 0.1), ("nc", 2)],
)
def test_resume_with_other_settings_is_rejected(
    key: str, value: object, tiny_settings: TinySettings, started: Path, resume: Resume
) -> None:
    good, messages = (started / NAME).read_bytes(), (started / REPORT).read_bytes()
    before = tiny_settings().flat()[key]
    with pytest.raises(TrainingError) as caught:
        resume(**{key: value})
    was, now = (value if isinstance(value, str) else json.dumps(value) for value in (before, value))
    assert f"{key} = {was}, now it is {now};" in str(caught.value)
    assert str(started / NAME) in str(caught.value)
    assert "saveroot" in str(caught.value)
    assert (started / NAME).read_bytes() == good
    assert (started / REPORT).read_bytes() == messages


def test_resume_on_other_sounds_is_rejected(resume: Resume) -> None:
    with pytest.raises(TrainingError, match=r"other sounds.*saveroot"):
        resume("other")


def test_resume_error_names_changed_exclude_patterns(resume: Resume) -> None:
    with pytest.raises(TrainingError, match=r"other sounds \(exclude = \[\], now it is \[\"\*5\.wav\"\]\);"):
        resume("other", exclude=("*5.wav",))


def test_resume_error_names_the_setting_before_the_data(resume: Resume) -> None:
    with pytest.raises(TrainingError, match=r"duration = 0\.25, now it is 0\.5"):
        resume("other", duration=0.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"minutes": 5.0},
        {"snapshot_minutes": 7.0, "license": "CC0-1.0"},
        {"lr_G": 1e-4, "lr_D": 1e-4, "gradient_penalty": 0.2},
        {"ngf": 9, "ndf": 9},
    ],
)
def test_changeable_settings_may_change_on_resume(changes: dict[str, object], resume: Resume) -> None:
    assert resume(max_samples=12, **changes).progress.samples_seen == 12


def test_changed_learning_rate_takes_effect_on_resume(started: Path, resume: Resume) -> None:
    before = tensors(started)
    resume(max_samples=12, lr_G=1e-12)
    after = tensors(started)
    torch.testing.assert_close(after["generator/dense.weight"], before["generator/dense.weight"], rtol=0, atol=1e-9)
    assert (after["discriminator/dense.weight"] - before["discriminator/dense.weight"]).abs().max() > 1e-5


def test_threads_leave_out_busy_cores_and_are_kept_on_resume(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    messages: list[str] = []

    def machine(folder: str, busy_cores: int, samples: int, threads: int = 0) -> str:
        settings = tiny_settings(max_samples=samples, threads=threads)
        train(tiny_dataset, settings, tmp_path / folder, on_message=messages.append, busy_cores=busy_cores)
        return next(message for message in reversed(messages) if message.startswith("Training on")).partition(";")[0]

    assert machine("a", 0, 4) == "Training on 4 CPU threads, float32"
    assert machine("b", 9, 4) == "Training on 1 CPU thread, float32 (4 of 4 cores are in use by other programs)"
    assert machine("c", 1, 4).startswith("Training on 3 CPU threads, float32 (1 of 4 cores is in use")
    assert machine("c", 1, 8) == "Training on 3 CPU threads, float32"
    assert machine("c", 0, 12).startswith("Training on 3 CPU threads, float32 (as before")
    assert machine("c", 0, 16, threads=2) == "Training on 2 CPU threads, float32"


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def foreign(path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, path)


@pytest.mark.parametrize(
    "damage", [half, foreign, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"\xff" * 4096)]
)
def test_damaged_checkpoint_error_names_file_and_remedy(damage: Any, started: Path, resume: Resume) -> None:
    damage(started / NAME)
    with pytest.raises(TrainingError, match="delete it") as caught:
        resume()
    assert str(started / NAME) in str(caught.value)


def test_checkpoint_without_a_weight_is_rejected(started: Path, resume: Resume) -> None:
    with safe_open(started / NAME, framework="pt") as file:
        metadata = file.metadata()
    rest = {key: value for key, value in tensors(started).items() if key != "generator/dense.weight"}
    save_file(rest, started / NAME, metadata)
    with pytest.raises(TrainingError, match=r"does not fit.*dense\.weight"):
        resume()
