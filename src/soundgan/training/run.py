"""A whole training: folder of sounds → spectrograms → networks → model folder. Everything of a run lies in `saveroot`.

The model folder itself is what users share; `training/` in it holds cache, checkpoint, log and snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from soundgan.data.dataset import prepare
from soundgan.data.scan import check_folder
from soundgan.errors import ModelError, TrainingError
from soundgan.files import check_name
from soundgan.model_folder import CONFIG, TRAINING, ModelConfig, read_config
from soundgan.settings import Settings, check_settings
from soundgan.spectral.representation import Representation
from soundgan.training.export.model_card import CARD, write_card
from soundgan.training.export.onnx import export
from soundgan.training.legacy.legacy import legacy_generator
from soundgan.training.loop import ProgressReport, train
from soundgan.training.monitor.best import BEST, load_best
from soundgan.training.monitor.report import last_remarks
from soundgan.training.monitor.validation import ValidationResult
from soundgan.training.networks.base import Generator
from soundgan.training.networks.build import build_generator
from soundgan.training.runtime.distributed import join
from soundgan.training.state.checkpoint import CHECKPOINT, Progress, load_ema, read_run_config
from soundgan.training.state.resume import ANOTHER_FOLDER_HINT

WRITING = "Writing the model"


class Result(NamedTuple):
    """What a run left: the model folder, the samples seen, the seconds spent, and whether it was stopped early.

    `best` is what the check of the kept Generator found; None if the training was too short for one. `remarks` are
    those of its report, in sentences.
    """

    folder: Path
    samples_seen: int
    seconds: float
    interrupted: bool
    best: ValidationResult | None
    remarks: list[str]


def run(
    settings: Settings,
    *,
    reading: Callable[[int, int], None] | None = None,
    prepared: Callable[[str], None] = lambda report: None,
    announce: Callable[[str], None] = lambda text: None,
    stepped: Callable[[ProgressReport], None] = lambda progress: None,
) -> Result:
    """Train on `settings.data.dataroot` and write the model folder `settings.run.saveroot`; resume what is there.

    Of several processes that were started together, see `soundgan.training.runtime.distributed`, the first writes and reports.

    Args:
        reading: called with (done, all) while sounds are read.
        prepared: called with the report on the data before training starts.
        announce: called with what training runs on.
        stepped: called after the first step, and then every second or so.

    Raises:
        SoundGANError: the data, the settings or the checkpoint do not allow it, or training went wrong.
    """
    folder, data = Path(settings.run.saveroot), Path(settings.data.dataroot)
    if folder.resolve().is_relative_to(data.resolve()):
        told = "lies in the folder of the recordings: its sounds would be trained on"
        raise TrainingError(f"{folder}: {told}; choose {ANOTHER_FOLDER_HINT}")
    try:
        check_name(folder.resolve().name)
    except ValueError as error:
        told = f"the model is named by its last part, which {error}"
        raise TrainingError(f"{folder}: {told}; choose {ANOTHER_FOLDER_HINT}") from None
    check_folder(data)  # before anything is made for a folder that is not there
    if not (folder / TRAINING / CHECKPOINT).exists():
        for name in (CONFIG, CARD, "samples"):
            if (folder / name).exists():
                told = f"holds {name}, and no {TRAINING}/{CHECKPOINT} to go on with: it would be overwritten"
                raise TrainingError(f"{folder}: {told}; choose {ANOTHER_FOLDER_HINT}, or delete it")
    with (
        join(settings) as distributed,
        _exclusive_lock(folder / TRAINING) if distributed.is_rank_zero else nullcontext(),
    ):
        with distributed.rank_zero_first():
            dataset = prepare(data, settings.data, settings.spectrogram, folder / TRAINING / "cache", reading)
        if distributed.is_rank_zero:
            prepared(dataset.report)
        outcome = train(dataset, settings, folder / TRAINING, stepped, announce, distributed)
        if distributed.is_rank_zero:
            about = dataset.representation, dataset.label_names, outcome.progress, outcome.machine, outcome.best
            described = _describe(folder, settings, outcome.generator, *about)
            if not _written(folder, described):
                announce(WRITING)
                write_card(folder, export(outcome.generator, described, folder), dataset)
        told = last_remarks(folder / TRAINING) if distributed.is_rank_zero else []
    return Result(
        folder, outcome.progress.samples_seen, outcome.progress.seconds, outcome.interrupted, outcome.best, told
    )


def export_checkpoint(folder: Path, announce: Callable[[str], None] = lambda text: None) -> Path:
    """Write the model folder of a run from its checkpoint, while it goes on or after it was broken off.

    Args:
        announce: called before the part that takes long.

    Raises:
        TrainingError: there is no checkpoint, or it is damaged.
    """
    checkpoint = folder / TRAINING / CHECKPOINT
    if not checkpoint.is_file():
        if checkpoint.parent.is_dir():
            told = f"its training has no {TRAINING}/{CHECKPOINT} yet: the first one comes with the first check"
            raise TrainingError(f"{folder}: {told}, or after `snapshot_minutes`")
        raise TrainingError(f"{folder}: holds no {TRAINING}/{CHECKPOINT}; name the model folder of a training")
    run_config = read_run_config(checkpoint)
    settings = check_settings(run_config["settings"], source=str(checkpoint))
    representation = Representation.model_validate(run_config["representation"])
    generator = build_generator(settings.model, representation, len(run_config["labels"]))
    progress, best = load_ema(checkpoint, generator), None
    if (kept := folder / TRAINING / BEST).exists():
        best = load_best(kept, generator)
    about = representation, run_config["labels"], progress, run_config.get("machine", ""), best
    announce(WRITING)
    config = export(generator, _describe(folder, settings, generator, *about), folder)
    write_card(folder, config)
    return folder


def import_legacy(file: Path, settings: Settings, folder: Path) -> Path:
    """Write a model folder from a Generator of the original SoundGAN; see `soundgan.training.legacy.legacy`.

    Its spectrograms become sound as the original made it: 22,050 Hz, n_fft 1024, hop 512, mel bands over 80 dB.

    Raises:
        ModelError: the file is not such a Generator, or `folder` already holds a model or a checkpoint.
        TrainingError: another process is training there.
    """
    if (folder / CONFIG).exists() or (folder / TRAINING / CHECKPOINT).exists():
        raise ModelError(f"{folder}: already holds a model, or a training; choose another folder with --out")
    generator = legacy_generator(file, settings.model.nz, settings.model.ngf, settings.model.nc)
    rows, columns = generator.spectrogram_shape
    representation = Representation(
        sample_rate=22050,
        n_fft=1024,
        hop_length=512,
        bands=rows,
        frames=columns,
        scale="mel",
        floor_db=-80,
        ceiling_db=0,
    )
    settings = settings.with_values(network="dcgan")
    described = _describe(folder, settings, generator, representation, [], Progress(), "", None)
    with _exclusive_lock(folder / TRAINING) if (folder / TRAINING).exists() else nullcontext():
        write_card(folder, export(generator, described, folder))
    return folder


@contextmanager
def _exclusive_lock(folder: Path) -> Iterator[None]:
    """Keep a second process from training in the same folder; the lock goes with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise TrainingError(
            f"{folder.parent}: another process is training here; choose {ANOTHER_FOLDER_HINT}"
        ) from None
    except OSError as error:
        raise TrainingError(
            f"{folder}: cannot be written to ({error.strerror}); choose {ANOTHER_FOLDER_HINT}"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _written(folder: Path, described: ModelConfig) -> bool:
    """Whether this very model has been written there."""
    if not (folder / CONFIG).exists():
        return False
    there = read_config(folder)
    return there == described.model_copy(update={"onnx_difference": there.onnx_difference})


def _describe(
    folder: Path,
    settings: Settings,
    generator: Generator,
    representation: Representation,
    labels: list[str],
    progress: Progress,
    machine: str,
    best: ValidationResult | None,
) -> ModelConfig:
    training: dict[str, Any] = {
        "samples_seen": progress.samples_seen,
        "steps": progress.steps,
        "minutes": round(progress.seconds / 60, 1),
        "machine": machine,
        "generator_parameters": sum(parameter.numel() for parameter in generator.parameters()),
    }
    if best is not None:
        training["kept"] = {name: round(value, 4) for name, value in best._asdict().items()}
    # Where the data lay on the machine that trained is nobody's business.
    kept = settings.model_dump(
        mode="json", exclude={"data": {"dataroot", "license", "attribution"}, "run": {"saveroot"}}
    )
    return ModelConfig(
        name=folder.resolve().name,
        representation=representation,
        nz=settings.model.nz,
        labels=tuple(labels),
        settings=kept,
        training=training,
        license=settings.data.license,
        attribution=settings.data.attribution,
    )
