"""The page, as a person uses it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .conftest import Server, Start, serving

pytestmark = pytest.mark.browser
PASTE = """(base64) => {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], "given.png", { type: "image/png" }));
  return data;
}"""


@pytest.fixture(scope="module")
def prefixed(command: list[str], run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server behind a prefix, as a proxy would show it."""
    folder = tmp_path_factory.mktemp("page")
    with serving(command, folder, f"shapes={run_folder}", f"again={run_folder}", "--root-path", "/coins") as started:
        yield started


@pytest.fixture
def page(browser: Any, prefixed: Server) -> Iterator[Any]:
    """The page, open; it may complain of nothing, and ask no other server."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda request: _note_foreign(request.url, f"{prefixed.url}/", problems))
    opened.goto(f"{prefixed.url}/")
    opened.locator("#classes:not(:empty)").wait_for()
    yield opened
    opened.close()
    assert [text for text in problems if not re.search("status of (422|429)", text)] == []


def _note_foreign(url: str, own: str, problems: list[str]) -> None:
    if not url.startswith((own, "blob:", "data:")):
        problems.append(url)


def answered(page: Any, n: int) -> None:
    page.locator(f".cards:not(:has(.waiting)):has(.card:nth-child({n}):last-child)").wait_for()


def test_many_pictures_are_chosen_at_once(page: Any, pictures: list[str], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    page.set_input_files("#files", [*pictures[:6], tmp_path / "notes.txt"])
    answered(page, 7)
    assert page.locator("#status").inner_text() == "7 pictures answered."
    assert page.locator(".card.failed .label").inner_text() == "Not read: not a picture (text)"
    assert page.locator(".card .file").all_inner_texts() == ["notes.txt", *(Path(path).name for path in reversed(pictures[:6]))]
    last = page.locator(".card").nth(6)
    assert last.locator(".bars .name").all_inner_texts()[0] in ("circle", "square", "triangle")
    assert re.fullmatch(r"\d+\.\d %", last.locator(".share").first.inner_text())
    assert last.locator(".fill").first.evaluate("fill => fill.getBoundingClientRect().width") > 20
    assert page.evaluate("document.querySelectorAll('.picture img:not([hidden])').length") == 6
    page.click("#clear")
    assert page.locator("#answers").is_hidden()


@pytest.mark.parametrize(
    "give",
    [
        "(data) => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }))",
        "(data) => document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }))",
    ],
    ids=["paste", "drop"],
)
def test_a_picture_is_pasted_or_dropped(page: Any, contents: list[bytes], give: str) -> None:
    page.evaluate(f"(base64) => ({give})(({PASTE})(base64))", base64.b64encode(contents[0]).decode())
    answered(page, 1)
    assert page.locator(".card .file").inner_text() == "given.png"
    assert page.locator("#status").inner_text() == "1 picture answered."


def test_the_unknown_is_said_plainly(page: Any, pictures: list[str]) -> None:
    row = {"name": "a", "label": "circle", "probability": 0.99, "probabilities": {"circle": 0.99, "square": 0.01}}
    answer = {"results": [row | {"unknown": True, "error": None}]}
    page.route("**/v1/predict", lambda route: route.fulfill(json=answer))
    page.set_input_files("#files", pictures[0])
    answered(page, 1)
    assert page.locator(".card .label").inner_text() == "Unknown (nearest: circle)"
    assert page.locator(".stranger").is_visible()


def test_a_busy_server_is_asked_again(page: Any, pictures: list[str]) -> None:
    asked: list[str] = []

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.fulfill(status=429, json={"error": {"text": "busy"}}, headers={"Retry-After": "0"})
        else:
            route.continue_()

    page.route("**/v1/predict", answer)
    page.set_input_files("#files", pictures[0])
    answered(page, 1)
    assert len(asked) == 2
    assert page.locator(".card.failed").count() == 0


def test_what_mattered_is_drawn_and_said(page: Any, pictures: list[str]) -> None:
    page.set_input_files("#files", pictures[0])
    answered(page, 1)
    card, why = page.locator(".card"), page.get_by_role("button", name="What mattered?")
    assert why.get_attribute("aria-pressed") == "false"
    why.click()
    page.locator(".heat:not([hidden])").wait_for()
    assert why.get_attribute("aria-pressed") == "true"
    said = card.locator(".where").inner_text()
    assert re.match(r"The [a-z ]+ matters most: with it hidden, \w+ falls from [\d.]+ % to [\d.]+ %\.|No part alone", said)
    paint = "heat => heat.getContext('2d').getImageData(0, 0, heat.width, heat.height).data.some((value) => value > 0)"
    assert card.locator(".heat").evaluate(paint)
    frames = "card => [...card.querySelectorAll('.picture img, .heat')].map((one) => JSON.stringify(one.getBoundingClientRect()))"
    picture, heat = card.evaluate(frames)
    assert picture == heat
    why.click()
    assert card.locator(".heat").is_hidden()
    assert card.locator(".where").inner_text() == ""


def test_the_place_that_matters_is_named(page: Any, pictures: list[str]) -> None:
    """A stand-in's answer, whose only falls lie in one cell."""
    row = {"name": "a", "label": "circle", "probability": 0.9, "probabilities": {"circle": 0.9, "square": 0.1}, "unknown": False}
    drops = [[0.5 if (line, column) == (5, 1) else 0 for column in range(7)] for line in range(7)]
    told = {"label": "circle", "rows": 7, "columns": 7, "drops": drops, "box": [0, 0, 1, 1]}
    answer = {"results": [row | {"error": None, "explanation": told}]}
    page.route("**/v1/predict", lambda route: route.fulfill(json=answer))
    page.set_input_files("#files", pictures[0])
    answered(page, 1)
    page.click(".why")
    page.get_by_text("The bottom left matters most: with it hidden, circle falls from 90.0 % to 40.0 %.").wait_for()
    paint = "heat => [heat.width, [...heat.getContext('2d').getImageData(0, 0, heat.width, heat.height).data]]"
    side_px, values = page.locator(".heat").evaluate(paint)
    alpha = np.reshape(values, (-1, side_px, 4))[..., 3]
    assert alpha[int(5.5 / 7 * len(alpha)), int(1.5 / 7 * side_px)] > 100
    assert alpha[int(1.5 / 7 * len(alpha)), int(5.5 / 7 * side_px)] == 0


