"""Errors for the user; each message names the problem, the file or value, and the way out."""

from __future__ import annotations

import operator


class SoundGANError(Exception):
    """Base of all errors for the user; the command line prints it on one line and exits with status 2."""


class SettingsError(SoundGANError):
    """A settings file or a setting is wrong."""


class AudioError(SoundGANError):
    """A sound file cannot be read or written."""


class DataError(SoundGANError):
    """A folder of sounds cannot be trained on."""


class ModelError(SoundGANError):
    """A model folder is missing or damaged, or does not support the request."""


class TrainingError(SoundGANError):
    """Training cannot start or had to stop."""


class ServerError(SoundGANError):
    """A server cannot be started."""


def check_integer(name: str, value: object, allowed: range, error: type[SoundGANError]) -> int:
    """Return an integer of Python or NumPy as an int; raise `error` if it is none, or out of range."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number not in allowed:
        raise error(f"{name} = {value!r}: must be an integer from {allowed[0]} to {allowed[-1]}")
    return number


def one_line(error: SoundGANError | OSError) -> str:
    """Return the message of an error as printable text of one line; that of an `OSError` names its file."""
    message = " ".join(str(error).split("\n"))
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.filename or 'a file'}: {error.strerror}; check the path, its permissions and the free space"
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in message)
