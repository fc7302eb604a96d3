"""Training: the same bits whether or not it was interrupted, and a way out wherever it stops."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TinySettings
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from soundgan import audio
from soundgan.dataset import Dataset, prepare
from soundgan.errors import TrainingError
from soundgan.settings import Settings
from soundgan.training import loop
from soundgan.training.checkpoint import Clock, load_checkpoint, save_checkpoint
from soundgan.training.loop import Outcome, train
from soundgan.training.run import run

NAME = "checkpoint.safetensors"
# Instance noise takes part in what has to be reproduced.
NOISY = {"initial_noise_std": 0.2, "noise_decay_rate": 0.9}


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / NAME)


def clock_of(folder: Path) -> Clock:
    with safe_open(folder / NAME, framework="pt") as file:
        return Clock(**json.loads(file.metadata()["clock"]))


def log_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def assert_same_bits(one: Path, other: Path) -> None:
    first, second = tensors(one), tensors(other)
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different
    assert clock_of(one).seen == clock_of(other).seen
    assert clock_of(one).steps == clock_of(other).steps


@pytest.fixture(autouse=True)
def every_step_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 1)


@pytest.fixture(scope="module")
def uninterrupted(tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training folder of 64 sounds in one go."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", 1)
        train(tiny_dataset, tiny_settings(**NOISY), folder)
    return folder


@pytest.fixture
def started(tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path) -> Path:
    """A training folder of 8 sounds, to go on from."""
    train(tiny_dataset, tiny_settings(sounds=8), tmp_path / "training")
    return tmp_path / "training"


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that goes on by a second whenever the loop looks at it."""
    seconds = count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    yield


def at_sounds(monkeypatch: pytest.MonkeyPatch, seen: int, act: Any) -> None:
    """Let `act` happen in the step that begins when `seen` sounds have been seen."""
    original = loop._batch

    def acting(seed: int, position: int, size: int, recordings: int) -> torch.Tensor:
        if position == seen:
            act()
        return original(seed, position, size, recordings)

    monkeypatch.setattr(loop, "_batch", acting)


# Interrupted and resumed


def test_training_twice_gives_the_same_bits(
    tiny_dataset: Dataset, tiny_settings: TinySettings, uninterrupted: Path, tmp_path: Path
) -> None:
    train(tiny_dataset, tiny_settings(**NOISY), tmp_path)
    assert_same_bits(tmp_path, uninterrupted)
    train(tiny_dataset, tiny_settings(**NOISY, seed=1), tmp_path / "other")
    assert not torch.equal(
        tensors(tmp_path / "other")["average/dense.weight"], tensors(tmp_path)["average/dense.weight"]
    )


def test_a_spent_budget_made_larger_goes_on_as_if_never_stopped(
    tiny_dataset: Dataset, tiny_settings: TinySettings, uninterrupted: Path, tmp_path: Path
) -> None:
    for sounds in (4, 36, 64):
        outcome = train(tiny_dataset, tiny_settings(**NOISY, sounds=sounds), tmp_path)
        assert outcome.clock.seen == sounds
        assert not outcome.interrupted
    assert_same_bits(tmp_path, uninterrupted)
    assert [line["seen"] for line in log_of(tmp_path)] == list(range(4, 68, 4))


KILLED = """
import os, signal, sys
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace

from soundgan.dataset import prepare
from soundgan.settings import Settings
from soundgan.training import checkpoint, loop

seconds, saves, whole = count(), count(1), checkpoint.replacing

@contextmanager
def killed_in_the_middle_of_the_third(path):
    with whole(path) as temporary:
        yield temporary
        if next(saves) == 3:
            os.truncate(temporary, 1000)
            os.kill(os.getpid(), signal.SIGKILL)

checkpoint.replacing = killed_in_the_middle_of_the_third
loop.time = SimpleNamespace(monotonic=lambda: float(next(seconds)))
loop.LOG_EVERY = 1
settings = Settings.model_validate_json(sys.argv[1])
loop.train(prepare(Path(settings.dataroot), settings, Path(sys.argv[2])), settings, Path(sys.argv[3]))
"""