def test_an_explanation_that_is_refused_says_why(page: Any, pictures: list[str]) -> None:
    page.set_input_files("#files", pictures[0])
    answered(page, 1)
    page.route("**/v1/predict", lambda route: route.fulfill(status=422, json={"error": {"text": "not now"}}))
    page.click(".why")
    page.get_by_text("not now").wait_for()
    assert page.locator(".heat").is_hidden()


@pytest.mark.parametrize("width_px", [390, 1280])
def test_a_heic_that_the_browser_cannot_show_is_answered(browser: Any, prefixed: Server, tmp_path: Path, width_px: int) -> None:
    """With a text file and other pictures beside it; its place shows its name."""
    heif = pytest.importorskip("pillow_heif", reason="the extra `heif` is not installed")
    heif.register_heif_opener()
    Image.new("RGB", (300, 200), (200, 60, 30)).save(tmp_path / "IMG_0001.HEIC", "HEIF")
    (tmp_path / "notes.txt").write_text("no picture")
    opened = browser.new_page(viewport={"width": width_px, "height": 800})
    opened.goto(f"{prefixed.url}/")
    opened.locator("#classes:not(:empty)").wait_for()
    opened.set_input_files("#files", [tmp_path / "notes.txt", tmp_path / "IMG_0001.HEIC"])
    answered(opened, 2)
    card = opened.locator(".card").first
    assert card.locator(".no-preview").inner_text() == "IMG_0001.HEIC\nno preview in this browser"
    assert card.locator(".bars .name").first.inner_text() in ("circle", "square", "triangle")
    card.locator(".why").click()
    card.locator(".heat:not([hidden])").wait_for()
    assert opened.locator(".card.failed").count() == 1
    assert opened.evaluate("document.documentElement.scrollWidth") <= width_px
    opened.close()


def test_several_labels_are_all_said(page: Any, pictures: list[str]) -> None:
    row = {"name": "a", "probability": 0.9, "probabilities": {"sea": 0.9, "boat": 0.8}, "unknown": False, "error": None}
    answers = [row | {"label": "sea", "labels": ["sea", "boat"]}, row | {"label": "", "labels": []}]
    page.route("**/v1/predict", lambda route: route.fulfill(json={"results": [answers.pop(0)]}))
    for number, label in enumerate(("sea, boat", "None of the labels"), start=1):
        page.set_input_files("#files", pictures[0])
        answered(page, number)
        assert page.locator(".card .label").first.inner_text() == label


def test_the_keyboard_reaches_everything(page: Any, pictures: list[str]) -> None:
    page.set_input_files("#files", pictures[0])
    answered(page, 1)
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className || 'link'"))
    assert reached == ["files", "model", "clear", "why", "link"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [320, 390, 1280])
def test_the_page_fits_its_screen(browser: Any, prefixed: Server, pictures: list[str], width_px: int, scheme: str) -> None:
    opened = browser.new_page(viewport={"width": width_px, "height": 800}, color_scheme=scheme)
    opened.goto(f"http://127.0.0.1:{prefixed.port}/")
    opened.set_input_files("#files", pictures[:3])
    answered(opened, 3)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width_px
    ink, paper = opened.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    assert (sum(map(int, re.findall(r"\d+", ink))) > sum(map(int, re.findall(r"\d+", paper)))) == (scheme == "dark")
    opened.close()


def test_a_key_is_asked_for(browser: Any, start: Start, run_folder: Path, tmp_path: Path, pictures: list[str]) -> None:
    (tmp_path / "keys").write_text(f"me {hashlib.sha256(b'open').hexdigest()}\n")
    with start(run_folder, "--api-keys", tmp_path / "keys") as server:
        page = browser.new_page()
        page.goto(f"{server.url}/")
        for key in ("wrong", "open"):
            page.wait_for_selector("#key-form:not([hidden])")
            page.fill("#key", key)
            page.keyboard.press("Enter")
            if key == "wrong":
                page.get_by_text("The server does not know this key.").wait_for()
        page.locator("#classes:not(:empty)").wait_for()
        assert page.locator("#key-form").is_hidden()
        page.set_input_files("#files", pictures[0])
        answered(page, 1)
        assert page.locator(".card.failed").count() == 0
        page.close()


class Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_needs_nothing_from_elsewhere(prefixed: Server) -> None:
    files = {name: prefixed.ask("GET", f"/{name}").body.decode() for name in ("", "page.css", "page.js")}
    for text in files.values():
        assert "http:" not in text
        assert "https:" not in text
        assert "innerHTML" not in text
    for tag, attributes in Tags(files[""]).found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert tag != "style"
        assert tag != "script" or attributes["src"]
