"""Explanations over HTTP: the same as in Python, and no more of the server than they count for."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tellapart.inference import Classifier

from .conftest import Server, Start, multipart


def test_http_explains_as_python_does(server: Server, run_folder: Path, contents: list[bytes]) -> None:
    classifier = Classifier.load(run_folder)
    body, kind = multipart([("a.png", contents[0]), ("notes.txt", b"text"), ("b.png", contents[13])], {"explain": "true"})
    reply = server.ask("POST", "/v1/predict", body, content_type=kind)
    assert reply.status == 200
    first, text, last = reply.json["results"]
    assert "explanation" not in text
    for row, content in ((first, contents[0]), (last, contents[13])):
        told, expected = row["explanation"], classifier.explain(content)
        assert (told["label"], told["rows"], told["columns"]) == (row["label"], 7, 7)
        assert np.abs(np.array(told["drops"]) - expected.drops).max() <= 1.5e-6
        assert told["box"] == list(expected.box)
    assert "explanation" not in server.predict(contents[0]).json["results"][0]


def test_the_answer_that_is_given_is_explained(server: Server, contents: list[bytes]) -> None:
    """With views, that of the mean over them."""
    [row] = server.predict(contents[0], "?explain=1&tta=1").json["results"]
    assert row["explanation"]["probability"] == row["probability"]
    [plain] = server.predict(contents[0], "?explain=1").json["results"]
    assert row["explanation"]["drops"] != plain["explanation"]["drops"]


def test_an_explanation_counts_as_its_predictions(start: Start, run_folder: Path, contents: list[bytes]) -> None:
    with start(run_folder, "--queue", "100", "--max-pictures", "64") as server:
        body, kind = multipart([("a.png", content) for content in contents[:3]])
        reply = server.ask("POST", "/v1/predict?explain=1", body, content_type=kind)
        assert (reply.status, reply.json["error"]["kind"]) == (413, "too_many_parts")
        assert reply.json["error"]["text"] == (
            "to explain 3 pictures takes 150 predictions, and at most 100 are made at a time; send fewer, or without 'explain'"
        )
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: server.predict(contents[0], "?explain=1"), range(16)))
        assert {reply.status for reply in replies} == {200, 429}
        assert server.ask("GET", "/metrics").body.count(b"tellapart_queue_pictures 0") == 1


def test_others_are_answered_while_much_is_explained(start: Start, run_folder: Path, contents: list[bytes]) -> None:
    """In turn: a picture waits for a few of an explanation's predictions, not for all of those that were asked before it."""
    many, kind = multipart([("a.png", content) for content in contents[:4]])
    with start(run_folder) as server, ThreadPoolExecutor(2) as pool:
        order: list[str] = []

        def ask(name: str, path: str, body: bytes, content_type: str) -> int:
            status = server.ask("POST", path, body, content_type=content_type).status
            order.append(name)
            return status

        explained = pool.submit(ask, "explained", "/v1/predict?explain=1", many, kind)
        while b"tellapart_queue_pictures 200" not in server.ask("GET", "/metrics").body:
            assert not explained.done()
        assert ask("alone", "/v1/predict", contents[5], "image/png") == 200
        assert explained.result() == 200
    assert order == ["alone", "explained"]


def test_json_asks_for_it_too(server: Server) -> None:
    document = server.ask("GET", "/openapi.json").json
    examples = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    reply = server.ask("POST", "/v1/predict", json.dumps(examples["explained"]["value"]), content_type="application/json")
    assert len(reply.json["results"][0]["explanation"]["drops"]) == 7
