"""The benchmark of users' folders splits them by seed, resumes, and reports where SoundGAN loses."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from waves import hat, kick, noise, sine

from benchmarks.baselines import resampling
from benchmarks.baselines.resampling import ResampledRecordings
from benchmarks.baselines.wgan_gp import TrainingSounds
from benchmarks.folders import __main__ as folders
from benchmarks.folders import entrants, page
from benchmarks.folders.data import SoundFolder, copy_folder
from benchmarks.folders.scores import Scorer, matching_indices
from soundgan.errors import DataError, TrainingError
from soundgan.evaluation.features.logmel import LogMel
from soundgan.settings import Settings, check_settings
from soundgan.training.loop import TrainingResult
from soundgan.training.state.train_state import Progress

Floats = NDArray[np.float32]
RATE = 8000  # Hz
FILES = {"kick": 10, "snare": 3, "hat": 9, "tom": 4}  # the benchmark takes no toms


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with `drums` and an unlabeled `effects/rain`; one snare is a copy, and one is silent."""
    root = tmp_path_factory.mktemp("root")
    for label, count in FILES.items():
        for k in range(count):
            wave = {
                "kick": kick(1600 + 40 * k, RATE), "hat": hat(1600, RATE, 0.02 + 0.004 * k, seed=k),
                "snare": hat(1600, RATE, 0.06, seed=50 + k) + sine(1600, RATE, 200 + 20 * k, 0.2),
                "tom": sine(1600, RATE),
            }[label]  # fmt: skip
            write(root / "drums" / label / f"{k}.wav", 0.9 / (1 + k / 4) * wave)
    write(root / "drums" / "snare" / "copy.wav", soundfile.read(root / "drums" / "snare" / "0.wav")[0])
    write(root / "drums" / "snare" / "silent.wav", np.zeros(1600))
    for k in range(8):
        write(root / "effects" / "rain" / f"{k}.wav", noise(2400, RATE, seed=k))
    return root


def write(path: Path, wave: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, RATE, subtype="FLOAT")


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.wav")}


def test_split_holds_out_a_fifth_of_labels_with_enough_files(root: Path, tmp_path: Path) -> None:
    folder = copy_folder("drums", root, tmp_path, seed=0)
    held_out = names(folder.path / "held_out")
    assert sorted(name.split("/")[0] for name in held_out) == ["hat", "hat", "kick", "kick"]
    train = names(folder.train_path)
    assert not held_out & train and len(held_out | train) == 10 + 3 + 9  # neither toms, nor the copy, nor silence
    assert folder.labels == ["hat", "kick", "snare"]
    assert names(copy_folder("drums", root, tmp_path / "again", seed=0).train_path) == train
    assert names(copy_folder("drums", root, tmp_path / "other", seed=1).train_path) != train


def test_split_is_kept(root: Path, tmp_path: Path) -> None:
    before = copy_folder("rain", root, tmp_path, seed=0)
    (tmp_path / "rain" / "recordings" / "mark").touch()
    assert copy_folder("rain", root, tmp_path, seed=0) == before
    assert (tmp_path / "rain" / "recordings" / "mark").exists()


def test_folder_has_the_rate_and_lengths_of_its_recordings(root: Path, tmp_path: Path) -> None:
    folder = copy_folder("rain", root, tmp_path, seed=0)
    assert (folder.sample_rate, folder.seconds, folder.labels) == (RATE, 0.3, [])
    assert (len(folder.train), len(folder.held_out)) == (6, 2)
    assert folder.requested_labels(4) == [""] * 6  # as many as recordings, so that sets of one size can be compared
    assert copy_folder("drums", root, tmp_path, seed=0).requested_labels(5)[:9] == ["hat"] * 7 + ["kick"] * 2


def test_missing_label_is_an_error(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "root" / "drums" / "kick" / "0.wav", kick(1600, RATE))
    with pytest.raises(DataError, match="no sounds of hat, snare"):
        copy_folder("drums", tmp_path / "root", tmp_path, seed=0)


