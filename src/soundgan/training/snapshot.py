"""What a user looks at and listens to while training runs: a grid of paintings and a few sounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from soundgan import audio
from soundgan.dataset import Dataset
from soundgan.picture import grid, save_picture
from soundgan.settings import Settings
from soundgan.spectrogram import synthesise

MADE, REAL, MOST_ROWS = 8, 4, 10


@torch.no_grad()
def save_snapshot(folder: Path, generator: nn.Module, dataset: Dataset, settings: Settings, seen: int) -> Path:
    """Write `<seen>.png`, a row a label with 4 real paintings and then 8 made ones, and `<seen>/` with a WAV a row.

    The latents are the same every time, so that successive snapshots show the same sounds grow.
    """
    rng = np.random.default_rng(settings.seed)
    rows = np.linspace(0, max(len(dataset.label_names), 4) - 1, min(max(len(dataset.label_names), 4), MOST_ROWS)).astype(int)
    sheet, first = [], []
    device = next(generator.parameters()).device
    for row in rows:
        label = int(row) if dataset.label_names else 0
        z = torch.from_numpy(rng.standard_normal((MADE, settings.nz), np.float32)).to(device)
        made = generator(z, torch.full((MADE,), label, device=device))[:, :1].cpu().numpy()
        real = np.flatnonzero(np.asarray(dataset.labels) == label)
        real = rng.choice(real, min(REAL, len(real)), replace=False)
        sheet.append([*(dataset.paintings[i] for i in real), *made])
        first.append(made[0])

    sounds = folder / f"{seen:09d}"
    sounds.mkdir(parents=True, exist_ok=True)
    for row, wave in zip(rows, synthesise(np.stack(first), dataset.representation), strict=True):
        name = dataset.label_names[row] if dataset.label_names else f"sound{row}"
        audio.write(sounds / f"{name}.wav", audio.level(wave, "peak"), dataset.representation.sample_rate)
    return save_picture(grid(sheet), folder / f"{seen:09d}.png")
