"""What the pages of SoundGAN share: their frame and style, tiles of figures, and lists of conditions."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path


def page(title: str, parts: Iterable[str], script: str = "") -> str:
    """A whole page of parts, which are HTML already; empty ones are left out. It needs no other file for its look."""
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    body = "\n".join(part for part in parts if part)
    body += f"\n<script>{script}</script>" if script else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def tiles(shown: Iterable[tuple[str, str, str]]) -> str:
    """What a reader in a hurry wants to know: title, value and a remark of each."""
    told = "".join(
        f'<div class="tile"><span>{escape(title)}</span><b>{escape(value)}</b><span>{escape(remark)}</span></div>'
        for title, value, remark in shown
    )
    return f'<div class="tiles">{told}</div>'


def notes(texts: Iterable[str]) -> str:
    """What a reader should know, as a list; nothing for none."""
    told = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="notes">{told}</ul>' if told else ""


def conditions(rows: Iterable[tuple[str, object]]) -> str:
    """Names and values of any kind as a list."""
    told = "".join(f"<dt>{escape(name)}</dt><dd>{escape(_plain(value))}</dd>" for name, value in rows)
    return f"<dl>{told}</dl>"


def _plain(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, dict):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
