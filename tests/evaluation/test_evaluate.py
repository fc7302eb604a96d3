"""Whole evaluations: of sounds whose quality is known because they were made so, and of models."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from soundgan import audio
from soundgan.cli.app import app
from soundgan.errors import DataError, ModelError
from soundgan.evaluation.data import Sounds, as_file, generated_sounds, real_sounds, stratified_indices
from soundgan.evaluation.evaluate import evaluate, evaluate_sounds, generate
from soundgan.evaluation.metrics.catalog import BY_KEY, KINDS, Figure
from soundgan.evaluation.score import ALL, CEILING, CEILING_ALL, GENERATED, Scores, judge, wilson_interval
from soundgan.model import SoundGAN

RATE, SECONDS = 8000, 0.25
Floats = np.ndarray


def tone(rng: np.random.Generator) -> Floats:
    time = np.arange(round(SECONDS * RATE)) / RATE
    return np.sin(2 * np.pi * rng.uniform(300, 3000) * time) * np.exp(-rng.uniform(2, 25) * time)


def burst(rng: np.random.Generator) -> Floats:
    time = np.arange(round(SECONDS * RATE)) / RATE
    return rng.standard_normal(len(time)) * np.exp(-rng.uniform(5, 50) * time)


KINDS_OF_SOUND: dict[str, Callable[[np.random.Generator], Floats]] = {"3": tone, "7": burst}


def some(kind: Callable[[np.random.Generator], Floats], n: int, seed: int, label: str = "") -> Sounds:
    rng = np.random.default_rng(seed)
    waves = [as_file(kind(rng).astype(np.float32)) for _ in range(n)]
    return Sounds(waves, RATE, SECONDS, [label] * n if label else [], [f"{seed}-{i}" for i in range(n)])


def fill(folder: Path, each: int, seed: int, suffix: str = ".flac", kinds: str = "37") -> Path:
    """Sub-folders of sounds named `<label>_<take>`."""
    rng = np.random.default_rng(seed)
    for label in kinds:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for take in range(each):
            wave = KINDS_OF_SOUND[label](rng)
            soundfile.write(folder / label / f"{label}_{take:02d}{suffix}", 0.7 * wave / np.abs(wave).max(), RATE)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty sounds of two labels; takes 00 to 04 are those that the bundled model's training excluded."""
    return fill(tmp_path_factory.mktemp("real"), each=20, seed=0)


@pytest.fixture(scope="module")
def player() -> SoundGAN:
    return SoundGAN.load("digits")


def value(judgement: Scores, key: str, what: str = GENERATED) -> float:
    row = judgement.row(what)
    assert row is not None
    return row.figures[key].value


# What is chosen and how sounds are brought to one form.


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), st.integers(1, 90), st.integers(0, 9))
def test_a_choice_keeps_the_proportions_of_labels_and_takes_all_before_any_twice(
    labels: list[str], n: int, seed: int
) -> None:
    chosen = stratified_indices(labels, n, seed)
    assert len(chosen) == n
    times = Counter(chosen.tolist())
    assert max(times.values()) - min((times[i] for i in range(len(labels))), default=0) <= 1
    for label, count in Counter(labels).items():
        assert abs(sum(labels[i] == label for i in chosen) - count * n / len(labels)) < 1 + 1e-9
    np.testing.assert_array_equal(chosen, stratified_indices(labels, n, seed))


@given(st.floats(-60, 20), st.integers(0, 99))
def test_any_loudness_becomes_the_same_sound_of_16_bits(gain_db: float, seed: int) -> None:
    wave = tone(np.random.default_rng(seed)).astype(np.float32)
    heard = as_file(wave * np.float32(10 ** (gain_db / 20)))
    assert audio.peak_db(heard) == pytest.approx(-1, abs=1e-3)
    np.testing.assert_array_equal(heard * 2**15, np.rint(heard * 2**15))
    np.testing.assert_allclose(heard, as_file(wave), atol=1.01 / 2**15)


