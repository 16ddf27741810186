"""Many pictures in one array: what its numbers mean, and the IDX and NumPy files that hold one."""

from __future__ import annotations

import gzip
import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tellapart.errors import DataError
from tellapart.images.limits import MAX_CHANNELS, MAX_PIXELS
from tellapart.words import counted

IDX_KINDS = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_BYTES = 4 * 2**30  # of one array that is unpacked into memory; a guess at what a laptop has to spare
CHUNK_ROWS = 1024
SHOWN = 5
USUAL_CHANNELS = (1, 3, 4)  # grey, RGB and RGBA; any other number is taken as it is
SAMPLED = 64  # pictures that decide between interleaved and planar colours
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Pixels:
    """Pictures of one size."""

    values: np.ndarray  # (N, H, W), or (N, H, W, C) of 2 or more channels, uint8, perhaps a memory map
    labels: tuple[str, ...] | None = None  # where the file holds them too
    rows: Sequence[int] | None = None  # the row of each picture in its file, where that is not its place
    notes: tuple[str, ...] = ()  # what was understood, to be said to the user


def as_pixels(values: np.ndarray, *, name: str, rows: Sequence[int] | None = None) -> Pixels:
    """The pictures in `values` of any usual shape and number kind.

    Shapes: (N, H, W), (N, H, W, C), (N, C, H, W) or flat (N, H * W) and (N, 3 * H * W) of squares; 3 channels are RGB and 4 RGBA.
    Numbers: 0..255, or floats in 0..1. Raises DataError for anything else; `rows` are the numbers that it names pictures by.
    """
    if values.dtype.kind not in "buif":
        raise DataError(
            f"{name} holds {values.dtype}, not numbers, in the shape {values.shape}. Give pixels from 0 to 255, as uint8."
        )
    shaped, shape_notes = _shaped(values, name)
    height, width = shaped.shape[1:3]
    if not math.prod(shaped.shape[1:]):
        raise DataError(f"{name} has the shape {values.shape}: pictures without pixels")
    if math.prod(shaped.shape[1:]) > (MAX_PIXELS if shaped.ndim == 3 else 3 * MAX_PIXELS):
        raise DataError(
            f"{name} has the shape {values.shape}: pictures of {width} x {height} pixels; "
            f"at most {MAX_PIXELS / 1e6:.0f} million are decoded, of three channels"
        )
    levels, level_notes = _levels(shaped, name, rows)
    return Pixels(levels, rows=rows, notes=shape_notes + level_notes)


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file, gzipped or not; a plain one is mapped, not read. Raises DataError where it is damaged."""
    try:
        with path.open("rb") as file:
            is_packed = file.read(2) == GZIP_MAGIC
        if not is_packed:
            return _idx_array(np.memmap(path, mode="r"), path)
        with gzip.open(path) as packed:
            head = packed.read(4 + 4 * 255)
            kind, shape, start = _idx_head(head, path)
            wanted = start + math.prod(shape) * kind.itemsize
            if wanted > MAX_BYTES:
                raise DataError(f"{path} would unpack to {wanted / 2**30:.0f} GiB; at most {MAX_BYTES // 2**30} are read")
            content = head + packed.read(max(0, wanted - len(head)) + 1)
        return _idx_array(np.frombuffer(content, np.uint8), path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is cut short or damaged: {error}. Fetch it again.") from error
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise DataError(f"{path} cannot be read: {error}") from error


def read_npy(path: Path) -> np.ndarray:
    """The array in a .npy file, mapped, not read. Raises DataError where it is damaged or holds Python objects."""
    try:
        found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError) as error:
        raise DataError(f"{path} is no readable .npy file: {error}") from error
    if not isinstance(found, np.ndarray):
        raise DataError(f"{path} is no readable .npy file: it is an archive of several arrays. Rename it to .npz.")
    return found


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays in a .npz file by name, unpacked. Raises DataError where it is damaged or holds Python objects."""
    try:
        with zipfile.ZipFile(path) as archive:
            n_bytes = sum(member.file_size for member in archive.infolist())
        if n_bytes > MAX_BYTES:
            raise DataError(f"{path} would unpack to {n_bytes / 2**30:.0f} GiB; at most {MAX_BYTES // 2**30} are read")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (
        OSError, ValueError, EOFError, KeyError, SyntaxError, MemoryError, NotImplementedError, RuntimeError,
        zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise DataError(f"{path} is no readable .npz file: {error}") from error


def _idx_array(content: np.ndarray, path: Path) -> np.ndarray:
    """The array in the bytes (B,) of an IDX file."""
    kind, shape, start = _idx_head(content[: 4 + 4 * 255].tobytes(), path)
    wanted, found = math.prod(shape) * kind.itemsize, len(content) - start
    if found != wanted:
        size = " x ".join(map(str, shape))
        problem = f"is cut short: only {found} bytes are" if found < wanted else "is too long: more bytes than these are"
        raise DataError(f"{path} says that it holds {size} values, {wanted} bytes, and {problem} there. Fetch it again.")
    return content[start:].view(kind).reshape(shape)


def _idx_head(head: bytes, path: Path) -> tuple[np.dtype, tuple[int, ...], int]:
    """The kind of number, the shape, and where the values begin."""
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in IDX_KINDS or not head[3]:
        found = head[:4].hex(" ") or "nothing"
        raise DataError(f"{path} is no IDX file: it begins with {found}; images begin with 00 00 08 03, labels with 00 00 08 01")
    start = 4 + 4 * head[3]
    if len(head) < start:
        raise DataError(f"{path} is cut short within its header. Fetch it again.")
    shape = tuple(int(length) for length in np.frombuffer(head[4:start], ">u4"))
    return np.dtype(IDX_KINDS[head[2]]), shape, start


def _shaped(values: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """(N, H, W), or (N, H, W, C) of 2 or more channels, and what was taken for what."""
    if values.ndim == 2:
        return _squares(values, name)
    if values.ndim == 3:
        return values, ()
    if values.ndim == 4:
        return _with_channels_last(values, name)
    raise DataError(
        f"{name} has the shape {values.shape}; pictures are (N, height, width), (N, height, width, channels) "
        "or flat squares (N, pixels)"
    )


def _with_channels_last(values: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """(N, H, W, C) of that or of (N, C, H, W), a single channel left out."""
    _, first, second, last = values.shape
    is_first = last not in USUAL_CHANNELS and first != second and (first in USUAL_CHANNELS or first < second == last)
    notes: tuple[str, ...] = ("channels come before rows and columns (N, C, H, W)",) if is_first else ()
    pictures = np.moveaxis(values, 1, 3) if is_first else values
    n_channels = pictures.shape[3]
    if n_channels > MAX_CHANNELS:
        raise DataError(
            f"{name} has the shape {values.shape}: pictures of {n_channels} channels; at most {MAX_CHANNELS} are learned from. "
            "Leave some out, or give (N, height, width, channels)."
        )
    if n_channels == 1:
        return pictures[..., 0], notes
    return pictures, notes if n_channels in USUAL_CHANNELS else (*notes, f"pictures of {n_channels} channels")


def _squares(flat: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Flat pictures (N, P) as grey or RGB squares."""
    n_values = flat.shape[1]
    side = square_side(n_values)
    if side is None:
        raise DataError(
            f"{name} has {n_values} values a picture: neither a square of grey pixels (28 x 28 = 784) "
            "nor one of RGB (3 x 32 x 32 = 3072)"
        )
    if side * side == n_values:
        return flat.reshape(-1, side, side), (f"grey pictures of {side} x {side} pixels",)
    interleaved, planar = flat.reshape(-1, side, side, 3), np.moveaxis(flat.reshape(-1, 3, side, side), 1, 3)
    is_planar = _roughness(planar) < _roughness(interleaved)
    order = "planar (all reds, then greens, then blues)" if is_planar else "interleaved (r, g, b of each pixel)"
    return (planar if is_planar else interleaved), (f"RGB pictures of {side} x {side} pixels, {order} as the smoother reading",)


def square_side(n_values: int) -> int | None:
    """The side of the square that so many grey or RGB values make, None where they make none."""
    for channels in (1, 3):
        side = math.isqrt(n_values // channels)
        if side and channels * side * side == n_values:
            return side
    return None


def _roughness(pictures: np.ndarray) -> float:
    """How much neighbours differ in the first pictures (N, H, W, 3): the right reading of flat values is the smoother one."""
    first = pictures[:SAMPLED].astype(np.float32)
    return float(np.abs(np.diff(first, axis=1)).sum() + np.abs(np.diff(first, axis=2)).sum())


def _levels(values: np.ndarray, name: str, rows: Sequence[int] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """The same as uint8, and what was done to the numbers."""
    if values.dtype == np.uint8:
        return values, ()
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255), ("true and false are white and black",)
    chunks = [values[start : start + CHUNK_ROWS] for start in range(0, len(values), CHUNK_ROWS)]
    _refuse_outside(values, chunks, name, rows)
    is_share = values.dtype.kind == "f" and max((float(chunk.max()) for chunk in chunks), default=0.0) <= 1
    levels = np.empty(values.shape, np.uint8)
    for number, chunk in enumerate(chunks):
        levels[number * CHUNK_ROWS :][: len(chunk)] = np.rint(chunk * 255 if is_share else chunk)
    return levels, (("numbers from 0 to 1 are taken as shares of 255",) if is_share else ())


def _refuse_outside(values: np.ndarray, chunks: Sequence[np.ndarray], name: str, rows: Sequence[int] | None) -> None:
    """Raise DataError where a number is below 0, above 255 or none at all."""
    found = list[str]()
    n_bad = 0
    for number, chunk in enumerate(chunks):
        flat = chunk.reshape(len(chunk), -1)
        inside = (flat >= 0) & (flat <= 255)  # NaN is not
        for place in np.flatnonzero(~inside.all(1)).tolist():
            n_bad += 1
            if len(found) < SHOWN:
                row = number * CHUNK_ROWS + place
                value = flat[place][~inside[place]][0]
                found.append(f"{'row' if rows else 'picture'} {rows[row] if rows else row} has {value:g}")
    if n_bad:
        raise DataError(
            f"{name} of the shape {values.shape}: {counted(n_bad, 'picture holds', 'pictures hold')} values that are not from "
            f"0 to 255: {', '.join(found)}. Give pixels as they were before any normalisation."
        )
