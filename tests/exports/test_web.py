"""The page that needs no server: its files, and its answers in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tellapart import pages
from tellapart.errors import CallError
from tellapart.exports import export_web
from tellapart.exports.web import OWN, SERVED, page_html
from tellapart.images import Fit
from tellapart.images.samples import draw_sample
from tellapart.inference import Classifier
from tellapart.runs import train
from tellapart.training import Recipe

OWN_URLS = ("blob:", "data:")
# In place of onnxruntime-web: keeps the pixels that a network would be given.
STAND_IN = """window.ort = {
  env: { wasm: {} },
  Tensor: class { constructor(type, data, shape) { Object.assign(this, { type, data, shape }); } },
  InferenceSession: { create: async () => ({ run: async ({ pixels }) => {
    window.given = { type: pixels.type, shape: pixels.shape, data: [...pixels.data] };
    return { probabilities: { data: [0.1, 0.7, 0.2] }, familiarity: { data: [1] } };
  } }) },
};"""
HOLD = (
    """() => document.body.append(Object.assign(document.createElement("input"), { type: "file", id: "held", multiple: true }))"""
)
ASK = """async () => {
  const form = new FormData();
  for (const file of document.getElementById("held").files) form.append("file", file, file.name);
  const response = await fetch("v1/predict", { method: "POST", body: form });
  return response.json();
}"""


@pytest.fixture(scope="module")
def folder(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("web") / "page"
    export_web(run_folder, out)
    return out


def test_the_folder_holds_the_served_page_and_a_network(run_folder: Path, tmp_path: Path) -> None:
    facts = export_web(run_folder, tmp_path / "page")
    assert facts["files"] == sorted(one.name for one in (tmp_path / "page").iterdir())
    assert facts["n_pictures"] > 0
    assert facts["difference"] < 0.05
    assert (tmp_path / "page" / "page.js").read_bytes() == (SERVED / "page.js").read_bytes()
    style = (tmp_path / "page" / "page.css").read_text()
    assert (pages.SHARED / "base.css").read_text() in style
    told = json.loads((tmp_path / "page" / "model.json").read_text())
    assert told["classes"] == ["circle", "square", "triangle"]
    assert told["name"] == "run"
    assert told["fit"] == {"side_px": 96, "mode": "crop", "crop_frac": 0.875}


def test_the_page_loads_nothing_from_elsewhere() -> None:
    html = page_html()
    assert re.findall(r'(?:src|href)="(?!data:)([^"]*)"', html) == ["page.css", "ort/ort.wasm.min.js", "local.js", "page.js"]
    assert "Pictures do not leave this device." in html
    assert "curl" not in html
    assert "http" not in "".join(file.read_text() for file in OWN.iterdir())


def test_what_npm_is_told_is_json(folder: Path) -> None:
    told = json.loads((folder / "package.json").read_text())
    assert list(told["dependencies"]) == ["onnxruntime-web"]
    assert told["scripts"]["build"] == "node build.mjs"
    assert (folder / "build.mjs").is_file()


@pytest.mark.slow
def test_other_channels_than_a_browser_reads_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    source = tmp_path / "bands.npz"
    np.savez(source, x=generator.integers(0, 256, (24, 24, 24, 5), np.uint8), y=np.array(["a", "b"] * 12))
    train(source, Recipe(arch="compact", epochs=1, batch=16), out=tmp_path / "run")
    with pytest.raises(CallError, match="browsers read red, green and blue, and this classifier takes 5 channels"):
        export_web(tmp_path / "run", tmp_path / "page")
    assert not (tmp_path / "page").exists()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def handed_out(root: Path) -> Iterator[str]:
    """The address of a server of the files in a folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def bare(folder: Path) -> Iterator[str]:
    """The folder as it is written, without onnxruntime-web."""
    with handed_out(folder) as address:
        yield address


