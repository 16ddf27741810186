from __future__ import annotations

from base64 import b64decode
from io import BytesIO
from pathlib import Path

from PIL import Image

from tellapart.pages import open_thumbnails


def test_the_whole_picture_made_small(tmp_path: Path) -> None:
    Image.new("RGB", (400, 200), "red").save(tmp_path / "a.png")
    ((css_class, jpeg),) = open_thumbnails([str(tmp_path / "a.png")], 100).css()
    assert css_class == "p0"
    assert Image.open(BytesIO(b64decode(jpeg))).size == (100, 50)


def test_what_cannot_be_opened_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    path = str(tmp_path / "a.png")
    thumbnails = open_thumbnails([path], 100)
    assert list(thumbnails.css()) == []
    assert thumbnails.css_class(path) == ""
    assert thumbnails.reason(path) == "the file is empty (0 bytes)"
    assert path in thumbnails


def test_what_was_not_opened_says_so() -> None:
    thumbnails = open_thumbnails([], 100)
    assert "a.png" not in thumbnails
    assert thumbnails.css_class("a.png") == ""
    assert thumbnails.reason("a.png") == "not embedded, to keep this page small"


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    open_thumbnails(["a", "b"], 100, progress=lambda *step: seen.append(step))
    assert seen == [("thumbnails", 1, 2), ("thumbnails", 2, 2)]
