"""The errors that SoundGAN raises on purpose; each message says what is wrong, where, and the way out."""

from __future__ import annotations


class SoundGANError(Exception):
    """Base of every error that is meant for the user; the command line prints it on one line and exits with 2."""


class SettingsError(SoundGANError):
    """A settings file or a setting is wrong."""


class AudioError(SoundGANError):
    """A sound file cannot be read or written."""


class DataError(SoundGANError):
    """A folder of sounds cannot be trained on."""


class ModelError(SoundGANError):
    """A model folder is missing, damaged, or asked for something that it cannot do."""


class TrainingError(SoundGANError):
    """Training cannot start or had to stop."""


class ServerError(SoundGANError):
    """A server cannot be started."""


def one_line(error: SoundGANError | OSError) -> str:
    """The message of an error on one line, as the faces print it; a full or unwritable disk is told by its file."""
    if isinstance(error, OSError) and error.strerror:
        return (
            f"{error.filename or 'a file'}: {error.strerror}; check that the place exists, may be written and has room"
        )
    return " ".join(str(error).split("\n"))
