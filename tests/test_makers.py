"""Processes that make sounds: the same sounds as in this one, whatever happens to them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

from soundgan.errors import ModelError
from soundgan.model import Order, SoundGAN
from soundgan.server.makers import Maker


@pytest.fixture(scope="module")
def maker(model_folder: Path) -> Iterator[Maker]:
    with closing(Maker([model_folder])) as maker:
        yield maker


def assert_made(maker: Maker, model: SoundGAN) -> None:
    orders = [Order(1, "kick"), Order(2, None, 0.5, "fast"), Order(3)]
    for sound, alone in zip(maker.make("tiny", orders), model.make(orders), strict=True):
        np.testing.assert_array_equal(sound.samples, alone.samples)
        np.testing.assert_array_equal(sound.painting, alone.painting)
        assert (sound.label, sound.seed, sound.tags) == (alone.label, alone.seed, alone.tags)


def test_another_process_makes_the_same_sounds(maker: Maker, model: SoundGAN) -> None:
    assert_made(maker, model)


def test_what_goes_wrong_there_is_told_here(maker: Maker, model: SoundGAN) -> None:
    with pytest.raises(ModelError, match="label = 'gong'"):
        maker.make("tiny", [Order(1, "gong")])
    with pytest.raises(RuntimeError, match="KeyError"):
        maker.make("huge", [Order(1)])
    assert_made(maker, model)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_for_the_server(maker: Maker, model: SoundGAN, number: int) -> None:
    assert_made(maker, model)
    pid = maker._process.pid
    assert pid is not None
    os.kill(pid, number)
    assert_made(maker, model)
    assert maker._process.pid == pid


def test_one_that_died_is_followed_by_another(maker: Maker, model: SoundGAN) -> None:
    before = maker._process
    before.kill()
    assert_made(maker, model)
    assert not before.is_alive() and maker._process.is_alive()


def test_it_ends_with_its_server(model_folder: Path) -> None:
    maker = Maker([model_folder])
    process = maker._process
    maker.close()
    assert process.exitcode == 0
