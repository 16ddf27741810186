"""Files that hold many pictures. A picture in one is named `CONTAINER#MEMBER`: `train.csv#17`, `shard-0.tar#0007.jpg`.

Members of arrays are numbered from 0, those of a .npz `NAME/NUMBER`; members of a tar go by their names. A plain file whose name
holds a "#" is a file. Nothing is ever unpacked to disk.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tellapart.errors import DataError, PictureError
from tellapart.images.arrays import Pixels, as_pixels, read_idx, read_npy, read_npz
from tellapart.images.delimited import TEXT_SUFFIXES, TextTable
from tellapart.images.limits import MAX_BYTES, PICTURE_SUFFIXES
from tellapart.images.pixel_tables import is_pixel_table, read_pixel_table
from tellapart.words import counted

MARK = "#"
IDX_NAME = re.compile(r"[.-]idx\d+-ubyte(\.gz)?$|[.]idx(\.gz)?$", re.IGNORECASE)
OVERRULED = "a later member of this tar has the same name"
KEPT_BYTES = 2 * 2**30  # of pixels held in memory at once, the file last read in any case; a guess: ten times CIFAR-10
KEPT_FILES = 256  # tars whose members' places are remembered, some 200 bytes a member; small files of arrays
_LOCK = threading.Lock()  # so that the decoding threads read a container once, not each for itself
_KEPT: dict[tuple[str, tuple[int, int]], dict[str, Pixels]] = {}  # by path and stamp, the last used at the end


@dataclass(frozen=True)
class TarIndex:
    """Where the members of a tar lie, and what in it is no file to read."""

    places: dict[str, tuple[int, int]]  # name -> first byte, bytes
    problems: tuple[tuple[str, str], ...]  # (name, reason)


def locate(path: str | Path) -> tuple[str, str] | None:
    """(container, member) that a path means; None where it is a plain file, or nothing that is there."""
    text = os.fspath(path)
    if MARK not in text or os.path.lexists(text):
        return None
    for place in (match.start() for match in re.finditer(MARK, text)):
        if os.path.isfile(text[:place]):
            return text[:place], text[place + 1 :]
    return None


def container_of(path: str | Path) -> str:
    """The file on disk that holds a picture: the container, or the picture's own."""
    found = locate(path)
    return found[0] if found else os.fspath(path)


def exists(path: str | Path) -> bool:
    """Whether a picture is there: a regular file, or a member of a container."""
    if os.path.isfile(path):
        return True
    found = locate(path)
    if found is None:
        return False
    try:
        return _has_member(*found)
    except DataError:
        return False


def members(container: str | Path) -> list[str] | None:
    """The paths of the pictures in a container, in order; None for a file that is none.

    Raises DataError where it is damaged.
    """
    path = os.fspath(container)
    if _is_tar(path):
        names: Iterator[str] = (name for name in tar_index(path).places if _has_picture_suffix(name))
    elif _is_array(path) and (found := arrays(path)):
        names = (f"{key}/{row}" if key else str(row) for key, one in found.items() for row in range(len(one.values)))
    else:
        return None
    return [f"{path}{MARK}{name}" for name in names]


def read_member(container: str, member: str) -> bytes | np.ndarray:
    """A member's content: the bytes of a picture file, or pixels (H, W) or (H, W, C) uint8. Raises PictureError."""
    try:
        if _is_tar(container):
            return _read_from_tar(container, member)
        if _is_array(container):
            return _read_from_arrays(container, member)
    except DataError as error:
        raise PictureError("unreadable", f"cannot be read: {error}") from error
    raise PictureError("unreadable", f"cannot be read: {container} holds no pictures, so {member!r} is none")


def digest_of_member(container: str, member: str) -> str:
    """The SHA-256 of a file in a tar, as if it lay on disk, or of an array's shape and pixels. Raises PictureError."""
    content = read_member(container, member)
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha256(repr(content.shape).encode() + content.tobytes()).hexdigest()


def arrays(path: str | Path) -> dict[str, Pixels]:
    """The pictures in an array file, by the name of the array ("" where there is but one); kept in memory for the next call.

    Arrays in a .npz that are no pictures are left out. Raises DataError where the file is damaged.
    """
    with _LOCK:
        key = os.fspath(path), _stamp(path)
        if key not in _KEPT:
            found = _read_arrays(key[0])
            _make_room(_n_bytes(found))
            _KEPT[key] = found
        _KEPT[key] = _KEPT.pop(key)  # to the end
        return _KEPT[key]


def tar_index(path: str | Path) -> TarIndex:
    """Where the members of an uncompressed tar lie; kept in memory for the next call. Raises DataError where it is none."""
    with _LOCK:
        return _tar_index(os.fspath(path), _stamp(path))


