"""The report of a training, as a browser gets it while training runs and afterwards."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from fixture_types import TinySettings
from pages import Balance, parsed

from soundgan.data.dataset import Dataset
from soundgan.training.loop import train
from soundgan.training.losses.augment import MAX_P
from soundgan.training.monitor.report import MAX_EARLIER_SNAPSHOTS, REPORT, remarks, write_report
from soundgan.training.monitor.schedule import FIRST_VALIDATION, GROWTH, PATIENCE
from soundgan.training.monitor.validation import ValidationResult

EVIL = '<b>"a & b" 100%'
GOOD = ValidationResult(20_000, 10.0, precision=0.9, recall=0.6, coverage=0.8, near_duplicate_rate=0.05)


def step(seen: int, **changes: float) -> dict[str, float]:
    line = {
        "samples_seen": seen,
        "steps": seen // 4,
        "seconds": seen / 30,
        "loss_D": 0.5,
        "loss_G": 1.5,
        "d_accuracy": 0.7,
    }
    return {**line, "gradient_penalty": 0.2, "augment_p": 0.1, "diversity": 0.9, "sounds_per_second": 30.0, **changes}


def logged(check: ValidationResult) -> dict[str, float]:
    return {**check._asdict(), "steps": check.samples_seen // 4, "seconds": check.samples_seen / 30}


def training(folder: Path, lines: list[dict[str, float]], snapshots: int = 0) -> Path:
    """A folder of a training with such a log."""
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for k in range(snapshots):
        sounds = folder / "snapshots" / f"{1000 * k:09d}"
        sounds.mkdir(parents=True)
        for name in (sounds / "kick.wav", sounds / f"{EVIL}.wav", sounds.with_suffix(".png")):
            name.write_bytes(b"")
    return folder


def report(folder: Path, dataset: Dataset, settings: Any) -> tuple[str, Balance]:
    text = write_report(folder, dataset, settings).read_text(encoding="utf-8")
    return text, parsed(text)


def test_training_writes_its_report(tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path) -> None:
    train(tiny_dataset, tiny_settings(max_samples=16), tmp_path / "drum & bass" / "training")
    text = (tmp_path / "drum & bass" / "training" / REPORT).read_text(encoding="utf-8")
    page = parsed(text)
    assert "drum & bass" in page.text and "16 samples seen" in page.text and "24 recordings" in page.text
    assert "batch_size" in page.text and "lr_G" not in page.text  # what differs from the defaults
    for link in re.findall(r'src="([^"]+)"', text):
        assert (tmp_path / "drum & bass" / "training" / unquote(unescape(link))).is_file()
    assert page.seen.count("audio") == 3 and page.seen.count("img") == 1


def test_every_logged_value_has_its_curve(tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path) -> None:
    checks = [GOOD._replace(samples_seen=seen, frechet=30 - seen / 1000) for seen in (2000, 2500, 3128)]
    lines = [*(step(seen) for seen in range(100, 3200, 100)), *map(logged, checks)]
    text, page = report(training(tmp_path / "t", lines), tiny_dataset, tiny_settings())
    titles = re.findall(r'role="img" aria-label="([^"]+)"', text)
    assert titles == [
        "Fréchet distance", "Coverage, recall, near-duplicates", "Losses", "Discriminator accuracy",
        "Augmentation probability", "Diversity", "Gradient penalty",
    ]  # fmt: skip
    assert [len(set(re.findall(r"stroke: var\(--(accent|real|good)\)", svg))) for svg in text.split("<svg")[1:]] == [
        1, 3, 2, 1, 1, 1, 1,
    ]  # fmt: skip
    assert "3,128 samples" in page.text and "training still improves" in page.text


def test_logs_of_older_versions_and_empty_ones_are_read(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    old = [{key: value for key, value in step(seen).items() if key != "augment_p"} for seen in (400, 800)]
    _, page = report(training(tmp_path / "old", old), tiny_dataset, tiny_settings())
    assert "Losses" in page.text and "Fréchet" not in page.text and "Augmentation" not in page.text
    _, page = report(training(tmp_path / "new", []), tiny_dataset, tiny_settings())
    assert "0 samples seen" in page.text and "Curves" not in page.text and f"{FIRST_VALIDATION:,}" in page.text
    (tmp_path / "new" / "log.jsonl").unlink()
    report(tmp_path / "new", tiny_dataset, tiny_settings())


def test_snapshots_are_listed_newest_first_and_limited(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    text, page = report(training(tmp_path / "t", [step(30_000)], snapshots=31), tiny_dataset, tiny_settings())
    listed = [int(seen) for seen in re.findall(r'src="snapshots/(\d+)\.png"', text)]
    assert listed[0] == 30_000 and listed == sorted(listed, reverse=True) and len(listed) == MAX_EARLIER_SNAPSHOTS + 1
    assert listed[-1] == 0
    assert text.count("<details>") == MAX_EARLIER_SNAPSHOTS and page.seen.count("audio") == 2 * (
        MAX_EARLIER_SNAPSHOTS + 1
    )


def test_label_names_are_escaped_and_links_resolve(
    tiny_dataset: Dataset, tiny_settings: TinySettings, tmp_path: Path
) -> None:
    folder = training(tmp_path / "t", [step(400)], snapshots=1)
    text, page = report(folder, tiny_dataset, tiny_settings())
    assert "<b>" not in text.replace("<b>400</b>", "") and EVIL in page.text
    links = re.findall(r'src="([^"]+)"', text)
    assert len(links) == 3 and all((folder / unquote(unescape(link))).is_file() for link in links)
    assert "http" not in text and "@import" not in text and "script" not in page.seen


# Remarks


def remarks_of(checks: list[ValidationResult], **now: float) -> str:
    seen = checks[-1].samples_seen if checks else FIRST_VALIDATION
    return " ".join(remarks([*[step(seen, **now)] * 30, *map(logged, checks)]))


def test_remark_on_improvement() -> None:
    assert (
        remarks_of([GOOD, GOOD._replace(samples_seen=25_000, frechet=9)])
        == "The last validation was the best so far: training still improves."
    )


def test_remark_on_a_single_validation() -> None:
    early = GOOD._replace(samples_seen=FIRST_VALIDATION - 300)  # at the end of a short training
    assert remarks_of([early]) == "Only one validation so far: too early to tell whether training improves."
    assert "The first validation comes after" in " ".join(remarks([step(FIRST_VALIDATION - 300)]))


def test_remark_on_no_improvement_comes_after_enough_validations() -> None:
    later = [GOOD._replace(samples_seen=round(20_000 * GROWTH**k), frechet=11) for k in range(1, 5)]
    assert "better than the last one" in remarks_of([GOOD, *later[: PATIENCE - 1]])
    assert "No improvement since the validation after 20,000 samples" in remarks_of([GOOD, *later[:PATIENCE]])
    assert "the 4 later validations were worse" in remarks_of([GOOD, *later])
    early = [check._replace(samples_seen=check.samples_seen // 10) for check in (GOOD, *later)]
    assert "No improvement" not in remarks_of(early)


def test_remarks_on_overfitting_and_mode_collapse() -> None:
    assert "Overfitting: 40 % of the generated sounds" in remarks_of([GOOD._replace(near_duplicate_rate=0.4)])
    assert "Overfitting" not in remarks_of([GOOD])
    assert "Low variety" in remarks_of([GOOD._replace(recall=0.02)])
    assert "Low variety" not in remarks_of([GOOD._replace(recall=0.02, precision=0.1)])  # just bad


def test_remarks_on_a_strong_discriminator() -> None:
    assert "nearly all pairs correctly" in remarks_of([GOOD], d_accuracy=1.0)
    assert "at its maximum of 80 %" in remarks_of([GOOD], augment_p=MAX_P)
    assert "pairs" not in remarks_of([GOOD]) and "at its maximum" not in remarks_of([GOOD])
