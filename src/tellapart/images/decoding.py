"""The one decoder: every picture that Tellapart looks at is opened here."""

from __future__ import annotations

import math
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from tellapart.errors import MissingExtraError, PictureError
from tellapart.images import containers, jpegs, tiffs
from tellapart.images.limits import MAX_BYTES, MAX_CHANNELS, MAX_PIXELS, MAX_SCANNED, MAX_SCANS, MAX_TAGS, RGB_CHANNELS

DECODER = 2  # raise it whenever a picture is opened or fitted to other pixels; what was computed from the older is not taken
# Formats are an allow-list: Pillow also opens some that start programs (EPS) or are no pictures of things.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "AVIF", "PPM", "JPEG2000")
PLUGINS = ("Jpeg", "Mpo", "Png", "WebP", "Gif", "Bmp", "Tiff", "Avif", "Ppm", "Jpeg2K")  # of Pillow, that open these
Source = str | Path | bytes | np.ndarray  # where a picture is, its file's bytes, or pixels (H, W) or (H, W, C) uint8
WHITE = (255, 255, 255)
TIFF_REMEDY = "Save each channel as a grey page, or all as an array (N, height, width, channels) in a .npz."
SAMPLES_PER_PIXEL = 277  # the tag of a TIFF
# A FIFO is opened without waiting for who writes to it; Windows has neither of the former two flags, and alone the third.
READ_AT_ONCE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
TURNED = range(2, 9)  # the EXIF orientations of pictures that do not lie upright; from 5 on width and height change places

# Pillow warns between one and two times its limit; there we raise a PictureError that names the picture.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# About broken EXIF and TIFF tags Pillow warns without naming the picture; what cannot be decoded is a PictureError here.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


@dataclass(frozen=True)
class Opened:
    """A decoded picture and what its file says of it."""

    image: Image.Image  # the first frame, upright, RGB or grey; a large JPEG perhaps at a part of its size. See `bands`
    size: tuple[int, int]  # width and height in px, upright and undiminished
    n_bytes: int
    format: str  # Pillow's name: "JPEG", "PNG" ...
    mode: str  # Pillow's name, as stored: "RGB", "L", "CMYK" ...
    camera: str  # the EXIF model, "" where there is none
    bands: tuple[Image.Image, ...] = ()  # of other than grey and RGB pictures each channel; `image` shows three, or the first

    @property
    def n_channels(self) -> int:
        """How many a network sees: 3 of whatever can be taken as RGB, grey too."""
        return len(self.bands) or RGB_CHANNELS


def open_picture(source: Source, *, min_side_px: int | None = None) -> Image.Image:
    """The first frame of a picture as an upright RGB image; alpha lies on white, 16 bits become 8.

    Of a picture with other channels the first three are shown as red, green and blue, of two the first as grey.
    With `min_side_px` a large JPEG is decoded at 1/2, 1/4 or 1/8 of its size, both sides staying at least that long.
    Raises PictureError for whatever cannot be read, from the header alone where the picture is too large.
    """
    return open_described(source, min_side_px=min_side_px).image


def open_described(source: Source, *, min_side_px: int | None = None) -> Opened:
    """As `open_picture`, with what the file says of the picture."""
    return _opened(source, "RGB", min_side_px)


def open_grey(source: Source, *, min_side_px: int | None = None) -> Opened:
    """As `open_described`, but grey; in half the time where a JPEG need not be decoded in colour and is much larger.

    Some greys differ by a level or two from those of the RGB image.
    """
    return _opened(source, "L", min_side_px)


def shown_channels(n_channels: int) -> str:
    """What people are shown of pictures with so many channels, in words; "" of grey and coloured ones."""
    if n_channels == RGB_CHANNELS:
        return ""
    some = "the first three, as red, green and blue" if n_channels > RGB_CHANNELS else "the first, as grey"
    return f"{some}, of {n_channels} channels"


