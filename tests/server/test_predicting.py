"""The API's answers: the same as everywhere, in every way of asking."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart.inference import Classifier, Prediction

from .conftest import Server, multipart


@pytest.fixture(scope="module")
def classifier(run_folder: Path) -> Classifier:
    return Classifier.load(run_folder)


def odd_pictures() -> list[bytes]:
    """Modes, formats, sizes and orientations that a decoder may take differently."""
    made = []
    draw = np.random.default_rng(0)
    for number, (mode, kind) in enumerate(
        word.split()
        for word in (
            "RGB JPEG, L JPEG, CMYK JPEG, RGB PNG, RGBA PNG, LA PNG, P PNG, 1 PNG, I;16 PNG, "
            "P GIF, RGB WEBP, RGBA WEBP, RGB BMP, RGB TIFF, L PPM"
        ).split(", ")
    ):
        size = tuple(int(side) for side in draw.integers(1, 900, 2))
        noise = Image.fromarray(draw.integers(0, 256, (7, 9, 3), np.uint8)).resize(size)
        image = Image.fromarray(np.asarray(noise.convert("L")).astype(np.uint16) * 257) if mode == "I;16" else noise.convert(mode)
        exif = Image.Exif()
        exif[0x0112] = number % 8 + 1
        file = BytesIO()
        image.save(file, kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}))
        made.append(file.getvalue())
    return made


def differences(rows: list[dict], predictions: list[Prediction]) -> list[float]:
    return [
        abs(row["probabilities"][name] - share)
        for row, one in zip(rows, predictions, strict=True)
        for name, share in one.probabilities.items()
    ]


def test_http_answers_what_python_does(server: Server, classifier: Classifier, contents: list[bytes]) -> None:
    wanted = contents[:20] + odd_pictures()
    predictions = list(classifier.predict_many(wanted))
    assert not [one.error for one in predictions if one.error]
    alone = [server.predict(content).json["results"][0] for content in wanted]
    body, kind = multipart([(f"{number}.x", content) for number, content in enumerate(wanted)])
    together = server.ask("POST", "/v1/predict", body, content_type=kind).json["results"]
    encoded = json.dumps({"images": [base64.b64encode(content).decode() for content in wanted]})
    as_json = server.ask("POST", "/v1/predict", encoded, content_type="application/json").json["results"]
    for rows in (alone, together, as_json):
        assert max(differences(rows, predictions)) <= 1e-6
        assert [row["label"] for row in rows] == [one.label for one in predictions]
        assert [row["unknown"] for row in rows] == [one.unknown for one in predictions]
    assert [row["name"] for row in together] == [f"{number}.x" for number in range(len(wanted))]


def test_views_are_averaged_as_in_python(server: Server, classifier: Classifier, contents: list[bytes]) -> None:
    predictions = list(classifier.predict_many(contents[:3], tta=True))
    rows = [server.predict(content, "?tta=true").json["results"][0] for content in contents[:3]]
    assert max(differences(rows, predictions)) <= 1e-6


def test_an_answer_says_who_gave_it(server: Server, run_folder: Path, contents: list[bytes]) -> None:
    reply = server.predict(contents[0], x_request_id="abc-1")
    assert reply.status == 200
    assert list(reply.json) == ["model", "version", "results", "seconds", "request_id"]
    manifest = json.loads((run_folder / "bundle" / "manifest.json").read_text())
    assert reply.json["model"] == "shapes"
    assert manifest["files"]["model.onnx"].startswith(reply.json["version"])
    assert reply.json["request_id"] == reply.headers["x-request-id"] == "abc-1"
    assert server.predict(contents[0], x_request_id="a b\t").headers["x-request-id"] != "a b\t"


@pytest.mark.parametrize("way", ["query", "form", "json"])
def test_options_stand_in_the_query_or_in_the_body(
    server: Server, classifier: Classifier, contents: list[bytes], way: str
) -> None:
    probability, picture = min((classifier.predict(content).probability, content) for content in contents)
    assert probability < 1
    if way == "query":
        reply = server.predict(picture, "?top_k=1&min_confidence=1&model=shapes")
    elif way == "form":
        body, kind = multipart([("a.png", picture)], {"top_k": "1", "min_confidence": "1", "model": "shapes"})
        reply = server.ask("POST", "/v1/predict?top_k=3", body, content_type=kind)
    else:
        data = base64.encodebytes(picture).decode()  # in lines
        asked = {"images": [{"data": data, "name": "a.png"}], "top_k": 1, "min_confidence": 1}
        reply = server.ask("POST", "/v1/predict", json.dumps(asked), content_type="application/json")
    [row] = reply.json["results"]
    assert reply.status == 200
    assert list(row["probabilities"].values()) == [row["probability"]]
    assert (row["label"], row["labels"]) == (None, [])  # nothing is that sure
    assert row["name"] == ("" if way == "query" else "a.png")


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("?top_k=0", 422, "top_k: Input should be greater than or equal to 1"),
        ("?min_confidence=2", 422, "min_confidence: Input should be less than or equal to 1"),
        ("?tta=perhaps", 422, "tta: Input should be a valid boolean, unable to interpret input"),
        ("?model=shaped", 404, "unknown model 'shaped'; did you mean 'shapes'?"),
        ("?topk=1", 422, "unknown option 'topk'; did you mean 'top_k'?"),
    ],
)
def test_wrong_options_are_named(server: Server, contents: list[bytes], query: str, status: int, text: str) -> None:
    reply = server.predict(contents[0], query)
    assert (reply.status, reply.json["error"]["text"]) == (status, text)


def test_a_wrong_option_of_a_form_suggests_the_nearest(server: Server, contents: list[bytes]) -> None:
    body, kind = multipart([("a.png", contents[0])], {"topk": "1"})
    reply = server.ask("POST", "/v1/predict", body, content_type=kind)
    assert (reply.status, reply.json["error"]["text"]) == (422, "unknown option 'topk'; did you mean 'top_k'?")


def test_what_is_served_is_told(server: Server) -> None:
    [model] = server.ask("GET", "/v1/models").json["models"]
    assert (model["name"], model["classes"], model["side_px"]) == ("shapes", ["circle", "square", "triangle"], 96)
    assert server.ask("GET", "/health").json == {"state": "alive"}
    assert server.ask("GET", "/ready").json == {"state": "ready"}
    assert server.ask("GET", "/nothing").json["error"]["text"] == "Not Found"
    assert server.ask("GET", "/v1/predict").headers["allow"] == "POST"


def test_it_counts_and_logs_without_pictures(server: Server, contents: list[bytes]) -> None:
    def count(name: str) -> float:
        lines = server.ask("GET", "/metrics").body.decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    names = (
        'tellapart_requests_total{route="/v1/predict",status="200"}', 'tellapart_pictures_total{outcome="unreadable"}',
        "tellapart_request_seconds_count", "tellapart_batch_pictures_sum",
    )  # fmt: skip
    before = [count(name) for name in names]
    body, kind = multipart([("secret-name.png", contents[0]), ("bad", b"text"), ("other.png", contents[1])])
    server.ask("POST", "/v1/predict", body, content_type=kind, x_request_id="counted")
    assert [count(name) - old for name, old in zip(names, before, strict=True)] == [1, 1, 1, 2]
    assert count("tellapart_queue_") == 0
    assert count("tellapart_model_info") == 1
    [line] = [line for line in server.logs() if line.get("id") == "counted"]
    assert (line["event"], line["route"], line["status"], line["pictures"]) == ("request", "/v1/predict", 200, 3)
    assert "secret-name" not in server.log_file.read_text()


def test_every_answer_has_the_headers_of_safety(server: Server) -> None:
    for path in ("/", "/v1/models", "/nothing"):
        headers = server.ask("GET", path, origin="http://elsewhere.example").headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers
        assert not [name for name in headers if name.startswith("access-control")]
    assert server.ask("POST", "/v1/predict", b"", sec_fetch_site="cross-site").status == 403


def test_no_torch_is_in_the_process(server: Server) -> None:
    libraries = Path(f"/proc/{server.process.pid}/maps")
    if not libraries.exists():
        pytest.skip("only Linux tells what a process has loaded")
    assert "libtorch" not in libraries.read_text()
