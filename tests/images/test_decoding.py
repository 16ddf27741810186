"""The decoder: every format it promises, and for all other bytes a PictureError that says what they are."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from tellapart.errors import PictureError
from tellapart.images import PICTURE_SUFFIXES, open_picture
from tellapart.images.decoding import picture_size

ORIENTATION_TAG = 0x0112
WHITE, RED, BLUE = (255, 255, 255), (200, 40, 30), (20, 60, 210)
AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
JPEG2000 = pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow was built without JPEG 2000")

# suffix -> Pillow's format and options; one of each kind of file that people have.
ENCODINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpg": ("JPEG", {"quality": 92}),
    "jpe": ("JPEG", {"quality": 92, "progressive": True}),
    "mpo": ("MPO", {"quality": 92}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"lossless": True}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "dib": ("DIB", {}),
    "tif": ("TIFF", {}),
    "tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "ppm": ("PPM", {}),
    "jp2": ("JPEG2000", {}),
    "avif": ("AVIF", {"quality": 90}),
}
MARKS = {"avif": AVIF, "jp2": JPEG2000}
SUFFIXES = [pytest.param(suffix, marks=MARKS.get(suffix, ())) for suffix in ENCODINGS]


def encoded(picture: Image.Image, format_name: str, **options: Any) -> bytes:
    file = BytesIO()
    picture.save(file, format_name, **options)
    return file.getvalue()


def sample(suffix: str, picture: Image.Image | None = None) -> bytes:
    """A small picture, red on the left and blue on the right, as a file of that kind."""
    format_name, options = ENCODINGS[suffix]
    return encoded(picture or halves(), format_name, **options)


def halves(width: int = 40, height: int = 24) -> Image.Image:
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (width // 2, 0, width, height))
    return picture


def photo(width: int, height: int) -> Image.Image:
    """Smooth colour with some grain: what JPEG is made for."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    levels = np.asarray(coarse, dtype=float) + rng.normal(0, 3, (height, width, 3))
    return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))


def levels_of(source: Path | bytes) -> np.ndarray:
    return np.asarray(open_picture(source)).astype(int)


def refusal(source: Path | bytes) -> PictureError:
    with pytest.raises(PictureError) as caught:
        open_picture(source)
    return caught.value


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, pixels: bytes = b"", between: bytes = b"") -> bytes:
    """A PNG put together by hand: the header may say what the pixels do not hold. `colour` 0 is grey, 2 RGB."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + between + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


# Formats -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_format_opens_from_bytes_and_from_a_path(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{suffix}"
    path.write_bytes(sample(suffix))
    picture = open_picture(path)
    assert (picture.mode, picture.size) == ("RGB", (40, 24))
    assert np.abs(np.asarray(picture, dtype=int) - np.asarray(halves())).mean() < 8  # of 255: what lossy formats lose
    assert np.array_equal(np.asarray(picture), levels_of(path.read_bytes()))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_content_decides_not_the_name(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "misnamed.png"
    path.write_bytes(sample(suffix))
    assert open_picture(str(path)).size == (40, 24)


@pytest.mark.parametrize(
    "suffix",
    [
        "tif",
        "webp",
        pytest.param("avif", marks=[AVIF, pytest.mark.slow]),
        pytest.param("jp2", marks=[JPEG2000, pytest.mark.slow]),
    ],
)
def test_a_format_opens_first_in_a_process(suffix: str, tmp_path: Path) -> None:
    """Pillow loads all but five formats late: what opens after other pictures must open before them as well."""
    path = tmp_path / f"picture.{suffix}"
    path.write_bytes(sample(suffix))
    code = "import sys; from tellapart.images import open_picture; print(open_picture(sys.argv[1]).size)"
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.stderr) == ("(40, 24)\n", "")


def test_every_suffix_that_is_listed_has_a_format_that_opens() -> None:
    aliases = {".jpeg", ".jfif", ".heic", ".heif", ".pgm", ".pbm"}  # named otherwise than in ENCODINGS, or tested below
    assert aliases | {f".{suffix}" for suffix in ENCODINGS} == PICTURE_SUFFIXES


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_exif_orientation_is_undone(suffix: str, orientation: int) -> None:
    """Stored as a camera would store it, each of the eight comes out upright."""
    corners = Image.new("RGB", (40, 24), WHITE)
    corners.paste(RED, (0, 0, 16, 8))
    flip = Image.Transpose
    stored_as = (None, None, flip.FLIP_LEFT_RIGHT, flip.ROTATE_180, flip.FLIP_TOP_BOTTOM, flip.TRANSPOSE)
    stored_as += (flip.ROTATE_90, flip.TRANSVERSE, flip.ROTATE_270)
    turn = stored_as[orientation]
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    format_name, options = ENCODINGS[suffix]
    content = encoded(corners if turn is None else corners.transpose(turn), format_name, exif=exif, **options)
    picture = open_picture(content)
    assert picture.size == (40, 24)
    assert np.abs(np.asarray(picture, dtype=int) - np.asarray(corners)).mean() < 4
    assert picture.getexif().get(ORIENTATION_TAG, 1) == 1  # or whoever looks next turns it again


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_does_not_exist_changes_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    assert open_picture(encoded(halves(), "JPEG", exif=exif)).size == (40, 24)


BROKEN_EXIF = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01" + b"\xff" * 20


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_cost_the_picture() -> None:
    assert open_picture(encoded(halves(), "JPEG", exif=BROKEN_EXIF)).size == (40, 24)


SILENTLY = """
import sys
from tellapart.errors import PictureError
from tellapart.images import open_picture
for path in sys.argv[1:]:
    try:
        open_picture(path)
    except PictureError:
        pass