@cache
def known_formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow was built with. Takes a tenth of a second the first time."""
    for (
        name
    ) in PLUGINS:  # else Pillow knows only the five commonest formats until it first meets another, and then loads them all
        with suppress(ImportError):
            import_module(f"PIL.{name}ImagePlugin")
    return tuple(name for name in FORMATS if name in Image.OPEN)


def picture_size(content: bytes) -> tuple[int, int]:
    """Width and height in px as stored, from the header of a file alone. Raises PictureError, also for a picture too large."""
    if frame := jpegs.plain_frame(content):
        return frame.width, frame.height
    with _picture_errors(), _identify(content) as image:
        _refuse_bomb(image)
        return image.size


def _opened(source: Source, mode: str, min_side_px: int | None) -> Opened:
    content = source if isinstance(source, bytes | np.ndarray) else _read(source)
    if isinstance(content, np.ndarray):
        opened = _opened_array(content)
    else:
        opened = _opened_plain(content, mode, min_side_px) or _opened_file(content, min_side_px)
    return opened if opened.image.mode == mode else replace(opened, image=opened.image.convert(mode))


def _opened_plain(content: bytes, mode: str, min_side_px: int | None) -> Opened | None:
    """A plain JPEG; None for anything else, and for one that is damaged."""
    if not (frame := jpegs.plain_frame(content)):
        return None
    _refuse_many_scans(content, frame.width * frame.height)
    image = jpegs.decode(content, frame, mode, min_side_px=min_side_px)
    return Opened(image, (frame.width, frame.height), len(content), "JPEG", frame.mode, "") if image else None


def _opened_file(content: bytes, min_side_px: int | None) -> Opened:
    """A picture file of any format, in RGB. Raises PictureError."""
    with _picture_errors(), _identify(content) as image:
        _refuse_bomb(image)
        _refuse_many_scans(content, math.prod(image.size))
        size, mode, format_name = image.size, image.mode, image.format or ""
        if format_name == "TIFF" and (channels := _tiff_channels(image, content)) is not None:
            return _opened_channels(channels, len(content), format_name)
        if min_side_px is not None:
            image.draft(None, (min_side_px, min_side_px))
        image.load()
        camera, orientation = _exif(image)
        upright = ImageOps.exif_transpose(image) if orientation in TURNED else image
        return Opened(
            _to_rgb(upright), size[::-1] if orientation in TURNED[3:] else size, len(content), format_name, mode, camera
        )


@contextmanager
def _picture_errors() -> Iterator[None]:
    """Whatever opening or decoding raises, as a PictureError."""
    try:
        yield
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError("too_large", f"more than {MAX_PIXELS / 1e6:.0f} megapixels; refused unread") from error
    except Exception as error:  # decoders raise anything on hostile bytes (struct, zlib, index, value, memory errors)
        raise PictureError(_kind_of(error), f"cannot be decoded: {str(error).strip() or type(error).__name__}") from error


def _opened_array(pixels: np.ndarray) -> Opened:
    if pixels.ndim == 3 and pixels.shape[2] not in (3, 4):
        return _opened_channels(pixels, pixels.nbytes, "ARRAY")
    image = Image.fromarray(pixels)
    return Opened(_to_rgb(image), image.size, pixels.nbytes, "ARRAY", image.mode, "")


def _opened_channels(pixels: np.ndarray, n_bytes: int, format_name: str) -> Opened:
    """A picture of the channels (H, W, C) uint8, of which three are RGB."""
    bands = tuple(Image.fromarray(np.ascontiguousarray(pixels[..., number])) for number in range(pixels.shape[2]))
    shown = Image.merge("RGB", bands[:RGB_CHANNELS]) if len(bands) >= RGB_CHANNELS else bands[0].convert("RGB")
    others = bands if len(bands) != RGB_CHANNELS else ()
    return Opened(shown, shown.size, n_bytes, format_name, f"{len(bands)} bands", "", others)


def _tiff_channels(image: Image.Image, content: bytes) -> np.ndarray | None:
    """The pages of a TIFF as the channels (H, W, C) uint8 of one picture, where they are several, grey and of one size.

    None for any other: its first page is the picture. Raises PictureError for too many grey pages, and for channels that Pillow
    leaves out.
    """
    if image.tag_v2.get(SAMPLES_PER_PIXEL, 1) > 4:  # type: ignore[attr-defined]  # of a TIFF
        raise PictureError("undecodable", f"a TIFF of more than 4 channels a page. {TIFF_REMEDY}")
    if not _is_levels(image.mode):
        return None
    if _refuse_many_tags(content, n_pages=MAX_CHANNELS + 1) > MAX_CHANNELS:
        raise PictureError("too_large", f"a TIFF of more than {MAX_CHANNELS} grey pages, which are too many channels")
    n_pages = getattr(image, "n_frames", 1)
    if n_pages == 1 or len({_page_kind(image, number) for number in range(n_pages)}) > 1:
        image.seek(0)
        return None
    if n_pages * math.prod(image.size) > RGB_CHANNELS * MAX_PIXELS:
        raise PictureError("too_large", f"{n_pages} pages of {image.size[0]} x {image.size[1]} pixels are too many channels")
    pages = np.stack([_page(image, number) for number in range(n_pages)], 2)
    return pages if pages.dtype == np.uint8 else _to_uint8(pages)


def _is_levels(mode: str) -> bool:
    """Whether a mode of Pillow's is grey of 8 bits or more: pages of black and white are those of a document."""
    return mode in ("L", "I", "F") or mode.startswith("I;")


def _page_kind(image: Image.Image, number: int) -> tuple[str, tuple[int, int]]:
    image.seek(number)
    return image.mode, image.size


def _page(image: Image.Image, number: int) -> np.ndarray:
    image.seek(number)
    return np.asarray(ImageOps.exif_transpose(image))


