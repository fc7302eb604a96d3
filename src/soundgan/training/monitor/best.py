"""The generator_ema with the best validation, which is exported as the model, rather than the last one."""

from __future__ import annotations

import json
import math
from pathlib import Path

from safetensors.torch import save
from torch import nn

from soundgan.files import atomic_write
from soundgan.training.monitor.validation import ValidationResult
from soundgan.training.state.checkpoint import load_weights, open_checkpoint, read_metadata

BEST = "best.safetensors"


class BestCheckpoint:
    """Keeps the weights with the lowest `ValidationResult.score` in a file of `folder`.

    Attributes:
        result: validation of those weights; None while there are none.
    """

    def __init__(self, folder: Path, *, reset: bool) -> None:
        """Load the result in `folder`, or delete it with `reset`."""
        self.path = folder / BEST
        if reset:
            self.path.unlink(missing_ok=True)
        self.result = read_validation(self.path) if self.path.exists() else None

    def update(self, result: ValidationResult, generator: nn.Module) -> bool:
        """Keep the weights of `generator` if they are the best so far; return True if they are."""
        if not math.isfinite(result.score) or (self.result is not None and result.score >= self.result.score):
            return False
        weights = {name: value.detach().cpu().contiguous() for name, value in generator.state_dict().items()}
        with atomic_write(self.path) as temporary:
            temporary.write_bytes(save(weights, {"validation": json.dumps(result._asdict())}))
        self.result = result
        return True


def read_validation(path: Path) -> ValidationResult:
    """Validation result of the kept weights. Raises `TrainingError` if the file is damaged."""
    with open_checkpoint(path, "validation") as file:
        return read_metadata(path, file, "validation", ValidationResult)


def load_best(path: Path, generator: nn.Module) -> ValidationResult:
    """Load the kept weights into a generator. Raises `TrainingError` if the file is damaged or of another shape."""
    with open_checkpoint(path, "validation") as file:
        load_weights(path, generator, {key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    return read_validation(path)
