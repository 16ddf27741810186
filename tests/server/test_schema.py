"""The server against its own OpenAPI document: whatever that allows is answered as it says."""

from __future__ import annotations

import json
import warnings

import pytest
from hypothesis import HealthCheck, given, settings

from .conftest import Server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from schemathesis.specs.openapi.checks import positive_data_acceptance

OPERATIONS = ("POST /v1/predict", "GET /v1/models", "GET /health", "GET /ready", "GET /metrics")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_answer_is_as_the_document_says(server: Server, operation: str) -> None:
    method, path = operation.split()
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    cases = schema[path][method].as_strategy()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(cases)
    def ask(case) -> None:
        case.call_and_validate(excluded_checks=[positive_data_acceptance])  # no schema says which bytes are a picture

    ask()


def test_the_document_names_all_that_is_asked(server: Server) -> None:
    document = server.ask("GET", "/openapi.json").json
    assert list(document["paths"]) == [operation.split()[1] for operation in OPERATIONS]
    predict = document["paths"]["/v1/predict"]["post"]
    assert list(predict["requestBody"]["content"]) == [
        "multipart/form-data", "image/*", "application/octet-stream", "application/json",
    ]  # fmt: skip
    assert {one["name"] for one in predict["parameters"]} == {"model", "top_k", "min_confidence", "tta"}
    assert "example" in predict["responses"]["200"]["content"]["application/json"]
    example = predict["requestBody"]["content"]["application/json"]["examples"]["one"]["value"]
    assert server.ask("POST", "/v1/predict", json.dumps(example), content_type="application/json").status == 200
