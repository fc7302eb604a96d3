"""What recordings teach the Generator directly, beside the game: to be varied, to leave none out, texture and pitch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from soundgan.data.dataset import Dataset
from soundgan.settings import Settings
from soundgan.spectral.pitch import MIN_PITCH
from soundgan.training.losses.diversity import LatentBank, cells, imle, recorded_distances, variety
from soundgan.training.losses.pitch import pitch_loss, pitch_weights
from soundgan.training.losses.texture import texture, texture_loss, usual_difference
from soundgan.training.networks.base import Generator
from soundgan.training.runtime.distributed import Distributed

AT_ONCE = 1024  # recordings measured together


class AuxLosses(NamedTuple):
    """The loss to descend (scalar), and its parts.

    Attributes:
        variety: of the sounds of a label; 1 is that of recordings.
        missed: how much too far recordings are from the sound nearest to them, see `imle`.
        texture_error: how far the texture of that sound is from theirs; 1 is usual between recordings.
        pitch_error: how far it is from their pitch, in octaves.
    """

    loss: Tensor
    variety: Tensor
    imle_loss: Tensor
    texture_loss: Tensor
    pitch_loss: Tensor


class AuxiliaryLosses:
    """Knows the recordings of one training.

    Args:
        candidates: latents painted lately; they are kept up to date here.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: Settings,
        device: torch.device,
        candidates: LatentBank,
        distributed: Distributed,
    ) -> None:
        self._settings, self._device, self._candidates, self._distributed = settings, device, candidates, distributed
        self._by_nearest = settings.losses.imle > 0 or settings.losses.texture > 0 or settings.losses.pitch > 0
        self._labels = torch.from_numpy(np.array(dataset.labels, np.int64)).to(device)
        self._cells = _of_all(dataset, cells).to(device)
        self._textures = _of_all(dataset, texture).to(device)
        self._usual_texture = usual_difference(self._textures)
        labels = len(dataset.label_names)
        self._distances = recorded_distances(self._cells, self._labels, labels, candidates.each)
        self._pitch = torch.from_numpy(np.log2(dataset.pitch.hz / np.float32(MIN_PITCH))).to(device)
        self._weights = pitch_weights(torch.from_numpy(np.array(dataset.pitch.periodicity))).to(device)

    def keep(self, z: Tensor, made: Tensor, labels: Tensor) -> None:
        """Take note of what was painted from latents: this process's share, of which all take note."""
        if self._by_nearest:
            self._candidates.keep(*map(self._distributed.gather, (z, cells(made), labels)))

    def nearest(self, index: Tensor, z: Tensor) -> Tensor:
        """Latents that came nearest to recordings; z where nothing is to be learnt from these, or nothing is kept yet.

        Shape: indices of the recordings of all processes, z (n, nz) of this one's share → (n, nz).
        """
        if not self._by_nearest:
            return z
        index = index.to(self._device)
        labels = self._labels[index]
        kept = self._candidates.there[labels].any(1)[:, None]
        nearest = self._candidates.nearest(self._recorded(index), labels)
        return torch.where(self._distributed.shard(kept), self._distributed.shard(nearest), z)

    def compare(self, generator: Generator, made: Tensor, w: Tensor, index: Tensor, lately: Tensor) -> AuxLosses:
        """What is to be learnt from pairs of spectrograms.

        Args:
            made, w: (2n, nc, bands, frames) and their mapped latents (2n, …). Rows 2k and 2k + 1 are of the label of a
                recording, and row 2k of the latent that came nearest to it.
            index: of these recordings, (n,).
            lately: what the variety was.
        """
        index = index.to(self._device)
        labels, one, other = self._labels[index], cells(made[0::2]), cells(made[1::2])
        varied = variety(one, other, labels, self._distances)
        imle_loss = imle(one, self._recorded(index), labels, self._distances)
        off_texture = texture_loss(texture(made[::2]), self._textures[index], self._usual_texture)
        off_pitch = torch.zeros_like(imle_loss)
        if generator.has_pitch:
            pitch = generator.pitch(w[::2])
            off_pitch = pitch_loss(pitch, self._pitch[index], self._weights[index])
        settings = self._settings
        loss = (
            settings.losses.imle * imle_loss + settings.losses.texture * off_texture + settings.losses.pitch * off_pitch
        )
        loss = loss - settings.losses.mode_seeking * (1 - lately).clamp_min(0) * varied
        return AuxLosses(loss, *(part.detach() for part in (varied, imle_loss, off_texture, off_pitch)))

    def _recorded(self, index: Tensor) -> Tensor:
        """Cells of recordings, in all channels: (n, nc · cells)."""
        return self._cells[index].repeat(1, self._settings.model.nc)


def _of_all(dataset: Dataset, measure: Callable[[Tensor], Tensor]) -> Tensor:
    """A measure of all recordings, whose spectrograms lie in a file and may be too many to be read together."""
    some = (dataset.spectrograms[first : first + AT_ONCE] for first in range(0, len(dataset), AT_ONCE))
    return torch.cat([measure(torch.from_numpy(np.array(spectrograms))) for spectrograms in some])
