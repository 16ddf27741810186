"""The server against its own OpenAPI document: whatever that allows is answered as it says."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from .conftest import Server, serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from schemathesis.specs.openapi.checks import positive_data_acceptance

OPERATIONS = ("POST /v1/predict", "GET /v1/models", "GET /health", "GET /ready", "GET /metrics")


@pytest.fixture(scope="module")
def keyed(command: list[str], run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that lets in the key "open"."""
    folder = tmp_path_factory.mktemp("keyed")
    (folder / "keys").write_text(f"me {hashlib.sha256(b'open').hexdigest()}\n")
    with serving(command, folder, run_folder, "--api-keys", folder / "keys") as started:
        yield started


def ask_all(server: Server, operation: str, headers: dict[str, str] | None = None) -> None:
    """Ask what the document allows, and check the answers against it."""
    method, path = operation.split()
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    cases = schema[path][method].as_strategy()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(cases)
    def ask(case) -> None:
        # No schema says which bytes are a picture.
        case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])

    ask()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_answer_is_as_the_document_says(server: Server, operation: str) -> None:
    ask_all(server, operation)


def test_the_document_names_all_that_is_asked(server: Server) -> None:
    document = server.ask("GET", "/openapi.json").json
    assert list(document["paths"]) == [operation.split()[1] for operation in OPERATIONS]
    predict = document["paths"]["/v1/predict"]["post"]
    assert list(predict["requestBody"]["content"]) == [
        "multipart/form-data", "image/*", "application/octet-stream", "application/json",
    ]  # fmt: skip
    assert {one["name"] for one in predict["parameters"]} == {"model", "top_k", "min_confidence", "tta", "explain"}
    assert "example" in predict["responses"]["200"]["content"]["application/json"]
    content = predict["requestBody"]["content"]
    for example in content["application/json"]["examples"].values():
        assert server.ask("POST", "/v1/predict", json.dumps(example["value"]), content_type="application/json").status == 200
    assert all("curl" in content[kind]["examples"] for kind in content if kind != "application/json")
    assert "security" not in json.dumps(document)


def test_the_document_says_how_a_key_is_sent(keyed: Server) -> None:
    document = keyed.ask("GET", "/openapi.json").json
    schemes = document["components"]["securitySchemes"]
    assert schemes == {
        "HTTPBearer": {"type": "http", "scheme": "bearer"},
        "APIKeyHeader": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for operation in OPERATIONS:
        method, path = operation.split()
        needed = document["paths"][path][method.lower()].get("security")
        assert needed == (None if path in ("/health", "/ready") else [{"HTTPBearer": []}, {"APIKeyHeader": []}])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_with_keys_every_answer_is_as_the_document_says(keyed: Server, operation: str) -> None:
    ask_all(keyed, operation, headers={"Authorization": "Bearer open"})
