"""Quality on folders as users have them: SoundGAN, published baselines and a peer that only resamples, by equal time.

    python -m benchmarks.folders --data ../shared/data --minutes 15 --threads 1
    python -m benchmarks.folders --render

Needs the extra `train`. DATA holds the folders `arena`, `arcade`, `oneshots`, `drums`, `steps` and `effects/rain`.
Every entrant trains on each of them, or on those of --folder, and is scored: seven hours with 15 minutes each. A result
is a file of --work, `FOLDER/ENTRANT.json`. After Ctrl-C the same command goes on, and a result that is deleted is
scored again from the sounds that are kept in `FOLDER/ENTRANT`. All results so far are written to `folders.json`, and
from it to `folders.md`, with a picture for each folder beside it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import Figures, command_line, load, log, processor, save, versions
from benchmarks.folders import page
from benchmarks.folders.data import MIN_SPLIT, SELECTIONS, copy_folder
from benchmarks.folders.entrants import ENTRANTS, FACTS, SOUNDS, entrant_sounds
from benchmarks.folders.page import REAL
from benchmarks.folders.picture import write_picture
from benchmarks.folders.scores import HALVINGS, Scorer, labels_of
from soundgan.errors import DataError, SoundGANError, TrainingError, one_line
from soundgan.settings import Settings

CONDITIONS = "conditions.json"


def measure(options: argparse.Namespace, record: Path) -> None:
    """Measure all results that are missing, and write record and page after each."""
    check_conditions(options)
    for name in options.folder or SELECTIONS:
        work = options.work / name
        folder = copy_folder(name, options.data, options.work, options.seed)
        scorer = Scorer(folder, work / "classifiers", options.seed)
        picture, changed = record.parent / page.picture_name(name), False
        for entrant in (REAL, *(options.only or ENTRANTS)):
            result = work / f"{entrant}.json"
            if result.is_file():
                continue
            log(f"{name}: {entrant}")
            save(measure_recordings(scorer) if entrant == REAL else measure_entrant(entrant, scorer, options), result)
            changed = True
            write(options, record)
        if changed or not picture.is_file():
            complete = [entrant for entrant in ENTRANTS if (work / entrant / FACTS).is_file()]
            write_picture(folder, {entrant: folder.read(work / entrant / SOUNDS) for entrant in complete}, picture)
    write(options, record)


def measure_recordings(scorer: Scorer) -> Figures:
    """Description of a folder, and the figures of its recordings."""
    folder = scorer.folder
    train, held_out = labels_of(folder.train), labels_of(folder.held_out)
    labels = {label: [train.count(label), held_out.count(label)] for label in sorted({*train})}
    description = {"sample_rate": folder.sample_rate, "seconds": folder.seconds, "labels": labels}
    return {"folder": description, **scorer.score_recordings()}


def measure_entrant(name: str, scorer: Scorer, options: argparse.Namespace) -> Figures:
    """Facts and figures of an entrant, or the reason why its training failed."""
    try:
        sounds, facts = entrant_sounds(name, scorer.folder, options, options.work / scorer.folder.name / name)
    except TrainingError as error:
        log(f"{name} failed: {one_line(error)}")
        return {"failed": one_line(error)}
    return {"facts": facts, **scorer.score_generated(sounds)}


def check_conditions(options: argparse.Namespace) -> None:
    """Raise `DataError` if the work folder holds results of other conditions."""
    path, conditions = options.work / CONDITIONS, conditions_of(options)
    if path.is_file() and load(path) != conditions:
        raise DataError(
            f"{options.work}: holds results of other conditions ({load(path)}); repeat those, or choose another --work"
        )
    save(conditions, path)


def conditions_of(options: argparse.Namespace) -> Figures:
    names = "minutes", "threads", "n", "seed", "size", "width"
    return {name: getattr(options, name) for name in names}


def write(options: argparse.Namespace, record: Path) -> None:
    """Write the record of all results so far, and the page."""
    folders = {}
    for name in SELECTIONS:
        paths = {entrant: options.work / name / f"{entrant}.json" for entrant in (REAL, *ENTRANTS)}
        rows = {entrant: load(path) for entrant, path in paths.items() if path.is_file()}
        if REAL in rows:
            folders[name] = {**rows[REAL].pop("folder"), "rows": rows}
    figures = {
        "conditions": conditions_of(options),
        "machine": {"processor": processor(), "versions": versions("torch", "numpy", "onnxruntime")},
        "min_split": MIN_SPLIT, "halvings": HALVINGS, "folders": folders,
    }  # fmt: skip
    save(figures, record)
    page.render(figures, record.parent)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = command_line(__doc__, "folders.json")
    add = parser.add_argument
    add("--data", type=Path, help="folder of the folders of real sounds")
    add("--minutes", type=float, default=15.0, help="of training per entrant and folder (%(default)s)")
    add("--threads", type=int, default=1, help="CPU threads of training and generation (%(default)s)")
    add("--folder", action="append", choices=SELECTIONS, help="measure this folder; repeatable")
    add("--only", action="append", choices=ENTRANTS, help="measure this entrant; repeatable")
    add("-n", type=int, default=32, help="sounds of each label to generate, at least (%(default)s)")
    add("--seed", type=int, default=0)
    add("--size", type=int, default=Settings().model.size, help="of our networks (%(default)s)")
    add("--width", type=int, help="of the baselines; default: dcgan 32, wavegan and specgan 16")
    add("--work", type=Path, default=Path("runs/folders"), help="folder of all results (%(default)s)")
    options = parser.parse_args(arguments)
    record = options.out / "folders.json"
    if not options.render and not options.data:
        parser.error("--data is needed, except with --render")
    try:
        if options.render:
            page.render(load(record), options.out)
        else:
            measure(options, record)
    except (SoundGANError, OSError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on with the results that are missing", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
