"""Names of files from strangers: inside the output folder, or refused."""

from __future__ import annotations

from pathlib import Path

from soundgan.audio import FORMATS
from soundgan.errors import AudioError
from soundgan.files import check_name


def inside(folder: Path, name: str) -> Path:
    """The path of a file of that name in `folder`.

    Raises:
        AudioError: the name is none for a sound, or a folder, or it leads out of `folder`, by `..` or by a link.
    """
    told = f"output_file = {name!r}"
    path, root = Path(name), folder.resolve()
    try:
        for part in path.parts or ("",):
            check_name(part)
    except ValueError:
        raise AudioError(f"{told}: must be the name of a file in the output folder, such as x.wav") from None
    if path.suffix.lower() not in FORMATS:
        raise AudioError(f"{told}: must end in {', '.join(FORMATS)}")
    try:
        target = (root / path).resolve()
        leads_out = not target.is_relative_to(root) or (root / path).is_symlink()
        is_folder = target.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links that lead round in a circle
        raise AudioError(f"{told}: cannot be a file here ({getattr(error, 'strerror', None) or error})") from error
    if leads_out:
        raise AudioError(f"{told}: is a link; use another name")
    if is_folder:
        raise AudioError(f"{told}: is a folder; use another name")
    return root / path
