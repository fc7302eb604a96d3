"""The API is what its description says: requests that fit it and requests that do not, made from it by schemathesis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

import schemathesis
from fastapi import FastAPI
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from soundgan.model import SoundGAN
from soundgan.server.app import create_app
from soundgan.server.settings import ServerSettings

# All checks that it has, and all of its ways to make requests: the examples, every limit of the description and what
# lies beyond it, random ones, and chains of requests. The same ones every time.
EVERYTHING = {
    "seed": 1,
    "continue-on-failure": True,
    "generation": {"deterministic": True, "max-examples": 15},
    "phases": {"stateful": {"generation": {"max-examples": 5}}},
}


def described(app: FastAPI, model: SoundGAN) -> dict[str, Any]:
    """The description, which a server with one model completes: its labels are all there are to ask for."""
    document = app.openapi()
    asked = document["components"]["schemas"]["SoundsRequest"]["properties"]["label"]
    (drawn,) = (one for one in parameters(document) if one["name"] == "label")
    for schema in (asked, drawn["schema"]):
        schema["anyOf"] = [{"enum": list(model.labels)}, *(one for one in schema["anyOf"] if one["type"] == "null")]
    return document


def parameters(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        for operation in path.values():
            yield from operation.get("parameters", [])


@pytest.mark.parametrize("token", [None, "sesame"])
def test_every_answer_is_one_of_those_described(
    token: str | None, model_folder: Path, model: SoundGAN, tmp_path: Path
) -> None:
    limits = ServerSettings.model_validate({"output_folder": tmp_path, "most_sounds": 4, "token": token})
    app = create_app([model_folder], limits)
    document = described(app, model)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    config = SchemathesisConfig.from_dict({**EVERYTHING, "headers": headers})
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=config)
    asked, failures = 0, set[str]()
    for event in from_schema(schema).execute():
        assert not isinstance(event, events.FatalError | events.NonFatalError), event
        if isinstance(event, events.ScenarioFinished):
            asked += len(event.recorder.interactions)
            for check in (check for checks in event.recorder.checks.values() for check in checks):
                if check.failure_info is not None:
                    failure = check.failure_info
                    failures.add(
                        f"{check.name}: {failure.failure.title}: {failure.failure.message}\n{failure.code_sample}"
                    )
    assert not failures, "\n\n".join(sorted(failures))
    assert asked > 200 and len(document["paths"]) >= 7