"""


def test_nothing_is_printed_about_broken_tags(tmp_path: Path) -> None:
    (tmp_path / "exif.jpg").write_bytes(encoded(halves(), "JPEG", exif=BROKEN_EXIF))
    (tmp_path / "truncated.tiff").write_bytes(sample("tiff", photo(96, 64))[:1000])
    paths = [str(path) for path in tmp_path.iterdir()]
    run = subprocess.run([sys.executable, "-c", SILENTLY, *paths], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"optimize": True}])
def test_jpeg_of_any_kind(options: dict[str, Any]) -> None:
    left, right = levels_of(encoded(halves(), "JPEG", quality=95, **options))[12, [5, 35]]
    assert np.abs(left - RED).max() < 8
    assert np.abs(right - BLUE).max() < 8


def test_a_cmyk_jpeg_has_its_colours_and_not_their_negative() -> None:
    """Adobe writes the inks inverted; Pillow writes the same marker."""
    content = encoded(halves().convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in content
    left, right = levels_of(content)[12, [5, 35]]
    assert np.abs(left - RED).max() < 12
    assert np.abs(right - BLUE).max() < 12


def test_a_grey_jpeg_becomes_three_equal_channels() -> None:
    levels = levels_of(encoded(Image.new("L", (9, 7), 90), "JPEG"))
    assert levels.shape == (7, 9, 3)
    assert (levels == 90).all()


def test_one_bit_is_black_and_white() -> None:
    picture = Image.fromarray(np.array([[0, 255], [255, 0]], dtype=np.uint8)).convert("1")
    for content in (encoded(picture, "PNG"), encoded(picture, "TIFF"), encoded(picture, "PPM")):
        assert levels_of(content)[:, :, 0].tolist() == [[0, 255], [255, 0]]


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "PPM"])
def test_16_bits_become_8(format_name: str) -> None:
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16)
    levels = levels_of(encoded(Image.fromarray(ramp * 257), format_name))
    assert np.array_equal(levels, np.repeat(ramp[:, :, None], 3, axis=2))


def test_16_bit_colour_becomes_8() -> None:
    row = struct.pack(">B6H", 0, 0, 32896, 65535, 257, 514, 771)
    assert levels_of(png(2, 1, depth=16, pixels=zlib.compress(row))).tolist() == [[[0, 128, 255], [1, 2, 3]]]


@pytest.mark.parametrize(
    ("top", "expected"), [(1.0, [0, 64, 128, 255]), (255.0, [0, 64, 128, 255]), (65535.0, [0, 64, 128, 255])]
)
def test_floats_of_each_usual_range_become_8_bits(top: float, expected: list[int]) -> None:
    values = np.array([[0, 0.25, 0.5, 1.0]], dtype=np.float32) * top
    levels = levels_of(encoded(Image.fromarray(values), "TIFF"))[0, :, 0]
    assert np.abs(levels - expected).max() <= 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -7.0])
def test_floats_that_are_no_brightness_are_black(value: float) -> None:
    assert levels_of(encoded(Image.fromarray(np.full((2, 3), value, np.float32)), "TIFF")).max() == 0


def test_the_first_page_of_a_tiff_counts() -> None:
    pages = [Image.new("RGB", (6, 5), colour) for colour in (RED, BLUE)]
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert (levels_of(content) == RED).all()


@pytest.mark.parametrize("format_name", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_counts(format_name: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    content = encoded(frames[0], format_name, save_all=True, append_images=frames[1:], duration=50)
    assert np.abs(levels_of(content) - RED).max() < 8


# Transparency: alpha lies on white -----------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "TIFF"])
def test_alpha_lies_on_white(format_name: str) -> None:
    picture = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        picture.putpixel((x, 0), (*RED, alpha))
    options = {"lossless": True, "exact": True} if format_name == "WEBP" else {}
    clear, half, solid = levels_of(encoded(picture, format_name, **options))[0]
    assert clear.tolist() == list(WHITE)
    assert np.abs(half - (np.array(RED) + WHITE) / 2).max() <= 1
    assert solid.tolist() == list(RED)


def test_grey_with_alpha_lies_on_white() -> None:
    picture = Image.fromarray(np.array([[[10, 0], [10, 255]]], dtype=np.uint8), "LA")
    assert levels_of(encoded(picture, "PNG"))[0, :, 0].tolist() == [255, 10]


def test_a_palette_without_transparency() -> None:
    assert np.abs(levels_of(encoded(halves().quantize(8), "PNG")) - np.asarray(halves())).max() <= 4


@pytest.mark.parametrize("format_name", ["PNG", "GIF"])
def test_a_transparent_entry_of_a_palette_is_white(format_name: str) -> None:
    picture = Image.new("P", (4, 2), 0)
    picture.putpalette([*RED, *BLUE])
    picture.putpixel((3, 1), 1)
    levels = levels_of(encoded(picture, format_name, transparency=0))
    assert levels[0, 0].tolist() == list(WHITE)
    assert levels[1, 3].tolist() == list(BLUE)


def test_a_palette_with_many_alphas_lies_on_white() -> None:
    picture = Image.new("P", (2, 1), 0)
    picture.putpalette([*RED, *BLUE])
    picture.putpixel((1, 0), 1)
    clear, half = levels_of(encoded(picture, "PNG", transparency=bytes([0, 128])))[0]
    assert clear.tolist() == list(WHITE)
    assert np.abs(half - (np.array(BLUE) + WHITE) / 2).max() <= 1


@pytest.mark.parametrize(("mode", "key", "other"), [("L", 77, 78), ("RGB", RED, BLUE)])
def test_a_transparent_colour_is_white(mode: str, key: Any, other: Any) -> None:
    picture = Image.new(mode, (2, 1), key)
    picture.putpixel((1, 0), other)
    clear, solid = levels_of(encoded(picture, "PNG", transparency=key))[0]
    assert clear.tolist() == list(WHITE)
    assert solid.tolist() == (list(other) if mode == "RGB" else [other] * 3)


def test_a_transparent_grey_of_16_bits_is_white() -> None:
    pixels = zlib.compress(b"\0\x12\x34\x56\x78")
    content = png(2, 1, depth=16, colour=0, pixels=pixels, between=chunk(b"tRNS", b"\x12\x34"))
    assert levels_of(content)[0, 0].tolist() == list(WHITE)


# HEIC ----------------------------------------------------------------------------------------------------------------


def heic() -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = BytesIO()
    pillow_heif.from_pillow(halves(64, 48)).save(file, quality=95)
    return file.getvalue()


def test_heic_opens_with_its_extra() -> None:
    picture = open_picture(heic())
    assert (picture.mode, picture.size) == ("RGB", (64, 48))
    assert np.abs(np.asarray(picture)[24, 8].astype(int) - RED).max() < 12


def test_heic_without_its_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    header = struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic"
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    error = refusal(header + bytes(100))
    assert (error.kind, str(error)) == ("needs_heif", "a HEIC picture needs: pip install 'tellapart[heif]'")


@pytest.mark.parametrize("n_bytes", [30, 60, 200])
def test_truncated_heic_is_described_without_the_decoders_inner_life(n_bytes: int) -> None:
    error = refusal(heic()[:n_bytes])
    assert error.kind in ("truncated", "undecodable")
    assert "BytesIO" not in str(error)  # with its address: another text each time
    assert str(error) == str(error).strip()


# What is no picture --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", ["EPS", "PDF", "PCX", "TGA", "ICO", "SGI", "QOI", "DDS"])
def test_formats_beyond_the_list_are_refused(format_name: str) -> None:
    """Pillow would open them; EPS starts a program for that."""
    assert refusal(encoded(halves(), format_name)).kind == "not_a_picture"


@pytest.mark.parametrize(
    ("content", "kind", "text"),
    [
        (b"", "empty", "the file is empty (0 bytes)"),
        (b"Notes on the coins\n- ask for the tray\n", "not_a_picture", "not a picture (text)"),
        (b"<!DOCTYPE html>\n<title>404</title>", "not_a_picture", "not a picture (a web page or SVG)"),
        (b"\n\n  <HTML><body>", "not_a_picture", "not a picture (a web page or SVG)"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_a_picture", "not a picture (a web page or SVG)"),
        (b"%PDF-1.7\n%\xe2\xe3", "not_a_picture", "not a picture (a PDF)"),
        (b"\x7fELF" + bytes(60), "not_a_picture", "not a picture (unknown content)"),
        (bytes(1000), "not_a_picture", "not a picture (unknown content)"),
    ],
)
def test_other_content_is_named(content: bytes, kind: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    error = refusal(path)
    assert (error.kind, str(error)) == (kind, text)
    assert str(refusal(content)) == text


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kept_frac", [0.97, 0.5, 0.1])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Truncated File Read")
def test_a_truncated_picture_is_never_half_a_picture(suffix: str, kept_frac: float) -> None:
    content = sample(suffix, photo(96, 64))
    error = refusal(content[: int(len(content) * kept_frac)])
    assert error.kind in ("truncated", "undecodable", "not_a_picture")


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "ppm", "gif"])
def test_a_truncated_picture_is_called_that(suffix: str) -> None:
    content = sample(suffix, photo(96, 64))
    error = refusal(content[: len(content) // 2])
    assert error.kind == "truncated"
    assert str(error).startswith("cannot be decoded: image file is truncated")


# Too large: refused from the header ----------------------------------------------------------------------------------


def bombs() -> dict[str, bytes]:
    bmp, gif = encoded(halves(), "BMP"), encoded(halves(), "GIF")
    return {
        "png 50,000 x 50,000": png(50_000, 50_000),
        "png 1,000,000 x 1,000,000": png(1_000_000, 1_000_000),
        "png 1,000,000 x 90": png(1_000_000, 90),
        "png 10,000 x 10,000": png(10_000, 10_000, pixels=zlib.compress(bytes(30_010_000))),
        "ppm": b"P6 999999 999999 255\n",
        "bmp": bmp[:18] + struct.pack("<ii", 50_000, 50_000) + bmp[26:],
        "gif": gif[:6] + struct.pack("<HH", 65_535, 65_535) + gif[10:],
    }


@pytest.mark.parametrize("name", bombs())
# pytest drops the filter that the decoder sets where Pillow only warns: between one and two times its limit.
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_without_being_decoded(name: str) -> None:
    content = bombs()[name]
    tracemalloc.start()
    try:
        error = refusal(content)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.kind == "too_large"
    assert any(text in str(error) for text in ("more than 89 megapixels; refused unread", "at most 89 million are decoded"))
    assert peak_bytes < 2**20 + len(content)
    with pytest.raises(PictureError) as caught:
        picture_size(content)
    assert str(caught.value) == str(error)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
def test_the_size_is_told_by_the_header_alone(kind: str) -> None:
    content = encoded(Image.new("RGB", (70, 50)), kind)
    assert picture_size(content[: len(content) - 20]) == (70, 50)


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    """Each may go over all pixels: a file of a megabyte can take minutes."""
    content = encoded(Image.new("RGB", (70, 50)), "JPEG", progressive=True)
    assert 1 < content.count(b"\xff\xda") < 20
    open_picture(content)
    with pytest.raises(PictureError, match=r"a JPEG of 80,\d{3} scans; at most 500 are decoded"):
        open_picture(content + b"\xff\xda" * 80_000)


def test_of_a_large_jpeg_fewer_scans_are_decoded() -> None:
    """With 500 of them the decoder would be busy for a minute, on a file of half a megabyte."""
    content = encoded(Image.new("RGB", (9000, 9000)), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    with pytest.raises(PictureError, match=r"a JPEG of 81 megapixels of 60 scans; at most 17 are decoded"):
        open_picture(content[:-2] + last * (60 - content.count(b"\xff\xda")) + content[-2:])


def tiff_with(n_pages: int, n_tags: int) -> bytes:
    """A grey picture of 8 x 8 px in a TIFF whose pages have at least so many tags, the first among them its own."""
    own = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 8), (279, 64)]
    tags = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in own]
    tags += [struct.pack("<HHII", 40_000 + number % 20_000, 4, 1, 0) for number in range(n_tags - len(own))]
    page_bytes = 2 + 12 * len(tags) + 4
    places = [72 + number * page_bytes for number in range(n_pages)]
    pages = [struct.pack("<H", len(tags)) + b"".join(tags) + struct.pack("<I", after) for after in (*places[1:], 0)]
    return b"II*\0" + struct.pack("<I", places[0]) + bytes(64) + b"".join(pages)


def test_a_tiff_of_very_many_tags_is_refused_unread() -> None:
    """Pillow takes half a second for a full directory, and a small file can have thousands of them."""
    assert open_picture(tiff_with(1, 60)).size == (8, 8)
    assert str(refusal(tiff_with(1, 65_535))) == "a TIFF of 65,535 tags; at most 10,000 are read"
    assert str(refusal(tiff_with(200, 1000))) == "a TIFF of 200,000 tags; at most 10,000 are read"
    assert str(refusal(tiff_with(5000, 10))) == "a TIFF of more than 256 grey pages, which are too many channels"


@pytest.mark.parametrize(("n_tags", "size"), [(1000, (20, 30)), (20_000, (30, 20))])
def test_an_exif_of_very_many_tags_says_nothing(n_tags: int, size: tuple[int, int]) -> None:
    empty, turned = (struct.pack("<HHII", *tag) for tag in ((40_000, 4, 1, 0), (ORIENTATION_TAG, 3, 1, 6)))
    exif = b"Exif\0\0" + tiff_with(1, n_tags).replace(empty, turned)
    assert open_picture(encoded(Image.new("RGB", (30, 20)), "PNG", exif=exif)).size == size


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_just_beyond_the_limit_the_size_is_named() -> None:
    assert str(refusal(png(10_000, 10_000))) == "10000 x 10000 pixels; at most 89 million are decoded"


def test_a_picture_a_million_pixels_wide_opens_or_is_truncated() -> None:
    """One million pixels in a line are few pixels."""
    assert open_picture(png(1_000_000, 1, pixels=zlib.compress(bytes(3_000_001)))).size == (1_000_000, 1)
    assert refusal(png(1_000_000, 1)).kind == "truncated"


def test_text_that_unpacks_to_very_much_is_not_unpacked() -> None:
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80_000_000)))
    tracemalloc.start()
    try:
        assert refusal(png(1, 1, between=bomb)).kind == "undecodable"
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 * 2**20


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    path.touch()
    os.truncate(path, 513 * 2**20)  # sparse: takes no room
    error = refusal(path)
    assert (error.kind, str(error)) == ("too_large", "513 MiB; at most 512 are read")


# What is no file -----------------------------------------------------------------------------------------------------


def test_a_missing_file_is_named_as_that(tmp_path: Path) -> None:
    error = refusal(tmp_path / "missing.jpg")
    assert (error.kind, str(error)) == ("unreadable", "cannot be read: No such file or directory")


def test_a_directory_is_no_picture(tmp_path: Path) -> None:
    error = refusal(tmp_path)
    assert (error.kind, str(error)) == ("not_a_file", "not a regular file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert refusal(tmp_path / "pipe.jpg").kind == "not_a_file"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero here")
def test_a_device_is_refused_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "endless.jpg").symlink_to("/dev/zero")
    assert refusal(tmp_path / "endless.jpg").kind == "not_a_file"


def test_a_link_to_itself_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    error = refusal(tmp_path / "loop.jpg")
    assert (error.kind, str(error)) == ("unreadable", "cannot be read: Too many levels of symbolic links")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named_as_that(tmp_path: Path) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(sample("jpg"))
    path.chmod(0)
    assert str(refusal(path)) == "cannot be read: Permission denied"


def test_a_nul_in_the_name_is_a_picture_error() -> None:
    error = refusal(Path("a\0b.jpg"))
    assert (error.kind, str(error)) == ("unreadable", "cannot be read: embedded null byte")


# Decoding at a part of the size --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1024, 768), (768, 1024), (1000, 333), (301, 299)])
@pytest.mark.parametrize("min_side_px", [8, 64, 224, 400])
def test_a_jpeg_decoded_small_keeps_its_sides_long_enough(size: tuple[int, int], min_side_px: int) -> None:
    picture = open_picture(encoded(photo(*size), "JPEG"), min_side_px=min_side_px)
    assert min(picture.size) >= min(min_side_px, *size)
    assert picture.width / picture.height == pytest.approx(size[0] / size[1], rel=0.1)


def test_a_jpeg_decoded_small_looks_as_the_whole_one() -> None:
    content = encoded(photo(1024, 768), "JPEG", quality=92)
    small = open_picture(content, min_side_px=192)
    assert small.size == (256, 192)
    whole = open_picture(content).resize(small.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(small, dtype=int) - np.asarray(whole)).mean() < 1


def test_a_jpeg_decoded_small_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    assert open_picture(encoded(photo(640, 320), "JPEG", exif=exif), min_side_px=160).size == (160, 320)


@pytest.mark.parametrize("suffix", ["png", "webp", "gif", "bmp", "tif"])
def test_other_formats_are_decoded_whole(suffix: str) -> None:
    assert open_picture(sample(suffix), min_side_px=8).size == (40, 24)


# Any bytes at all ----------------------------------------------------------------------------------------------------


def opens_or_is_refused(content: bytes) -> None:
    try:
        picture = open_picture(content)
    except PictureError as error:
        said = (error.kind, str(error))
        assert all(said)
        return
    assert picture.mode == "RGB"
    assert np.asarray(picture).shape == (picture.height, picture.width, 3)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_random_bytes_open_or_are_refused(content: bytes) -> None:
    opens_or_is_refused(content)


STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"P6", b"P5 9 9", b"RIFF\0\0\0\0WEBP")
STARTS += (b"\0\0\0\x18ftypavif", b"\0\0\0\x18ftypheic", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")


@given(st.sampled_from(STARTS), st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_random_bytes_behind_a_known_start_open_or_are_refused(start: bytes, rest: bytes) -> None:
    opens_or_is_refused(start + rest)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_open_or_are_refused(suffix: str) -> None:
    valid = sample(suffix)

    @given(
        edits=st.lists(st.tuples(st.integers(0, len(valid) - 1), st.integers(0, 255)), max_size=6),
        kept=st.integers(1, len(valid)) | st.just(len(valid)),
    )
    @settings(max_examples=60, deadline=None)
    def damage(edits: list[tuple[int, int]], kept: int) -> None:
        content = bytearray(valid)
        for place, value in edits:
            content[place] = value
        opens_or_is_refused(bytes(content[:kept]))

    damage()


@pytest.mark.filterwarnings("ignore")
def test_damaged_heic_opens_or_is_refused() -> None:
    valid = heic()

    @given(st.integers(0, len(valid) - 1), st.integers(0, 255), st.integers(1, len(valid)) | st.just(len(valid)))
    @settings(max_examples=60, deadline=None)
    def damage(place: int, value: int, kept: int) -> None:
        opens_or_is_refused((valid[:place] + bytes([value]) + valid[place + 1 :])[:kept])

    damage()
