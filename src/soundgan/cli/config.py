"""`soundgan config`: the settings explained, as a JSON Schema, or checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def config(
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of gan_config.json.")] = False,
    check: Annotated[Path | None, typer.Option(help="Check a settings file; exit status 2 if it is wrong.")] = None,
) -> None:
    """List all settings with their meaning, unit and default."""
    import json

    from soundgan.settings import Settings, load_settings, settings_schema

    if check is not None:
        load_settings(check)
        typer.echo(f"{check}: good")
    elif schema:
        typer.echo(json.dumps(settings_schema(), indent=2))
    else:
        for name, field in Settings.model_fields.items():
            typer.echo(f"{name} = {json.dumps(field.default)}\n    {field.description}")
