"""Training of a model folder: folder of sounds → spectrograms → networks → model folder.

The model folder, `saveroot`, is what users share; `training/` in it holds cache, checkpoint, log and snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from soundgan.cpu import busy_cores
from soundgan.data.dataset import prepare
from soundgan.data.scan import check_folder
from soundgan.errors import ModelError, TrainingError
from soundgan.files import check_name, printable
from soundgan.model_folder import CONFIG, TRAINING, ModelConfig, read_config
from soundgan.settings import Settings, check_settings
from soundgan.spectral.representation import Representation
from soundgan.training.export.model_card import CARD, write_card
from soundgan.training.export.onnx import export
from soundgan.training.legacy.import_generator import legacy_generator
from soundgan.training.loop import TrainingResult, train
from soundgan.training.monitor.monitor import ProgressReport
from soundgan.training.monitor.validation import BEST, load_best
from soundgan.training.networks.build import build_discriminator, build_generator
from soundgan.training.runtime.device import select_device
from soundgan.training.runtime.distributed import init_distributed
from soundgan.training.setup import ANOTHER_FOLDER_HINT
from soundgan.training.state.checkpoint import CHECKPOINT, load_networks, read_training_config
from soundgan.training.state.pretrained import find_pretrained, suggestion
from soundgan.training.state.train_state import Progress

WRITING = "Writing the model, which takes some seconds"


def train_model_folder(
    settings: Settings,
    *,
    on_read: Callable[[int, int], None] = lambda done, total: None,
    on_data: Callable[[str], None] = lambda report: None,
    on_message: Callable[[str], None] = lambda message: None,
    on_progress: Callable[[ProgressReport], None] = lambda progress: None,
) -> TrainingResult:
    """Train on `settings.data.dataroot` and write the model folder `settings.run.saveroot`, or resume its training.

    With `settings.run.init_from`, the training starts from the networks of that model and has its spectrograms. Of
    several processes, see `soundgan.training.runtime.distributed`, rank 0 alone writes and reports.

    Args:
        on_read: called with (done, total) while sounds are read.
        on_data: called with the report on the data, before the training starts.
        on_message: called with status messages.
        on_progress: called after the first step, and then every second or so.

    Raises:
        SoundGANError: data, settings or checkpoint are unusable, or the training failed.
    """
    folder, data = Path(settings.run.saveroot), Path(settings.data.dataroot)
    _check_folders(folder, data)
    busy = busy_cores()  # before this process adds to the load
    with init_distributed(select_device(settings.run)) as distributed:
        rank_zero = distributed.is_rank_zero
        with _exclusive_lock(folder / TRAINING) if rank_zero else nullcontext():
            pretrained = find_pretrained(settings.run.init_from, folder / TRAINING / CHECKPOINT)
            settings = pretrained.adopt(settings) if pretrained else settings
            base, cache = pretrained.config.representation if pretrained else None, folder / TRAINING / "cache"
            with distributed.rank_zero_first():
                dataset = prepare(data, settings.data, settings.spectrogram, cache, on_read, base)
            if rank_zero:
                on_data(dataset.report)
                if pretrained is None and (advice := suggestion(len(dataset))):
                    on_message(advice)
                for pattern in dataset.unmatched_patterns:  # a line of the report is missed
                    on_message(f"Note: no file matches the exclude pattern {printable(pattern)}; it holds out nothing")
            result = train(dataset, settings, folder / TRAINING, on_progress, on_message, distributed, busy)
            if rank_zero:
                config = _model_config(folder, settings, dataset.representation, dataset.label_names, result)
                config = _derived_from(pretrained.config, config) if pretrained else config
                discriminator = result.discriminator if settings.run.keep_discriminator else None
                if not _already_exported(folder, config):
                    on_message(WRITING)
                    write_card(folder, export(result.generator, config, folder, discriminator), dataset)
    return result


def export_checkpoint(
    folder: Path, on_message: Callable[[str], None] = lambda message: None, *, keep_discriminator: bool = False
) -> Path:
    """Write the model folder of a training from its checkpoint, during the training or after it failed.

    Args:
        on_message: called before the part that takes long.
        keep_discriminator: also write the discriminator, as with the setting of the training.

    Raises:
        TrainingError: there is no checkpoint, or it is damaged.
    """
    checkpoint = folder / TRAINING / CHECKPOINT
    if not checkpoint.is_file():
        problem = f"holds no {TRAINING}/{CHECKPOINT}; name the model folder of a training"
        if checkpoint.parent.is_dir():
            problem = f"its training has no {TRAINING}/{CHECKPOINT} yet: the first is written at the first validation"
            problem += ", or after `snapshot_minutes`"
        raise TrainingError(f"{folder}: {problem}")
    training_config = read_training_config(checkpoint)
    settings = check_settings(training_config["settings"], source=str(checkpoint))
    representation = Representation.model_validate(training_config["representation"])
    labels: list[str] = training_config["labels"]
    generator = build_generator(settings.model, representation, len(labels))
    discriminator = build_discriminator(settings.model, representation, len(labels))
    progress, kept = load_networks(checkpoint, generator, discriminator), folder / TRAINING / BEST
    best = load_best(kept, generator) if kept.exists() else None
    result = TrainingResult(generator, discriminator, progress, False, training_config.get("machine", ""), best)
    on_message(WRITING)
    config = _model_config(folder, settings, representation, labels, result)
    if pretrained := find_pretrained(None, checkpoint):
        config = _derived_from(pretrained.config, config)
    keep_discriminator = keep_discriminator or settings.run.keep_discriminator
    write_card(folder, export(generator, config, folder, discriminator if keep_discriminator else None))
    return folder


def import_legacy(file: Path, settings: Settings, folder: Path) -> Path:
    """Write a model folder from a generator of the original SoundGAN; see `soundgan.training.legacy.import_generator`.

    Its spectrograms are synthesized as in the original: 22,050 Hz, n_fft 1024, hop 512, mel bands over 80 dB.

    Raises:
        ModelError: the file is not such a generator, or `folder` already holds a model or a checkpoint.
        TrainingError: another process is training there.
    """
    if (folder / CONFIG).exists() or (folder / TRAINING / CHECKPOINT).exists():
        raise ModelError(f"{folder}: already holds a model, or a training; choose another folder with --out")
    generator = legacy_generator(file, settings.model.nz, settings.model.ngf, settings.model.nc)
    rows, columns = generator.spectrogram_shape
    stft: dict[str, Any] = {"sample_rate": 22050, "n_fft": 1024, "hop_length": 512}
    representation = Representation(**stft, bands=rows, frames=columns, scale="mel", floor_db=-80, ceiling_db=0)
    result = TrainingResult(generator, None, Progress(), interrupted=False, machine="", best=None)
    config = _model_config(folder, settings.with_values(network="dcgan"), representation, [], result)
    with _exclusive_lock(folder / TRAINING) if (folder / TRAINING).exists() else nullcontext():
        write_card(folder, export(generator, config, folder))
    return folder


def _check_folders(folder: Path, data: Path) -> None:
    """Raise `TrainingError` if a model cannot be written to `folder`, before anything is created there."""
    if folder.resolve().is_relative_to(data.resolve()):
        problem = "is inside the data folder: generated sounds would become training data"
        raise TrainingError(f"{folder}: {problem}; choose {ANOTHER_FOLDER_HINT}")
    try:
        check_name(folder.resolve().name)
    except ValueError as error:
        problem = f"the model is named by its last part, which {error}"
        raise TrainingError(f"{folder}: {problem}; choose {ANOTHER_FOLDER_HINT}") from None
    check_folder(data)
    if not (folder / TRAINING / CHECKPOINT).exists():
        for name in (CONFIG, CARD, "samples"):
            if (folder / name).exists():
                problem = f"holds {name}, and no {TRAINING}/{CHECKPOINT} to resume: it would be overwritten"
                raise TrainingError(f"{folder}: {problem}; choose {ANOTHER_FOLDER_HINT}, or delete it")


@contextmanager
def _exclusive_lock(folder: Path) -> Iterator[None]:
    """Prevent a second process from training in the same folder; the lock is released even if the process is killed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock", timeout=0).acquire()
    except Timeout:
        problem = f"{folder.parent}: another process is training here"
        raise TrainingError(f"{problem}; choose {ANOTHER_FOLDER_HINT}") from None
    except OSError as error:
        problem = f"{folder}: cannot be written to ({error.strerror})"
        raise TrainingError(f"{problem}; choose {ANOTHER_FOLDER_HINT}") from error
    with lock:
        yield