def _stamp(path: str | Path) -> tuple[int, int]:
    """What changes when a file does."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{os.fspath(path)} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{os.fspath(path)} is not a regular file")
    return status.st_mtime_ns, status.st_size


def _is_tar(path: str) -> bool:
    return path.lower().endswith(".tar")


def _is_array(path: str) -> bool:
    return _reader_of(path) is not None


def _has_picture_suffix(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def _reader_of(path: str) -> Callable[[Path], dict[str, Pixels]] | None:
    suffix = os.path.splitext(path)[1].lower()
    if IDX_NAME.search(os.path.basename(path)):
        return _pixels_of_idx
    if suffix in TEXT_SUFFIXES:
        return _pixels_of_text
    return {".npy": _pixels_of_npy, ".npz": _pixels_of_npz}.get(suffix)


def _read_arrays(path: str) -> dict[str, Pixels]:
    reader = _reader_of(path)
    return reader(Path(path)) if reader else {}


def _make_room(n_bytes: int) -> None:
    """Forget the files that were not used for longest until so many more bytes fit."""
    held = sum(map(_n_bytes, _KEPT.values()))
    while _KEPT and (held + n_bytes > KEPT_BYTES or len(_KEPT) >= KEPT_FILES):
        held -= _n_bytes(_KEPT.pop(next(iter(_KEPT))))


def _n_bytes(found: dict[str, Pixels]) -> int:
    return sum(one.values.nbytes for one in found.values())


def _pixels_of_idx(path: Path) -> dict[str, Pixels]:
    return {"": as_pixels(read_idx(path), name=str(path))}


def _pixels_of_npy(path: Path) -> dict[str, Pixels]:
    return {"": as_pixels(read_npy(path), name=str(path))}


def _pixels_of_npz(path: Path) -> dict[str, Pixels]:
    found = {name: values for name, values in read_npz(path).items() if values.ndim >= 2}
    return {name: as_pixels(values, name=f"{path}, array {name!r}") for name, values in found.items()}


def _pixels_of_text(path: Path) -> dict[str, Pixels]:
    return {"": read_pixel_table(path)} if is_pixel_table(TextTable.of(path)) else {}


def _has_member(container: str, member: str) -> bool:
    if _is_tar(container):
        return posixpath.normpath(member) in tar_index(container).places
    return _is_array(container) and _array_member(container, member) is not None


def _array_member(container: str, member: str) -> np.ndarray | None:
    """Pixels (H, W) or (H, W, C), None where there is no such member."""
    key, _, number = member.rpartition("/")
    found = arrays(container).get(key)
    row = int(number) if re.fullmatch(r"[0-9]{1,12}", number) else -1
    return found.values[row] if found is not None and 0 <= row < len(found.values) else None


def _read_from_arrays(container: str, member: str) -> np.ndarray:
    pixels = _array_member(container, member)
    if pixels is None:
        raise PictureError("unreadable", f"cannot be read: {container} has no picture {member!r}")
    return np.ascontiguousarray(pixels)


def _read_from_tar(container: str, member: str) -> bytes:
    place = tar_index(container).places.get(posixpath.normpath(member))
    if place is None:
        raise PictureError("unreadable", f"cannot be read: {container} has no member {member!r}")
    first, n_bytes = place
    if n_bytes > MAX_BYTES:
        raise PictureError("too_large", f"{n_bytes / 2**20:.0f} MiB; at most {MAX_BYTES // 2**20} are read")
    try:
        with open(container, "rb") as file:  # opened anew: threads would share one file's place
            file.seek(first)
            return file.read(n_bytes)
    except OSError as error:
        raise PictureError("unreadable", f"cannot be read: {error.strerror}") from error


@lru_cache(maxsize=KEPT_FILES)
def _tar_index(path: str, stamp: tuple[int, int]) -> TarIndex:
    places, problems = dict[str, tuple[int, int]](), list[tuple[str, str]]()
    infos, damage = _tar_members(path)
    for info in infos:
        name, reason = posixpath.normpath(info.name), _why_not(info, stamp[1])
        if info.isdir():
            continue
        if reason:
            problems.append((name, reason))
        else:
            if name in places:
                problems.append((name, OVERRULED))
            places[name] = info.offset_data, info.size  # the last of one name counts, as for tar itself
    if damage:
        problems.append(("", f"the tar is damaged after its first {counted(len(infos), 'member')}: {damage}"))
    return TarIndex(places, tuple(problems))


def _why_not(info: tarfile.TarInfo, n_bytes: int) -> str:
    """Why a member is not read; "" where it may be."""
    if not info.isreg() or info.issparse():
        return "a link, device or sparse file in a tar"
    if info.name.startswith("/") or ".." in info.name.split("/"):
        return "a member whose name leads out of its tar"
    if info.size < 0 or info.offset_data + info.size > n_bytes:
        return "cut short: the tar ends before it"
    return ""


def _tar_members(path: str) -> tuple[list[tarfile.TarInfo], str]:
    """The headers in a tar, and why it cannot be read on ("" where it can). Raises DataError for what is no tar."""
    infos, offset = list[tarfile.TarInfo](), -1
    try:
        with tarfile.open(path, "r:") as tar:
            while (info := tar.next()) is not None and tar.offset > offset:  # sizes below zero would lead back for ever
                offset = tar.offset
                infos.append(info)
            return infos, "" if info is None and _is_end(path, tar.offset) else "what follows is no header"
    except (tarfile.TarError, OSError, ValueError, OverflowError, MemoryError, RecursionError, EOFError) as error:
        if infos:
            return infos, str(error)
        raise DataError(f"{path} is no uncompressed tar: {error}. Unpack a .tar.gz with gunzip first.") from error


def _is_end(path: str, offset: int) -> bool:
    """Whether a tar ends here, with a block of zeros or at once: the library takes a damaged header for the end as well."""
    with open(path, "rb") as file:
        file.seek(offset)
        return not any(file.read(tarfile.BLOCKSIZE))
