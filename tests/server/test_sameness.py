"""The same picture is answered alike by Python, by the command line and over HTTP, whatever it is; and refused alike."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tellapart.inference import Classifier

from .conftest import Server, multipart
from .odd_pictures import KINDS, odd_pictures

TOGETHER = 8  # pictures of a request
SAID = ("error", "label", "labels", "unknown")


def over_http(server: Server, pictures: dict[str, bytes]) -> dict[str, dict]:
    """The answers by name: every fourth request's worth of pictures goes one by one."""
    names, rows = list(pictures), []
    for start in range(0, len(names), TOGETHER):
        some = [(name, pictures[name]) for name in names[start : start + TOGETHER]]
        for files in [[one] for one in some] if start // TOGETHER % 4 == 0 else [some]:
            body, kind = multipart(files)
            reply = server.ask("POST", "/v1/predict", body, content_type=kind)
            assert reply.status in (200, 422), reply.body
            rows += reply.json["results"]
    return {row.pop("name"): row for row in rows}


@pytest.mark.filterwarnings("ignore:::PIL")  # as for users: here what Pillow warns of would be an error, and a refusal
@pytest.mark.parametrize("n", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_three_ways_one_answer(server: Server, tellapart, run_folder: Path, tmp_path: Path, n: int) -> None:
    pictures = dict(odd_pictures(n))
    folder = tmp_path / "odd"
    folder.mkdir()
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
    predictions = Classifier.load(run_folder).predict_many(pictures.values())
    python = {name: one.to_json() for name, one in zip(pictures, predictions, strict=True)}
    done = tellapart("predict", run_folder, folder, "--json")
    cli = {Path(row["path"]).name: row for row in map(json.loads, done.stdout.splitlines())}
    http = over_http(server, pictures)
    assert python.keys() == cli.keys() == http.keys()
    for name, row in python.items():
        for other in (cli[name], http[name]):
            assert {key: other[key] for key in SAID} == {key: row[key] for key in SAID}, name
            assert other["probabilities"] == pytest.approx(row["probabilities"], abs=1e-6), name
    refused = Counter(row["error"] for row in python.values() if row["error"])
    assert n / 30 < refused.total() <= n / 6, refused


def test_the_odd_pictures_are_pictures() -> None:
    """All but those that are cut or changed."""
    from tellapart.images import open_picture

    for number, (name, content) in enumerate(odd_pictures(4 * len(KINDS))):
        if number % 12 not in (5, 11):
            assert open_picture(content).mode == "RGB", name
