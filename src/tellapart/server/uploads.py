"""From the body of a request to the pictures and the options in it. Pure: bytes in, values out."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from tellapart.server.limits import Limits, Refusal

BLANKS = b" \t\r\n\f\v"  # that may stand between the characters of base64
NAME_CHARS = 255  # of a picture's name that are given back
HOW = "send pictures as multipart/form-data, as the body itself (Content-Type: image/jpeg), or as JSON with base64"


@dataclass(frozen=True)
class Upload:
    """A picture of a request, or a link to it; with an `error` where its content could not be had."""

    name: str
    content: bytes
    error: str = ""
    link: str = ""


@dataclass(frozen=True)
class Asked:
    """The pictures of a body, and the options that it gives as they are written."""

    uploads: tuple[Upload, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


def read_uploads(content_type: str, body: bytes, limits: Limits) -> Asked:
    """What a body asks. Raises Refusal: 400 for a broken one, 413 for too many pictures, 415 for another content type."""
    kind, parameters = parse_options_header(content_type)
    read = _reader(kind.decode("latin-1"))
    if not body:
        raise Refusal(400, "empty", f"the body is empty: {HOW}")
    asked = read(body, parameters, limits)
    if not asked.uploads:
        raise Refusal(400, "empty", f"there is no picture in the request: {HOW}")
    return asked


Reader = Callable[[bytes, Mapping[bytes, bytes], Limits], Asked]


def _reader(kind: str) -> Reader:
    if kind in READERS:
        return READERS[kind]
    if kind.startswith("image/"):
        return _read_raw
    found = f"the content type is {kind[:80]!r}" if kind else "there is no content type"
    raise Refusal(415, "content_type", f"{found}: {HOW}")


def _read_raw(body: bytes, _parameters: Mapping[bytes, bytes], _limits: Limits) -> Asked:
    return Asked((Upload("", body),))


def _read_json(body: bytes, _parameters: Mapping[bytes, bytes], limits: Limits) -> Asked:
    if sum(body.count(mark) for mark in (b"{", b"[", b",")) > limits.json_marks:
        raise Refusal(413, "too_many_parts", f"the JSON has more than {limits.json_marks:,} braces, brackets and commas")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        text = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise Refusal(400, "json", f"the body is no JSON: {text}") from error
    if not isinstance(value, dict) or not isinstance(images := value.pop("images", None), list):
        raise Refusal(400, "json", 'write an object with a list of images: {"images": [{"data": "<base64>"}]}')
    _refuse_many(len(images), limits)
    return Asked(tuple(map(_upload_of_json, images)), value)


def _upload_of_json(image: Any) -> Upload:
    given = {"data": image} if isinstance(image, str) else image
    if not isinstance(given, dict) or not isinstance(given.get("data", given.get("url") or None), str):
        raise Refusal(400, "json", 'an image is an object with its base64: {"data": "<base64>", "name": "a.jpg"}')
    name = given.get("name") or ""
    if not isinstance(name, str) or given.keys() not in ({"data"}, {"data", "name"}, {"url"}, {"url", "name"}):
        raise Refusal(400, "json", "an image has the texts 'data' or 'url', and 'name', and nothing else")
    if link := given.get("url"):
        return Upload((name or link)[:NAME_CHARS], b"", link=link)
    data = given["data"]
    if data.startswith("data:"):  # as browsers write it: data:image/png;base64,...
        data = data.partition(",")[2]
    try:
        return Upload(name[:NAME_CHARS], base64.b64decode(data.encode("ascii").translate(None, BLANKS), validate=True))
    except (binascii.Error, ValueError) as error:
        return Upload(name[:NAME_CHARS], b"", f"cannot be decoded: no base64 ({error})")


def _read_multipart(body: bytes, parameters: Mapping[bytes, bytes], limits: Limits) -> Asked:
    if not (boundary := parameters.get(b"boundary")):
        raise Refusal(400, "multipart", "the content type multipart/form-data comes without its boundary")
    parts = _Parts(limits)
    try:
        MultipartParser(boundary, parts.callbacks()).write(body)  # type: ignore[arg-type]
    except FormParserError as error:
        raise Refusal(400, "multipart", f"the multipart body is broken: {error}") from error
    if not parts.is_whole:
        raise Refusal(400, "multipart", "the multipart body ends before its last boundary")
    return Asked(tuple(parts.uploads), parts.options)


class _Parts:
    """What a multipart parser finds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._n_parts = 0
        self._header = [b"", b""]  # name and value, as far as they were read
        self._headers: dict[bytes, bytes] = {}
        self._content: list[bytes] = []
        self.uploads: list[Upload] = []
        self.options: dict[str, str] = {}
        self.is_whole = False

    def callbacks(self) -> dict[str, Callable[..., None]]:
        names = ("part_begin", "header_field", "header_value", "header_end", "part_data", "part_end", "end")
        return {f"on_{name}": getattr(self, f"_on_{name}") for name in names}

    def _on_part_begin(self) -> None:
        self._n_parts += 1
        _refuse_many(self._n_parts - 16, self._limits)  # 16: more options than there are
        self._headers, self._content = {}, []

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._content.append(data[start:end])

    def _on_part_end(self) -> None:
        _, parameters = parse_options_header(self._headers.get(b"content-disposition", b""))
        content = b"".join(self._content)
        if b"filename" in parameters or self._headers.get(b"content-type", b"").startswith(b"image/"):
            self.uploads.append(Upload(_text(parameters.get(b"filename", b""))[:NAME_CHARS], content))
            _refuse_many(len(self.uploads), self._limits)
        elif len(content) > self._limits.field_bytes:
            raise Refusal(413, "too_large", f"an option has {len(content):,} bytes; a picture's part needs a filename")
        else:
            self.options[_text(parameters.get(b"name", b""))] = _text(content)

    def _on_end(self) -> None:
        self.is_whole = True


READERS: dict[str, Reader] = {
    "multipart/form-data": _read_multipart,
    "application/json": _read_json,
    "application/octet-stream": _read_raw,
}


def _refuse_many(n: int, limits: Limits) -> None:
    if n > limits.pictures:
        raise Refusal(413, "too_many_parts", f"more than {limits.pictures} pictures in one request; send them in several")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
