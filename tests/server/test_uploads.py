from __future__ import annotations

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tellapart.server.limits import Limits, Refusal
from tellapart.server.uploads import Upload, read_uploads

from .conftest import multipart

LIMITS = Limits()
BOUNDARY = b"frontier"
FORM = "multipart/form-data; boundary=frontier"


@given(st.lists(st.tuples(st.text("ab.é", max_size=9), st.binary(max_size=99)), min_size=1, max_size=5))
def test_what_is_put_into_a_form_comes_out(files: list[tuple[str, bytes]]) -> None:
    if any(BOUNDARY in content for _, content in files):
        return
    asked = read_uploads(multipart([])[1], multipart(files, {"top_k": "3"})[0], LIMITS)
    assert asked.uploads == tuple(Upload(name, content) for name, content in files)
    assert asked.options == {"top_k": "3"}


@given(st.lists(st.binary(min_size=1, max_size=99), min_size=1, max_size=5), st.sampled_from(["", "data:image/png;base64,"]))
def test_what_is_put_into_json_comes_out(contents: list[bytes], prefix: str) -> None:
    images = [{"name": "n", "data": prefix + base64.encodebytes(content).decode()} for content in contents]
    asked = read_uploads("application/json; charset=utf-8", json.dumps({"images": images, "tta": True}).encode(), LIMITS)
    assert asked.uploads == tuple(Upload("n", content) for content in contents)
    assert asked.options == {"tta": True}


def test_links_are_kept_as_they_are() -> None:
    images = [{"url": "https://a.test/1.jpg?x=%20#y"}, {"url": f"http://a.test/{'x' * 400}", "name": "mine"}, {"url": "no link"}]
    asked = read_uploads("application/json", json.dumps({"images": images}).encode(), LIMITS)
    names = ["https://a.test/1.jpg?x=%20#y", "mine", "no link"]
    assert asked.uploads == tuple(Upload(name, b"", link=one["url"]) for name, one in zip(names, images, strict=True))


@given(
    st.sampled_from(["", "image/png", "application/json", FORM, "multipart/form-data; boundary"])
    | st.text(st.characters(codec="latin-1"), max_size=60),
    st.binary(max_size=300) | st.lists(st.sampled_from([b"--frontier", b"", b"--frontier--", b"a: b", b"x"])).map(b"\r\n".join),
)
def test_any_body_is_read_or_refused(content_type: str, body: bytes) -> None:
    with suppress(Refusal):
        assert read_uploads(content_type, body, LIMITS).uploads


def test_names_are_cut() -> None:
    body, kind = multipart([("x" * 400, b"a")])
    assert read_uploads(kind, body, LIMITS).uploads == (Upload("x" * 255, b"a"),)


def test_a_header_of_a_part_has_a_limit() -> None:
    body, kind = multipart([("x" * 10_000, b"a")])
    with pytest.raises(Refusal, match="the multipart body is broken"):
        read_uploads(kind, body, LIMITS)
