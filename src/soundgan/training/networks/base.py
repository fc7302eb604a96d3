"""The contract of every generator; a discriminator is any module that maps spectrograms to one logit per label."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from soundgan.training.networks.length_and_level import LengthAndLevelHead


class Generator(nn.Module, ABC):
    """Latent z and label → mapped latent w → spectrogram.

    Attributes:
        uses_noise: `synthesis` takes noise textures, see `soundgan.spectral.noise_texture`.
        has_pitch: `pitch` is defined.
        has_length_and_level: `length_and_level` is defined, and the last values of w are its values.
    """

    uses_noise = False
    has_pitch = False
    has_length_and_level = False
    length_and_level: LengthAndLevelHead

    @abstractmethod
    def mapping(self, z: Tensor, labels: Tensor) -> Tensor:
        """Map latents to w. Shape: z (n, nz), labels (n,) int64 → (n, w_dim)."""

    @abstractmethod
    def synthesis(self, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return spectrograms, float32 in [-1, 1].

        Shape: w (n, w_dim), noise (n, 1, bands, frames) if `uses_noise` → (n, nc, bands, frames).
        """

    def pitch(self, w: Tensor) -> Tensor:
        """Return the pitch of every frame, in octaves above the lowest. Shape: (n, w_dim) → (n, frames)."""
        raise NotImplementedError(f"{type(self).__name__} has no pitch")

    def forward(self, z: Tensor, labels: Tensor, noise: Tensor | None = None) -> Tensor:
        return self.synthesis(self.mapping(z, labels), noise)
