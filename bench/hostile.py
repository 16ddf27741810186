"""What no one should send, made from a seed: pictures and requests with damage in them, and bombs."""

from __future__ import annotations

import base64
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO

import numpy as np
from PIL import Image

BOUNDARY = b"frontier"
FORM = "multipart/form-data; boundary=frontier"
KINDS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF")


@dataclass(frozen=True)
class Sent:
    """The body of a request."""

    name: str  # what was done to it
    content_type: str
    body: bytes


# Damage


def mutated(number: int) -> Sent:
    """A request to /v1/predict with damage in its picture, its form or its JSON; the same for the same number."""
    chance = random.Random(number)
    kind = chance.choice(sorted(pictures()))
    content = pictures()[kind]
    if chance.random() < 0.7:
        content = damaged(content, chance)
    wrap = chance.choice((_raw, _raw, _form, _form, _as_json))
    return wrap(kind, content, chance)


@cache
def pictures() -> dict[str, bytes]:
    """A small picture of each kind that this Pillow writes, of several modes."""
    smooth = np.add.outer(np.arange(120), np.arange(160)).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 64, (120, 160, 3), np.uint8)
    image = Image.fromarray(smooth[..., None] // 2 + noise)
    made = {}
    for kind in KINDS:
        for mode in ("RGB", "L", "P", "RGBA", "CMYK", "1", "I;16"):
            file = BytesIO()
            try:
                (Image.fromarray(smooth.astype(np.uint16)) if mode == "I;16" else image.convert(mode)).save(file, kind)
            except (OSError, KeyError, ValueError):
                continue  # not all kinds have all modes, and not every Pillow all kinds
            made[f"{kind} {mode}"] = file.getvalue()
    for name, options in (
        ("progressive", {"progressive": True}),
        ("EXIF", {"exif": _turned()}),
        ("restarts", {"restart_marker_rows": 1}),
    ):
        file = BytesIO()
        image.save(file, "JPEG", **options)
        made[f"JPEG {name}"] = file.getvalue()
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        file = BytesIO()
        image.save(file, kind, save_all=True, append_images=[image.rotate(90 * turn) for turn in (1, 2, 3)])
        made[f"{kind} of four frames"] = file.getvalue()
    return made


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The same bytes with one to eight changes."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        place, n = chance.randrange(len(changed) + 1), chance.choice((1, 2, 4, 16, 256))
        if chance.random() < 0.4:
            place = min(place, chance.randrange(64))  # headers decide most
        change = chance.randrange(6)
        if change == 0:
            changed[place : place + n] = chance.randbytes(n)
        elif change == 1:
            changed[place : place + n] = chance.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * n
        elif change == 2:
            del changed[place : place + n]
        elif change == 3:
            changed[place:place] = changed[place : place + n] * chance.choice((1, 2, 100))
        elif change == 4:
            del changed[chance.randrange(len(changed) + 1) :]
        else:
            number = chance.choice((0, 1, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF))
            changed[place : place + 4] = struct.pack(chance.choice("<>") + "I", number)
    return bytes(changed)


def form(files: Sequence[tuple[str, bytes]], fields: Sequence[tuple[str, str]] = ()) -> bytes:
    """A multipart body with these fields and files."""
    lines = []
    for name, value in fields:
        lines += [b"--" + BOUNDARY, f'Content-Disposition: form-data; name="{name}"'.encode(), b"", value.encode()]
    for name, content in files:
        head = f'Content-Disposition: form-data; name="file"; filename="{name}"'.encode()
        lines += [b"--" + BOUNDARY, head, b"Content-Type: application/octet-stream", b"", content]
    return b"\r\n".join([*lines, b"--" + BOUNDARY + b"--", b""])


def _raw(name: str, content: bytes, chance: random.Random) -> Sent:
    return Sent(f"{name}, as the body", chance.choice(("image/jpeg", "application/octet-stream", "image/x-anything")), content)


def _form(name: str, content: bytes, chance: random.Random) -> Sent:
    fields = [
        (chance.choice(("top_k", "tta", "min_confidence", "model", "x" * 50)), chance.choice(("1", "", "-1", "nan", "é" * 9)))
    ]
    body = form([(f"{name}.jpg", content)] * chance.randint(1, 3), fields[: chance.randint(0, 1)])
    content_type = FORM
    if chance.random() < 0.5:
        body = damaged(body, chance)
    if chance.random() < 0.1:
        content_type = damaged(FORM.encode(), chance).decode("latin-1").translate(PRINTABLE)
    return Sent(f"{name}, in a form", content_type, body)


def _as_json(name: str, content: bytes, chance: random.Random) -> Sent:
    body = json.dumps({"images": [{"data": base64.b64encode(content).decode(), "name": name}], "top_k": 2}).encode()
    return Sent(f"{name}, in JSON", "application/json", damaged(body, chance) if chance.random() < 0.5 else body)


PRINTABLE = dict.fromkeys((*range(32), *range(127, 256)), "?")  # a header cannot be sent with them


# Bombs: small files that ask for much


def bombs(n: int) -> Iterator[Sent]:
    """So many bombs, each kind in turn, no two alike."""
    for number in range(n):
        name, make = BOMBS[number % len(BOMBS)]
        yield Sent(name, "application/octet-stream", make(number // len(BOMBS)))


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in (*chunks, (b"IEND", b"")):
        parts.append(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    return b"".join(parts)


def _header(width: int, height: int, *, colours: int = 2, interlaced: int = 0) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, interlaced)


@cache
def _deflated_zeros(mib: int, level: int = 9) -> bytes:
    packer, zeros = zlib.compressobj(level), bytes(2**20)
    return b"".join([*(packer.compress(zeros) for _ in range(mib)), packer.flush()])


def _wide_png(number: int, *, interlaced: int = 0) -> bytes:
    return _png(_header(30_000 + number, 30_000, interlaced=interlaced), (b"IDAT", _deflated_zeros(512)))


def _deep_text_png(number: int) -> bytes:
    """Texts that unpack to a gigabyte, some of them packed twice, before a picture that has too many pixels."""
    texts = [(b"zTXt", b"key%d\0\0" % place + _deflated_zeros(64)) for place in range(16)]
    twice = (b"zTXt", b"deep\0\0" + zlib.compress(_deflated_zeros(512), 9))
    profile = (b"iCCP", b"profile\0\0" + _deflated_zeros(256))
    size = (20_000, 20_000 + number)
    return _png(
        _header(*size), *texts, twice, profile, (b"iTXt", b"k\0\1\0\0\0" + _deflated_zeros(64)), (b"IDAT", _deflated_zeros(1))
    )


def _deep_text_small_png(number: int) -> bytes:
    """The same texts before a picture of few pixels: refused by what they unpack to."""
    texts = [(b"zTXt", b"key%d\0\0" % place + _deflated_zeros(64)) for place in range(16 + number)]
    return _png(_header(64, 64), *texts, (b"IDAT", zlib.compress(bytes(64 * 193))))


def _scans_jpeg(number: int) -> bytes:
    """A progressive JPEG that goes over its pixels 80,000 times."""
    file = BytesIO()
    Image.new("RGB", (1000, 1000), (number, 90, 180)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    start = content.rindex(b"\xff\xda")
    return content[:start] + content[start:-2] * 80_000 + content[-2:]


@cache
def _large_progressive_jpeg() -> bytes:
    file = BytesIO()
    Image.new("RGB", (9000, 9000)).save(file, "JPEG", progressive=True)
    return file.getvalue()


def _slow_jpeg(number: int) -> bytes:
    """81 megapixels, which are few enough, in 300 scans, which are few enough: together half a minute."""
    content = _large_progressive_jpeg()
    return content[:-2] + content[content.rindex(b"\xff\xda") : -2] * (300 + number) + content[-2:]


def _wide_jpeg(number: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG")
    content = bytearray(file.getvalue())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", 65_000 - number, 65_000)
    return bytes(content)


def _wide_gif(number: int) -> bytes:
    file = BytesIO()
    Image.new("P", (16, 16)).save(file, "GIF")
    content = bytearray(file.getvalue())
    content[6:10] = struct.pack("<HH", 65_000 - number, 65_000)
    return bytes(content)


def _frames_gif(number: int) -> bytes:
    """50,000 frames, on a canvas that is too large."""
    content = _wide_gif(number)
    frame = content[content.index(b"\x2c", 13) : -1]
    return content[:-1] + frame * 50_000 + b";"


def _webp(number: int, *, animated: bool = False) -> bytes:
    """An extended WebP whose canvas is 16,777,216 px wide."""
    side = (16_000 - number) - 1
    flags = bytes([2 if animated else 0, 0, 0, 0])
    chunk = b"VP8X" + struct.pack("<I", 10) + flags + side.to_bytes(3, "little") * 2
    file = BytesIO()
    Image.new("RGB", (16, 16)).save(file, "WEBP", lossless=True)
    inner = file.getvalue()[12:]
    frame = b"ANMF" + struct.pack("<I", 16 + len(inner)) + bytes(6) + (15).to_bytes(3, "little") * 2 + bytes(4) + inner
    body = chunk + (b"ANIM" + struct.pack("<I", 6) + bytes(6) + frame * 2000 if animated else inner)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _lossless_webp(number: int) -> bytes:
    """The largest canvas that the format has, 16,383 px square, in its own header."""
    bits = 0x2F | (16_382 - number) << 8 | 16_382 << 22
    body = b"VP8L" + struct.pack("<I", 6) + bits.to_bytes(5, "little") + b"\0"
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _tiff(number: int, *, compression: int, n_strips: int = 1) -> bytes:
    """100,000 px square, in strips that unpack to zeros."""
    data = _deflated_zeros(256) if compression == 8 else b"\x81\0" * 4096
    width, height = 100_000 - number, 100_000
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1), (277, 3, 1, 1),
        (273, 4, n_strips, 8), (278, 4, 1, height), (279, 4, n_strips, len(data)),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def _tags_tiff(number: int) -> bytes:
    """65,535 tags, each of which claims to have a gigabyte of values."""
    tag = struct.pack("<HHII", 33_000 + number, 4, 0x0FFFFFFF, 8)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 65_535) + tag * 65_535 + bytes(4)


def _pages_tiff(number: int, *, n_pages: int, n_tags: int) -> bytes:
    """Grey pages of 8 px square, each in a directory of its own with so many tags."""
    own = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 8), (279, 64)]
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in own)
    tags += b"".join(struct.pack("<HHII", 40_000 + place + number, 4, 1, 0) for place in range(n_tags - len(own)))
    page_bytes = 2 + len(tags) + 4
    nexts = [72 + page * page_bytes for page in range(1, n_pages)]
    pages = [struct.pack("<H", n_tags) + tags + struct.pack("<I", after) for after in (*nexts, 0)]
    return b"II*\0" + struct.pack("<I", 72) + bytes(64) + b"".join(pages)