@given(st.integers(0, 2**32 - 1))
def test_peer_varies_recordings_of_the_requested_label_alone(seed: int) -> None:
    low, high = [sine(2000, RATE, 300, 0.5), sine(1600, RATE, 310, 0.4)], [sine(2000, RATE, 1500, 0.5)]
    peer = ResampledRecordings(TrainingSounds([*low, *high], RATE, 0.25, [0, 0, 1]))
    waves = peer([0, 1, 0], seed)
    for wave, (lowest, highest) in zip(waves, ((240, 390), (1220, 1840), (240, 390)), strict=True):
        assert wave.dtype == np.float32 and 1200 < len(wave) <= 2000 and np.abs(wave).max() <= 1
        spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 2**14))
        assert lowest < spectrum.argmax() * RATE / 2**14 < highest
    assert not np.array_equal(waves[0], waves[2])
    np.testing.assert_array_equal(peer([0, 1, 0], seed)[2], waves[2])


def test_transposition_changes_pitch_and_length() -> None:
    octave = resampling.transpose(sine(4000, RATE, 500), 12)
    assert len(octave) == 2000
    spectrum = np.abs(np.fft.rfft(octave * np.hanning(2000)))
    assert spectrum.argmax() * RATE / 2000 == pytest.approx(1000, abs=4)


def test_tilt_is_neutral_at_its_pivot_and_reversed_beyond() -> None:
    for hertz, gain_db in ((30, -6), (1000, 0), (18_000, 6)):
        wave = resampling.tilt(sine(44_100, 44_100, hertz), 6, 44_100)[4410:]
        assert 20 * np.log10(np.abs(wave).max() / 0.5) == pytest.approx(gain_db, abs=0.5)


def test_crossfade_joins_a_start_and_an_end_at_one_level() -> None:
    first, second = noise(4000, RATE, seed=1, level=0.2), noise(3000, RATE, seed=2, level=0.02)
    mixed = resampling.crossfade(first, second, 0.5, 0.4 / 3)
    assert len(mixed) == 3000
    np.testing.assert_array_equal(mixed[:1300], first[:1300])
    np.testing.assert_allclose(mixed[1700:] / second[1700:], 10, rtol=0.1)
    assert mixed[1300:1700].std() == pytest.approx(0.2, rel=0.15)  # equal power


@given(st.integers(-60, 60), st.integers(1, 300))
def test_shifts_and_cuts_leave_no_click(samples: int, length: int) -> None:
    wave = np.full(200, 0.5, np.float32)
    shifted = resampling.cut(resampling.shift(wave, samples, RATE), length, RATE)
    assert len(shifted) == min(length, 200 + samples)
    if samples:
        assert shifted[0] == 0
    if length < 200 + samples and length > 1:
        assert shifted[-1] == 0


