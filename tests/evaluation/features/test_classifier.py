from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="the classifier needs the extra `train`")

from soundgan import audio
from soundgan.errors import DataError, ModelError
from soundgan.evaluation.features.classifier import Classifier, train_classifier, usual_epochs

RATE, SECONDS, EPOCHS = 8000, 0.3, 8
Floats = np.ndarray


def tone(rng: np.random.Generator) -> Floats:
    time = np.arange(round(SECONDS * RATE)) / RATE
    return np.sin(2 * np.pi * rng.uniform(400, 2000) * time) * np.exp(-rng.uniform(2, 8) * time)


def burst(rng: np.random.Generator) -> Floats:
    time = np.arange(round(SECONDS * RATE)) / RATE
    return rng.standard_normal(len(time)) * np.exp(-rng.uniform(5, 20) * time)


def kick(rng: np.random.Generator) -> Floats:
    time = np.arange(round(SECONDS * RATE)) / RATE
    hertz = 50 + rng.uniform(80, 160) * np.exp(-30 * time)
    return np.sin(2 * np.pi * np.cumsum(hertz) / RATE) * np.exp(-rng.uniform(10, 20) * time)


KINDS: dict[str, Callable[[np.random.Generator], Floats]] = {"burst": burst, "kick": kick, "tone": tone}


def fill(folder: Path, each: int, seed: int, suffix: str = ".wav") -> tuple[list[Path], list[str]]:
    """Sub-folders of fresh sounds at levels from -40 to 0 dBFS, named `<kind>_<take>`."""
    rng, files, labels = np.random.default_rng(seed), [], []
    for label, make in KINDS.items():
        (folder / label).mkdir(parents=True)
        for take in range(each):
            wave = make(rng)
            wave = wave / np.abs(wave).max() * 10 ** (rng.uniform(-40, 0) / 20)
            files.append(folder / label / f"{label}_{take:02d}{suffix}")
            labels.append(label)
            soundfile.write(files[-1], wave, RATE)
    return files, labels


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[str]]:
    return fill(tmp_path_factory.mktemp("real"), each=16, seed=0)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[str]]:
    return fill(tmp_path_factory.mktemp("fresh"), each=10, seed=1)


@pytest.fixture(scope="module")
def trained(sounds: tuple[list[Path], list[str]]) -> Classifier:
    return train_classifier(*sounds, seed=3, epochs=EPOCHS, threads=1)


def test_hears_sounds_it_never_met(trained: Classifier, fresh: tuple[list[Path], list[str]]) -> None:
    heard, probabilities = trained.predict(fresh[0])
    assert np.mean([a == b for a, b in zip(heard, fresh[1], strict=True)]) >= 0.9
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert heard == [trained.labels[i] for i in probabilities.argmax(axis=1)]


def test_takes_rate_and_length_from_the_files(trained: Classifier) -> None:
    assert trained.labels == ["burst", "kick", "tone"]
    assert trained.view.sample_rate == RATE
    assert trained.view.seconds == pytest.approx(1.1 * SECONDS, abs=0.01)


def test_files_and_their_waves_are_heard_alike(trained: Classifier, fresh: tuple[list[Path], list[str]]) -> None:
    waves = [audio.read(file)[0] for file in fresh[0]]
    np.testing.assert_allclose(trained.predict(waves)[1], trained.predict(fresh[0])[1], atol=1e-6)


def test_a_file_is_heard_as_far_as_it_is_needed(trained: Classifier, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 20 * RATE)
    soundfile.write(tmp_path / "long.flac", noise, RATE)
    whole = (tmp_path / "long.flac").read_bytes()
    (tmp_path / "damaged.flac").write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    files = [tmp_path / "long.flac", tmp_path / "damaged.flac"]
    first, second = trained.predict(files)[1]
    np.testing.assert_array_equal(first, second)


def test_same_seed_same_classifier_and_another_seed_another(
    trained: Classifier, sounds: tuple[list[Path], list[str]], fresh: tuple[list[Path], list[str]]
) -> None:
    expected = trained.predict(fresh[0])[1]
    again = train_classifier(*sounds, seed=3, epochs=EPOCHS, threads=1)
    np.testing.assert_array_equal(again.predict(fresh[0])[1], expected)
    other = train_classifier(*sounds, seed=4, epochs=1, threads=1)
    one = train_classifier(*sounds, seed=3, epochs=1, threads=1)
    assert not np.array_equal(other.predict(fresh[0])[1], one.predict(fresh[0])[1])


def test_training_leaves_the_random_state_and_threads_of_the_caller(sounds: tuple[list[Path], list[str]]) -> None:
    import torch

    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train_classifier(*sounds, epochs=1, threads=threads + 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_a_saved_classifier_predicts_exactly_the_same(
    trained: Classifier, fresh: tuple[list[Path], list[str]], tmp_path: Path
) -> None:
    loaded = Classifier.load(trained.save(tmp_path / "new" / "folder"))
    np.testing.assert_array_equal(loaded.predict(fresh[0])[1], trained.predict(fresh[0])[1])
    assert (loaded.labels, loaded.view, loaded.training) == (trained.labels, trained.view, trained.training)
    names = sorted(f.name for f in (tmp_path / "new" / "folder").iterdir())
    assert names == ["classifier.json", "classifier.safetensors"]


@pytest.mark.parametrize("damaged", ["classifier.json", "classifier.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\x00" * 64])
def test_a_damaged_folder_is_refused_by_name(
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
def test_few_sounds_are_heard_more_often(files: int, epochs: int) -> None:
    assert usual_epochs(files) == epochs


def test_refuses_what_cannot_be_learnt(trained: Classifier, sounds: tuple[list[Path], list[str]]) -> None:
    with pytest.raises(DataError, match="two labels"):
        train_classifier(sounds[0], ["kick"] * len(sounds[0]))
    with pytest.raises(DataError, match="48 files but 1 labels"):
        train_classifier(sounds[0], ["kick"])
    with pytest.raises(DataError, match="one epoch"):
        train_classifier(*sounds, epochs=0)
    with pytest.raises(DataError, match="no sounds"):
        trained.predict([])
