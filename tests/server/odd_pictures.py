"""Pictures as cameras, scanners, editors and broken downloads leave them: every mode, format, size and orientation."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image

# Mode, format and how it is saved; "png" is written here: Pillow writes neither 16 bits a colour nor interlaced ones.
KINDS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("RGB", "JPEG", {"quality": 90}), ("RGB", "JPEG", {"progressive": True}), ("L", "JPEG", {}),
    ("L", "JPEG", {"progressive": True}), ("CMYK", "JPEG", {}), ("YCbCr", "JPEG", {"subsampling": 0}),
    ("RGB", "JPEG", {"subsampling": 2, "restart_marker_rows": 1}), ("1", "PNG", {}), ("L", "PNG", {}), ("LA", "PNG", {}),
    ("P", "PNG", {}), ("P", "PNG", {"transparency": 3}), ("RGB", "PNG", {}), ("RGBA", "PNG", {}), ("I;16", "PNG", {}),
    ("RGB", "PNG", {"transparency": (0, 0, 0)}), ("RGB", "png", {"bits": 16}), ("RGBA", "png", {"bits": 16}),
    ("RGB", "png", {"interlaced": True}), ("L", "png", {"interlaced": True, "bits": 16}), ("LA", "png", {"bits": 16}),
    ("RGB", "WEBP", {}), ("RGBA", "WEBP", {}), ("RGB", "WEBP", {"lossless": True}), ("P", "GIF", {}), ("L", "GIF", {}),
    ("P", "GIF", {"transparency": 0}), ("1", "BMP", {}), ("P", "BMP", {}), ("RGB", "BMP", {}), ("RGBA", "BMP", {}),
    ("1", "TIFF", {"compression": "group4"}), ("L", "TIFF", {}), ("LA", "TIFF", {}), ("P", "TIFF", {}), ("PA", "TIFF", {}),
    ("RGB", "TIFF", {"compression": "tiff_lzw"}), ("RGBA", "TIFF", {}), ("CMYK", "TIFF", {}), ("YCbCr", "TIFF", {}),
    ("I;16", "TIFF", {}), ("F", "TIFF", {}), ("LAB", "TIFF", {}), ("1", "PPM", {}), ("L", "PPM", {}), ("RGB", "PPM", {}),
    ("RGB", "JPEG2000", {}), ("LA", "JPEG2000", {}),
)  # fmt: skip
SIZES = ((1, 1), (1, 700), (900, 1), (2, 3), (3000, 20), (20, 3000), (96, 96), (97, 95), (8, 8), (640, 480))
SUFFIXES = {"JPEG": "jpg", "JPEG2000": "jp2"}
WITH_EXIF = ("JPEG", "PNG", "WEBP", "TIFF")
PNG_COLOURS = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}
# Where each pass of Adam7 begins and in what steps it goes, down and across (PNG specification, 8.2).
ADAM7 = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))


def odd_pictures(n: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents of `n` pictures, always the same; of 12 one is cut short and one has a few bytes changed."""
    for number in range(n):
        draw = np.random.default_rng(number)
        mode, kind, options = KINDS[number % len(KINDS)]
        width, height = SIZES[draw.integers(len(SIZES))] if number % 3 else draw.integers(1, 500, 2).tolist()
        content = saved(drawn(draw, mode, width, height), kind, orientation=int(draw.integers(1, 9)), **options)
        if number % 12 == 5:
            content = content[: int(draw.integers(len(content)))]
        elif number % 12 == 11:
            content = damaged(draw, content)
        yield f"{number:04}.{SUFFIXES.get(kind, kind.lower())}", content


def drawn(draw: np.random.Generator, mode: str, width: int, height: int) -> Image.Image:
    """Smooth patches of colour, in this mode."""
    colours = Image.fromarray(draw.integers(0, 256, (5, 6, 4), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    if mode == "I;16":
        return Image.fromarray(np.asarray(colours.convert("L")).astype(np.uint16) * 257)
    if mode == "F":
        return Image.fromarray(np.asarray(colours.convert("L")).astype(np.float32) / 255)
    if mode == "PA":
        return colours.convert("RGB").convert("P").convert("PA")
    return colours.convert(mode) if mode in ("RGBA", "LA") else colours.convert("RGB").convert("P" if mode == "P" else mode)


def saved(image: Image.Image, kind: str, *, orientation: int, **options: object) -> bytes:
    """The picture's file."""
    if kind == "png":
        return png(image, **options)  # type: ignore[arg-type]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    image.save(file, kind, **options, **({"exif": exif} if kind in WITH_EXIF else {}))
    return file.getvalue()


def png(image: Image.Image, *, bits: int = 8, interlaced: bool = False) -> bytes:
    """A PNG of 8 or 16 bits a channel, whole or in the seven passes of Adam7."""
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    values = pixels.astype(">u2") * 257 if bits == 16 else pixels
    passes = [values[top::down, left::across] for top, down, left, across in ADAM7] if interlaced else [values]
    lines = b"".join(b"\0" + line.tobytes() for one in passes if one.size for line in one)
    head = struct.pack(">IIBBBBB", image.width, image.height, bits, PNG_COLOURS[image.mode], 0, 0, interlaced)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def damaged(draw: np.random.Generator, content: bytes) -> bytes:
    """With up to eight bytes changed."""
    changed = bytearray(content)
    for place in draw.integers(len(changed), size=draw.integers(1, 9)):
        changed[place] = draw.integers(256)
    return bytes(changed)