def test_a_killed_training_goes_on_as_if_never_stopped(
    tiny_settings: TinySettings, sounds_folder: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "training"
    settings = tiny_settings(**NOISY, snapshot_minutes=4 / 60)
    killed = subprocess.run([sys.executable, "-c", KILLED, settings.model_dump_json(), cache, folder], check=False)
    assert killed.returncode == -signal.SIGKILL
    kept, logged = clock_of(folder), log_of(folder)
    assert 0 < kept.seen < logged[-1]["seen"] < 64

    train(prepare(sounds_folder, settings, cache), settings, folder)
    assert_same_bits(folder, uninterrupted)
    log, reference = log_of(folder), log_of(uninterrupted)
    for key in ("seen", "steps", "loss_D", "loss_G", "judged_right", "penalty"):
        assert [line[key] for line in log] == [line[key] for line in reference]
    assert all(before["seconds"] <= after["seconds"] for before, after in pairwise(log))


def test_a_line_of_the_log_that_was_broken_off_is_dropped(
    tiny_dataset: Dataset, tiny_settings: TinySettings, started: Path
) -> None:
    with (started / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"seen": 12, "steps": 3, "sec')
    train(tiny_dataset, tiny_settings(sounds=16), started)
    assert [line["seen"] for line in log_of(started)] == [4, 8, 12, 16]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_first(
    number: signal.Signals,
    tiny_dataset: Dataset,
    tiny_settings: TinySettings,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        at_sounds(patch, 24, lambda: signal.raise_signal(number))
        outcome = train(tiny_dataset, tiny_settings(**NOISY), tmp_path)
    assert outcome.interrupted
    assert outcome.clock.seen == clock_of(tmp_path).seen == 28
    assert (tmp_path / "snapshots" / "000000028.png").is_file()
    assert signal.getsignal(number) == before
    assert not train(tiny_dataset, tiny_settings(**NOISY), tmp_path).interrupted
    assert_same_bits(tmp_path, uninterrupted)


def test_a_second_signal_interrupts_at_once(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    at_sounds(monkeypatch, 8, lambda: [signal.raise_signal(signal.SIGINT) for _ in range(2)])
    with pytest.raises(KeyboardInterrupt):
        train(tiny_dataset, tiny_settings(), tmp_path)
    assert signal.getsignal(signal.SIGINT) == before
    assert not (tmp_path / NAME).exists()


def test_training_in_another_thread_leaves_signals_alone(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(train(tiny_dataset, tiny_settings(sounds=8), tmp_path)))
    thread.start()
    thread.join()
    assert outcomes[0].clock.seen == 8


# Chance


@given(
    recordings=st.integers(1, 40), sizes=st.lists(st.integers(1, 30), min_size=1, max_size=12), seed=st.integers(0, 9)
)
def test_every_pass_is_a_permutation_however_it_is_cut(recordings: int, sizes: list[int], seed: int) -> None:
    order: list[int] = []
    for size in sizes:
        order += loop._batch(seed, len(order), size, recordings).tolist()
    for start in range(0, len(order) - recordings + 1, recordings):
        assert sorted(order[start : start + recordings]) == list(range(recordings))
    assert len(set(order[len(order) // recordings * recordings :])) == len(order) % recordings
    assert order == loop._batch(seed, 0, len(order), recordings).tolist()


def test_passes_and_seeds_differ_in_their_order() -> None:
    passes = [tuple(loop._batch(seed, 24 * k, 24, 24).tolist()) for seed in (0, 1) for k in range(5)]
    assert len(set(passes)) == len(passes)


def test_the_loop_shows_every_sound_once_in_a_pass(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[bytes] = []
    original = loop.discriminator_loss

    def watching(discriminator: Any, real: torch.Tensor, *others: Any, **kwargs: Any) -> Any:
        shown.extend(np.ascontiguousarray(painting).tobytes() for painting in real.numpy())
        return original(discriminator, real, *others, **kwargs)

    monkeypatch.setattr(loop, "discriminator_loss", watching)
    every = sorted(np.array(painting).tobytes() for painting in tiny_dataset.paintings)
    train(tiny_dataset, tiny_settings(sounds=20), tmp_path)
    train(tiny_dataset, tiny_settings(sounds=48), tmp_path)
    assert sorted(shown[:24]) == sorted(shown[24:]) == every


def test_instance_noise_decays_to_nothing(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_settings(initial_noise_std=0.4, noise_decay_rate=0.5)
    measured: list[float] = []
    original = loop.discriminator_loss

    def watching(discriminator: Any, real: torch.Tensor, *others: Any, **kwargs: Any) -> Any:
        index = loop._batch(settings.seed, 4 * len(measured), 4, len(tiny_dataset))
        measured.append((real - torch.tensor(tiny_dataset.paintings[index.numpy()])).std().item())
        return original(discriminator, real, *others, **kwargs)

    monkeypatch.setattr(loop, "discriminator_loss", watching)
    train(tiny_dataset, settings, tmp_path)
    assert measured[:8] == pytest.approx([0.4 * 0.5**step for step in range(8)], rel=0.05)
    assert measured[-2:] == [0, 0]


def test_no_network_learns_from_the_loss_of_the_other(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {"discriminator": loop.discriminator_loss, "generator": loop.generator_loss}
    judges: list[torch.nn.Module] = []
    states: list[tuple[list[torch.Tensor], list[torch.Tensor | None]]] = []

    def state(network: torch.nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
        parameters = list(network.parameters())
        return [p.detach().clone() for p in parameters], [
            None if p.grad is None else p.grad.clone() for p in parameters
        ]

    def for_discriminator(
        discriminator: torch.nn.Module, real: torch.Tensor, made: torch.Tensor, *rest: Any, **kw: Any
    ):
        assert not made.requires_grad
        assert all(p.requires_grad for p in discriminator.parameters())
        return losses["discriminator"](discriminator, real, made, *rest, **kw)

    def for_generator(discriminator: torch.nn.Module, real: torch.Tensor, made: torch.Tensor, *rest: Any):
        assert made.requires_grad
        judges.append(discriminator)
        states.append(state(discriminator))
        return losses["generator"](discriminator, real, made, *rest)

    average = loop._average

    def after_the_step(players: Any, decay: float) -> None:
        for before, now in zip(states[-1], state(judges[-1]), strict=True):
            for one, other in zip(before, now, strict=True):
                assert one is not None
                assert other is not None
                assert torch.equal(one, other)
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in players.generator.parameters())
        average(players, decay)

    monkeypatch.setattr(loop, "discriminator_loss", for_discriminator)
    monkeypatch.setattr(loop, "generator_loss", for_generator)
    monkeypatch.setattr(loop, "_average", after_the_step)
    train(tiny_dataset, tiny_settings(sounds=12), tmp_path)
    assert len(states) == 3


# Budgets


@pytest.mark.parametrize(
    ("budget", "seen"),
    [
        ({"sounds": 30}, 32),  # whole batches
        ({"sounds": None, "num_epochs": 2}, 48),
        ({"sounds": 12, "num_epochs": 2}, 12),
        ({"sounds": 400, "num_epochs": 1}, 24),
    ],
)
def test_training_ends_with_whichever_budget_is_spent_first(
    budget: dict[str, int], seen: int, tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    assert train(tiny_dataset, tiny_settings(**budget), tmp_path).clock.seen == seen


def test_minutes_count_all_sittings_together(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, ticking: None
) -> None:
    first = train(tiny_dataset, tiny_settings(sounds=None, minutes=8 / 60), tmp_path).clock
    assert first.seconds == pytest.approx(8, abs=1)
    second = train(tiny_dataset, tiny_settings(sounds=None, minutes=12 / 60), tmp_path).clock
    assert second.seconds == pytest.approx(12, abs=1)
    assert first.steps < second.steps < 2 * first.steps
    again = train(tiny_dataset, tiny_settings(sounds=None, minutes=12 / 60), tmp_path).clock
    assert again == second


def test_progress_is_reported_up_to_the_end(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, ticking: None
) -> None:
    reports: list[loop.Progress] = []
    train(tiny_dataset, tiny_settings(sounds=32), tmp_path, reports.append)
    assert [report.seen for report in reports] == list(range(4, 36, 4))
    assert [report.done for report in reports] == [k / 8 for k in range(1, 9)]
    assert reports[-1].seconds_left == 0
    assert all(before.seconds_left > after.seconds_left for before, after in pairwise(reports))
    assert reports[3].sounds_per_second == pytest.approx(4)


def test_checkpoints_come_as_often_as_asked_with_grid_and_sounds(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path, ticking: None
) -> None:
    train(tiny_dataset, tiny_settings(sounds=32, snapshot_minutes=4.5 / 60), tmp_path)
    snapshots = tmp_path / "snapshots"
    pictures = sorted(snapshots.glob("*.png"))
    assert len(pictures) >= 2
    assert pictures[-1].stem == "000000032"
    rep = tiny_dataset.representation
    for picture in pictures:
        with Image.open(picture) as image:
            assert image.width >= 12 * rep.frames
            assert image.height >= 3 * rep.bands
        sounds = sorted((snapshots / picture.stem).iterdir())
        assert [sound.name for sound in sounds] == ["kick.wav", "noise.wav", "tone.wav"]
        for sound in sounds:
            wave, rate = audio.read(sound)
            assert rate == rep.sample_rate
            assert len(wave) == rep.samples
            assert audio.peak_db(wave) == pytest.approx(-1, abs=0.01)


# What goes wrong


def nan_from(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the Discriminator's loss be NaN from a step on."""
    original, calls = loop.discriminator_loss, count()

    def broken(*args: Any, **kwargs: Any) -> Any:
        judged = original(*args, **kwargs)
        return judged._replace(loss=judged.loss * float("nan")) if next(calls) >= step else judged

    monkeypatch.setattr(loop, "discriminator_loss", broken)


@pytest.mark.parametrize("log_every", [1, 25])
def test_divergence_stops_and_the_last_good_checkpoint_goes_on(
    log_every: int,
    tiny_dataset: Dataset,
    tiny_settings: TinySettings,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train(tiny_dataset, tiny_settings(**NOISY, sounds=24), tmp_path)
    good = (tmp_path / NAME).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", log_every)
        nan_from(patch, 3)
        with pytest.raises(TrainingError, match=r"diverged.*lr_G and lr_D.*penalty"):
            train(tiny_dataset, tiny_settings(**NOISY), tmp_path)
    assert (tmp_path / NAME).read_bytes() == good
    train(tiny_dataset, tiny_settings(**NOISY), tmp_path)
    assert_same_bits(tmp_path, uninterrupted)
    assert [line["seen"] for line in log_of(tmp_path)] == list(range(4, 68, 4))


def test_learning_rates_that_overflow_are_told_before_anything_is_kept(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    # The weights are still finite here, but the optimizer's moments are not: the next sitting would be lost.
    with pytest.raises(TrainingError, match=r"diverged.*lr_G and lr_D"):
        train(tiny_dataset, tiny_settings(lr_G=1, lr_D=1), tmp_path)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize(("seen", "told"), [(5000, True), (400, False)])
def test_a_collapse_is_told_once_training_is_under_way(
    seen: int, told: bool, tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    settings = tiny_settings(sounds=seen + 8, lr_G=1e-9)
    train(tiny_dataset, settings.model_copy(update={"sounds": 4}), tmp_path)
    with safe_open(tmp_path / NAME, framework="pt") as file:
        made_with = json.loads(file.metadata()["made_with"])
    players = loop._new_players(tiny_dataset, settings, torch.device("cpu"))
    load_checkpoint(tmp_path / NAME, players)
    with torch.no_grad():
        for network in (players.generator, players.average):
            network.to_patch.weight.zero_()  # type: ignore[union-attr, operator]
    save_checkpoint(tmp_path / NAME, players, Clock(seen, seen // 4, 1.0), made_with)
    good = (tmp_path / NAME).read_bytes()
    if told:
        with pytest.raises(TrainingError, match=r"collapsed.*5008 sounds.*penalty.*lr_G"):
            train(tiny_dataset, settings, tmp_path)
        assert (tmp_path / NAME).read_bytes() == good
    else:
        assert train(tiny_dataset, settings, tmp_path).clock.seen == seen + 8


@pytest.mark.parametrize(
    ("key", "value"),
    [("size", 16), ("nz", 16), ("batch_size", 8), ("seed", 1), ("network", "dcgan"), ("ema", 0.1), ("nc", 2)],
)
def test_a_run_is_not_resumed_with_other_settings(
    key: str, value: object, tiny_dataset: Dataset, tiny_settings: TinySettings, started: Path
) -> None:
    good = (started / NAME).read_bytes()
    before = getattr(tiny_settings(), key)
    with pytest.raises(TrainingError) as caught:
        train(tiny_dataset, tiny_settings(sounds=16, **{key: value}), started)
    assert f"{key} = {before}" in str(caught.value)
    assert str(value) in str(caught.value)
    assert str(started / NAME) in str(caught.value)
    assert "saveroot" in str(caught.value)
    assert (started / NAME).read_bytes() == good


def test_a_run_is_not_resumed_on_other_sounds(
    tiny_dataset: Dataset, tiny_settings: TinySettings, started: Path
) -> None:
    with pytest.raises(TrainingError, match=r"other sounds.*saveroot"):
        train(replace(tiny_dataset, digest="other"), tiny_settings(sounds=16), started)


def test_another_representation_is_told_by_its_setting(
    tiny_dataset: Dataset, tiny_settings: TinySettings, started: Path
) -> None:
    with pytest.raises(TrainingError, match=r"duration = 0\.25, now it is 0\.5"):
        train(replace(tiny_dataset, digest="other"), tiny_settings(sounds=16, duration=0.5), started)


@pytest.mark.parametrize(
    "changes",
    [
        {"minutes": 5.0},
        {"snapshot_minutes": 7.0, "licence": "CC0-1.0"},
        {"lr_G": 1e-4, "lr_D": 1e-4, "penalty": 0.2},
        {"ngf": 9, "ndf": 9},
    ],
)
def test_what_may_change_may_change(
    changes: dict[str, object], tiny_dataset: Dataset, tiny_settings: TinySettings, started: Path
) -> None:
    assert train(tiny_dataset, tiny_settings(sounds=12, **changes), started).clock.seen == 12


def test_a_changed_learning_rate_takes_effect(
    tiny_dataset: Dataset, tiny_settings: TinySettings, started: Path
) -> None:
    before = tensors(started)
    train(tiny_dataset, tiny_settings(sounds=12, lr_G=1e-12), started)
    after = tensors(started)
    torch.testing.assert_close(after["generator/dense.weight"], before["generator/dense.weight"], rtol=0, atol=1e-9)
    assert (after["discriminator/dense.weight"] - before["discriminator/dense.weight"]).abs().max() > 1e-5


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def foreign(path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, path)


@pytest.mark.parametrize(
    "damage", [half, foreign, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"\xff" * 4096)]
)
def test_a_damaged_checkpoint_is_named_with_the_way_out(
    damage: Any, tiny_dataset: Dataset, tiny_settings: TinySettings, started: Path
) -> None:
    damage(started / NAME)
    with pytest.raises(TrainingError, match="delete it") as caught:
        train(tiny_dataset, tiny_settings(sounds=16), started)
    assert str(started / NAME) in str(caught.value)


def test_a_checkpoint_that_lacks_a_weight_is_refused(
    tiny_dataset: Dataset, tiny_settings: TinySettings, started: Path
) -> None:
    with safe_open(started / NAME, framework="pt") as file:
        metadata = file.metadata()
    rest = {key: value for key, value in tensors(started).items() if key != "generator/dense.weight"}
    save_file(rest, started / NAME, metadata)
    with pytest.raises(TrainingError, match=r"does not fit.*dense\.weight"):
        train(tiny_dataset, tiny_settings(sounds=16), started)


@pytest.mark.parametrize("inside", ["model", "tone/deep/model", "."])
def test_a_saveroot_inside_the_data_is_refused(inside: str, sounds_folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(sounds_folder)
    for saveroot in (sounds_folder / inside, link / inside):
        with pytest.raises(TrainingError, match=r"saveroot .* lies in dataroot"):
            run(Settings(dataroot=str(sounds_folder), saveroot=str(saveroot)))
    assert sorted(path.name for path in sounds_folder.iterdir()) == ["kick", "noise", "tone"]


# Other networks and arithmetic


@pytest.mark.parametrize(
    "changes", [{"nc": 3}, {"network": "dcgan"}, {"network": "dcgan", "nc": 3}, {"precision": "bfloat16"}]
)
def test_every_kind_of_network_learns_and_resumes(
    changes: dict[str, Any], tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    for sounds in (8, 16):
        outcome = train(tiny_dataset, tiny_settings(sounds=sounds, **changes), tmp_path / "sittings")
    train(tiny_dataset, tiny_settings(sounds=16, **changes), tmp_path / "one")
    assert_same_bits(tmp_path / "sittings", tmp_path / "one")
    with torch.no_grad():
        paintings = outcome.generator(torch.randn(2, 8), torch.tensor([0, 1]))
    assert paintings.shape == (2, changes.get("nc", 1), *tiny_dataset.representation.shape)


def test_the_average_follows_the_generator(tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path) -> None:
    def distance(ema: float) -> float:
        train(tiny_dataset, tiny_settings(sounds=32, ema=ema), tmp_path / str(ema))
        found = tensors(tmp_path / str(ema))
        return (found["average/dense.weight"] - found["generator/dense.weight"]).abs().mean().item()

    distances = [distance(ema) for ema in (0.01, 0.5, 1.0)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_the_discriminator_learns_to_tell_real_from_made(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    train(tiny_dataset, tiny_settings(sounds=128, lr_G=1e-9), tmp_path)
    log = log_of(tmp_path)
    assert np.mean([line["loss_D"] for line in log[-5:]]) < 0.5 * log[0]["loss_D"]
    assert np.mean([line["judged_right"] for line in log[-5:]]) == 1
