"""Pictures as arrays of pixels: pixel tables, IDX files, NumPy arrays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tellapart.data.table import ImageTable, Skipped, table_of
from tellapart.errors import CallError, DataError
from tellapart.images.arrays import Pixels, as_pixels, read_idx, read_npz
from tellapart.images.containers import IDX_NAME, MARK, arrays, members
from tellapart.progress import Progress, silent
from tellapart.sources.columns import LABEL_NAMES, SPLIT_OF, is_named
from tellapart.sources.sheets import text_of
from tellapart.sources.stores import keep_array
from tellapart.words import counted

IDX_SPLIT = re.compile(r"(train|t10k|test|valid|val)(?![a-z])", re.IGNORECASE)
IMAGE_NAMES = ("x", "images", "image", "data", "pixels", "pictures")
PART_NAME = re.compile(
    r"(?:(?P<part>train|valid|val|test)[_-])?(?P<kind>[a-z]+)(?:[_-](?P<after>train|valid|val|test))?", re.IGNORECASE
)


@dataclass(frozen=True)
class _Part:
    """Pictures that lie in one array, in the order of their labels."""

    paths: Sequence[str]
    labels: Sequence[object]
    split: str = ""


def read_pixel_csv(path: Path, *, progress: Progress = silent) -> ImageTable:
    """The pictures of a pixel table with labels. Raises CallError where it has none and DataError where it is damaged."""
    pixels = arrays(path)[""]
    if pixels.labels is None:
        raise CallError(f"{path} holds pixels but no labels. To predict them: tellapart predict RUN {path}")
    rows = pixels.rows or range(len(pixels.values))
    part = _Part(members(path) or (), pixels.labels)
    return _table([part], name=str(path), source="pixels", notes=pixels.notes, rows=rows, progress=progress)


def is_idx(path: Path) -> bool:
    """By its name: "train-images-idx3-ubyte.gz", "t10k-labels.idx1-ubyte" ..."""
    return bool(IDX_NAME.search(path.name))


def read_idx_pair(path: Path, *, progress: Progress = silent) -> ImageTable:
    """The pictures of an IDX file, with the labels in the one beside it; either of the two may be given."""
    images = _images_beside(path) if _is_labels(path) else path
    return _read_idx_files([images], name=str(images), progress=progress)


def read_idx_folder(folder: Path, *, progress: Progress = silent) -> ImageTable:
    """The pictures of all pairs of IDX files in a folder: `train-` to train on, `t10k-` or `test-` held back as the test part."""
    images = idx_images(folder)
    if not images:
        raise DataError(f"{folder} holds IDX files of labels and none of images, such as train-images-idx3-ubyte.gz")
    return _read_idx_files(images, name=str(folder), progress=progress)


def idx_images(folder: Path) -> list[Path]:
    """The IDX files of images in a folder, each once, those to train on first."""
    found = sorted((path for path in folder.iterdir() if is_idx(path)), key=lambda path: (_split(path) != "train", path))
    images = [path for path in found if not _is_labels(path)]
    unpacked = {path.name for path in images}
    return [path for path in images if path.suffix != ".gz" or path.stem not in unpacked]  # both lie there: the same twice


def read_npz_file(path: Path, *, progress: Progress = silent) -> ImageTable:
    """The pictures of a .npz with arrays such as x and y, or x_train, y_train, x_test and y_test.

    Raises CallError where the names cannot be understood.
    """
    found = read_npz(path)
    pairs = dict[str, dict[str, str]]()  # split -> {"images": name, "labels": name}
    for name in found:
        if (role := _role(name)) is not None:
            split, kind = role
            if kind in pairs.setdefault(split, {}):
                raise CallError(f"{path}: {pairs[split][kind]!r} and {name!r} could both be the {kind}. Keep one of them.")
            pairs[split][kind] = name
    if not pairs or any(len(pair) < 2 for pair in pairs.values()):
        names = ", ".join(f"{name!r} {values.shape}" for name, values in found.items())
        raise CallError(f"{path} holds {names or 'no arrays'}; name them x and y, or x_train, y_train, x_test and y_test")
    pictures, parts, notes = arrays(path), list[_Part](), list[str]()
    for split, pair in pairs.items():
        images, labels = pair["images"], found[pair["labels"]]
        if images not in pictures:
            raise DataError(f"{path}: array {images!r} has the shape {found[images].shape}, which is none of pictures")
        paths = [f"{path}{MARK}{images}/{row}" for row in range(len(pictures[images].values))]
        parts.append(_Part(paths, _label_list(labels, f"{path}, array {pair['labels']!r}"), split))
        notes.append(f"array {images!r} holds pictures, {pair['labels']!r} labels" + (f": the {split} part" if split else ""))
        notes += pictures[images].notes
    return _table(parts, name=str(path), source="arrays", notes=tuple(dict.fromkeys(notes)), progress=progress)


def read_arrays(source: Sequence[Any], *, progress: Progress = silent) -> ImageTable:
    """The pictures of (images, labels), or of ((images, labels), (images, labels)) to train and to test on.

    The pixels are kept in the cache folder. Raises CallError for anything else, and DataError for values that are no pixels.
    """
    nested = all(isinstance(one, tuple | list) and len(one) == 2 for one in source) and np.ndim(source[0][0]) > 1
    pairs = list(zip(("train", "test"), source, strict=True)) if nested else [("", source)]
    parts, notes = list[_Part](), ["the first pair of arrays is to train on, the second to test on"] if nested else []
    for split, (images, labels) in pairs:
        name = f"the {split} array" if split else "the array"
        pixels = as_pixels(_array(images, name), name=name)
        stored = keep_array(pixels.values)
        parts.append(_Part(_stored_paths(pixels, stored), _label_list(_array(labels, f"labels of {name}"), name), split))
        notes += [*pixels.notes, f"the pixels are kept in {stored}"]
    return _table(parts, name="the arrays", source="arrays", notes=tuple(dict.fromkeys(notes)), progress=progress)


def keep_pictures(values: np.ndarray, *, name: str) -> list[str]:
    """The paths of the pictures in an array, which is kept in the cache folder. Raises DataError where it holds none."""
    pixels = as_pixels(values, name=name)
    return _stored_paths(pixels, keep_array(pixels.values))


def _stored_paths(pixels: Pixels, stored: Path) -> list[str]:
    return [f"{stored}{MARK}{row}" for row in range(len(pixels.values))]


def _array(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:  # lists of unequal lengths
        raise DataError(f"{name} is no array: its rows are of unequal lengths") from error


def _label_list(labels: np.ndarray, name: str) -> list[object]:
    """Labels (N,) or (N, 1); raises DataError for one-hot rows and other shapes."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(f"{name}: labels of the shape {labels.shape}; give one label a picture, (N,). One-hot rows: y.argmax(1)")
    found: list[object] = labels.tolist()
    return found


