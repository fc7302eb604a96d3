"""Model card and samples of a model folder."""

from __future__ import annotations

import shlex
from pathlib import Path

from soundgan.data.dataset import Dataset
from soundgan.files import write_text
from soundgan.model import SoundGAN
from soundgan.model_folder import ModelConfig
from soundgan.training.monitor.snapshot import GENERATED, REAL, chosen_rows, real_spectrograms
from soundgan.viz.html import render
from soundgan.viz.spectrogram_image import grid, save_picture

CARD = "README.md"
NOTES = "NOTES.md"


def write_card(folder: Path, config: ModelConfig, dataset: Dataset | None = None) -> None:
    """Generate `samples/` with the model and write `README.md`; real spectrograms of the dataset stand beside.

    `NOTES.md`, written by hand, becomes part of the card, and so outlasts another export. The card is written last:
    a folder with a card is complete.
    """
    (folder / CARD).unlink(missing_ok=True)
    model = SoundGAN.load(folder)
    samples = folder / "samples"
    samples.mkdir(exist_ok=True)
    for older in samples.glob("*.flac"):
        older.unlink()
    rows = []
    for row, label in enumerate(chosen_rows(len(config.labels))):
        real = real_spectrograms(dataset, label, row) if dataset is not None else []
        name = config.labels[label] if config.labels else None
        sounds = model.generate(GENERATED, label=name, seed=1000 * row)
        rows.append([*real, *(sound.spectrogram for sound in sounds)])
        sounds[0].save(samples / f"{name or row}_{sounds[0].seed}.flac")
    save_picture(grid(rows), samples / "spectrograms.png")
    notes = folder / NOTES
    text = notes.read_text(encoding="utf-8") if notes.exists() else ""
    write_text(folder / CARD, model_card(config, text, with_real=dataset is not None))


def model_card(config: ModelConfig, notes: str = "", *, with_real: bool) -> str:
    """Model card in Markdown, with `notes` (Markdown) at its end.

    Args:
        with_real: the picture of the samples begins with real spectrograms.
    """
    rows = f"the first {REAL} in a row are real, the other {GENERATED} were generated" if with_real else "all generated"
    label_option = f" --label {shlex.quote(config.labels[0])}" if config.labels else ""
    card = render("model_card.md.j2", config=config, label_option=label_option, rows=rows, notes=notes)
    return card.rstrip() + "\n"
