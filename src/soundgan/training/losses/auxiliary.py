"""Losses of the generator beside the adversarial one, with the recordings as targets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from soundgan.data.dataset import Dataset
from soundgan.settings import LossSettings
from soundgan.spectral.pitch import MIN_PITCH
from soundgan.training.losses.cells import cells, real_distances
from soundgan.training.losses.imle import LatentBank, imle_loss
from soundgan.training.losses.mode_seeking import diversity, mode_seeking_loss
from soundgan.training.losses.pitch import pitch_loss, pitch_weights
from soundgan.training.losses.terms import PairedBatch, Terms
from soundgan.training.losses.texture import texture, texture_loss, typical_difference
from soundgan.training.networks.base import Generator
from soundgan.training.runtime.distributed import SINGLE_PROCESS, Distributed

CHUNK_SIZE = 1024  # recordings measured at a time


class AuxiliaryLosses:
    """Mode-seeking, IMLE, texture and pitch losses, with the measures of all recordings that they need.

    Args:
        latent_bank: is updated by `update_bank`.
        distributed: the latents of all processes enter the bank.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: LossSettings,
        device: torch.device,
        latent_bank: LatentBank,
        distributed: Distributed = SINGLE_PROCESS,
    ) -> None:
        self._settings, self._device, self._bank, self._distributed = settings, device, latent_bank, distributed
        self._uses_bank = settings.imle > 0 or settings.texture > 0 or settings.pitch > 0
        self._labels = torch.from_numpy(np.array(dataset.labels, np.int64)).to(device)
        self._cells = _measure_all(dataset, cells).to(device)
        self._channels = latent_bank.spectrograms.shape[2] // self._cells.shape[1]
        self._textures = _measure_all(dataset, texture).to(device)
        self._typical_texture = typical_difference(self._textures)
        self._distances = real_distances(self._cells, self._labels, len(dataset.label_names), latent_bank.capacity)
        self._pitch = torch.from_numpy(np.log2(dataset.pitch.hz / np.float32(MIN_PITCH))).to(device)
        self._pitch_weights = pitch_weights(torch.from_numpy(np.array(dataset.pitch.periodicity))).to(device)

    def nearest_latents(self, indices: Tensor, z: Tensor) -> Tensor:
        """Return the latents of the bank nearest to recordings; z where the bank is empty, or no loss uses it.

        Shape: indices of recordings (n,), z (n, nz) → (n, nz).
        """
        if not self._uses_bank:
            return z
        indices = indices.to(self._device)
        labels = self._labels[indices]
        nearest = self._bank.nearest(self._target_cells(indices), labels)
        return torch.where(self._bank.valid[labels].any(1)[:, None], nearest, z)

    def update_bank(self, z: Tensor, spectrograms: Tensor, labels: Tensor) -> None:
        """Add new latents and their spectrograms. Shape: (n, nz), (n, nc, bands, frames), (n,)."""
        if self._uses_bank:
            self._bank.add(*map(self._distributed.gather, (z, cells(spectrograms), labels)))

    def terms(
        self, generator: Generator, fake: PairedBatch, w: PairedBatch, indices: Tensor, diversity_ema: Tensor
    ) -> tuple[Terms, Tensor]:
        """Return the terms of the loss, and the diversity of the batch.

        Args:
            fake, w: generated spectrograms (n, nc, bands, frames) and their mapped latents, for each recording.
            indices: of the recordings (n,).
            diversity_ema: running mean of the diversity.
        """
        indices, settings = indices.to(self._device), self._settings
        labels, anchor, partner = self._labels[indices], cells(fake.anchor), cells(fake.partner)
        batch_diversity = diversity(anchor, partner, labels, self._distances)
        imle = imle_loss(anchor, self._target_cells(indices), labels, self._distances)
        difference = texture_loss(texture(fake.anchor), self._textures[indices], self._typical_texture)
        pitch = self._pitch_loss(generator, w, indices)
        terms: Terms = {
            "imle_loss": (settings.imle, imle),
            "texture_loss": (settings.texture, difference),
            "pitch_loss": (settings.pitch, pitch),
            "mode_seeking_loss": (settings.mode_seeking, mode_seeking_loss(batch_diversity, diversity_ema)),
        }
        return terms, batch_diversity.detach()

    def _pitch_loss(self, generator: Generator, w: PairedBatch, indices: Tensor) -> Tensor:
        if not generator.has_pitch:
            return torch.zeros((), device=self._device)
        return pitch_loss(generator.pitch(w.anchor), self._pitch[indices], self._pitch_weights[indices])

    def _target_cells(self, indices: Tensor) -> Tensor:
        """Return cells of recordings, repeated for all channels: (n, nc · cells)."""
        return self._cells[indices].repeat(1, self._channels)


def _measure_all(dataset: Dataset, measure: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a measure to all recordings, in chunks: their spectrograms are mapped from a file, perhaps a large one."""
    chunks = (dataset.spectrograms[start : start + CHUNK_SIZE] for start in range(0, len(dataset), CHUNK_SIZE))
    return torch.cat([measure(torch.from_numpy(np.array(spectrograms))) for spectrograms in chunks])
