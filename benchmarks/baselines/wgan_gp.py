"""The game that the baselines play: a Wasserstein GAN with gradient penalty.

Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville, "Improved Training of Wasserstein GANs" (2017): a critic scores real
sounds high and made ones low, and is kept 1-Lipschitz by a penalty on the norm of its gradient at points between them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from soundgan.errors import TrainingError
from soundgan.settings import Settings
from soundgan.training.runtime.device import torch_threads_and_determinism
from soundgan.training.state.checkpoint import Progress

Floats = NDArray[np.float32]
AT_ONCE = 64  # sounds made together


@dataclass(frozen=True)
class Game:
    """The rules: defaults are those of WaveGAN and SpecGAN."""

    batch: int = 64
    rate: float = 1e-4  # of Adam, for both
    betas: tuple[float, float] = (0.5, 0.9)
    critic_steps: int = 5  # for each step of the generator
    penalty: float = 10.0
    latent: Literal["uniform", "normal"] = "uniform"
    nz: int = 100
    noise: float = 0.0  # standard deviation of the instance noise on all that the critic sees
    noise_decay: float = 1.0  # its factor for each step of the generator


class Budget(NamedTuple):
    """When training ends, whichever comes first: minutes of wall-clock time, or steps of the generator."""

    minutes: float
    steps: int | None = None

    def spent(self, progress: Progress) -> bool:
        return progress.seconds >= 60 * self.minutes or (self.steps is not None and progress.steps >= self.steps)


@dataclass(frozen=True)
class Trained:
    """A trained baseline. `trained(n, seed)` makes waves (n, samples), float32, the same again for the same seed.

    `generator` turns latents into what the critic saw, and `sound` that into waves. `progress` has the real sounds that
    the critic has seen, the steps of the generator, and the seconds they took.
    """

    generator: nn.Module
    sound: Callable[[Floats], Floats]
    game: Game
    progress: Progress
    width: int

    def __call__(self, n: int, seed: int) -> Floats:
        rng = torch.Generator().manual_seed(seed)
        device = next(self.generator.parameters()).device
        waves = []
        with torch.no_grad():
            for first in range(0, n, AT_ONCE):
                z = latents(min(AT_ONCE, n - first), self.game, rng).to(device)
                waves.append(self.sound(self.generator(z).cpu().numpy()))
        return np.concatenate(waves)

    @property
    def settings(self) -> dict[str, Any]:
        """What a table says about this training."""
        parameters = sum(parameter.numel() for parameter in self.generator.parameters())
        return {"width": self.width, "generator_parameters": parameters, **asdict(self.game)}


def gradient_penalty(critic: nn.Module, real: Tensor, made: Tensor, mix: Tensor) -> Tensor:
    """Mean over sounds of (‖∇critic‖ - 1)², at `mix` of the way from real (0) to made (1); mix (n, 1, …)."""
    between = torch.lerp(real, made, mix.expand_as(real)).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def play(
    build: Callable[[], tuple[nn.Module, nn.Module]],
    real: Tensor,
    game: Game,
    budget: Budget,
    *,
    seed: int,
    device: torch.device,
    report: Callable[[Progress], None] = lambda progress: None,
) -> tuple[nn.Module, Progress]:
    """Train until the budget is spent, and return the generator and the clock.

    With a budget of steps, the same seed gives the same generator on the same machine.

    Args:
        build: makes generator, z (n, nz) → made, and critic, real or made → scores (n,); called with PyTorch seeded.
        real: all sounds of the training, (sounds, …), as the critic is to see them.
        report: called after each step of the critic.

    Raises:
        TrainingError: the critic's loss is no longer a number.
    """
    with torch.random.fork_rng(), torch_threads_and_determinism(Settings()):
        torch.manual_seed(seed)
        generator, critic = (_placed(network, real, device) for network in build())
        optimizers = [
            torch.optim.Adam(network.parameters(), game.rate, game.betas, fused=device.type in ("cpu", "cuda"))
            for network in (generator, critic)
        ]
        real, rng, progress = real.to(device), torch.Generator().manual_seed(seed), Progress()
        started = time.monotonic()
        while not budget.spent(progress):
            noise = game.noise * game.noise_decay**progress.steps
            for _ in range(game.critic_steps):
                shown = real[torch.randint(len(real), (game.batch,), generator=rng).to(device)]
                with torch.no_grad():
                    made = generator(latents(game.batch, game, rng).to(device))
                shown, made = _noisy(shown, noise), _noisy(made, noise)
                mix = torch.rand(game.batch, *[1] * (real.ndim - 1), generator=rng).to(device)
                loss = critic(made).mean() - critic(shown).mean()
                loss = loss + game.penalty * gradient_penalty(critic, shown, made, mix)
                _step(optimizers[1], loss)
                if not loss.isfinite():
                    raise TrainingError(
                        f"the critic's loss is {loss.item()} after {progress.samples_seen} sounds; lower the rate"
                    )
                progress.samples_seen += game.batch
                progress.seconds = time.monotonic() - started
                report(progress)
                if budget.spent(progress):  # a step of the generator can be a minute away
                    return generator, progress
            critic.requires_grad_(False)
            loss = -critic(_noisy(generator(latents(game.batch, game, rng).to(device)), noise)).mean()
            _step(optimizers[0], loss)
            critic.requires_grad_(True)
            progress.steps += 1
            progress.seconds = time.monotonic() - started
    return generator, progress


def latents(n: int, game: Game, rng: torch.Generator) -> Tensor:
    """z (n, nz), uniform in [-1, 1] or normal."""
    if game.latent == "normal":
        return torch.randn(n, game.nz, generator=rng)
    return torch.rand(n, game.nz, generator=rng) * 2 - 1


def fitted(waves: list[Floats] | Floats, samples: int) -> Floats:
    """Waves of any lengths, cut or padded with silence at their end: (n, samples)."""
    rows = np.zeros((len(waves), samples), np.float32)
    for row, wave in zip(rows, waves, strict=True):
        row[: len(wave)] = wave[:samples]
    return rows


def samples_of(sample_rate: int) -> int:
    """Samples of a sound: one second, rounded up to what the strides of WaveGAN make, 1,024 of each first position.

    These are the paper's 16,384 at its 16 kHz, and 8,192 at 8 kHz.
    """
    return 1024 * math.ceil(sample_rate / 1024)


def reset_parameters(network: nn.Module) -> None:
    """Glorot and Bengio (2010): uniform weights, no offsets."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.zeros_(parameter)


def _placed(network: nn.Module, real: Tensor, device: torch.device) -> nn.Module:
    """Pictures are worked on channels-last, which is quicker on processors, as ours are."""
    network = network.to(device)
    return network.to(memory_format=torch.channels_last) if real.ndim == 4 else network  # type: ignore[call-overload]


def _noisy(sounds: Tensor, std: float) -> Tensor:
    return sounds + std * torch.randn_like(sounds) if std > 1e-4 else sounds


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
