"""The log: one JSON object per line, continued after an interruption."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from soundgan.training.monitor.log import LOG, Log, read_log
from soundgan.training.state.train_state import Progress


def write(folder: Path, start: int, *counts: int) -> None:
    with closing(Log(folder, start)) as log:
        for samples_seen in counts:
            log.write(Progress(samples_seen, samples_seen // 4, 1.0), {"loss_G": 1 / 3})


def samples_seen(folder: Path) -> list[float]:
    return [line["samples_seen"] for line in read_log(folder)]


def test_lines_have_progress_and_rounded_values(tmp_path: Path) -> None:
    write(tmp_path, 0, 8)
    assert read_log(tmp_path) == [{"samples_seen": 8, "steps": 2, "seconds": 1.0, "loss_G": 0.33333}]
    assert list((tmp_path / "tensorboard").iterdir())


def test_lines_after_the_resumed_checkpoint_are_dropped(tmp_path: Path) -> None:
    write(tmp_path, 0, 8, 16, 24)
    write(tmp_path, 16, 32)
    assert samples_seen(tmp_path) == [8, 16, 32]


def test_incomplete_last_line_is_ignored_and_replaced(tmp_path: Path) -> None:
    write(tmp_path, 0, 8)
    with (tmp_path / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"samples_seen": 16})[:-3])
    assert samples_seen(tmp_path) == [8]
    write(tmp_path, 8, 24)
    assert samples_seen(tmp_path) == [8, 24]


def test_missing_log_is_empty(tmp_path: Path) -> None:
    assert read_log(tmp_path) == []