def _already_exported(folder: Path, config: ModelConfig) -> bool:
    """Return True if this very model is in the folder, with its card."""
    if not ((folder / CONFIG).exists() and (folder / CARD).exists()):
        return False
    present = read_config(folder)
    return present == config.model_copy(update={"onnx_difference": present.onnx_difference})


def _model_config(
    folder: Path, settings: Settings, representation: Representation, labels: list[str], result: TrainingResult
) -> ModelConfig:
    progress = result.progress
    training: dict[str, Any] = {
        "samples_seen": progress.samples_seen,
        "steps": progress.steps,
        "minutes": round(progress.seconds / 60, 1),
        "machine": result.machine,
        "generator_parameters": sum(parameter.numel() for parameter in result.generator.parameters()),
    }
    if result.best is not None:
        training["kept"] = {name: round(value, 4) for name, value in result.best._asdict().items()}
    # Paths of the machine that trained are private.
    private = {"data": {"dataroot", "license", "attribution"}, "run": {"saveroot", "init_from"}}
    return ModelConfig(
        name=folder.resolve().name,
        representation=representation,
        nz=settings.model.nz,
        labels=tuple(labels),
        settings=settings.model_dump(mode="json", exclude=private),
        training=training,
        license=settings.data.license,
        attribution=settings.data.attribution,
    )


def _derived_from(pretrained: ModelConfig, config: ModelConfig) -> ModelConfig:
    """Return the configuration of a fine-tuned model, to which license and attribution of the pretrained one apply."""

    def both(own: str, theirs: str) -> str:
        return f"{own or 'not stated'}; fine-tuned from {pretrained.name}: {theirs or 'not stated'}"

    return config.model_copy(
        update={
            "fine_tuned_from": pretrained.name,
            "license": both(config.license, pretrained.license),
            "attribution": both(config.attribution, pretrained.attribution),
        }
    )
