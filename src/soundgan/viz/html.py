"""Pages and model cards from the Jinja2 templates in `viz/templates`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, /, **context: object) -> str:
    """Render a template with the given variables; the page needs no other file for its style.

    Args:
        template: file name in `viz/templates`, such as "training_report.html.j2".
        context: variables of the template. In HTML, strings are escaped, `markupsafe.Markup` is
            inserted unchanged.

    Raises:
        jinja2.UndefinedError: a variable of the template is missing.
    """
    return _environment().get_template(template).render(context)


def page(title: str, parts: Iterable[str], script: str = "") -> str:
    """A whole page of parts, which are HTML already; empty ones are left out. It needs no other file for its look."""
    style = (Path(__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")
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


@cache
def _environment() -> Environment:
    # Imported here: generating sounds needs no templates, and starts without them.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("soundgan.viz"),
        autoescape=lambda name: name is None or ".html" in name,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = _plain
    return environment


def _plain(value: object) -> str:
    """Text of a value of a setting or condition."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
