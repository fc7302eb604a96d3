"""Whole evaluations of models and folders."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from toy_sounds import RATE, SECONDS, fill, tone

from soundgan.errors import DataError, ModelError
from soundgan.evaluation.evaluate import evaluate, evaluate_folder, generate_set
from soundgan.evaluation.metrics.catalog import METRICS, SoundSet
from soundgan.evaluation.options import EvaluationOptions
from soundgan.evaluation.result import Evaluation
from soundgan.evaluation.sounds import as_file
from soundgan.model import SoundGAN


@pytest.fixture(scope="module")
def digits() -> SoundGAN:
    return SoundGAN.load("digits")


def value(evaluation: Evaluation, metric: str) -> float:
    return evaluation.scores.table[SoundSet.GENERATED].estimates[metric].value


def test_evaluation_of_a_model_records_all_conditions_and_is_reproducible(
    digits: SoundGAN, real_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="the classifier needs the extra `train`")
    (tmp_path / "data" / "goat").mkdir(parents=True)
    for path in real_folder.glob("*/*"):
        (tmp_path / "data" / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / "data" / path.parent.name / path.name).write_bytes(path.read_bytes())
    soundfile.write(tmp_path / "data" / "goat" / "0.wav", tone(np.random.default_rng(8)), RATE)
    options = EvaluationOptions(classifier_folder=tmp_path / "classifier", quality="fast", seed=4)
    evaluation = evaluate(digits, tmp_path / "data", options)
    result = evaluation.as_json()
    json.dumps(result, allow_nan=False)
    assert result["sounds"] == {
        "generated": 10, "train": 30, "held_out": 10, "held_out_unseen": True, "compared": 10, "skipped": {},
    }  # fmt: skip
    assert Counter(evaluation.generated.labels) == {"3": 5, "7": 5}
    assert [*result["sets"]] == ["generated", "real_baseline", "generated_full", "real_baseline_full"]
    assert set(result["sets"]["generated"]["metrics"]) == set(METRICS)
    conditions = result["conditions"]
    assert conditions["seed"] == 4 and conditions["test_patterns"] == ["*_0[0-4].flac"]
    assert conditions["versions"]["soundgan"] and conditions["classifier"]["files"] == 30
    assert [*result["predictions"]] == ["first", "second"]
    assert all(sets["real_baseline"]["label_accuracy"] == {"3": 1, "7": 1} for sets in result["predictions"].values())
    assert any("goat" in note for note in evaluation.notes) and any("0, 1, 2" in note for note in evaluation.notes)
    again = evaluate(digits, tmp_path / "data", replace(options, quick=True)).scores
    first_two = (SoundSet.GENERATED, SoundSet.REAL_BASELINE)
    assert again.table == {name: evaluation.scores.table[name] for name in first_two}
    assert again.pairs == evaluation.scores.pairs


def test_generated_sounds_are_those_of_their_seeds(digits: SoundGAN) -> None:
    generated = generate_set(digits, ["3", "3", "7", None], EvaluationOptions(seed=2**32 - 2, quality="fast"))
    assert generated.names[:3] == [f"3, seed {2**32 - 2}", f"3, seed {2**32 - 1}", "7, seed 0"]
    (alone,) = digits.generate(1, label="7", seed=0, quality="fast")
    np.testing.assert_array_equal(generated.waves[2], as_file(alone.samples))


def test_evaluation_without_labels_imports_no_torch(real_folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from soundgan.model import SoundGAN\n"
        "from soundgan.evaluation.evaluate import evaluate\n"
        "from soundgan.evaluation.options import EvaluationOptions\n"
        "options = EvaluationOptions(n=6, quality='fast', quick=True)\n"
        f"evaluation = evaluate(SoundGAN.load('digits'), Path({str(real_folder / '3')!r}), options)\n"
        "real, scores = evaluation.real, evaluation.scores\n"
        "assert not evaluation.generated.labels and 'accuracy' not in scores.table['generated'].estimates\n"
        "assert real.held_out_is_unseen and len(real.held_out) == 5 and not scores.predictions\n"
        "assert any('compare 5 sounds' in note for note in evaluation.notes)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_evaluation_without_torch_skips_the_first_classifier_with_a_note(
    digits: SoundGAN, real_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    evaluation = evaluate(digits, real_folder, EvaluationOptions(quality="fast", quick=True))
    estimates = evaluation.scores.table[SoundSet.GENERATED].estimates
    assert "accuracy" not in estimates and "second_accuracy" in estimates
    assert any("[train]" in note for note in evaluation.notes)


def test_unknown_labels_and_values_out_of_range_are_refused(
    digits: SoundGAN, real_folder: Path, tmp_path: Path
) -> None:
    fill(tmp_path, n=8, seed=0)
    (tmp_path / "3").rename(tmp_path / "cat")
    (tmp_path / "7").rename(tmp_path / "dog")
    with pytest.raises(DataError, match="cat, dog"):
        evaluate(digits, tmp_path)
    with pytest.raises(ModelError, match="n = 1"):
        evaluate(digits, real_folder, EvaluationOptions(n=1))
    with pytest.raises(ModelError, match="seed = -1"):
        evaluate(digits, real_folder, EvaluationOptions(seed=-1))
    with pytest.raises(ModelError, match="seed = -1"):
        evaluate_folder(real_folder, real_folder, EvaluationOptions(seed=-1))


def test_requested_label_unknown_to_the_classifier_counts_as_an_error(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the classifier needs the extra `train`")
    data, generated = fill(tmp_path / "data", n=10, seed=0), fill(tmp_path / "generated", n=4, seed=9, suffix=".wav")
    for seed, (folder, suffix) in enumerate(((data, ".flac"), (generated, ".wav"))):
        (folder / "new").mkdir()
        for take in range(2):
            wave = tone(np.random.default_rng([seed, take]))
            soundfile.write(folder / "new" / f"new_{take:02d}{suffix}", wave, RATE)
    evaluation = evaluate_folder(generated, data, EvaluationOptions(test_pattern="*_0[0-2].*"))
    assert value(evaluation, "accuracy") == pytest.approx(8 / 10)


def test_folder_is_classified_and_a_cached_classifier_of_other_files_is_refused(
    real_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="the classifier needs the extra `train`")
    generated = fill(tmp_path / "generated", n=5, seed=9, suffix=".wav")
    (generated / "3" / "3_00.wav").write_bytes((generated / "7" / "7_00.wav").read_bytes())  # requested 3, sounds as 7
    options = EvaluationOptions(test_pattern="*_0[0-4].*", classifier_folder=tmp_path / "classifier")
    evaluation = evaluate_folder(generated, real_folder, options)
    assert evaluation.generated.sample_rate == RATE
    assert evaluation.generated.seconds == pytest.approx(SECONDS)
    assert value(evaluation, "accuracy") == pytest.approx(0.9)
    for sets in evaluation.scores.predictions.values():
        predictions = sets[SoundSet.GENERATED]
        assert predictions.confusion.tolist() == [[4, 1], [0, 5]] and predictions.label_accuracy == {"3": 0.8, "7": 1.0}
    assert 1.5 < value(evaluation, "inception_score") <= 2
    # It was trained on some of the sounds that are now held out.
    with pytest.raises(DataError, match="a classifier of other files"):
        evaluate_folder(generated, real_folder, replace(options, test_pattern="*_0[3-8].*"))
