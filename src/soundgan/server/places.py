"""Names of files from strangers: inside the output folder, or refused."""

from __future__ import annotations

from pathlib import Path

from soundgan.errors import AudioError


def inside(folder: Path, name: str) -> Path:
    """The path of a file of that name in `folder`.

    Raises:
        AudioError: the name is empty, absolute or a folder, or it leads out of `folder`, by `..` or by a link.
    """
    told = f"output_file = {name!r}"
    if not name or "\0" in name:
        raise AudioError(f"{told}: must be the name of a file, such as x.wav")
    path, root = Path(name), folder.resolve()
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise AudioError(f"{told}: must stay inside the output folder; use a plain name, such as x.wav")
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