def test_ours_trains_as_the_command_line_does(
    root: Path, tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = list[Settings]()

    def train(settings: Settings, on_message: Any) -> TrainingResult:
        trained.append(settings)
        Path(settings.run.saveroot).parent.mkdir(parents=True)
        Path(settings.run.saveroot).symlink_to(model_folder)
        return TrainingResult(Any, None, Progress(64, 4, 2.0), False, "", None)  # type: ignore[arg-type]

    monkeypatch.setattr(entrants, "train_model_folder", train)
    folder = SoundFolder("sounds", tmp_path / "sounds")
    for label in ("kick", "noise", "tone"):
        write(folder.train_path / label / "0.wav", kick(2000, RATE))
    options = Namespace(minutes=15.0, threads=1, seed=0, size=32, n=3)
    sounds, facts = entrants.entrant_sounds("soundgan", folder, options, tmp_path / "work")
    values = {"dataroot": str(folder.train_path), "saveroot": str(tmp_path / "work" / "soundgan")}
    assert trained == [check_settings({**values, "minutes": 15.0, "threads": 1})]
    assert [*sounds.labels] == ["kick"] * 3 + ["noise"] * 3 + ["tone"] * 3
    assert facts["samples_seen"] == 64 and facts["bytes"] > 10_000 and facts["ms_per_sound"] > 0
    assert sounds.frame_rate == pytest.approx(RATE / 128)
    again, _ = entrants.entrant_sounds("soundgan", folder, options, tmp_path / "work")
    assert len(trained) == 1  # the sounds are kept
    np.testing.assert_array_equal(again.waves[0], sounds.waves[0])


class FirstLabel:
    """A classifier that predicts the first label for all sounds."""

    def __init__(self, labels: list[str]) -> None:
        self.labels, self.frontend = labels, LogMel(RATE, 0.25)

    def predict(self, waves: Any) -> Floats:
        return np.eye(len(self.labels), dtype=np.float32)[[0] * len(waves)]


def test_recordings_of_small_labels_are_scored_leave_one_out(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out = dict[str, list[str]]()

    def classifier(self: Scorer, files: Any, name: str) -> FirstLabel:
        missing = {*self.folder.train_files} - {*files}
        left_out[name] = sorted(f"{label}/{path.name}" for path, label in missing)
        return FirstLabel(self.folder.labels)

    monkeypatch.setattr(Scorer, "_first_classifier", classifier)
    scorer = Scorer(copy_folder("drums", root, tmp_path, seed=0), tmp_path, 0)
    figures = scorer.score_recordings()
    snares = {f"without-{k}": [f"snare/{k}.wav"] for k in range(3)}
    assert left_out == {"all": [], **snares}
    assert figures["label_accuracy"]["first"] == {"hat": 1.0, "kick": 0.0, "snare": 0.0}
    assert figures["metrics"]["second_accuracy"][0] > 0.7
    assert figures["metrics"]["accuracy"][0] == pytest.approx(2 / 7)  # held-out kicks and hats, and all snares
    assert figures["metrics"]["memorized_fraction"][0] < 0.5  # none is compared with itself
    assert figures["metrics"]["held_out_coverage"][0] == 1.0


def test_matching_indices_have_the_labels_that_are_wanted() -> None:
    labels = ["a"] * 5 + ["b"] * 5
    chosen = matching_indices(labels, ["b", "a", "b", "b"], np.random.default_rng(0))
    assert sorted(labels[i] for i in chosen) == ["a", "b", "b", "b"] and len({*chosen}) == 4


def test_benchmark_measures_resumes_and_renders(
    root: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scorer, "_first_classifier", lambda self, files, name: FirstLabel(self.folder.labels))
    command = [
        "--data", str(root), "--folder", "drums", "--minutes", "0.001", "--only", "resampling", "--only", "wavegan",
        "-n", "4", "--width", "2", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    assert folders.main(command) == 0, capsys.readouterr().err
    results = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "work" / "drums").glob("*.json")}
    assert sorted(results) == ["recordings.json", "resampling.json", "wavegan.json"]
    (tmp_path / "work" / "drums" / "resampling.json").unlink()
    assert folders.main(command) == 0, capsys.readouterr().err
    for name in ("recordings.json", "wavegan.json"):  # not measured again
        assert (tmp_path / "work" / "drums" / name).stat().st_mtime_ns == results[name]

    record = json.loads((tmp_path / "out" / "folders.json").read_text(encoding="utf-8"))
    measured = record["folders"]["drums"]
    assert measured["labels"] == {"hat": [7, 2], "kick": [8, 2], "snare": [3, 0]}
    real, peer, wavegan = (measured["rows"][name] for name in ("recordings", "resampling", "wavegan"))
    assert real["metrics"]["accuracy"][0] == pytest.approx(2 / 7)
    assert wavegan["label_accuracy"]["first"] == {"hat": 1.0, "kick": 0.0, "snare": 0.0}
    assert peer["metrics"]["second_accuracy"][0] > wavegan["metrics"]["second_accuracy"][0]
    assert peer["metrics"]["frechet_distance"][0] < wavegan["metrics"]["frechet_distance"][0]
    assert peer["goals"]["missed"] < wavegan["goals"]["missed"] and peer["goals"]["counted"] == 15
    assert wavegan["facts"]["samples_seen"] % 16 == 0 < wavegan["facts"]["samples_seen"]  # as fast as the machine
    assert wavegan["facts"]["settings"]["batch_size"] == 16
    assert (tmp_path / "out" / "folders-drums.png").stat().st_size < 400_000

    text = (tmp_path / "out" / "folders.md").read_text(encoding="utf-8")
    assert "| drums | resampling |" in text and "hat 7 + 2, kick 8 + 2, snare 3." in text
    (tmp_path / "out" / "folders.md").unlink()
    assert folders.main(["--render", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "folders.md").read_text(encoding="utf-8") == text
    assert folders.main([*command, "--seed", "1"]) == 2
    assert "choose another --work" in capsys.readouterr().err


def row(missed: int, coverage: float, memorized: float = 0.0, faults: list[str] | None = None) -> dict[str, Any]:
    return {
        "facts": {"samples_seen": 90, "seconds": 9.0, "ms_per_sound": 5.0, "bytes": 10**6, "settings": {}},
        "metrics": {"coverage": [coverage, 0.0, 1.0], "memorized_fraction": [memorized]},
        "goals": {"missed": missed, "counted": 6}, "faults": {"kick": faults or []}, "label_accuracy": {},
        "descriptors": {"kick": {"attack": [5.0, 16.0, 7.25, "attacks are soft"], "level": [-3.0, -3.5, None, ""]}},
    }  # fmt: skip


def test_page_reports_where_soundgan_loses(tmp_path: Path) -> None:
    rows = {
        "recordings": {"metrics": {"coverage": [0.95]}, "goals": {"missed": 0.4, "counted": 5}, "label_accuracy": {}},
        "soundgan": row(3, 0.6, memorized=0.04, faults=["attacks are soft: 16 ms, recordings 5.0 ms"]),
        "resampling": row(1, 0.5),
        "dcgan": {"failed": "the critic's loss is nan"},
    }
    figures = {
        "conditions": {"minutes": 15, "threads": 1, "n": 32, "seed": 0}, "min_split": 8, "halvings": 20,
        "machine": {"processor": "x", "versions": {"Python": "3"}},
        "folders": {"drums": {"labels": {"kick": [8, 2]}, "sample_rate": 8000, "seconds": 0.25, "rows": rows}},
    }  # fmt: skip
    page.render(figures, tmp_path)
    text = (tmp_path / "folders.md").read_text(encoding="utf-8")
    assert (
        "- resampling is better in 2: Goals missed 1 of 6 (soundgan 3 of 6), "
        "Labels without faults 1 of 1 (soundgan 0 of 1)."
    ) in text  # memorized shares up to 5 % are equal
    assert "    - kick: attacks are soft: 16 ms, recordings 5.0 ms." in text
    assert "| drums | dcgan | failed: the critic's loss is nan |" in text
    assert "| drums | *recordings* | 0.4 of 5 |" in text
    assert "| kick | Attack | 5.0 ms | **16 ms (7.2)** | **16 ms (7.2)** |" in text
    assert "| kick | Level | -3.0 dBFS | -3.5 dBFS | -3.5 dBFS |" in text


def test_failed_training_is_on_record(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> Any:
        raise TrainingError("the networks diverged")

    monkeypatch.setattr(folders, "entrant_sounds", fail)
    scorer = Scorer(copy_folder("rain", root, tmp_path, seed=0), tmp_path, 0)
    assert folders.measure_entrant("dcgan", scorer, Namespace(work=tmp_path)) == {"failed": "the networks diverged"}