@pytest.fixture(scope="module")
def built(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The folder with onnxruntime-web in it."""
    parts = os.environ.get("TELLAPART_ORT_WEB")
    if not parts:
        pytest.skip("onnxruntime-web is not at hand: npm pack onnxruntime-web, unpack it, TELLAPART_ORT_WEB=.../package/dist")
    root = Path(shutil.copytree(folder, tmp_path_factory.mktemp("built") / "page"))
    names = re.search(r"PARTS = (\[.*?\])", (root / "build.mjs").read_text())
    assert names
    (root / "ort").mkdir()
    for name in json.loads(names[1]):
        shutil.copy(Path(parts) / name, root / "ort" / name)
    with handed_out(root) as address:
        yield address


@pytest.fixture
def page(browser: Any, built: str) -> Iterator[Any]:
    """The page, open on a phone; it may complain of nothing, and ask no other server."""
    problems: list[str] = []
    opened = browser.new_page(viewport={"width": 390, "height": 844})
    opened.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda request: problems.append(request.url) if not request.url.startswith((*OWN_URLS, built)) else None)
    opened.goto(built)
    opened.locator("#classes:not(:empty)").wait_for()
    yield opened
    opened.close()
    assert problems == []


@pytest.fixture(scope="module")
def odd_pictures(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A large photograph-like JPEG, one turned by EXIF, a transparent PNG, a grey one, and a narrow one."""
    root = tmp_path_factory.mktemp("odd")
    shapes = sorted(draw_sample("shapes", root / "large", n_per_class=2, side_px=900, faults=False).root.glob("*/*"))
    large, turned = (Image.open(path).convert("RGB") for path in shapes[:2])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    large.save(root / "large.jpg", quality=90)
    turned.crop((0, 0, 700, 300)).save(root / "turned.jpg", exif=exif, quality=95)
    clear = turned.resize((160, 120)).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    clear.save(root / "clear.png")
    turned.resize((97, 131)).convert("L").save(root / "grey.png")
    turned.resize((300, 20)).save(root / "narrow.png")
    return [str(root / name) for name in ("large.jpg", "turned.jpg", "clear.png", "grey.png", "narrow.png")]


@pytest.mark.browser
@pytest.mark.slow
def test_the_browser_answers_as_python_does(page: Any, run_folder: Path, pictures: list[str], odd_pictures: list[str]) -> None:
    """To a hundredth: browsers differ from Pillow in the last bits of a JPEG, and of what is half transparent."""
    paths = [*pictures[:3], *odd_pictures]
    page.evaluate(HOLD)
    page.locator("#held").set_input_files(paths)
    rows = page.evaluate(ASK)["results"]
    expected = list(Classifier.load(run_folder, library="onnxruntime").predict_many(paths))
    for row, one in zip(rows, expected, strict=True):
        assert row["error"] is None
        found = [row["probabilities"][name] for name in one.probabilities]
        np.testing.assert_allclose(found, list(one.probabilities.values()), atol=0.01, err_msg=one.path)
        assert (row["label"], row["labels"]) == (one.label, list(one.labels))
    assert [row["unknown"] for row in rows[:3]] == [one.unknown for one in expected[:3]]


@pytest.mark.browser
@pytest.mark.slow
def test_a_person_chooses_pictures(page: Any, pictures: list[str], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    page.locator("#files").set_input_files([pictures[0], str(tmp_path / "notes.txt")])
    page.get_by_text("2 pictures answered.").wait_for()
    page.get_by_text("Not read: this browser cannot read it").wait_for()
    card = page.locator(".card", has_text=Path(pictures[0]).name)
    assert card.locator(".label").text_content() in ("circle", "square", "triangle")
    assert card.locator(".bars").first.locator("li").count() == 3


@pytest.mark.browser
@pytest.mark.parametrize("mode", ["crop", "pad", "squish"])
def test_a_picture_is_fitted_as_in_python(browser: Any, bare: str, odd_pictures: list[str], mode: str) -> None:
    """To a level or two of 255, for pictures that no decoder reads in its own way."""
    fit = Fit(side_px=96, mode=mode)
    page = browser.new_page()
    told = {"name": "x", "classes": ["a", "b", "c"], "fit": fit.to_json(), "unknown_below": 0.5, "thresholds": None}
    page.route("**/model.json", lambda route: route.fulfill(json=told))
    page.route("**/ort.wasm.min.js", lambda route: route.fulfill(body=STAND_IN, content_type="text/javascript"))
    page.goto(bare)
    page.evaluate(HOLD)
    for path in (path for path in odd_pictures if path.endswith(".png")):
        page.locator("#held").set_input_files(path)
        [row] = page.evaluate(ASK)["results"]
        assert (row["label"], row["probability"], row["unknown"], row["error"]) == ("b", 0.7, False, None)
        given = page.evaluate("window.given")
        assert (given["type"], given["shape"]) == ("uint8", [1, 96, 96, 3])
        found = np.array(given["data"]).reshape(96, 96, 3)
        assert np.abs(found - fit.read(path)).max() <= 2, path
    page.close()


@pytest.mark.browser
def test_without_onnxruntime_web_the_page_says_what_is_missing(browser: Any, bare: str, pictures: list[str]) -> None:
    page = browser.new_page()
    page.goto(bare)
    page.locator("#files").set_input_files(pictures[0])
    page.get_by_text("onnxruntime-web is not beside this page yet; its README.md says how to get it.").wait_for()
    assert page.get_by_role("button", name="Try again").is_visible()
    page.close()


@pytest.mark.browser
def test_several_labels_are_those_above_their_thresholds(browser: Any, bare: str, pictures: list[str]) -> None:
    page = browser.new_page()
    told = {"name": "x", "classes": ["a", "b", "c"], "fit": Fit(side_px=96).to_json(), "unknown_below": 2}
    page.route("**/model.json", lambda route: route.fulfill(json=told | {"thresholds": {"a": 0.05, "b": 0.9, "c": 0.2}}))
    page.route("**/ort.wasm.min.js", lambda route: route.fulfill(body=STAND_IN, content_type="text/javascript"))
    page.goto(bare)
    page.evaluate(HOLD)
    page.locator("#held").set_input_files(pictures[0])
    [row] = page.evaluate(ASK)["results"]
    assert (row["labels"], row["label"], row["probability"], row["unknown"]) == (["c", "a"], "c", 0.2, True)
    page.close()