def _role(name: str) -> tuple[str, str] | None:
    """(split, "images" or "labels") that an array's name means."""
    match = PART_NAME.fullmatch(name)
    if match is None:
        return None
    split = SPLIT_OF[(match["part"] or match["after"] or "").lower()]
    kind = match["kind"].lower()
    if kind in IMAGE_NAMES:
        return split, "images"
    return (split, "labels") if is_named(kind, LABEL_NAMES) else None


def _is_labels(path: Path) -> bool:
    return "label" in path.name.lower() or "idx1" in path.name.lower()


def _split(path: Path) -> str:
    found = IDX_SPLIT.search(path.name)
    return SPLIT_OF[found[1].lower().replace("t10k", "test")] if found else ""


def _renamed(path: Path, old: str, new: str) -> list[Path]:
    """What the other file of a pair may be called, gzipped or not."""
    dims = ("idx3", "idx4") if new == "images" else ("idx1",)
    name = path.name.replace(old, new).removesuffix(".gz")
    names = [re.sub(r"idx\d", one, name) for one in dims]
    return [path.with_name(one + ending) for one in names for ending in ("", ".gz")]


def _images_beside(labels: Path) -> Path:
    return _first_there(_renamed(labels, "labels", "images"), f"{labels} holds labels; their images are not beside it")


def _first_there(candidates: Sequence[Path], problem: str) -> Path:
    for path in candidates:
        if path.is_file():
            return path
    raise CallError(f"{problem}: there is no {candidates[0].name} or {candidates[-1].name}")


def _read_idx_files(images: Sequence[Path], *, name: str, progress: Progress) -> ImageTable:
    parts, notes = list[_Part](), list[str]()
    for path in images:
        beside = _first_there(_renamed(path, "images", "labels"), f"{path} holds images; their labels are not beside it")
        labels = read_idx(beside)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise DataError(f"{beside} holds values of the shape {labels.shape}, not a label a picture")
        split = _split(path)
        pixels = arrays(path)[""]
        parts.append(_Part(members(path) or (), labels.tolist(), split))
        height, width = pixels.values.shape[1:3]
        part = f", the {split} part" if split else ""
        notes.append(
            f"read {path.name} as IDX: {counted(len(labels), 'picture')} of {width} x {height} pixels, "
            f"labels from {beside.name}{part}"
        )
    return _table(parts, name=name, source="idx", notes=tuple(notes), progress=progress)


def _table(
    parts: Sequence[_Part],
    *,
    name: str,
    source: str,
    notes: tuple[str, ...],
    rows: Sequence[int] | None = None,
    progress: Progress,
) -> ImageTable:
    """One table of all parts; pictures without a label are skipped. Raises DataError where labels and pictures do not match."""
    paths, labels, splits, skipped = list[str](), list[str](), list[str](), list[Skipped]()
    for part in parts:
        if len(part.paths) != len(part.labels):
            which = f"{name}, {part.split} part" if part.split else name
            there = f"{counted(len(part.paths), 'picture')} but {counted(len(part.labels), 'label')}"
            raise DataError(f"{which}: {there}; each picture needs one")
        for place, (path, value) in enumerate(zip(part.paths, part.labels, strict=True)):
            if label := text_of(value):
                paths.append(path)
                labels.append(label)
                splits.append(part.split)
            else:
                skipped.append(Skipped(path, f"no label: row {rows[place] if rows else place}"))
    if not paths:
        raise DataError(f"{name} holds no labelled pictures")
    return table_of(
        paths, labels, splits=splits, source=source,
        skipped=tuple(skipped), notes=notes + _numbers_note(labels), progress=progress,
    )  # fmt: skip


def _numbers_note(labels: Sequence[str]) -> tuple[str, ...]:
    counts = Counter(labels)
    if not all(label.isdecimal() for label in counts):
        return ()
    numbers = sorted(map(int, counts))
    return (f"labels are the numbers {numbers[0]} to {numbers[-1]}, taken as they are",)
