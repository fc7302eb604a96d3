"""Report on a folder of sounds as plain text: files that are used, padded, cut, sliced, and left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from statistics import median

from soundgan.data.scan import relative_name
from soundgan.data.survey import Recording, Survey
from soundgan.files import printable


def format_report(survey: Survey, max_listed: int | None = 10) -> str:
    """Describe a survey; `max_listed` left-out files are listed for each reason (None: all), and all are counted."""
    lines = [_row(title, text) for title, text in _summary(survey)]
    if survey.labels:
        by_label = {label: [r for r in survey.files if r.label == label] for label in survey.labels}
        width = max(5, *(len(printable(label)) for label in by_label))
        lines += ["", f"{'Label':<{width}}  {'Sounds':>6}  {'Shortest':>8}  {'Median':>8}  {'Longest':>8}"]
        for label, files in by_label.items():
            sounds = sum(len(file.slices) for file in files)
            lengths = "  ".join(f"{value:>6.2f} s" for value in _spread(files))
            lines.append(f"{printable(label):<{width}}  {sounds:>6}  {lengths}")
    listed = [("Used in part", file.path, file.damage) for file in survey.files if file.damage]
    listed += [(f"Left out, {reason}", path, detail) for path, reason, detail in survey.skipped]
    for title, group in groupby(sorted(listed, key=itemgetter(0)), key=itemgetter(0)):
        items = list(group)
        lines += ["", f"{title} ({len(items)})"]
        for _, path, detail in items[:max_listed]:
            name = relative_name(path, survey.scanned.folder)
            lines.append(f"  {name}: {detail}" if detail else f"  {name}")
        if max_listed is not None and len(items) > max_listed:
            lines.append(f"  and {len(items) - max_listed} more")
    return "\n".join(lines)


def format_clipped(over: Sequence[float], ceiling_db: float) -> str:
    """Describe by how many dB sounds exceed the ceiling; empty if none does."""
    if not over:
        return ""
    clipped = f"{len(over)} louder than the ceiling of {ceiling_db:.0f} dB, by up to {max(over):.0f} dB"
    return "\n\n" + _row("Clipped", f"{clipped}; the setting `level` brings sounds to one level")


def _row(title: str, text: str) -> str:
    return f"{title:<12}{text}".rstrip()


def _summary(survey: Survey) -> Iterator[tuple[str, str]]:
    files, rep = survey.files, survey.representation
    slices = f", {_count(survey.sounds, 'slice')}" if survey.data.slice else ""
    labels = _count(len(survey.labels), "label") if survey.labels else "no labels"
    used = f"{_count(len(files), 'recording')}{slices}, {labels}"
    yield "Folder", printable(survey.scanned.folder)
    yield "Used", used
    if files:
        shortest, middle, longest = _spread(files)
        yield "Lengths", f"{shortest:.2f} s shortest, {middle:.2f} s median, {longest:.2f} s longest"
        formats = Counter((file.sample_rate, file.channels) for file in files).most_common()
        yield "Rates", ", ".join(f"{n} at {rate} Hz {_channels(channels)}" for (rate, channels), n in formats)
    window = f"{rep.window} window of {rep.n_fft} samples every {rep.hop_length}"
    size = f"{rep.bands} {rep.scale} bands x {rep.frames} frames, {window}"
    yield "Spectrogram", f"{rep.duration:.2f} s at {rep.sample_rate} Hz, {size}"
    if survey.spectrogram.duration is None and survey.spectrogram.image_size is None:
        reason = "the usual length of a recording" if survey.data.slice else "nearly all recordings are no longer"
        yield "Duration", f"from the recordings: {reason} (10 s at most); the setting `duration` overrides it"
    resampled = sum(file.sample_rate != rep.sample_rate for file in files)
    shorter = sum(file.seconds < rep.duration for file in files)
    longer = [file for file in files if file.seconds > rep.duration]
    silent = sum(file.silent_slices for file in files)
    ends = [file.unused_seconds for file in files if file.unused_seconds > 0]
    yield "Resampled", f"{resampled}"
    yield "Padded", f"{shorter} shorter than {rep.duration:.2f} s, with silence at the end"
    if survey.data.slice:
        yield "Sliced", f"{len(longer)} longer than {rep.duration:.2f} s"
        remainders = f"{_count(len(ends), 'remainder')} under half a slice ({sum(ends):.2f} s)"
        yield "Dropped", f"{_count(silent, 'silent slice')}, {remainders}"
    else:
        lost = sum(file.seconds - rep.duration for file in longer)
        rest = f" ({lost:.2f} s not used; slicing uses it)" if longer else ""
        yield "Cut", f"{len(longer)} to their first {rep.duration:.2f} s{rest}"
    yield "Left out", f"{len(survey.skipped)} (listed below)" if survey.skipped else "nothing"
    if unmatched := ", ".join(map(printable, survey.scanned.unmatched_patterns)):
        yield "Excluded", f"nothing by {unmatched}: no file matches"
    if survey.scanned.hidden:
        yield "Ignored", f"{survey.scanned.hidden} hidden, with a dot before the name"


def _spread(files: Iterable[Recording]) -> tuple[float, float, float]:
    seconds = [file.seconds for file in files]
    return min(seconds), median(seconds), max(seconds)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _channels(channels: int) -> str:
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
