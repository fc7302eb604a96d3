"""Worker processes: the same sounds as in this process, through death, signals and shutdown."""

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
def worker(model_folder: Path) -> Iterator[Worker]:
    with closing(Worker([model_folder])) as worker:
        yield worker


def process_of(worker: Worker) -> SpawnProcess:
    assert worker._process is not None
    return worker._process


def assert_generates(worker: Worker, model: SoundGAN) -> None:
    requests = [GenerationRequest(1, "kick"), GenerationRequest(2, None, 0.5, "fast"), GenerationRequest(3)]
    for sound, local in zip(worker.generate("tiny", requests), model.generate_batch(requests), strict=True):
        np.testing.assert_array_equal(sound.samples, local.samples)
        np.testing.assert_array_equal(sound.spectrogram, local.spectrogram)
        assert (sound.label, sound.seed, sound.tags) == (local.label, local.seed, local.tags)


def test_worker_generates_the_same_sounds(worker: Worker, model: SoundGAN) -> None:
    assert_generates(worker, model)


def test_worker_reports_errors_to_the_caller(worker: Worker, model: SoundGAN) -> None:
    with pytest.raises(ModelError, match="label = 'gong'"):
        worker.generate("tiny", [GenerationRequest(1, "gong")])
    with pytest.raises(RuntimeError, match="KeyError"):
        worker.generate("huge", [GenerationRequest(1)])
    assert_generates(worker, model)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_worker_ignores_signals_for_the_server(worker: Worker, model: SoundGAN, number: int) -> None:
    assert_generates(worker, model)
    pid = process_of(worker).pid
    assert pid is not None
    os.kill(pid, number)
    assert_generates(worker, model)
    assert process_of(worker).pid == pid


def test_worker_restarts_after_its_process_died(worker: Worker, model: SoundGAN) -> None:
    before = process_of(worker)
    before.kill()
    assert_generates(worker, model)
    assert not before.is_alive() and process_of(worker).is_alive()


def test_worker_whose_process_cannot_start_retries_on_the_next_call(
    worker: Worker, model: SoundGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    process_of(worker).kill()
    with monkeypatch.context() as patch:
        patch.setattr(SpawnProcess, "start", no_memory)
        for _ in range(2):
            with pytest.raises(OSError, match="memory"):
                worker.generate("tiny", [GenerationRequest(1)])
    assert_generates(worker, model)


def test_closed_worker_ends_by_itself(model_folder: Path, model: SoundGAN) -> None:
    worker = Worker([model_folder])
    assert_generates(worker, model)
    process = process_of(worker)
    worker.close()
    assert process.exitcode == 0


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes are stopped by a signal")
@pytest.mark.parametrize("pending", [True, False])
def test_hanging_worker_is_killed_and_not_restarted(model_folder: Path, model: SoundGAN, pending: bool) -> None:
    worker = Worker([model_folder])
    assert_generates(worker, model)
    process = process_of(worker)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    if pending:
        with ThreadPoolExecutor() as pool:
            request = pool.submit(worker.generate, "tiny", [GenerationRequest(1)])
            while not worker._lock.locked():
                time.sleep(0.01)
            worker.kill()
            with pytest.raises(RuntimeError, match="stopping"):
                request.result(timeout=60)
    worker.close()
    assert process.exitcode == -signal.SIGKILL
