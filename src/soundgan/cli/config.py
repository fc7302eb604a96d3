"""`soundgan config`: list the settings, print their JSON Schema, or check a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def config(
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of gan_config.json.")] = False,
    check: Annotated[Path | None, typer.Option(help="Check a settings file; exit status 2 on an error.")] = None,
) -> None:
    """List all settings with their meaning, unit and default."""
    from soundgan.settings import IGNORED, SECTIONS, Settings, load_settings

    if check is not None:
        load_settings(check)
        for name in IGNORED.keys() & json.loads(check.read_text(encoding="utf-8-sig")).keys():
            typer.echo(f"{check}: {name} has no effect: {IGNORED[name]}")
        typer.echo(f"{check}: valid")
    elif schema:
        typer.echo(json.dumps(Settings.model_json_schema(), indent=2))
    else:
        for section, fields in SECTIONS.items():
            typer.echo(f"{section}: {(fields.__doc__ or '').splitlines()[0]}\n")
            properties = fields.model_json_schema()["properties"]
            for name, field in fields.model_fields.items():
                default = json.dumps(properties[name]["default"])
                typer.echo(f"  {name} = {default}{_choice(properties[name])}\n      {field.description}")
            typer.echo()


def _choice(schema: dict[str, Any]) -> str:
    """Return the alternatives to the default, for a setting with a few values."""
    choices = [value for part in (schema, *schema.get("anyOf", ())) for value in part.get("enum", ())]
    others = ", ".join(json.dumps(value) for value in choices if value != schema.get("default"))
    return f"   (or {others})" if choices else ""
