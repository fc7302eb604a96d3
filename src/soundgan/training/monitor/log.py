"""The log of a training: `log.jsonl`, one line every few steps, and the same figures for TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from torch.utils.tensorboard.writer import SummaryWriter

from soundgan.files import write_text
from soundgan.training.state.train_state import Progress

LOG = "log.jsonl"


class Log:
    """Appends to the log in `folder`; lines after `samples_seen`, those past the resumed checkpoint, are dropped."""

    def __init__(self, folder: Path, samples_seen: int) -> None:
        path = folder / LOG
        kept = [line for line in _whole_lines(path) if json.loads(line)["samples_seen"] <= samples_seen]
        write_text(path, "".join(kept))
        self._file: IO[str] = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=samples_seen + 1)

    def write(self, progress: Progress, figures: dict[str, float]) -> None:
        """Add a line of figures, and the same to TensorBoard."""
        line = {"samples_seen": progress.samples_seen, "steps": progress.steps, "seconds": progress.seconds, **figures}
        self._file.write(json.dumps({key: round(value, 5) for key, value in line.items()}) + "\n")
        self._file.flush()
        for name, value in figures.items():
            self._board.add_scalar(name, value, progress.samples_seen)

    def close(self) -> None:
        self._file.close()
        self._board.close()


def read_log(folder: Path) -> list[dict[str, float]]:
    """The lines of a log, the oldest first; those of an older SoundGAN may lack figures."""
    return [json.loads(line) for line in _whole_lines(folder / LOG)]


def _whole_lines(path: Path) -> list[str]:
    """The lines of a log whose writer may have been killed in the middle of one."""
    if not path.exists():
        return []
    return [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("}\n")]
