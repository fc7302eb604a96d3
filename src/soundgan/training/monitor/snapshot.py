"""Snapshots of a training: a grid of spectrograms and a few sounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from soundgan import audio
from soundgan.data.dataset import Dataset
from soundgan.spectral.representation import Spectrogram, synthesize
from soundgan.training.networks.base import Generator
from soundgan.training.runtime.rng import StepRNG
from soundgan.training.state.train_state import GeneratorInputs
from soundgan.viz.spectrogram_figure import SpectrogramAxes, save_figure, spectrogram_figure

GENERATED, REAL, MAX_ROWS = 8, 4, 10  # spectrograms in a row, and rows


@torch.no_grad()
def save_snapshot(
    folder: Path,
    generator: Generator,
    dataset: Dataset,
    generator_inputs: GeneratorInputs,
    samples_seen: int,
    seed: int,
) -> Path:
    """Write `<samples_seen>.png`, 4 real and 8 generated spectrograms per label, and `<samples_seen>/`, a WAV per row.

    The latents are the same every time, so that successive snapshots are comparable.
    """
    labels, representation = chosen_rows(len(dataset.label_names)), dataset.representation
    names = [dataset.label_names[label] if dataset.label_names else f"sound{row}" for row, label in enumerate(labels)]
    rng = StepRNG(seed, 0, next(generator.parameters()).device)
    real = [real_spectrograms(dataset, label, row) for row, label in enumerate(labels)]
    generated = [
        generator_inputs.generate(generator, torch.full((GENERATED,), label), rng)[:, :1].cpu().numpy()
        for label in labels
    ]
    stem = folder / f"{samples_seen:09d}"
    stem.mkdir(parents=True, exist_ok=True)
    waves = synthesize(np.stack([row[0] for row in generated]), representation)
    for name, wave in zip(names, waves, strict=True):
        audio.write(stem / f"{name}.wav", audio.level(wave, "peak"), representation.sample_rate)
    axes = SpectrogramAxes(
        representation.duration, representation.band_centers, representation.floor_db, representation.ceiling_db
    )
    figure = spectrogram_figure(
        {"real": real, "generated": [list(row) for row in generated]}, axes, names if dataset.label_names else ()
    )
    return save_figure(figure, stem.with_suffix(".png"))


def chosen_rows(labels: int) -> list[int]:
    """Label indices of the rows of a grid: all labels, or 10 evenly spread ones, or 4 times 0 without labels."""
    if not labels:
        return [0] * 4
    return np.linspace(0, labels - 1, min(labels, MAX_ROWS)).astype(int).tolist()


def real_spectrograms(dataset: Dataset, label: int, row: int) -> list[Spectrogram]:
    """A few real spectrograms of a label, drawn with the row as the seed."""
    positions = np.flatnonzero(np.asarray(dataset.labels) == label)
    chosen = np.random.default_rng(row).choice(positions, min(REAL, len(positions)), replace=False)
    return [dataset.spectrograms[i] for i in chosen]
