"""Wasserstein GAN with gradient penalty, which trains all baselines.

Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville, "Improved Training of Wasserstein GANs" (2017): a critic has high
scores for real sounds and low ones for generated sounds, and is kept 1-Lipschitz by a penalty on the norm of its
gradient at points between them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from soundgan.errors import TrainingError
from soundgan.settings import RunSettings
from soundgan.training.losses.adversarial import select_logits
from soundgan.training.runtime.device import torch_threads_and_determinism
from soundgan.training.state.train_state import Progress

Floats = NDArray[np.float32]
Waves = Sequence[Floats] | Floats  # mono, (samples,) each, of any lengths
CPU = torch.device("cpu")
CHUNK_SIZE = 64  # sounds generated together


@dataclass(frozen=True)
class WGANConfig:
    """Hyperparameters; the defaults are those of WaveGAN and SpecGAN.

    Args:
        critic_steps: for each step of the generator.
        noise: standard deviation of the instance noise on all inputs of the critic.
        noise_decay: its factor for each step of the generator.
    """

    batch_size: int = 64
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.9)
    critic_steps: int = 5
    penalty: float = 10.0
    latent: Literal["uniform", "normal"] = "uniform"
    nz: int = 100
    noise: float = 0.0
    noise_decay: float = 1.0


PAPER = WGANConfig()


@dataclass(frozen=True)
class TrainingSounds:
    """Recordings to train on.

    Args:
        waves: mono, (samples,) each, of any lengths.
        sample_rate: in Hz.
        seconds: length of generated sounds, which recordings are cut or padded to.
        labels: index of each wave's label; empty for unlabeled sounds.
    """

    waves: Waves
    sample_rate: int
    seconds: float = 1.0
    labels: Sequence[int] = ()

    @property
    def samples(self) -> int:
        """Samples of a sound: `seconds`, rounded up to 1,024 per first position, the strides of WaveGAN.

        For a second, these are the paper's 16,384 at its 16 kHz, and 8,192 at 8 kHz.
        """
        return samples_of(self.sample_rate, self.seconds)

    @property
    def n_labels(self) -> int:
        """Number of labels; 0 for unlabeled sounds."""
        return max(self.labels, default=-1) + 1


@dataclass(frozen=True)
class TrainingOptions:
    """Seed, device, CPU threads (0: PyTorch's number) and end of a training.

    It ends after wall-clock minutes or steps of the generator, whichever comes first.
    """

    seed: int
    minutes: float
    steps: int | None = None
    device: torch.device = CPU
    threads: int = 0

    def is_finished(self, progress: Progress) -> bool:
        return progress.seconds >= 60 * self.minutes or (self.steps is not None and progress.steps >= self.steps)


@dataclass(frozen=True)
class TrainedBaseline:
    """A trained baseline. `trained(labels, seed)` generates waves (n, samples), float32, identical for the same seed.

    Args:
        generator: latents and labels → sounds in the representation of the critic.
        synthesize: sounds in this representation → waves.
        progress: real sounds seen by the critic, steps of the generator, and their seconds.
        frame_rate: of the spectrograms, in Hz; NaN without any.
    """

    generator: nn.Module
    synthesize: Callable[[Floats], Floats]
    config: WGANConfig
    progress: Progress
    width: int
    frame_rate: float = math.nan

    def __call__(self, labels: Sequence[int], seed: int) -> Floats:
        """Generate a wave for each label; unlabeled baselines ignore its value."""
        rng = torch.Generator().manual_seed(seed)
        device = next(self.generator.parameters()).device
        waves = []
        with torch.no_grad():
            for chunk in torch.tensor(labels).split(CHUNK_SIZE):
                z = latents(len(chunk), self.config, rng)
                waves.append(self.synthesize(self.generator(z.to(device), chunk.to(device)).cpu().numpy()))
        return np.concatenate(waves)

    @property
    def settings(self) -> dict[str, Any]:
        """Size and hyperparameters for a table."""
        parameters = sum(parameter.numel() for parameter in self.generator.parameters())
        return {"width": self.width, "generator_parameters": parameters, **asdict(self.config)}


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Mean over sounds of (‖∇critic‖ - 1)², at `mix` of the way from real (0) to fake (1); mix (n, 1, …)."""
    between = torch.lerp(real, fake, mix.expand_as(real)).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def train_wgan_gp(
    build: Callable[[], tuple[nn.Module, nn.Module]],
    real: Tensor,
    labels: Sequence[int],
    config: WGANConfig,
    options: TrainingOptions,
) -> tuple[nn.Module, Progress]:
    """Train until the options end it, and return the generator and the progress.

    With a limit of steps, the same seed gives the same generator on the same machine.

    Args:
        build: returns the generator, z (n, nz) and labels (n,) → fake, and the critic, real or fake → a score for each
            label, (n, labels) or (n, 1); called with PyTorch seeded.
        real: all training sounds in the representation of the critic, (sounds, …).
        labels: index of each one's label; empty for unlabeled sounds.

    Raises:
        TrainingError: the critic's loss is not finite.
    """
    device = options.device
    with torch.random.fork_rng(), torch_threads_and_determinism(RunSettings(threads=options.threads)):
        torch.manual_seed(options.seed)
        generator, critic = (_to_device(network, real, device) for network in build())
        fused = device.type in ("cpu", "cuda")
        generator_optimizer, critic_optimizer = (
            torch.optim.Adam(network.parameters(), config.learning_rate, config.betas, fused=fused)
            for network in (generator, critic)
        )
        real, rng, progress = real.to(device), torch.Generator().manual_seed(options.seed), Progress()
        all_labels = torch.tensor(labels or [0] * len(real), device=device)
        batch_labels = all_labels[:0]
        started = time.monotonic()

        def fake() -> Tensor:
            return generator(latents(config.batch_size, config, rng).to(device), batch_labels)

        def scores(sounds: Tensor) -> Tensor:
            return select_logits(critic(sounds), batch_labels)

        while not options.is_finished(progress):
            noise = config.noise * config.noise_decay**progress.steps
            for _ in range(config.critic_steps):
                chosen = torch.randint(len(real), (config.batch_size,), generator=rng).to(device)
                batch, batch_labels = real[chosen], all_labels[chosen]
                with torch.no_grad():
                    generated = fake()
                batch, generated = _noisy(batch, noise), _noisy(generated, noise)
                mix = torch.rand(config.batch_size, *[1] * (real.ndim - 1), generator=rng).to(device)
                loss = scores(generated).mean() - scores(batch).mean()
                loss = loss + config.penalty * gradient_penalty(scores, batch, generated, mix)
                _step(critic_optimizer, loss)
                if not loss.isfinite():
                    seen = f"after {progress.samples_seen} sounds"
                    raise TrainingError(f"the critic's loss is {loss.item()} {seen}; lower the learning rate")
                progress.samples_seen += config.batch_size
                progress.seconds = time.monotonic() - started
                if options.is_finished(progress):  # the next step of the generator can be a minute away
                    return generator, progress
            critic.requires_grad_(False)
            _step(generator_optimizer, -scores(_noisy(fake(), noise)).mean())
            critic.requires_grad_(True)
            progress.steps += 1
            progress.seconds = time.monotonic() - started
    return generator, progress


def latents(n: int, config: WGANConfig, rng: torch.Generator) -> Tensor:
    """z (n, nz), uniform in [-1, 1] or normal."""
    if config.latent == "normal":
        return torch.randn(n, config.nz, generator=rng)
    return torch.rand(n, config.nz, generator=rng) * 2 - 1


def cut_or_pad(waves: Waves, samples: int) -> Floats:
    """Waves of any lengths, cut or padded with silence at their end: (n, samples)."""
    rows = np.zeros((len(waves), samples), np.float32)
    for row, wave in zip(rows, waves, strict=True):
        row[: len(wave)] = wave[:samples]
    return rows


def samples_of(sample_rate: int, seconds: float = 1.0) -> int:
    """Samples of a duration, rounded up to a multiple of 1,024."""
    return 1024 * math.ceil(round(seconds * sample_rate) / 1024)


def _to_device(network: nn.Module, real: Tensor, device: torch.device) -> nn.Module:
    """Move a network; networks of spectrograms are channels-last, which is faster on CPUs, as ours are."""
    network = network.to(device)
    return network.to(memory_format=torch.channels_last) if real.ndim == 4 else network  # type: ignore[call-overload]


def _noisy(sounds: Tensor, std: float) -> Tensor:
    return sounds + std * torch.randn_like(sounds) if std > 1e-4 else sounds


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
