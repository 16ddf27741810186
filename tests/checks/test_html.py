from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tellapart.checks import DataReport, Evidence, Finding, inspect
from tellapart.checks.findings import KIND_NAMES
from tellapart.checks.html import N_CARDS, render, write_html
from tellapart.data.table import UNREADABLE, ImageTable, Skipped
from tellapart.errors import StorageError
from tellapart.pages import Thumbnails

EMBEDDED = re.compile(r"url\(data:image/jpeg;base64,")
HOSTILE = "<img src=x onerror=alert(1)>\u202egnp"


def draw(folder: Path, names: list[str]) -> list[str]:
    paths = []
    for i, name in enumerate(names):
        Image.new("RGB", (60, 40), (7 * i % 256, 90, 200)).save(folder / name, "JPEG")
        paths.append(str(folder / name))
    return paths


@pytest.fixture
def evidence(make_evidence, tmp_path: Path) -> Evidence:
    """40 pictures on disk with findings of most layouts: pairs, groups, single pictures, sentences."""
    probabilities = np.array([[0.9, 0.1]] * 20 + [[0.1, 0.9]] * 20, np.float32)
    probabilities[5] = 0.01, 0.99
    return make_evidence(
        ["rose"] * 20 + ["tulip"] * 20,
        paths=draw(tmp_path, [f"{i}.jpg" for i in range(40)]),
        contents=[0, 0, *range(2, 40)],
        pairs=[(0, 1, 1.0), (2, 3, 0.9), (10, 30, 0.8)],
        splits=["train", "valid"] * 20,
        folds=probabilities,
        sharpness=[900.0] * 38 + [1.0] * 2,
        skipped=(Skipped("rose/cut.jpg", "the file is empty (0 bytes)", "ab" * 32, UNREADABLE),),
    )


def report_of(evidence: Evidence) -> DataReport:
    return DataReport("garden", evidence.table, inspect(evidence), ("a note",))