def test_a_folder_is_split_by_name_and_every_sound_counts_once(data: Path, tmp_path: Path) -> None:
    folder = fill(tmp_path, each=8, seed=0)
    soundfile.write(folder / "3" / "silent.flac", np.zeros(RATE), RATE)
    (folder / "3" / "broken.flac").write_bytes(b"no sound")
    (folder / "7" / "7_00.flac").write_bytes((folder / "7" / "7_06.flac").read_bytes())  # trained on, so no test
    real = real_sounds(folder, 4000, 0.2, test_patterns=["*_0[01].flac", "7/*_02.flac"])
    assert real.unseen
    assert sorted(real.test.names) == ["3/3_00.flac", "3/3_01.flac", "7/7_01.flac", "7/7_02.flac"]
    assert Counter(real.training.labels) == {"3": 6, "7": 5}
    assert {(item.path.name, item.kind) for item in real.skipped} == {
        ("silent.flac", "silent"), ("broken.flac", "unreadable"), ("7_00.flac", "duplicate"),
    }  # fmt: skip
    assert [path.name for path, _ in real.files] == [name[2:] for name in real.training.names]
    for wave in (*real.training.waves, *real.test.waves):
        assert len(wave) == 800 and audio.peak_db(wave) == pytest.approx(-1, abs=1e-3)


def test_without_unseen_sounds_the_halves_are_alike_and_both_are_known(data: Path) -> None:
    real = real_sounds(data, RATE, SECONDS, test_patterns=["never"], seed=1)
    assert not real.unseen
    assert Counter(real.training.labels) == Counter(real.test.labels) == {"3": 10, "7": 10}
    assert not set(real.training.names) & set(real.test.names)
    assert len(real.known) == 40
    other = real_sounds(data, RATE, SECONDS, seed=2)
    assert set(other.test.names) != set(real.test.names)


def test_test_sounds_that_a_model_was_trained_on_are_not_unseen(data: Path) -> None:
    patterns = ["*_0[0-4].flac"]
    assert real_sounds(data, RATE, SECONDS, test_patterns=patterns, untrained=["*_0?.flac"]).unseen
    real = real_sounds(data, RATE, SECONDS, test_patterns=patterns, untrained=["*_0[0-3].flac"])
    assert not real.unseen and len(real.known) == 40
    # As trainings do it, patterns are matched with the name in the folder, not with that of the file alone.
    assert not real_sounds(data, RATE, SECONDS, test_patterns=patterns, untrained=["3_*"]).unseen


def test_a_test_pattern_that_fits_nothing_is_refused(data: Path) -> None:
    with pytest.raises(DataError, match=r"no sound in it fits the test pattern \*_9\*"):
        real_sounds(data, RATE, SECONDS, test_patterns=["*_9*"], named=True)


def test_long_recordings_are_cut_into_slices_and_flat_folders_have_no_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for take in range(4):
        soundfile.write(tmp_path / f"{take}.wav", rng.uniform(-0.5, 0.5, round(2.6 * RATE)), RATE)
    real = real_sounds(tmp_path, RATE, 1.0, slices=True)
    assert len(real.training) == len(real.test) == 6  # two files of two seconds and more than a half each
    assert [len(wave) for wave in real.test.waves] == [RATE, RATE, round(0.6 * RATE)] * 2
    assert not real.test.labels and {len(wave) for wave in real.test.padded()} == {RATE}
    files = {name.split()[0] for name in real.test.names}
    assert not any(name.split()[0] in files for name in real.training.names)


def test_folders_that_cannot_be_judged_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        real_sounds(tmp_path / "nowhere", RATE, SECONDS)
    with pytest.raises(DataError, match="at least 8"):
        real_sounds(fill(tmp_path / "few", each=3, seed=0), RATE, SECONDS)
    with pytest.raises(DataError, match=r"\*\.flac leaves 0 sounds for the training"):
        real_sounds(data, RATE, SECONDS, test_patterns=["*.flac"])
    with pytest.raises(DataError, match="no sound files"):
        (tmp_path / "empty").mkdir()
        generated_sounds(tmp_path / "empty", RATE, SECONDS, [])


