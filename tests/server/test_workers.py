"""Processes that make sounds: the same sounds as in this one, whatever happens to them."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from soundgan.errors import ModelError
from soundgan.model import GenerationRequest, SoundGAN
from soundgan.server.workers import Worker


@pytest.fixture(scope="module")
def maker(model_folder: Path) -> Iterator[Worker]:
    with closing(Worker([model_folder])) as maker:
        yield maker


def process_of(maker: Worker) -> SpawnProcess:
    assert maker._process is not None
    return maker._process


def assert_made(maker: Worker, model: SoundGAN) -> None:
    orders = [GenerationRequest(1, "kick"), GenerationRequest(2, None, 0.5, "fast"), GenerationRequest(3)]
    for sound, alone in zip(maker.make("tiny", orders), model.generate_batch(orders), strict=True):
        np.testing.assert_array_equal(sound.samples, alone.samples)
        np.testing.assert_array_equal(sound.spectrogram, alone.spectrogram)
        assert (sound.label, sound.seed, sound.tags) == (alone.label, alone.seed, alone.tags)


def test_another_process_makes_the_same_sounds(maker: Worker, model: SoundGAN) -> None:
    assert_made(maker, model)


def test_what_goes_wrong_there_is_told_here(maker: Worker, model: SoundGAN) -> None:
    with pytest.raises(ModelError, match="label = 'gong'"):
        maker.make("tiny", [GenerationRequest(1, "gong")])
    with pytest.raises(RuntimeError, match="KeyError"):
        maker.make("huge", [GenerationRequest(1)])
    assert_made(maker, model)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_for_the_server(maker: Worker, model: SoundGAN, number: int) -> None:
    assert_made(maker, model)
    pid = process_of(maker).pid
    assert pid is not None
    os.kill(pid, number)
    assert_made(maker, model)
    assert process_of(maker).pid == pid


def test_one_that_died_is_followed_by_another(maker: Worker, model: SoundGAN) -> None:
    before = process_of(maker)
    before.kill()
    assert_made(maker, model)
    assert not before.is_alive() and process_of(maker).is_alive()


def test_one_that_could_not_be_started_is_started_the_next_time(
    maker: Worker, model: SoundGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    process_of(maker).kill()
    with monkeypatch.context() as patch:
        patch.setattr(SpawnProcess, "start", no_memory)
        for _ in range(2):
            with pytest.raises(OSError, match="memory"):
                maker.make("tiny", [GenerationRequest(1)])
    assert_made(maker, model)


def test_it_ends_with_its_server(model_folder: Path, model: SoundGAN) -> None:
    maker = Worker([model_folder])
    assert_made(maker, model)
    process = process_of(maker)
    maker.close()
    assert process.exitcode == 0


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes are stopped by a signal")
def test_one_that_hangs_is_ended_and_no_other_started(model_folder: Path, model: SoundGAN) -> None:
    for ask in (True, False):
        maker = Worker([model_folder])
        assert_made(maker, model)
        process = process_of(maker)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        if ask:
            with ThreadPoolExecutor() as pool:
                asked = pool.submit(maker.make, "tiny", [GenerationRequest(1)])
                while not maker._lock.locked():
                    time.sleep(0.01)
                maker.kill()
                with pytest.raises(RuntimeError, match="stopping"):
                    asked.result(timeout=60)
        maker.close()
        assert process.exitcode == -signal.SIGKILL
