"""The averaged Generator as it was at its best check: what becomes the model in the end, not the last one."""

from __future__ import annotations

import json
import math
from pathlib import Path

from safetensors.torch import save
from torch import nn

from soundgan.files import atomic_write
from soundgan.training.monitor.validation import ValidationResult
from soundgan.training.state.checkpoint import load_weights, open_audio, stored

BEST = "best.safetensors"


class Best:
    """Keeps the weights with the best `ValidationResult.score` in a file of `folder`.

    Attributes:
        check: what was found of those weights; None while there are none.
    """

    def __init__(self, folder: Path, *, anew: bool) -> None:
        """Go on with what `folder` holds, or, `anew`, without it."""
        self.path = folder / BEST
        if anew:
            self.path.unlink(missing_ok=True)
        self.check = read_result(self.path) if self.path.exists() else None

    def offer(self, check: ValidationResult, generator: nn.Module) -> bool:
        """Keep the weights of `generator` if they are the best so far; returns whether they are."""
        if not math.isfinite(check.score) or (self.check is not None and check.score >= self.check.score):
            return False
        weights = {name: value.detach().cpu().contiguous() for name, value in generator.state_dict().items()}
        with atomic_write(self.path) as temporary:
            temporary.write_bytes(save(weights, {"check": json.dumps(check._asdict())}))
        self.check = check
        return True


def read_result(path: Path) -> ValidationResult:
    """What was found of the kept weights. Raises `TrainingError` if the file is damaged."""
    with open_audio(path, "check") as file:
        return stored(path, file, "check", ValidationResult)


def load_best(path: Path, generator: nn.Module) -> ValidationResult:
    """Bring a Generator to the kept weights. Raises `TrainingError` if the file is damaged or of another shape."""
    with open_audio(path, "check") as file:
        load_weights(path, generator, {key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    return read_result(path)
