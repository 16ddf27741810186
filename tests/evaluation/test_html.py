from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart.errors import StorageError
from tellapart.evaluation import Judged, Report
from tellapart.evaluation.html import MATRIX_MAX_CLASSES, write_html

HOSTILE = ("<script>alert(1)</script>", "\"quoted\" & 'single'", "new\nline", "🌻 ورد", "\u202egnp.exe", "--option")
EMBEDDED = re.compile(r"url\(data:image/jpeg;base64,")


def draw(path: Path, seed: int) -> str:
    colour = np.random.default_rng(seed).integers(0, 256, 3)
    Image.new("RGB", (90, 60), tuple(colour.tolist())).save(path)
    return str(path)


def make_report(folder: Path, classes: tuple[str, ...], n: int, **more) -> Report:
    """`n` drawn pictures; every fifth is taken for the next class."""
    judged, rows = [], np.full((n, len(classes)), 0.3 / len(classes))
    for i in range(n):
        true = i % len(classes)
        answer = (true + (i % 5 == 0)) % len(classes)
        rows[i, answer] += 0.7
        path = draw(folder / f"{i}.jpg", i)
        judged.append(Judged(path, classes[true], classes[answer], rows[i, answer], rows[i, true], classes[true - 1]))
    return Report("flowers", "test pictures", classes, tuple(judged), rows, **more)


