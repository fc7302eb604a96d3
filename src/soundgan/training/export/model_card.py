"""The model card and the samples of a model folder: what a person looks at before using the model."""

from __future__ import annotations

import shlex
from pathlib import Path

from soundgan.data.dataset import Dataset
from soundgan.files import write_text
from soundgan.model import SoundGAN
from soundgan.model_folder import ModelConfig
from soundgan.training.monitor.snapshot import GENERATED, REAL, chosen_rows, real_spectrograms
from soundgan.viz.spectrogram_image import grid, save_picture

CARD = "README.md"


def write_card(folder: Path, config: ModelConfig, dataset: Dataset | None = None) -> None:
    """Write `README.md` and `samples/` of a model folder by playing the model; real spectrograms stand beside if given.

    What people noted about the model in `NOTES.md` is part of the card, so that it outlives another export.
    """
    model = SoundGAN.load(folder)
    samples = folder / "samples"
    samples.mkdir(exist_ok=True)
    for older in samples.glob("*.flac"):
        older.unlink()
    sheet = []
    for row, label in enumerate(chosen_rows(len(config.labels))):
        real = real_spectrograms(dataset, label, row) if dataset is not None else []
        name = config.labels[label] if config.labels else None
        made = model.generate(GENERATED, label=name, seed=1000 * row)
        sheet.append([*real, *(sound.spectrogram for sound in made)])
        made[0].save(samples / f"{name or row}_{made[0].seed}.flac")
    save_picture(grid(sheet), samples / "spectrograms.png")
    notes = folder / "NOTES.md"
    told = notes.read_text(encoding="utf-8") if notes.exists() else ""
    write_text(folder / CARD, f"{_card(config, with_real=dataset is not None)}\n{told}".rstrip() + "\n")


def _card(config: ModelConfig, *, with_real: bool) -> str:
    representation, training = config.representation, config.training
    beside = (
        f"the first {REAL} in a row are real, the other {GENERATED} were generated" if with_real else "all generated"
    )
    samples_seen, machine = training.get("samples_seen", 0), training.get("machine")
    trained = (
        f"{samples_seen:,} samples seen in {training.get('minutes')} minutes"
        if samples_seen
        else "not known: converted weights"
    )
    trained += f" on {machine}" if machine else ""
    if kept := training.get("kept"):
        trained += f"; kept from {kept['samples_seen']:,} sounds, where the quick check was best"
    label = f" --label {shlex.quote(config.labels[0])}" if config.labels else ""
    license = config.license or "not stated: set `license` in the settings before sharing this model"
    return f"""# {config.name}

A SoundGAN model: {representation.duration:.2f} s sounds at {representation.sample_rate} Hz,
{f"{len(config.labels)} labels: {', '.join(config.labels)}" if config.labels else "no labels"}.

    soundgan generate PATH_OF_THIS_FOLDER -n 8{label} -o sounds

![Spectrograms](samples/spectrograms.png)

Spectrograms, low frequencies at the bottom; {beside}. `samples/` has a sound of every row.

| | |
|---|---|
| training | {trained} |
| network | {config.settings.get("model", {}).get("network")}, {training.get("generator_parameters", 0):,} parameters in the Generator |
| spectrogram | {representation.bands} {representation.scale} bands × {representation.frames} frames, \
{representation.floor_db:g} to {representation.ceiling_db:g} dBFS, {representation.window} window of \
{representation.n_fft} samples every {representation.hop_length} |
| ONNX against PyTorch | differs by at most {config.onnx_difference:.1g} (spectrograms range from -1 to 1) |
| license of the data | {license} |
| attribution | {config.attribution or "not stated"} |
"""
