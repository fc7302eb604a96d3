"""Losses of the generator beside the adversarial one, with the recordings as targets.

They are IMLE, texture, pitch, length and level, and diversity.

Batches consist of two samples of each label, the anchors and their partners. An anchor is generated from the latent of
the `LatentBank` nearest to a recording, and compared with that recording; a partner is generated from a new latent.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from soundgan.data.dataset import Dataset
from soundgan.settings import LossSettings
from soundgan.spectral.pitch import MIN_PITCH
from soundgan.training.losses.cells import RealDistances, cell_distance, cells, pool_cells, real_distances
from soundgan.training.losses.imle import LatentBank, imle_loss
from soundgan.training.losses.terms import Terms
from soundgan.training.networks.base import Generator
from soundgan.training.networks.length_and_level import lengths_and_levels
from soundgan.training.runtime.distributed import SINGLE_PROCESS, Distributed

ANCHORS, PARTNERS = slice(0, None, 2), slice(1, None, 2)  # rows of a batch
CHUNK_SIZE = 1024  # recordings measured at a time
NUM_PAIRS = 512  # of recordings that the typical difference of textures is measured on
VOICED_THRESHOLD = 0.6  # minimum periodicity of a voiced frame
MIN_MEAN_WEIGHT = 0.05  # mean excess over the threshold below which weights are no longer scaled up to a mean of 1


class AuxiliaryLosses:
    """Mode-seeking, IMLE, texture, pitch, length and level losses, with the measures of all recordings that they need.

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
        self._lengths_and_levels = torch.from_numpy(lengths_and_levels(dataset)).to(device)

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
        self, generator: Generator, fake: Tensor, z: Tensor, w: Tensor, indices: Tensor, diversity_ema: Tensor
    ) -> tuple[Terms, Tensor]:
        """Return the terms of the loss, and the diversity of the batch.

        Args:
            fake: generated spectrograms (2n, nc, bands, frames), in pairs.
            z, w: their latents (2n, nz) and mapped latents (2n, w_dim).
            indices: of the recordings of the anchors (n,).
            diversity_ema: running mean of the diversity.
        """
        indices, settings = indices.to(self._device), self._settings
        labels, anchors, partners = self._labels[indices], cells(fake[ANCHORS]), cells(fake[PARTNERS])
        batch_diversity = diversity(anchors, partners, labels, self._distances)
        imle = imle_loss(anchors, self._target_cells(indices), labels, self._distances)
        difference = texture_loss(texture(fake[ANCHORS]), self._textures[indices], self._typical_texture)
        pitch = length = level = torch.zeros((), device=self._device)
        if generator.has_pitch:
            pitch = pitch_loss(generator.pitch(w[ANCHORS]), self._pitch[indices], self._pitch_weights[indices])
        if generator.has_length_and_level and self._uses_bank:
            values = generator.length_and_level(z[ANCHORS], labels)
            length, level = (values - self._lengths_and_levels[indices]).abs().mean(0)
        terms: Terms = {
            "imle_loss": (settings.imle, imle),
            "texture_loss": (settings.texture, difference),
            "pitch_loss": (settings.pitch, pitch),
            # No weights: these train parameters of their own, and Adam is invariant to the scale of gradients.
            "length_loss": (1.0, length),
            "level_loss": (1.0, level),
            "mode_seeking_loss": (settings.mode_seeking, mode_seeking_loss(batch_diversity, diversity_ema)),
        }
        return terms, batch_diversity.detach()

    def _target_cells(self, indices: Tensor) -> Tensor:
        """Return cells of recordings, repeated for all channels: (n, nc · cells)."""
        return self._cells[indices].repeat(1, self._channels)


def diversity(a: Tensor, b: Tensor, labels: Tensor, distances: RealDistances) -> Tensor:
    """Return the mean distance of generated pairs, in units of that of real pairs: 1 is as diverse as real sounds.

    Shape:
        a, b: cells of two spectrograms of each label (n, cells); labels (n,) → ().
    """
    return (cell_distance(a, b) / distances.mean_pairwise[labels]).mean()


def mode_seeking_loss(diversity: Tensor, diversity_ema: Tensor) -> Tensor:
    """Return minus the diversity, weighted by how far its running mean lies below 1. Shape: () each.

    Against mode collapse Mao et al. 2019 maximize the distance of two spectrograms over that of their latents, without
    bound; here it is maximized only until generated spectrograms of a label differ as much as real ones.
    """
    return -(1 - diversity_ema).clamp_min(0) * diversity


def texture(spectrograms: Tensor) -> Tensor:
    """Return mean absolute differences of neighbors, over bands and over frames, in every cell.

    Harmonics vary over bands, onsets over frames, noise over both, and a clear low voice hardly at all. So texture
    trains the gains of noise and harmonics, and says nothing of levels: it can be matched to a recording that is alike
    in its cells only, without copying it.

    Shape: (n, nc, bands, frames) → (n, 2, nc, bands / height, frames / width).
    """
    over_bands = F.pad(spectrograms.diff(dim=2).abs(), (0, 0, 0, 1))
    over_frames = F.pad(spectrograms.diff(dim=3).abs(), (0, 1))
    return torch.stack([pool_cells(differences) for differences in (over_bands, over_frames)], dim=1)


def typical_difference(textures: Tensor) -> Tensor:
    """Return the mean absolute difference of two recordings' textures, over bands and over frames; 1 for one recording.

    Shape: (n, 2, nc, …) → (2,).
    """
    if len(textures) < 2:
        return torch.ones(2, device=textures.device)
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(len(textures), (NUM_PAIRS,), generator=generator)
    second = (first + torch.randint(1, len(textures), (NUM_PAIRS,), generator=generator)) % len(textures)
    return (textures[first] - textures[second]).abs().mean((0, 2, 3, 4)).clamp_min(1e-3)


def texture_loss(generated: Tensor, target: Tensor, typical: Tensor) -> Tensor:
    """Return the mean absolute difference of textures, in units of the typical one.

    Shape: (n, 2, nc, …) twice, (2,) → ().
    """
    return ((generated - target).abs().mean((0, 2, 3, 4)) / typical).mean()


def pitch_weights(periodicity: Tensor) -> Tensor:
    """Return the weight of each frame of recordings, with a mean of 1 or less. Shape: (n, frames) → the same."""
    weights = F.relu(periodicity - VOICED_THRESHOLD)
    return weights / weights.mean().clamp_min(MIN_MEAN_WEIGHT)


def pitch_loss(pitch: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean absolute difference in octaves. Shape: (n, frames) each → ()."""
    return (weights * (pitch - target).abs()).mean()


def _measure_all(dataset: Dataset, measure: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a measure to all recordings, in chunks: their spectrograms are mapped from a file, perhaps a large one."""
    chunks = (dataset.spectrograms[start : start + CHUNK_SIZE] for start in range(0, len(dataset), CHUNK_SIZE))
    return torch.cat([measure(torch.from_numpy(np.array(spectrograms))) for spectrograms in chunks])