def write(report: Report, folder: Path, **options) -> str:
    write_html(report, folder / "report.html", **options)
    return (folder / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """The tags, the ids, the links and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        self.ids += [values["id"]] if values.get("id") else []
        self.links += [values["href"]] if tag == "a" and values.get("href") else []
        self.sources += [values[name] for name in ("src", "srcset", "data") if values.get(name)]
        assert not [name for name in values if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    text = write(make_report(tmp_path, ("daisy", "rose"), 12), tmp_path)
    page = Page(text)
    assert not page.tags & {"script", "img", "iframe", "object", "embed", "base"}
    assert not page.sources
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert re.findall(r"url\((?!data:|#)", text) == []


def test_sections_and_figures(tmp_path: Path) -> None:
    report = make_report(
        tmp_path, ("daisy", "rose"), 12, failures=(("gone.jpg", "the file is empty (0 bytes)"),), facts={"arch": "lite0"},
        notes=("Chosen inside the training part.",),
    )  # fmt: skip
    text = Page(write(report, tmp_path)).text
    for words in (
        "75.0\N{NO-BREAK SPACE}% right", "46.8 to 91.1 %", "9 of n = 12", "13 pictures = 12 judged + 1 unreadable",
        "Chosen inside the training part.", "Most certain mistakes", "Least certain pictures", "gone.jpg",
        "the file is empty (0 bytes)", "lite0", "test pictures",
    ):  # fmt: skip
        assert words in text


def test_every_cell_with_pictures_links_to_them(tmp_path: Path) -> None:
    page = Page(write(make_report(tmp_path, ("daisy", "rose", "tulip"), 18), tmp_path))
    cells = {link for link in page.links if re.fullmatch(r"#c\d+-\d+", link)}
    assert len(cells) == 6  # of three classes, each right or taken for the next
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_each_picture_is_embedded_once(tmp_path: Path) -> None:
    report = make_report(tmp_path, ("daisy", "rose"), 12)
    assert len(EMBEDDED.findall(write(report, tmp_path))) == 12
    few = write(report, tmp_path, max_thumbnails=5)
    assert len(EMBEDDED.findall(few)) == 5
    assert "not embedded, to keep this page small" in few
    wrong = {Path(one.path).name for one in report.most_wrong()}
    assert set(re.findall(r'class="thumb p\d"[^>]*: (\d+\.jpg)', few)) >= wrong  # the mistakes before the others


def test_the_surest_right_answers_are_shown(tmp_path: Path) -> None:
    report = make_report(tmp_path, ("daisy", "rose"), 12)
    section = write(report, tmp_path).partition('id="surest"')[2].partition("</section>")[0]
    assert re.findall(r"A picture of \w+: (\d+\.jpg)", section) == [Path(one.path).name for one in report.most_right()]


def test_vanished_and_broken_pictures_show_the_reason(tmp_path: Path) -> None:
    report = make_report(tmp_path, ("daisy", "rose"), 12)
    Path(report.judged[0].path).unlink()
    Path(report.judged[3].path).write_bytes(b"")
    text = write(report, tmp_path)
    assert len(EMBEDDED.findall(text)) == 10
    assert "No thumbnail: the file is empty (0 bytes)" in text
    assert "No thumbnail: cannot be read: No such file or directory" in text


def test_hostile_names_are_only_text(tmp_path: Path) -> None:
    pictures = tmp_path / "<img src=x onerror=alert(1)>"
    pictures.mkdir()
    failures = (("</style><script>x</script>.jpg\udcff", "<b>broken</b>"),)
    report = make_report(pictures, HOSTILE, 24, failures=failures, facts={"<i>": "</main>"}, notes=("<u>",))
    text = write(report, tmp_path)
    page = Page(text)
    assert not page.tags & {"script", "img", "u"}
    assert "<script" not in text
    assert "alert(1)</script>" in page.text
    assert "new↵line" in page.text
    assert "\u202e" not in text


def test_many_classes_get_a_list_of_pairs(tmp_path: Path) -> None:
    classes = tuple(f"class {i}" for i in range(MATRIX_MAX_CLASSES + 1))
    page = write(make_report(tmp_path, classes, 62), tmp_path, max_thumbnails=8)
    assert 'class="matrix' not in page
    assert 'class="pairs"' in page
    assert "The most frequent mix-ups of 31 classes." in page
    links = {link[1:] for link in Page(page).links}
    assert links <= set(Page(page).ids)


def test_nothing_judged(tmp_path: Path) -> None:
    report = Report("flowers", "test pictures", ("a", "b"), (), np.zeros((0, 2)), (("x.jpg", "not a picture (text)"),))
    text = Page(write(report, tmp_path)).text
    assert "No picture was judged, so there is no accuracy to report." in text
    assert "not a picture (text)" in text


def test_all_right(tmp_path: Path) -> None:
    rows = np.array([[0.9, 0.1]])
    judged = (Judged(draw(tmp_path / "a.jpg", 0), "a", "a", 0.9, 0.9, "b"),)
    assert "None: every answer was right." in write(Report("t", "test pictures", ("a", "b"), judged, rows), tmp_path)


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    write_html(make_report(tmp_path, ("a", "b"), 4), tmp_path / "r.html", progress=lambda *step: seen.append(step))
    assert seen == [("thumbnails", done, 4) for done in (1, 2, 3, 4)]


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    report = make_report(tmp_path, ("a", "b"), 2)
    (tmp_path / "report.html").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*report\.html"):
        write_html(report, tmp_path / "report.html")


@pytest.mark.browser
@pytest.mark.parametrize("n_classes", [3, 12, 40])
@pytest.mark.parametrize("width_px", [320, 1280])
def test_page_fits_its_screen(browser, tmp_path: Path, n_classes: int, width_px: int) -> None:
    classes = tuple(f"{HOSTILE[i % len(HOSTILE)]} {'long' * (i % 9)} {i}" for i in range(n_classes))
    write(make_report(tmp_path, classes, 80), tmp_path)
    page = browser.new_page(viewport={"width": width_px, "height": 800})
    page.goto((tmp_path / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width_px


@pytest.mark.browser
def test_a_cell_shows_its_pictures_by_click_and_by_keyboard(browser, tmp_path: Path) -> None:
    write(make_report(tmp_path, ("daisy", "rose", "tulip"), 18), tmp_path)
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "report.html").as_uri())
    assert page.locator(".panel:visible").count() == 1  # the most frequent mix-up, until a cell is chosen
    page.click('a[href="#c1-1"]')
    assert [one.get_attribute("id") for one in page.locator(".panel:visible").all()] == ["c1-1"]
    assert page.locator("#c1-1 .thumb:visible").count() == 5  # 1, 4, 7, 13 and 16; 10 was taken for another
    page.focus('a[href="#c2-0"]')
    page.keyboard.press("Enter")
    assert [one.get_attribute("id") for one in page.locator(".panel:visible").all()] == ["c2-0"]
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