def _bmp(number: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, 60_000 + number, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


def _ppm(number: int) -> bytes:
    return f"P6 {60_000 + number} 60000 255\n".encode()


def _jpeg2000(number: int) -> bytes:
    """A code stream of 100,000 px square in tiles of one pixel."""
    side = 100_000 + number
    size = struct.pack(">HIIIIIIIIH", 0, side, side, 0, 0, 1, 1, 0, 0, 3) + b"\7\1\1" * 3
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(size) + 2) + size


BOMBS: tuple[tuple[str, Callable[[int], bytes]], ...] = (
    ("png of 900 megapixels of zeros", _wide_png),
    ("jpeg of 80,000 scans", _scans_jpeg),
    ("gif of 4,225 megapixels", _wide_gif),
    ("webp of 256 megapixels", _webp),
    ("tiff of 10,000 megapixels, deflated", partial(_tiff, compression=8)),
    ("png with texts that unpack to gigabytes", _deep_text_png),
    ("small png with texts that unpack to gigabytes", _deep_text_small_png),
    ("interlaced png of 900 megapixels", partial(_wide_png, interlaced=1)),
    ("jpeg of 4,225 megapixels", _wide_jpeg),
    ("gif of 50,000 frames", _frames_gif),
    ("animated webp of 2,000 frames", partial(_webp, animated=True)),
    ("lossless webp of 268 megapixels", _lossless_webp),
    ("tiff of 10,000 megapixels, packbits", partial(_tiff, compression=32773)),
    ("tiff of a million strips", partial(_tiff, compression=8, n_strips=1_000_000)),
    ("tiff of 65,535 large tags", _tags_tiff),
    ("jpeg of 81 megapixels in 300 scans", _slow_jpeg),
    ("tiff of 20,000 pages", partial(_pages_tiff, n_pages=20_000, n_tags=10)),
    ("tiff of 60 pages of 5,000 tags", partial(_pages_tiff, n_pages=60, n_tags=5000)),
    ("bmp of 3,600 megapixels", _bmp),
    ("ppm of 3,600 megapixels", _ppm),
    ("jpeg 2000 of 10,000 megapixels in tiles of one", _jpeg2000),
)
