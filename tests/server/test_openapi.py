"""OpenAPI document: the responses of the server are those that it describes, checked by schemathesis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_clients import assert_problem

pytest.importorskip("fastapi", reason="the server needs the extra `serve`")

import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from soundgan.model import SoundGAN
from soundgan.server.app import create_app
from soundgan.server.schemas import SoundsRequest, SoundsResponse
from soundgan.server.settings import ServerSettings

# All checks of schemathesis, and all its sources of requests: examples, the limits of the schema and beyond, random
# requests, and sequences of them; deterministic.
CONFIG = {
    "seed": 1,
    "continue-on-failure": True,
    "generation": {"deterministic": True, "max-examples": 15},
    "phases": {"stateful": {"generation": {"max-examples": 5}}},
}


def document_with_labels(app: FastAPI, model: SoundGAN) -> dict[str, Any]:
    """Return the OpenAPI document of a server with a single model, with its labels as the only valid ones."""
    document = app.openapi()
    body = document["components"]["schemas"]["SoundsRequest"]["properties"]["label"]
    (query,) = (parameter for parameter in parameters(document) if parameter["name"] == "label")
    for schema in (body, query["schema"]):
        schema["anyOf"] = [{"enum": list(model.labels)}, *(kind for kind in schema["anyOf"] if kind["type"] == "null")]
    return document


def parameters(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        for operation in path.values():
            yield from operation.get("parameters", [])


@pytest.mark.parametrize("token", [None, "sesame"])
def test_every_response_conforms_to_the_document(
    token: str | None, model_folder: Path, model: SoundGAN, tmp_path: Path
) -> None:
    limits = ServerSettings.model_validate({"output_folder": tmp_path, "max_sounds_per_request": 4, "token": token})
    app = create_app([model_folder], limits)
    document = document_with_labels(app, model)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    config = SchemathesisConfig.from_dict({**CONFIG, "headers": headers})
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=config)
    requests, failures = 0, set[str]()
    for event in from_schema(schema).execute():
        assert not isinstance(event, events.FatalError | events.NonFatalError), event
        if isinstance(event, events.ScenarioFinished):
            requests += len(event.recorder.interactions)
            for check in (check for checks in event.recorder.checks.values() for check in checks):
                if check.failure_info is not None:
                    failure = check.failure_info
                    failures.add(
                        f"{check.name}: {failure.failure.title}: {failure.failure.message}\n{failure.code_sample}"
                    )
    assert not failures, "\n\n".join(sorted(failures))
    assert requests > 200 and len(document["paths"]) >= 7


def test_document_requires_the_token_exactly_if_there_is_one(model_folder: Path) -> None:
    for token in (None, "sesame"):
        document = create_app([model_folder], ServerSettings.model_validate({"token": token})).openapi()
        operations = {path: operation for path, item in document["paths"].items() for operation in item.values()}
        protected = {path for path, operation in operations.items() if "security" in operation}
        assert protected == {path for path, operation in operations.items() if "401" in operation["responses"]}
        expected = set() if token is None else {path for path in operations if path.startswith(("/v1", "/inf"))}
        assert protected == expected
        assert ("securitySchemes" in document["components"]) == bool(token)


def test_document_has_the_limits_responses_and_examples_of_this_server(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert "HTTPValidationError" not in json.dumps(document)
    assert document["components"]["schemas"]["SoundsRequest"]["properties"]["n"]["maximum"] == 8
    operation = document["paths"]["/v1/models/{model}/sounds"]["post"]
    assert set(operation["responses"]) == {
        "200", "400", "404", "408", "413", "415", "421", "422", "429", "503",
    }  # fmt: skip
    assert set(operation["responses"]["200"]["content"]) == {
        "application/json", "application/zip", "audio/flac", "audio/ogg", "audio/wav",
    }  # fmt: skip
    SoundsResponse.model_validate(operation["responses"]["200"]["content"]["application/json"]["example"])
    for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
        SoundsRequest.model_validate(example["value"])
    assert {"X-Seed", "X-Request-Id"} <= set(operation["responses"]["200"]["headers"])
    for path in ("/docs", "/redoc"):  # their scripts are on the network
        assert_problem(client.get(path), 404)
