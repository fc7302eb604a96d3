"""Pages and model cards from the Jinja2 templates in `viz/templates`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, /, **context: object) -> str:
    """Render a template with the given variables; in a page, the style sheet is inlined.

    Args:
        template: file name in `viz/templates`, such as "training_report.html.j2".
        context: variables of the template. In HTML, strings are escaped, `markupsafe.Markup` is inserted unchanged.

    Raises:
        jinja2.UndefinedError: a variable of the template is missing.
    """
    return _environment().get_template(template).render(context)


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
