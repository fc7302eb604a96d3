"""`soundgan generate [MODEL]`: generate sounds into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

BATCH_SIZE = 64  # sounds in memory
QualityOption = Annotated[
    Literal["fast", "balanced", "best"],
    typer.Option(help="Quality of phase retrieval; best takes up to 10 times as long."),
]


def generate(
    model: Annotated[
        str | None,
        typer.Argument(help="Model folder, or a name from `soundgan models`; by default the bundled digits."),
    ] = None,
    n: Annotated[int, typer.Option("-n", "--number", help="Number of sounds.", min=1)] = 8,
    label: Annotated[str | None, typer.Option(help="Label; by default each seed chooses one.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the first sound, then counted up; by default random.")
    ] = None,
    truncation: Annotated[
        float, typer.Option(help="Truncation psi, 0 to 2; 1: full variety; toward 0: more typical.")
    ] = 1.0,
    quality: QualityOption = "balanced",
    level: Annotated[
        Literal["recorded", "peak", "loudness"],
        typer.Option(help="Level: as the recordings, to a peak of -1 dBFS, or to a loudness of -23 LUFS."),
    ] = "recorded",
    keep_length: Annotated[
        bool, typer.Option("--keep-length", help="Make all sounds as long as the longest, with silence at their ends.")
    ] = False,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the sounds; created if missing.")] = Path("."),
    format: Annotated[Literal["wav", "flac", "ogg"], typer.Option(help="File format.")] = "wav",
    subtype: Annotated[str, typer.Option(help="PCM_16, PCM_24 or FLOAT (wav only).")] = "PCM_16",
    picture: Annotated[bool, typer.Option("--picture", help="Also write each spectrogram as PNG.")] = False,
    device: Annotated[str, typer.Option(help="cuda, mps or cpu; falls back to the next one if missing.")] = "cpu",
) -> None:
    """Generate sounds, named by label and seed.

    The same model, label, seed, truncation, quality, level and length give the same sound; `soundgan about FILE` prints
    them from its tags. A file of that name with other tags is not replaced.
    """
    from soundgan.audio import FORMATS, read_tags
    from soundgan.errors import AudioError
    from soundgan.model import SEEDS, SoundGAN
    from soundgan.model_folder import DEFAULT_MODEL
    from soundgan.viz.spectrogram_image import save_picture

    if out.suffix.lower() in FORMATS and not out.is_dir():
        raise AudioError(f"--out {out}: names a folder; its sounds are named by label and seed")
    generator = SoundGAN.load(DEFAULT_MODEL if model is None else model, device=device)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioError(f"--out {out}: cannot be created as a folder ({error.strerror})") from error
    for start in range(0, n, BATCH_SIZE):
        count = min(BATCH_SIZE, n - start)
        batch = generator.generate(
            count, label=label, seed=seed, truncation=truncation, quality=quality, level=level, keep_length=keep_length
        )
        seed = (batch[-1].seed + 1) % SEEDS
        for sound in batch:
            name = f"{generator.config.name if sound.label is None else sound.label}_{sound.seed}"
            path = out / f"{name}.{format}"
            if path.exists() and read_tags(path).get("comment") != sound.tags["comment"]:
                raise AudioError(
                    f"{path}: already exists with other tags; delete it, or choose another folder with --out"
                )
            sound.save(path, subtype=subtype)  # type: ignore[arg-type]
            typer.echo(path)
            if picture:
                typer.echo(save_picture(sound.picture(zoom=2), path.with_suffix(".png")))
