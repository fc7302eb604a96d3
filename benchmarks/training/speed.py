"""Speed of the training loop, beside the same networks in plain PyTorch and beside the peak of the machine."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.common import Figures
from soundgan.data.dataset import Dataset
from soundgan.settings import LossSettings, Settings
from soundgan.training.losses.adversarial import discriminator_loss, generator_loss, select_logits
from soundgan.training.losses.auxiliary import ANCHORS, PARTNERS, AuxiliaryLosses
from soundgan.training.losses.terms import weighted_sum
from soundgan.training.runtime.cuda_graph import WARMUP_CALLS
from soundgan.training.runtime.device import Compute, select_device, select_precision, torch_threads_and_determinism
from soundgan.training.runtime.rng import PairedSampler, StepRNG
from soundgan.training.state.train_state import GeneratorInputs, Progress, init_state
from soundgan.training.step import StepInputs, TrainStep

# Batch, channels, rows and columns of 3 × 3 convolutions: as the networks have them, and larger ones.
SHAPES = ((16, 32, 32, 16), (64, 32, 32, 16), (64, 64, 16, 8), (64, 64, 32, 16), (8, 128, 64, 64), (16, 256, 16, 16))
GPU_SHAPES = (*SHAPES, (128, 256, 64, 64), (64, 512, 32, 32))
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
OURS = "ours"
EXACT, FINITE_DIFFERENCES = "plain, exact penalties", "plain, finite differences"
PLAIN = (EXACT, FINITE_DIFFERENCES)
WARMUP_STEPS = WARMUP_CALLS + 2  # until a CUDA graph is captured
EMA_DECAY = 0.999


class Loop:
    """Networks and the inputs of their generator, which are trained step by step."""

    def __init__(self, dataset: Dataset, settings: Settings) -> None:
        self.settings, self.samples_seen, self.device = settings, 0, select_device(settings.run)
        self.state = init_state(dataset, settings, self.device)
        self.generator_inputs = GeneratorInputs(settings.model.nz, dataset.representation)

    def update(self) -> Tensor:
        """Train the next step, and return the loss of the generator."""
        raise NotImplementedError

    def train(self, steps: int) -> float:
        """Train some steps; return the real samples seen a second."""
        start, loss = time.perf_counter(), torch.zeros(())
        for _ in range(steps):
            loss = self.update()
            self.samples_seen += self.settings.optim.batch_size
        assert loss.isfinite(), "the training diverged, so its speed is meaningless"  # and wait for the GPU
        return steps * self.settings.optim.batch_size / (time.perf_counter() - start)


class Ours(Loop):
    """Steps of `soundgan.training.loop`, without its validation, logs and snapshots."""

    def __init__(self, dataset: Dataset, settings: Settings) -> None:
        super().__init__(dataset, settings)
        compute = Compute(self.device, select_precision(settings.run, self.device))
        self.step = TrainStep(dataset, settings, self.state, self.generator_inputs, Progress(), compute)

    def update(self) -> Tensor:
        stats = self.step(self.samples_seen)
        self.state.update_ema(EMA_DECAY)
        return stats["loss_G"]

    def train(self, steps: int) -> float:
        with torch_threads_and_determinism(self.settings.run):
            return super().train(steps)

    def flops(self) -> int:
        """Floating-point operations of the convolutions and matrix products in a step; a multiply-add is two.

        Call it before `train`, while no CUDA graph is captured.
        """
        with FlopCounterMode(display=False) as counter:
            self.update()
        return counter.get_total_flops()


class Plain(Loop):
    """The same networks and optimizer in plain PyTorch: float32, eager, channels first, its own Adam.

    Spectrograms are not augmented. The loop does that work from its first step on, even at a probability of 0.

    Args:
        exact: R3GAN as published: penalties by differentiating twice, and separate spectrograms for each network.
            Otherwise the losses of our loop: finite differences, and generated spectrograms shared by both networks.
    """

    def __init__(self, dataset: Dataset, settings: Settings, *, exact: bool) -> None:
        super().__init__(dataset, settings)
        self.exact, state, optim = exact, self.state, settings.optim
        self.inputs = StepInputs.allocate(dataset, optim.batch_size, self.device)
        self.sampler = PairedSampler(settings.run.seed, np.array(dataset.labels))
        self.auxiliary = AuxiliaryLosses(dataset, settings.losses, self.device, state.latent_bank)
        self.diversity_ema = torch.tensor(0.5, device=self.device)
        for network in (state.generator, state.discriminator, state.generator_ema):
            network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        if settings.model.network == "residual":  # ours takes spectrograms apart channels last
            state.discriminator.from_patch.register_forward_pre_hook(lambda layer, given: (given[0].contiguous(),))  # type: ignore[union-attr]
        betas = optim.beta1, optim.beta2
        state.generator_optimizer = torch.optim.Adam(state.generator.parameters(), optim.lr_G, betas)
        state.discriminator_optimizer = torch.optim.Adam(state.discriminator.parameters(), optim.lr_D, betas)

    def update(self) -> Tensor:
        size, state, losses = self.settings.optim.batch_size, self.state, self.settings.losses
        rng = StepRNG(self.settings.run.seed, self.samples_seen, self.device)
        rows = self.sampler(self.samples_seen, size).to(self.inputs.labels.device)
        labels = self.inputs.labels[rows].to(self.device)
        real = self.inputs.spectrograms[rows].to(self.device).expand(-1, self.settings.model.nc, -1, -1)
        anchors, z = rows[ANCHORS], self.generator_inputs.latents(size, rng)
        z[ANCHORS] = self.auxiliary.nearest_latents(anchors, z[ANCHORS])
        w = state.generator.mapping(z, labels)
        fake = self.generator_inputs.synthesize_from_w(state.generator, w, rng)
        self.auxiliary.update_bank(z[PARTNERS], fake[PARTNERS].detach(), labels[PARTNERS])
        terms, _ = self.auxiliary.terms(state.generator, fake, z, w, anchors, self.diversity_ema)

        state.discriminator_optimizer.zero_grad()
        if self.exact:
            with torch.no_grad():
                other = self.generator_inputs.generate(state.generator, labels, rng)
            d_loss, real_logits = exact_loss(state.discriminator, real, other, labels, losses), None
        else:
            noise = torch.randn(2 * size, *real.shape[1:], device=self.device)
            d_loss, _, _, real_logits = discriminator_loss(
                state.discriminator, real, fake.detach(), labels, noise, losses, self.inputs.class_weights
            )
        d_loss.backward()
        state.discriminator_optimizer.step()

        state.generator_optimizer.zero_grad()
        state.discriminator.requires_grad_(False)
        if real_logits is None:
            with torch.no_grad():
                real_logits = select_logits(state.discriminator(real), labels)
        loss = generator_loss(state.discriminator, real_logits, fake, labels)
        (loss + weighted_sum(terms)).backward()
        state.discriminator.requires_grad_(True)
        state.generator_optimizer.step()
        with torch.no_grad():
            for ema, parameter in zip(state.generator_ema.parameters(), state.generator.parameters(), strict=True):
                ema.lerp_(parameter, 1 - EMA_DECAY)
        return loss.detach()


def exact_loss(discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor, settings: LossSettings) -> Tensor:
    """Discriminator loss with exact R1 and R2 penalties, whose backward pass differentiates a second time."""
    spectrograms = torch.cat([real, fake]).requires_grad_()
    all_logits = discriminator(spectrograms)
    logits = select_logits(all_logits, labels.repeat(2))
    (gradient,) = torch.autograd.grad(logits.sum(), spectrograms, create_graph=True)
    real_logits, fake_logits = logits.chunk(2)
    penalty = gradient.square().sum() / len(spectrograms)
    label_loss = F.cross_entropy(all_logits[: len(real)], labels)
    adversarial_loss = F.softplus(fake_logits - real_logits).mean()
    return adversarial_loss + settings.gradient_penalty * penalty + settings.label_loss * label_loss


def convolution_speed(shape: tuple[int, int, int, int], precision: torch.dtype, device: torch.device) -> float:
    """FLOP/s of a 3 × 3 convolution forward and backward, channels-last, in the fastest run."""
    batch, channels, rows, columns = shape
    x, weight, gradient = (
        torch.randn(*size, device=device).to(precision, memory_format=torch.channels_last)
        for size in (shape, (channels, channels, 3, 3), shape)
    )
    inputs = x.requires_grad_(), weight.requires_grad_()
    timer = Timer(
        "grad(conv2d(*inputs, padding=1), inputs, gradient)", num_threads=torch.get_num_threads(),
        globals={"grad": torch.autograd.grad, "conv2d": F.conv2d, "inputs": inputs, "gradient": gradient},
    )  # fmt: skip
    best = min(timer.blocked_autorange(min_run_time=0.1 if device.type == "cuda" else 0.5).times)
    return 3 * 2 * batch * rows * columns * channels**2 * 9 / best


def measure(dataset: Dataset, settings: Settings, *, rounds: int, steps: int, log: Callable[[str], None]) -> Figures:
    """Measure our loop, the plain ones and the convolutions in turn in every round, so that other load affects all.

    Returns:
        `speed`: sounds/s of every loop, a value per round. `flops`: of a step. `peaks`: FLOP/s by precision and shape,
        the best of all rounds. And the device, precision and sizes.
    """
    device = select_device(settings.run)
    precision = str(select_precision(settings.run, device)).removeprefix("torch.")
    settings = settings.with_values(precision=precision)
    flops = Ours(dataset, settings).flops()
    loops = {OURS: Ours(dataset, settings)} | {name: Plain(dataset, settings, exact=name == EXACT) for name in PLAIN}
    for loop in loops.values():
        loop.train(WARMUP_STEPS)
    speed: dict[str, list[float]] = {name: [] for name in loops}
    peaks: dict[str, dict[str, float]] = {precision: {} for precision in PRECISIONS}
    shapes = GPU_SHAPES if device.type == "cuda" else SHAPES
    for turn in range(rounds):
        log(f"round {turn + 1} of {rounds}")
        for name, loop in loops.items():
            speed[name].append(loop.train(steps))
        for (name, dtype), shape in itertools.product(PRECISIONS.items(), shapes):
            key = " × ".join(map(str, shape))
            peaks[name][key] = max(peaks[name].get(key, 0.0), convolution_speed(shape, dtype, device))
    return {
        "device": device.type, "threads": torch.get_num_threads(), "precision": precision, "steps": steps,
        "batch_size": settings.optim.batch_size, "size": settings.model.size, "shape": dataset.representation.shape,
        "speed": speed, "flops": flops, "peaks": peaks,
    }  # fmt: skip


def summary(figures: Figures) -> dict[str, float]:
    """Speedups, medians over rounds of the ratio within a round, and shares of the peak of each precision."""
    ours = np.array(figures["speed"][OURS])
    speedups = {f"speedup over {name}": float(np.median(ours / figures["speed"][name])) for name in PLAIN}
    reached = float(np.median(ours)) / figures["batch_size"] * figures["flops"]
    shares = {f"share of {name}": reached / max(peak.values()) for name, peak in figures["peaks"].items()}
    return speedups | shares | {"flops a second": reached}
