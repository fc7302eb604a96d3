"""Resolution of untrusted file names: inside the output folder, or refused."""

from __future__ import annotations

from pathlib import Path

from soundgan.audio import FORMATS
from soundgan.errors import AudioError
from soundgan.files import check_name


def resolve_within(folder: Path, name: str) -> Path:
    """Return the path of a sound file in `folder`.

    Raises:
        AudioError: the name is not that of a sound file, is a folder or in a missing one, or leads out of `folder` by
            `..` or a link.
    """
    subject = f"output_file = {name!r}"
    path, root = Path(name), folder.resolve()
    try:
        for part in path.parts or ("",):
            check_name(part)
    except ValueError:
        raise AudioError(f"{subject}: must be the name of a file in the output folder, such as x.wav") from None
    if path.suffix.lower() not in FORMATS:
        raise AudioError(f"{subject}: must end in {', '.join(FORMATS)}")
    try:
        target = (root / path).resolve()
        leads_out = not target.is_relative_to(root) or (root / path).is_symlink()
        is_folder = target.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: circular links
        reason = getattr(error, "strerror", None) or "circular links"
        raise AudioError(f"{subject}: cannot be a file in the output folder ({reason})") from error
    if leads_out:
        raise AudioError(f"{subject}: is a link; use another name")
    if is_folder:
        raise AudioError(f"{subject}: is a folder; use another name")
    if not target.parent.is_dir():
        raise AudioError(f"{subject}: its folder does not exist in the output folder; use another name")
    return root / path