def test_the_label_of_a_generated_sound_is_its_folder_or_begins_its_name(tmp_path: Path) -> None:
    for name in ("dog_0.wav", "dog_bark_1.wav", "dog.wav", "dog_bark/any name.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, tone(np.random.default_rng(0)), RATE)
    found = generated_sounds(tmp_path, RATE, SECONDS, ["dog", "dog_bark"])
    assert dict(zip(found.names, found.labels, strict=True)) == {
        "dog.wav": "dog", "dog_0.wav": "dog", "dog_bark/any name.wav": "dog_bark", "dog_bark_1.wav": "dog_bark",
    }  # fmt: skip
    with pytest.raises(DataError, match=r"dog\.wav: neither"):
        generated_sounds(tmp_path, RATE, SECONDS, ["cat"])


def test_generated_sounds_may_have_any_format_and_hidden_files_are_none(tmp_path: Path) -> None:
    names = {"dog_0.wav": "WAV", "dog_1.FLAC": "FLAC", "dog_2.mp3": "MP3", "dog_3.aiff": "AIFF", "dog_4.oga": "OGG"}
    for name, kind in names.items():
        soundfile.write(tmp_path / name, tone(np.random.default_rng(0)), RATE, format=kind)
    for name in ("._dog_5.wav", ".cache/dog_6.wav", "dog_7.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no sound")
    found = generated_sounds(tmp_path, RATE, SECONDS, ["dog"])
    assert found.names == [*names] and len(found.waves) == 5


# The judgement itself.


def test_fresh_sounds_of_the_same_kind_reach_the_ceiling() -> None:
    made, training, test = (some(tone, n, seed) for n, seed in ((60, 1), (120, 2), (60, 3)))
    judged = judge(made, training, test)
    assert judged.size == 60 and [row.n for row in judged.rows] == [60, 60]
    generated, ceiling = judged.rows
    assert set(generated.figures) == {kind.key for kind in KINDS} - {
        "accuracy", "inception", "modified_inception", "am"
    }  # fmt: skip
    for key in ("frechet", "precision", "recall", "density", "coverage"):
        one, other = generated.figures[key], ceiling.figures[key]
        assert one.low is not None and other.low is not None and one.high is not None and other.high is not None
        assert max(one.low, other.low) <= min(one.high, other.high), key
    assert value(judged, "memorised", CEILING) == pytest.approx(0.05, abs=0.02)
    assert value(judged, "memorised") < 0.2


def test_each_way_to_fail_shows_in_its_figure() -> None:
    training, test = some(tone, 120, 2), some(tone, 60, 3)
    noise, near_duplicate_rate, repeated = some(burst, 60, 4), training[range(60)], some(tone, 3, 5)[[0, 1, 2] * 20]
    wrong, copied, same = (judge(made, training, test) for made in (noise, near_duplicate_rate, repeated))
    assert value(wrong, "precision") < 0.1 and value(wrong, "coverage") < 0.1
    assert value(wrong, "frechet") > 5 * value(wrong, "frechet", CEILING)
    assert value(wrong, "kernel") > 10 * abs(value(wrong, "kernel", CEILING))
    assert value(wrong, "ndb") > 0.5
    assert value(copied, "memorised") == 1 and value(copied, "coverage") > 0.9
    assert copied.pairs[0].distance == pytest.approx(0, abs=1e-3)
    assert all(pair.made == pair.known for pair in copied.pairs)
    assert value(same, "precision") > 0.6 and value(same, "recall") < 0.2 and value(same, "coverage") < 0.4


def test_sets_are_compared_at_one_size_and_many_against_all() -> None:
    made, training, test, many = (some(tone, n, seed) for n, seed in ((50, 1), (40, 2), (12, 3), (40, 6)))
    judged = judge(made, training, test, many=many)
    assert judged.size == 12
    assert [(row.what, row.n) for row in judged.rows] == [
        (GENERATED, 50), (CEILING, 12), (ALL, 40), (CEILING_ALL, 12),
    ]  # fmt: skip
    assert judge(made, training, test, many=many).rows == judged.rows
    tiny = judge(made[range(2)], training, test)
    assert tiny.rows[0].figures["frechet"].low is None and tiny.rows[0].n == 2
    with pytest.raises(DataError, match="take two of each"):
        judge(made[range(1)], training, test)


@given(st.integers(1, 500), st.data())
def test_the_interval_of_a_share_holds_it_and_never_has_no_width(n: int, draw: st.DataObject) -> None:
    right = draw.draw(st.integers(0, n))
    share, low, high = wilson_interval(right, n)
    assert low is not None and high is not None
    assert 0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1 and high - low > 1 / (n + 2)


def test_figures_are_as_good_as_real_ones_within_their_interval_or_on_the_better_side() -> None:
    ceiling = Figure(0.5, 0.4, 0.6)
    for key, answers in {
        "recall": (False, True, True),
        "frechet": (True, True, False),
        "density": (False, True, False),
    }.items():
        assert tuple(BY_KEY[key].as_good(Figure(value), ceiling) for value in (0.3, 0.5, 0.7)) == answers


# Models and folders.


def test_a_model_is_judged_with_all_that_makes_the_figures_again(player: SoundGAN, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the classifier needs the extra `train`")
    (tmp_path / "data" / "goat").mkdir(parents=True)
    for path in data.glob("*/*"):
        (tmp_path / "data" / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / "data" / path.parent.name / path.name).write_bytes(path.read_bytes())
    soundfile.write(tmp_path / "data" / "goat" / "0.wav", tone(np.random.default_rng(8)), RATE)
    arguments = {"classifier": tmp_path / "classifier", "quality": "fast", "seed": 4}
    found = evaluate(player, tmp_path / "data", **arguments)
    told = found.as_json()
    json.dumps(told, allow_nan=False)
    assert told["sounds"] == {
        "generated": 10, "training": 30, "test": 10, "test_unseen": True, "compared": 10, "skipped": {},
    }  # fmt: skip
    assert Counter(found.made.labels) == {"3": 5, "7": 5}
    assert [row["what"] for row in told["rows"]] == [GENERATED, CEILING, ALL, CEILING_ALL]
    assert set(told["rows"][0]["figures"]) == {kind.key for kind in KINDS}
    assert told["conditions"]["seed"] == 4 and told["conditions"]["test_patterns"] == ["*_0[0-4].flac"]
    assert told["conditions"]["versions"]["soundgan"] and told["conditions"]["classifier"]["files"] == 30
    assert any("goat" in note for note in found.notes) and any("0, 1, 2" in note for note in found.notes)
    again = evaluate(player, tmp_path / "data", **arguments, quick=True)
    assert again.judgement.rows == found.judgement.rows[:2] and again.judgement.pairs == found.judgement.pairs


def test_generated_sounds_are_those_of_their_seeds(player: SoundGAN) -> None:
    made = generate(player, ["3", "3", "7", None], seed=2**32 - 2, quality="fast")
    assert made.names[:3] == [f"3, seed {2**32 - 2}", f"3, seed {2**32 - 1}", "7, seed 0"]
    (alone,) = player.generate(1, label="7", seed=0, quality="fast")
    np.testing.assert_array_equal(made.waves[2], as_file(alone.samples))


def test_unlabelled_sounds_are_judged_without_torch(data: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from soundgan.model import SoundGAN\n"
        "from soundgan.evaluation.evaluate import evaluate\n"
        f"found = evaluate(SoundGAN.load('digits'), Path({str(data / '3')!r}), n=6, quality='fast', quick=True)\n"
        "assert not found.made.labels and 'accuracy' not in found.judgement.rows[0].figures\n"
        "assert found.real.unseen and len(found.real.test) == 5 and not found.judgement.heard\n"
        "assert any('compare 5 sounds' in note for note in found.notes)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_without_torch_the_labels_are_left_out_and_the_report_says_so(
    player: SoundGAN, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = evaluate(player, data, quality="fast", quick=True)
    assert "accuracy" not in found.judgement.rows[0].figures and "coverage" in found.judgement.rows[0].figures
    assert any("[train]" in note for note in found.notes)


def test_what_cannot_be_evaluated_is_told(player: SoundGAN, data: Path, tmp_path: Path) -> None:
    fill(tmp_path, each=8, seed=0)
    (tmp_path / "3").rename(tmp_path / "cat")
    (tmp_path / "7").rename(tmp_path / "dog")
    with pytest.raises(DataError, match="cat, dog"):
        evaluate(player, tmp_path)
    with pytest.raises(ModelError, match="n = 1"):
        evaluate(player, data, n=1)
    with pytest.raises(ModelError, match="seed = -1"):
        evaluate(player, data, seed=-1)
    with pytest.raises(ModelError, match="seed = -1"):
        evaluate_sounds(data, data, seed=-1)


def test_a_label_that_the_classifier_never_learnt_counts_as_not_heard(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the classifier needs the extra `train`")
    data, made = fill(tmp_path / "data", each=10, seed=0), fill(tmp_path / "made", each=4, seed=9, suffix=".wav")
    for folder, name in ((data, "new_00.flac"), (data, "new_01.flac"), (made, "new_00.wav"), (made, "new_01.wav")):
        (folder / "new").mkdir(exist_ok=True)
        soundfile.write(folder / "new" / name, tone(np.random.default_rng(len(name) + int(name[5]))), RATE)
    found = evaluate_sounds(made, data, test_pattern="*_0[0-2].*")
    assert value(found.judgement, "accuracy") == pytest.approx(8 / 10)


def test_a_folder_of_sounds_is_heard_and_only_a_classifier_of_the_same_files_is_trusted(
    data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="the classifier needs the extra `train`")
    made = fill(tmp_path / "made", each=5, seed=9, suffix=".wav")
    (made / "3" / "3_00.wav").write_bytes((made / "7" / "7_00.wav").read_bytes())  # asked for as 3, sounds as 7
    cache = tmp_path / "classifier"
    found = evaluate_sounds(made, data, test_pattern="*_0[0-4].*", classifier=cache)
    assert (found.made.sample_rate, found.made.seconds) == (RATE, pytest.approx(SECONDS))
    assert value(found.judgement, "accuracy") == pytest.approx(0.9)
    heard = found.judgement.heard[GENERATED]
    assert heard.confusion.tolist() == [[4, 1], [0, 5]] and heard.shares == {"3": 0.8, "7": 1.0}
    assert 1.5 < value(found.judgement, "inception") <= 2
    # It has heard some of the sounds that would now test it.
    with pytest.raises(DataError, match="a classifier of other files"):
        evaluate_sounds(made, data, test_pattern="*_0[3-8].*", classifier=cache)


def test_the_command_prints_a_table_and_writes_report_and_figures(data: Path, tmp_path: Path) -> None:
    html, figures = tmp_path / "new" / "report.html", tmp_path / "figures.json"
    done = CliRunner().invoke(
        app,
        [
            *("evaluate", "digits", str(data / "7"), "-n", "4", "--quality", "fast", "--quick", "--seed", "3"),
            *("--html", str(html), "--json", str(figures)),
        ],
        env={"COLUMNS": "120"},
    )
    assert done.exit_code == 0, done.output
    assert "4 generated" in done.stdout and "5 real, unseen" in done.stdout and "Coverage" in done.stdout
    assert json.loads(figures.read_text())["conditions"]["seed"] == 3
    assert html.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("terminal", [True, False])
def test_the_command_judges_folders_too(terminal: bool, data: Path, tmp_path: Path) -> None:
    made = fill(tmp_path, each=6, seed=9, suffix=".wav", kinds="7") / "7"
    narrow = {"COLUMNS": "60", "FORCE_COLOR": "1" if terminal else ""}
    done = CliRunner().invoke(app, ["evaluate", str(made), str(data / "7")], env=narrow)
    assert done.exit_code == 0, done.output
    # Where there is no room for intervals they are left out; a file has room.
    assert ("A wider terminal" in done.stdout) == terminal and ("95 %" in done.stdout) != terminal
    assert "--classifier" not in done.stdout, "there are no labels here"
    assert "Only 10 real sounds to test with" in " ".join(done.stdout.split())
    assert (
        "6 generated" in done.stdout
        and "10 real, held out" in done.stdout
        and "Not all test sounds are unseen" in done.stdout
    )
