"""Where collected pictures lie: checked, named by their content, and whole or not there."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tellapart.errors import CallError, PictureError, StorageError
from tellapart.files import sha256_of, write_error
from tellapart.images.decoding import open_described

WORK = ".collect"  # beside the class folders; hidden, so that no reader takes it for one
PARTS = "parts"
NAME_DIGITS = 20  # hexadecimal, 80 bits: no two of a trillion pictures share a name by chance
# A JPEG is decoded at an eighth of its size, but all of its bytes are: what is cut off or undecodable is found as at full size.
CHECKED_SIDE_PX = 8
SUFFIXES = {
    "JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "DIB": ".bmp",
    "TIFF": ".tif", "AVIF": ".avif", "HEIF": ".heic", "PPM": ".ppm", "JPEG2000": ".jp2",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kept:
    """A picture that has its place."""

    sha256: str
    name: str  # of the file


def keep(content: bytes | Path, folder: Path, part: Path) -> Kept:
    """Decode a picture once, and move it into `folder` under the name of its content; the same content twice is one file.

    The suffix is that of what it is, whatever it was called. Raises PictureError where it is none, and StorageError where it
    cannot be written.
    """
    opened = open_described(content, min_side_px=CHECKED_SIDE_PX)
    if opened.format not in SUFFIXES:
        raise PictureError("not_a_picture", f"a picture of an unknown kind: {opened.format}")
    sha256 = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else sha256_of(content)
    name = sha256[:NAME_DIGITS] + SUFFIXES[opened.format]
    try:
        if isinstance(content, bytes):
            part.write_bytes(content)
        _move(part, folder / name)
    except OSError as error:
        raise write_error(folder / name, error, then="and run the same command again") from error
    return Kept(sha256, name)


def _move(part: Path, place: Path) -> None:
    """Rename over; the folder is made when its first picture comes, so that no class is empty."""
    try:
        os.replace(part, place)
    except FileNotFoundError:
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, place)


@contextmanager
def work_folder(root: Path) -> Iterator[Path]:
    """A folder for unfinished files in `root`, for one run at a time; what a killed run left there is gone.

    Raises CallError where `root` is a file or another run is at work in it.
    """
    work = root / WORK
    if os.path.exists(root) and not root.is_dir():
        raise CallError(f"{root} is a file; give a folder: --out DATA")
    try:
        (work / PARTS).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise StorageError(f"cannot write into {root}: {getattr(error, 'strerror', error)}. Choose another --out.") from error
    with _lock(root):
        shutil.rmtree(work / PARTS, ignore_errors=True)
        (work / PARTS).mkdir(exist_ok=True)
        try:
            yield work
        finally:
            shutil.rmtree(work / PARTS, ignore_errors=True)
            with suppress(OSError):  # a journal that is still needed keeps the folder
                work.rmdir()


@contextmanager
def _lock(root: Path) -> Iterator[None]:
    """Hold the folder itself; the system lets go of it when the process ends, however it ends."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise CallError(f"another `tellapart collect` is at work in {root}; wait for it, or choose another --out") from error
    finally:
        os.close(descriptor)
