"""What a user looks at and listens to while training runs: a grid of spectrograms and a few sounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from soundgan import audio
from soundgan.data.dataset import Dataset
from soundgan.settings import Settings
from soundgan.spectral.representation import Spectrogram, synthesize
from soundgan.training.networks.base import Generator
from soundgan.training.runtime.rng import StepRNG
from soundgan.training.state.state import GeneratorInputs
from soundgan.viz.spectrogram_image import grid, save_picture

MADE, REAL, MOST_ROWS = 8, 4, 10


@torch.no_grad()
def save_snapshot(
    folder: Path,
    generator: Generator,
    dataset: Dataset,
    settings: Settings,
    generator_inputs: GeneratorInputs,
    samples_seen: int,
) -> Path:
    """Write `<samples_seen>.png`, a row a label with 4 real spectrograms and then 8 made ones, and `<samples_seen>/` with a WAV a row.

    The latents are the same every time, so that successive snapshots show the same sounds grow.
    """
    labels = chosen_rows(len(dataset.label_names))
    device = next(generator.parameters()).device
    rng = StepRNG(settings.run.seed, 0, device)
    sheet, first = [], []
    for row, label in enumerate(labels):
        made = generator_inputs.generate(generator, torch.full((MADE,), label, device=device), rng)[:, :1].cpu().numpy()
        sheet.append([*real_spectrograms(dataset, label, row), *made])
        first.append(made[0])

    sounds = folder / f"{samples_seen:09d}"
    sounds.mkdir(parents=True, exist_ok=True)
    for row, (label, wave) in enumerate(zip(labels, synthesize(np.stack(first), dataset.representation), strict=True)):
        name = dataset.label_names[label] if dataset.label_names else f"sound{row}"
        audio.write(sounds / f"{name}.wav", audio.level(wave, "peak"), dataset.representation.sample_rate)
    return save_picture(grid(sheet), folder / f"{samples_seen:09d}.png")


def chosen_rows(labels: int) -> list[int]:
    """Label indices of the rows of a grid: all labels, or 10 of them evenly spread, or 4 times 0 if there are none."""
    if not labels:
        return [0] * 4
    return np.linspace(0, labels - 1, min(labels, MOST_ROWS)).astype(int).tolist()


def real_spectrograms(dataset: Dataset, label: int, row: int) -> list[Spectrogram]:
    """A few real spectrograms of a label for a row, the same ones every time; others in another row."""
    positions = np.flatnonzero(np.asarray(dataset.labels) == label)
    chosen = np.random.default_rng(row).choice(positions, min(REAL, len(positions)), replace=False)
    return [dataset.spectrograms[i] for i in chosen]
