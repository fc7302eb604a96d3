"""What commands say when an optional part of SoundGAN is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from soundgan.errors import TrainingError


@contextmanager
def needs_train(command: str) -> Iterator[None]:
    """Turn a missing PyTorch (or one of its companions) into a `TrainingError` that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"{command} needs the training extra ({error.name} is missing): "
            "pip install -c constraints.txt -e '.[train]'"
        ) from error
