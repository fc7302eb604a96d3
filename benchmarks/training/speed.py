"""Speed of the training loop, beside the same networks in plain PyTorch and beside the peak of the machine."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from soundgan.data.dataset import Dataset
from soundgan.settings import LossSettings, Settings
from soundgan.training.losses.adversarial import (
    DiscriminatorLoss,
    balanced_class_weights,
    discriminator_loss,
    generator_loss,
    select_logits,
)
from soundgan.training.losses.auxiliary import ANCHORS, PARTNERS, AuxiliaryLosses
from soundgan.training.losses.terms import Terms, detached, weighted_sum
from soundgan.training.networks.build import build_discriminator, build_generator
from soundgan.training.runtime.compute import Compute
from soundgan.training.runtime.cuda_graph import WARMUP_CALLS
from soundgan.training.runtime.device import select_device, select_precision, torch_threads_and_determinism
from soundgan.training.runtime.rng import PairedSampler, StepRNG
from soundgan.training.state.progress import Progress
from soundgan.training.state.train_state import GeneratorInputs, init_latent_bank, init_state
from soundgan.training.step import GANUpdate, TrainStep

# Batch, channels, rows and columns of 3 × 3 convolutions: as the networks have them, and larger ones.
SHAPES = ((16, 32, 32, 16), (64, 32, 32, 16), (64, 64, 16, 8), (64, 64, 32, 16), (8, 128, 64, 64), (16, 256, 16, 16))
GPU_SHAPES = (*SHAPES, (128, 256, 64, 64), (64, 512, 32, 32))
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
OURS = "ours"
WARMUP_STEPS = WARMUP_CALLS + 2  # until a CUDA graph is captured
PLAIN = {
    "plain, exact penalties": True,
    "plain, finite differences": False,
}


class Ours:
    """Steps of `soundgan.training.loop`, without its validation, logs and snapshots."""

    def __init__(self, dataset: Dataset, settings: Settings) -> None:
        self.settings, self.samples_seen, device = settings, 0, select_device(settings.run)
        self.train_state = init_state(dataset, settings, device)
        generator_inputs = GeneratorInputs(settings.model.nz, dataset.representation)
        compute = Compute(device, select_precision(settings.run, device))
        update = GANUpdate(dataset, settings, self.train_state, generator_inputs, Progress(), compute)
        self.step = TrainStep(update)

    def train(self, steps: int) -> float:
        """Train some steps; return the real samples seen a second."""
        start = time.perf_counter()
        with torch_threads_and_determinism(self.settings.run):
            for _ in range(steps - 1):
                self._step()
            loss = self._step()
        assert loss.isfinite(), "the training diverged, so its speed is meaningless"  # and wait for the GPU
        return steps * self.settings.optim.batch_size / (time.perf_counter() - start)

    def flops(self) -> int:
        """Floating-point operations of the convolutions and matrix products in a step; a multiply-add is two.

        Call it before `train`, while no CUDA graph is captured.
        """
        with FlopCounterMode(display=False) as counter:
            self._step()
        return counter.get_total_flops()

    def _step(self) -> Tensor:
        stats = self.step(self.samples_seen)
        self.samples_seen += self.settings.optim.batch_size
        self.train_state.update_ema(0.999)
        return stats["loss_G"]


class Plain:
    """The same networks and optimizer in plain PyTorch: float32, eager, channels first, its own Adam.

    Spectrograms are not augmented. The loop does that work from its first step on, even at a probability of 0.

    Args:
        exact: R3GAN as published: penalties by differentiating twice, and separate spectrograms for each network.
            Otherwise the losses of our loop: finite differences, and generated spectrograms shared by both networks.
    """

    def __init__(self, dataset: Dataset, settings: Settings, *, exact: bool) -> None:
        torch.manual_seed(settings.run.seed)
        self.settings, self.exact, self.device, self.steps = settings, exact, select_device(settings.run), 0
        self.spectrograms = torch.from_numpy(np.array(dataset.spectrograms, np.float32)).to(self.device)
        self.labels = torch.from_numpy(np.array(dataset.labels, np.int64)).to(self.device)
        self.class_weights = balanced_class_weights(self.labels)
        self.pairs = PairedSampler(settings.run.seed, np.array(dataset.labels))
        about = dataset.representation, len(dataset.label_names)
        latent_bank = init_latent_bank(settings.model, *about).to(self.device)
        self.auxiliary = AuxiliaryLosses(dataset, settings.losses, self.device, latent_bank)
        self.diversity_ema = torch.tensor(0.5, device=self.device)
        self.generator_inputs = GeneratorInputs(settings.model.nz, dataset.representation)
        self.generator = build_generator(settings.model, *about).to(self.device)
        self.discriminator = build_discriminator(settings.model, *about).to(self.device)
        if settings.model.network == "residual":  # ours takes spectrograms apart channels last
            self.discriminator.from_patch.register_forward_pre_hook(lambda layer, given: (given[0].contiguous(),))  # type: ignore[union-attr]
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        betas = (settings.optim.beta1, settings.optim.beta2)
        self.generator_optimizer = torch.optim.Adam(self.generator.parameters(), settings.optim.lr_G, betas)
        self.discriminator_optimizer = torch.optim.Adam(self.discriminator.parameters(), settings.optim.lr_D, betas)

    def train(self, steps: int) -> float:
        """Train some steps; return the real samples seen a second."""
        start, loss = time.perf_counter(), torch.zeros(())
        for _ in range(steps):
            loss = self._step()
        assert loss.isfinite(), "the training diverged, so its speed is meaningless"  # and wait for the GPU
        return steps * self.settings.optim.batch_size / (time.perf_counter() - start)

    def _step(self) -> Tensor:
        size, rng = self.settings.optim.batch_size, StepRNG(self.settings.run.seed, self.steps, self.device)
        rows = self.pairs(self.steps * size, size).to(self.device)
        real, labels = self.spectrograms[rows].expand(-1, self.settings.model.nc, -1, -1), self.labels[rows]
        anchors, z = rows[ANCHORS], self.generator_inputs.latents(size, rng)
        z[ANCHORS] = self.auxiliary.nearest_latents(anchors, z[ANCHORS])
        w = self.generator.mapping(z, labels)
        fake = self.generator_inputs.synthesize_from_w(self.generator, w, rng)
        self.auxiliary.update_bank(z[PARTNERS], fake[PARTNERS].detach(), labels[PARTNERS])
        terms, _ = self.auxiliary.terms(self.generator, fake, w, anchors, self.diversity_ema)

        self.discriminator_optimizer.zero_grad()
        d_loss = self._discriminator_loss(real, fake, labels, rng)
        d_loss.loss.backward()
        self.discriminator_optimizer.step()

        self.generator_optimizer.zero_grad()
        self.discriminator.requires_grad_(False)
        real_logits = d_loss.real_logits
        if self.exact:
            with torch.no_grad():
                real_logits = select_logits(self.discriminator(real), labels)
        loss = generator_loss(self.discriminator, real_logits, fake, labels)
        (loss + weighted_sum(terms)).backward()
        self.discriminator.requires_grad_(True)
        self.generator_optimizer.step()
        with torch.no_grad():
            for ema, parameter in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                ema.lerp_(parameter, 0.001)
        self.steps += 1
        return loss.detach()

    def _discriminator_loss(self, real: Tensor, fake: Tensor, labels: Tensor, rng: StepRNG) -> DiscriminatorLoss:
        if self.exact:
            with torch.no_grad():
                fake = self.generator_inputs.generate(self.generator, labels, rng)
            return exact_loss(self.discriminator, real, fake, labels, self.settings.losses)
        noise = torch.randn(2 * len(real), *real.shape[1:], device=self.device)
        losses = self.settings.losses
        return discriminator_loss(self.discriminator, real, fake.detach(), labels, noise, losses, self.class_weights)


def exact_loss(
    discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor, settings: LossSettings
) -> DiscriminatorLoss:
    """Discriminator loss with exact R1 and R2 penalties, whose backward pass differentiates a second time."""
    spectrograms = torch.cat([real, fake]).requires_grad_()
    label_logits = discriminator(spectrograms)
    logits = select_logits(label_logits, labels.repeat(2))
    (gradient,) = torch.autograd.grad(logits.sum(), spectrograms, create_graph=True)
    real_logits, fake_logits = logits.chunk(2)
    penalty = gradient.square().sum() / len(spectrograms)
    label_loss = F.cross_entropy(label_logits[: len(real)], labels)
    terms: Terms = {
        "adversarial_loss": (1.0, F.softplus(fake_logits - real_logits).mean()),
        "gradient_penalty": (settings.gradient_penalty, penalty),
        "label_loss": (settings.label_loss, label_loss),
    }
    d_accuracy = (real_logits > fake_logits).float().mean()
    return DiscriminatorLoss(weighted_sum(terms), detached(terms), d_accuracy, real_logits.detach())


def convolution_speed(shape: tuple[int, int, int, int], precision: torch.dtype, device: torch.device) -> float:
    """FLOP/s of a 3 × 3 convolution forward and backward, channels-last, in the fastest run."""
    batch, channels, rows, columns = shape
    x, weight, gradient = (
        torch.randn(*size, device=device).to(precision, memory_format=torch.channels_last)
        for size in (shape, (channels, channels, 3, 3), shape)
    )
    x.requires_grad_()
    weight.requires_grad_()
    best, spent, runs = float("inf"), 0.0, 0
    while runs < 2 or (spent < (0.1 if device.type == "cuda" else 0.5) and runs < 100):
        start = time.perf_counter()
        torch.autograd.grad(F.conv2d(x, weight, padding=1), (x, weight), gradient)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        best, spent, runs = min(best, seconds), spent + seconds, runs + 1
    return 3 * 2 * batch * rows * columns * channels**2 * 9 / best


def measure(
    dataset: Dataset, settings: Settings, *, rounds: int, steps: int, log: Callable[[str], None] = lambda message: None
) -> dict[str, Any]:
    """Measure all competitors in turn in every round, so that load from elsewhere affects all of them.

    Returns:
        `speed`: sounds/s of every competitor, a value per round. `flops`: of a step. `peaks`: FLOP/s by precision and
        shape, the best of all rounds. And the device, precision and sizes.
    """
    device = select_device(settings.run)
    precision = str(select_precision(settings.run, device)).removeprefix("torch.")
    settings = settings.with_values(precision=precision)
    flops = Ours(dataset, settings).flops()
    competitors: dict[str, Ours | Plain] = {OURS: Ours(dataset, settings)}
    competitors |= {name: Plain(dataset, settings, exact=exact) for name, exact in PLAIN.items()}
    speed: dict[str, list[float]] = {name: [] for name in competitors}
    shapes = GPU_SHAPES if device.type == "cuda" else SHAPES
    peaks = {name: {_named(shape): 0.0 for shape in shapes} for name in PRECISIONS}
    for turn in range(rounds + 1):  # the first one is a warm-up
        log(f"round {turn} of {rounds}")
        for name, competitor in competitors.items():
            rate = competitor.train(steps if turn else WARMUP_STEPS)
            speed[name] += [rate] if turn else []
        for kind, dtype in PRECISIONS.items() if turn else ():
            for shape in shapes:
                reached = convolution_speed(shape, dtype, device)
                peaks[kind][_named(shape)] = max(peaks[kind][_named(shape)], reached)
    return {
        "device": device.type, "threads": torch.get_num_threads(), "precision": precision, "steps": steps,
        "batch_size": settings.optim.batch_size, "size": settings.model.size, "shape": dataset.representation.shape,
        "speed": speed, "flops": flops, "peaks": peaks,
    }  # fmt: skip


def summary(figures: dict[str, Any]) -> dict[str, float]:
    """Speedups, medians over rounds of the ratio within a round, and shares of the peak of each precision."""
    ours = np.array(figures["speed"][OURS])
    speedups = {f"speedup over {name}": float(np.median(ours / figures["speed"][name])) for name in PLAIN}
    reached = statistics.median(ours) / figures["batch_size"] * figures["flops"]
    shares = {f"share of {name}": float(reached / max(peak.values())) for name, peak in figures["peaks"].items()}
    return speedups | shares | {"flops a second": float(reached)}


def _named(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