class Page(HTMLParser):
    """The tags, the ids, the links and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        self.ids += [values["id"]] if values.get("id") else []
        self.links += [values["href"]] if tag == "a" and values.get("href") else []
        assert not [name for name in values if name.startswith("on") or name in ("src", "srcset", "data")]

    def handle_data(self, data: str) -> None:
        self.text += data


def write(report: DataReport, folder: Path, **options) -> str:
    write_html(report, folder / "report.html", **options)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_a_section_for_each_kind_that_was_found(evidence: Evidence, tmp_path: Path) -> None:
    report = report_of(evidence)
    page = Page(write(report, tmp_path))
    assert set(report.counts) == {
        "leak", "mixed_labels", "wrong_label", "broken", "copies", "near_copies", "too_few", "blurred",
    }  # fmt: skip
    assert set(page.ids) == {*report.counts, "classes"}
    assert [link[1:] for link in page.links] == list(report.counts)
    for words in (
        f"{len(report.findings)} findings in 40 pictures", "41 files = 40 kept + 1 the file is empty (0 bytes)", "a note",
        "rose → tulip", "looks like tulip (0.99)", "cut.jpg: the file is empty (0 bytes).", "are 2 versions of one picture",
    ):  # fmt: skip
        assert words in page.text, words


def test_the_page_needs_nothing_from_elsewhere(evidence: Evidence, tmp_path: Path) -> None:
    text = write(report_of(evidence), tmp_path)
    assert not Page(text).tags & {"script", "img", "iframe", "object", "embed", "base"}
    assert "http:" not in text
    assert "https:" not in text
    assert re.findall(r"url\((?!data:)", text) == []


def test_each_picture_is_embedded_once_and_their_number_is_bounded(evidence: Evidence, tmp_path: Path) -> None:
    paths = {path for finding in inspect(evidence) for path in finding.paths if path != "rose/cut.jpg"}
    assert len(EMBEDDED.findall(write(report_of(evidence), tmp_path))) == len(paths)
    few = write(report_of(evidence), tmp_path, max_thumbnails=4)
    assert len(EMBEDDED.findall(few)) == 4
    told = [one for one in inspect(evidence) if one.kind not in ("mixed_labels", "copies")]  # these two have their pictures
    assert few.count("<li><bdi>") == len(told) == 7


def test_what_is_not_shown_as_a_picture_is_told_and_counted(make_evidence, tmp_path: Path) -> None:
    n = 400
    evidence = make_evidence(["rose"] * n + ["tulip"] * n, sharpness=[1.0] * (n - 10) + [900.0] * (n + 10))
    page = Page(write(report_of(evidence), tmp_path, max_thumbnails=50))
    assert f"The other {n - 10 - 50}, without pictures" in page.text
    assert "and 140 more findings, in the JSON" in page.text
    assert n - 10 - 50 == 200 + 140
    assert n > N_CARDS


def test_pairs_of_a_leak_that_do_not_fit_are_counted(make_evidence, tmp_path: Path) -> None:
    pairs = [(i, i + 150, 0.9) for i in range(150)]
    evidence = make_evidence(["rose", "tulip"] * 150, splits=["train"] * 150 + ["valid"] * 150, pairs=pairs)
    leak = inspect(evidence, only=("leak",))
    page = Page(write(DataReport("t", evidence.table, leak), tmp_path, max_thumbnails=20))
    assert (
        "are copies of 150 validation pictures (0 exact, 150 near or of one group), 100.0% of the validation part." in page.text
    )
    assert "and 140 more pairs, not embedded" in page.text


def test_vanished_pictures_show_the_reason(evidence: Evidence, tmp_path: Path) -> None:
    Path(evidence.table.paths[39]).unlink()
    assert "No thumbnail: cannot be read: No such file or directory" in write(report_of(evidence), tmp_path)


def test_hostile_names_are_only_text(make_evidence, tmp_path: Path) -> None:
    folder = tmp_path / HOSTILE.partition("/")[0]
    folder.mkdir()
    paths = draw(folder, [f"{i}<b>.jpg" for i in range(6)])
    skipped = (Skipped("</style><script>x</script>\udcff.jpg", "not a picture (<u>)", "ab" * 32, UNREADABLE),)
    evidence = make_evidence([HOSTILE] * 3 + ["</main>"] * 3, paths=paths, pairs=[(0, 1, 0.9), (2, 3, 0.8)], skipped=skipped)
    text = write(DataReport("<i>", evidence.table, inspect(evidence), ("<s>",)), tmp_path)
    assert not Page(text).tags & {"script", "img", "u", "s", "i", "b"}
    assert "\u202e" not in text
    assert "onerror=alert(1)&gt;" in text


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(KIND_NAMES), st.lists(st.text(st.characters(codec=None)), max_size=5), st.text(st.characters(codec=None)))
def test_any_name_makes_a_page(kind: str, paths: list[str], text: str) -> None:
    table = ImageTable(("a",), ("0" * 64,), (text,), ("",), ("",), ("",))
    findings = (Finding(kind, tuple(paths), 0.5, text, text),) if kind != "wrong_label" else ()
    Page(render(DataReport(text, table, findings, (text,)), Thumbnails({})))


def test_nothing_found(make_evidence, tmp_path: Path) -> None:
    text = Page(write(DataReport("t", make_evidence(["rose"]).table, ()), tmp_path)).text
    assert "Nothing was found." in text
    assert "0 findings in 1 picture" in text


def test_an_unwritable_place_is_named(evidence: Evidence, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*report\.html"):
        report_of(evidence).write_html(tmp_path / "report.html")


@pytest.mark.browser
@pytest.mark.parametrize("width_px", [320, 1280])
def test_page_fits_its_screen(browser, make_evidence, tmp_path: Path, width_px: int) -> None:
    paths = draw(tmp_path, [f"{'long' * 30}{i}.jpg" for i in range(40)])
    evidence = make_evidence(
        [f"{'label' * 12}"] * 20 + ["b"] * 20,
        paths=paths,
        pairs=[(i, i + 1, 0.9) for i in range(30)],
        sharpness=[1.0] * 9 + [900.0] * 31,
    )
    write(report_of(evidence), tmp_path)
    page = browser.new_page(viewport={"width": width_px, "height": 800})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
