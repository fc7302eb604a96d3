from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from toy_sounds import RATE, SECONDS, Floats, Kind, burst, tone

pytest.importorskip("torch", reason="the classifier needs the extra `train`")

from soundgan import audio
from soundgan.errors import DataError, ModelError
from soundgan.evaluation.features.classifier import (
    Classifier,
    classifier_for,
    default_epochs,
    read_spectrograms,
    train_classifier,
)
from soundgan.evaluation.features.logmel import LogMel

EPOCHS = 8
FRONTEND = LogMel(RATE, 1.1 * SECONDS)
Files = list[tuple[Path, str]]


def kick(rng: np.random.Generator) -> Floats:
    time = np.arange(round(SECONDS * RATE)) / RATE
    hertz = 50 + rng.uniform(80, 160) * np.exp(-30 * time)
    return np.sin(2 * np.pi * np.cumsum(hertz) / RATE) * np.exp(-rng.uniform(10, 20) * time)


LABELS: dict[str, Kind] = {"burst": burst, "kick": kick, "tone": tone}


def fill(folder: Path, n: int, seed: int) -> Files:
    """Write `n` sounds for each label, at levels from -40 to 0 dBFS."""
    rng, files = np.random.default_rng(seed), []
    for label, draw in LABELS.items():
        (folder / label).mkdir(parents=True)
        for take in range(n):
            wave = draw(rng)
            wave = wave / np.abs(wave).max() * 10 ** (rng.uniform(-40, 0) / 20)
            files.append((folder / label / f"{label}_{take:02d}.wav", label))
            soundfile.write(files[-1][0], wave, RATE)
    return files


def paths(files: Files) -> list[Path]:
    return [path for path, _ in files]


def waves(files: Files) -> list[Floats]:
    return [audio.read(path)[0] for path, _ in files]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return fill(tmp_path_factory.mktemp("real"), n=16, seed=0)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return fill(tmp_path_factory.mktemp("fresh"), n=10, seed=1)


@pytest.fixture(scope="module")
def trained(sounds: Files) -> Classifier:
    return train_classifier(sounds, FRONTEND, seed=3, epochs=EPOCHS)


def test_classifier_predicts_labels_of_unseen_sounds(trained: Classifier, fresh: Files) -> None:
    probabilities = trained.predict(waves(fresh))
    predicted = [trained.labels[i] for i in probabilities.argmax(axis=1)]
    assert np.mean([a == b for a, (_, b) in zip(predicted, fresh, strict=True)]) >= 0.9
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert trained.labels == ["burst", "kick", "tone"]


def test_classifier_of_files_takes_their_length_and_at_most_22050_hz(sounds: Files, tmp_path: Path) -> None:
    trained = classifier_for(sounds[:16:8] + sounds[16:32:8], tmp_path, sample_rate=44100)
    assert trained.frontend.sample_rate == 22050
    assert trained.frontend.seconds == pytest.approx(1.1 * SECONDS, abs=0.01)
    again = classifier_for(sounds[:16:8] + sounds[16:32:8], tmp_path, sample_rate=44100)
    np.testing.assert_array_equal(again.predict(waves(sounds)), trained.predict(waves(sounds)))


def test_files_are_read_only_up_to_the_length_of_the_frontend(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 20 * RATE)
    soundfile.write(tmp_path / "long.flac", noise, RATE)
    whole = (tmp_path / "long.flac").read_bytes()
    (tmp_path / "damaged.flac").write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    files = [tmp_path / "long.flac", tmp_path / "damaged.flac"]
    first, second = read_spectrograms(files, FRONTEND)
    np.testing.assert_array_equal(first, second)


def test_training_is_reproducible_for_a_seed_and_differs_for_another(
    trained: Classifier, sounds: Files, fresh: Files
) -> None:
    expected = trained.predict(waves(fresh))
    again = train_classifier(sounds, FRONTEND, seed=3, epochs=EPOCHS)
    np.testing.assert_array_equal(again.predict(waves(fresh)), expected)
    other = train_classifier(sounds, FRONTEND, seed=4, epochs=1)
    single_epoch = train_classifier(sounds, FRONTEND, seed=3, epochs=1)
    assert not np.array_equal(other.predict(waves(fresh)), single_epoch.predict(waves(fresh)))


def test_training_restores_the_random_state_and_the_number_of_threads(sounds: Files) -> None:
    import torch

    state, before, used = torch.get_rng_state(), torch.get_num_threads(), list[int]()
    torch.set_num_threads(3)
    try:
        train_classifier(sounds, FRONTEND, epochs=1, progress=lambda *_: used.append(torch.get_num_threads()))
        assert torch.get_num_threads() == 3 and used[-1] == 1, "threads wait for each other"
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.get_rng_state(), state)


def test_loaded_classifier_predicts_exactly_the_same(trained: Classifier, fresh: Files, tmp_path: Path) -> None:
    loaded = Classifier.load(trained.save(tmp_path / "new" / "folder"))
    np.testing.assert_array_equal(loaded.predict(waves(fresh)), trained.predict(waves(fresh)))
    assert (loaded.labels, loaded.frontend, loaded.training) == (trained.labels, trained.frontend, trained.training)
    names = sorted(f.name for f in (tmp_path / "new" / "folder").iterdir())
    assert names == ["classifier.json", "classifier.safetensors"]


@pytest.mark.parametrize("damaged", ["classifier.json", "classifier.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\x00" * 64])
def test_damaged_folders_are_refused_by_name(
    trained: Classifier, tmp_path: Path, damaged: str, content: bytes | None
) -> None:
    folder = trained.save(tmp_path)
    if content is None:
        (folder / damaged).unlink()
    else:
        (folder / damaged).write_bytes(content)
    with pytest.raises(ModelError, match=str(tmp_path)):
        Classifier.load(folder)


@pytest.mark.parametrize(("files", "epochs"), [(2, 480), (15, 69), (100, 60), (492, 60), (2700, 20), (100_000, 20)])
def test_few_files_have_more_epochs(files: int, epochs: int) -> None:
    assert default_epochs(files) == epochs


def test_training_refuses_a_single_label(sounds: Files) -> None:
    with pytest.raises(DataError, match="two labels"):
        train_classifier([(path, "kick") for path in paths(sounds)], FRONTEND)