def _read(path: str | Path) -> bytes | np.ndarray:
    if found := containers.locate(path):
        return containers.read_member(*found)
    try:
        descriptor = os.open(path, READ_AT_ONCE)
        try:
            return _read_open(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise PictureError("unreadable", f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name
        raise PictureError("unreadable", f"cannot be read: {error}") from error


def _read_open(descriptor: int) -> bytes:
    """All of an open file, in few calls: each lets other threads take Python's lock."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise PictureError("not_a_file", "not a regular file")
    if status.st_size > MAX_BYTES:
        raise PictureError("too_large", f"{status.st_size / 2**20:.0f} MiB; at most {MAX_BYTES // 2**20} are read")
    content = os.read(descriptor, status.st_size)
    while len(content) < status.st_size and (more := os.read(descriptor, status.st_size - len(content))):
        content += more
    return content


def _identify(content: bytes) -> Image.Image:
    if not content:
        raise PictureError("empty", "the file is empty (0 bytes)")
    if content.startswith(tiffs.STARTS):
        _refuse_many_tags(content, n_pages=1)
    try:
        return Image.open(BytesIO(content), formats=known_formats())
    except UnidentifiedImageError as error:
        if _is_heic(content):
            return _open_heic(content)
        if content.startswith(tiffs.STARTS):
            raise PictureError(
                "undecodable", f"a TIFF that is damaged, or of more than 4 channels a page. {TIFF_REMEDY}"
            ) from error
        raise PictureError("not_a_picture", f"not a picture ({_guess(content)})") from error


def _is_heic(content: bytes) -> bool:
    return content[4:8] == b"ftyp" and content[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


def _open_heic(content: bytes) -> Image.Image:
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        text = str(MissingExtraError("a HEIC picture", "heif"))
        raise PictureError("needs_heif", text) from error
    register_heif_opener()
    try:
        return Image.open(BytesIO(content), formats=("HEIF",))
    except UnidentifiedImageError as error:  # its text is the address of the BytesIO
        raise PictureError("undecodable", "cannot be decoded: a damaged HEIC picture") from error


def _guess(content: bytes) -> str:
    """What a file that is no picture seems to be, in words for its owner."""
    start = content[:512].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "a web page or SVG"
    if start.startswith(b"%pdf"):
        return "a PDF"
    return "text" if all(31 < byte < 127 or byte in b"\t\r\n" for byte in content[:512]) else "unknown content"


def _refuse_bomb(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureError("too_large", f"{width} x {height} pixels; at most {MAX_PIXELS / 1e6:.0f} million are decoded")


def _refuse_many_scans(content: bytes, n_pixels: int) -> None:
    """Each scan of a progressive JPEG goes over all of the picture, so that a small file can take minutes."""
    most = min(MAX_SCANS, MAX_SCANNED // n_pixels)
    if content.startswith(jpegs.START) and (n_scans := content.count(b"\xff\xda")) > most:
        size = "" if most == MAX_SCANS else f" of {n_pixels / 1e6:.0f} megapixels"
        raise PictureError("too_many_scans", f"a JPEG{size} of {n_scans:,} scans; at most {most} are decoded")


def _refuse_many_tags(content: bytes, *, n_pages: int) -> int:
    """How many pages a TIFF has, not more than `n_pages` being looked at. Raises PictureError for too many tags in them."""
    found, n_tags = tiffs.counted_tags(content, n_pages=n_pages)
    if n_tags > MAX_TAGS:
        raise PictureError("too_large", f"a TIFF of {n_tags:,} tags; at most {MAX_TAGS:,} are read")
    return found


def _exif(image: Image.Image) -> tuple[str, int]:
    """The camera's model, and the orientation, 1 where the picture is upright as it is stored."""
    stored = image.info.get("exif") or b""
    if tiffs.counted_tags(stored.removeprefix(b"Exif\0\0"), n_pages=1)[1] > MAX_TAGS:
        return "", 1
    try:
        exif = image.getexif()
        return str(exif.get(ExifTags.Base.Model, "")).strip("\0 "), int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF says nothing about the pixels
        return "", 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode != "L" and _is_levels(image.mode):
        values = np.asarray(image)
        levels = _to_uint8(values)
        levels[values == image.info.get("transparency", -1)] = 255  # a 16-bit PNG names one grey
        return Image.fromarray(levels).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, WHITE)
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image.convert("RGB")


def _to_uint8(values: np.ndarray) -> np.ndarray:
    """16-bit integers, or floats in 0..1, 0..255 or 0..65535, as 8 bits."""
    values = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
    top = values.max(initial=0)
    is_integer = not np.any(values % 1)
    if top <= 1 and not is_integer:
        values = values * 255
    elif top > 255:
        values = values / 257  # 65535 / 255
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _kind_of(error: Exception) -> str:
    return "truncated" if "truncated" in str(error).lower() else "undecodable"
