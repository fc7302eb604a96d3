"""`soundgan generate [MODEL]`: new sounds into a folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Quality(StrEnum):
    """Ways from spectrogram to sound."""

    fast = "fast"
    balanced = "balanced"
    best = "best"


class Format(StrEnum):
    """File formats for sounds."""

    wav = "wav"
    flac = "flac"
    ogg = "ogg"


def generate(
    model: Annotated[
        str | None, typer.Argument(help="Model folder, or a name from `soundgan models`; otherwise the bundled one.")
    ] = None,
    n: Annotated[int, typer.Option("-n", "--number", help="How many sounds.", min=1)] = 8,
    label: Annotated[str | None, typer.Option(help="Kind of sound; otherwise every seed chooses one.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first sound; the others follow. Otherwise new.")] = None,
    truncation: Annotated[float, typer.Option(help="0 to 2; 1: full variety; towards 0: more typical.")] = 1.0,
    quality: Annotated[Quality, typer.Option(help="Of phases: best takes up to 10 times as long.")] = Quality.balanced,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the sounds; made if missing.")] = Path("."),
    format: Annotated[Format, typer.Option(help="Format of the files.")] = Format.wav,
    subtype: Annotated[str, typer.Option(help="PCM_16, PCM_24 or FLOAT (wav only).")] = "PCM_16",
    picture: Annotated[
        bool, typer.Option("--picture", help="Write the spectrogram of every sound as PNG, too.")
    ] = False,
    device: Annotated[str, typer.Option(help="cuda, mps or cpu; where one is missing, the next.")] = "cpu",
) -> None:
    """Make new sounds; the file names hold label and seed, which bring the same sound again."""
    from soundgan.errors import AudioError
    from soundgan.model import SEEDS, SoundGAN
    from soundgan.model_folder import DEFAULT_MODEL
    from soundgan.viz.spectrogram_image import save_picture

    if out.suffix[1:].lower() in list(Format) and not out.is_dir():
        raise AudioError(f"--out {out}: names a folder, in which the sounds are named by label and seed")
    player = SoundGAN.load(DEFAULT_MODEL if model is None else model, device=device)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioError(f"--out {out}: cannot be made a folder ({error.strerror})") from error
    # In portions, so that a million sounds need no more memory than a few.
    for start in range(0, n, 64):
        portion = player.generate(
            min(64, n - start), label=label, seed=seed, truncation=truncation, quality=quality.value
        )
        seed = (portion[-1].seed + 1) % SEEDS
        for sound in portion:
            name = f"{sound.label}_{sound.seed}" if sound.label is not None else f"{player.config.name}_{sound.seed}"
            path = sound.save(out / f"{name}.{format.value}", subtype=subtype)  # type: ignore[arg-type]
            typer.echo(path)
            if picture:
                typer.echo(save_picture(sound.picture(zoom=2), path.with_suffix(".png")))
