"""Atomic writes: a file is complete or absent, also after failures and concurrent writes."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundgan.files import atomic_write, write_text


@pytest.mark.parametrize("failure", [ValueError, OSError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_failed_write_keeps_the_older_file_and_no_other(failure: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"older")
    with pytest.raises(failure), atomic_write(path) as temporary:
        temporary.write_bytes(b"partial")
        raise failure
    assert path.read_bytes() == b"older" and os.listdir(tmp_path) == ["a.bin"]


def test_failed_first_write_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "a.bin") as temporary:
        temporary.write_bytes(b"partial")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


def test_atomic_write_publishes_only_complete_files(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with atomic_write(path) as temporary:
        assert temporary.parent == tmp_path, "a rename is atomic only within a folder"
        assert temporary.suffix == ".wav", "libraries choose a format by suffix"
        assert temporary.name.startswith("."), "a folder of sounds must not show it"
        temporary.write_bytes(b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first" and os.listdir(tmp_path) == ["a.wav"]
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"second")
        assert path.read_bytes() == b"first"
    assert path.read_bytes() == b"second" and os.listdir(tmp_path) == ["a.wav"]


def test_disk_error_names_the_file_that_failed(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught, atomic_write(tmp_path / "a.bin"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "a.bin")
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "a.bin"):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")


def test_text_with_a_name_that_is_not_utf8_is_escaped(tmp_path: Path) -> None:
    assert write_text(tmp_path / "a.txt", os.fsdecode(b"\xff.wav")).read_text(encoding="utf-8") == r"\udcff.wav"


def test_error_of_a_read_only_file_system_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *args: object, **options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OSError) as caught:
        write_text(tmp_path / "a.html", "")
    assert caught.value.filename == str(tmp_path / "a.html")


def test_content_is_synced_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (steps.append("sync"), sync(file)))
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append("rename"), rename(*paths)))
    write_text(tmp_path / "a.txt", "a")
    assert steps == ["sync", "rename"]


def test_failed_rename_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_text(tmp_path / "taken", "a")
    assert caught.value.filename == str(tmp_path / "taken"), "people do not know the temporary file"
    assert os.listdir(tmp_path) == ["taken"]


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "none" / "a.txt", "a")


def test_concurrent_writers_leave_one_complete_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    texts = [str(writer) * 50_000 for writer in range(8)]
    write_text(path, texts[0])
    with ThreadPoolExecutor(9) as pool:
        reads = [pool.submit(path.read_text) for _ in range(10)]
        writes = [pool.submit(write_text, path, text) for text in texts * 3]
        reads += [pool.submit(path.read_text) for _ in range(10)]
        assert all(write.result() == path for write in writes)
        assert all(read.result() in texts for read in reads), "a reader saw a file that nobody wrote"
    assert path.read_text() in texts and os.listdir(tmp_path) == ["a.txt"]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
def test_written_text_is_read_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "text.txt"
    assert write_text(path, text) == path and path.read_bytes().decode() == text


@pytest.mark.parametrize("name", ["kick 🥁.wav", "no suffix", ".hidden", "a'b\"c.d.e.json", "é" * 120 + ".txt"])
def test_unusual_file_names_are_kept(name: str, tmp_path: Path) -> None:
    write_text(str(tmp_path / name), "a")
    assert os.listdir(tmp_path) == [name]
