"""Predictions of many pictures: which files are meant, and the rows that are printed and written."""

from __future__ import annotations

import csv
import glob
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tellapart.data import Skipped
from tellapart.data.table import LABEL_MARK
from tellapart.errors import CallError
from tellapart.files import cell_text, printable, write_error
from tellapart.images.containers import container_of
from tellapart.inference import Prediction
from tellapart.sources import list_folder, list_members

BAR_WIDTH = 12
BLOCKS = " ▏▎▍▌▋▊▉█"
MAX_NAME_WIDTH = 60
NONE = "none of the labels"


def find_pictures(patterns: Sequence[str]) -> tuple[list[str], list[Skipped]]:
    """The pictures that these paths, folders and globs mean, each once, in the order given, and what in them is no picture.

    A file that holds or names pictures (a pixel CSV, an IDX file, a .npy, a tar, a table of paths) means each of them, as does
    a folder of IDX files or of tars. A path that is named but not there is kept: its prediction will say so. Raises CallError
    where a folder, file or glob holds none.
    """
    found: dict[str, None] = {}
    skipped: list[Skipped] = []
    for pattern in patterns:
        if os.path.isdir(pattern):
            pictures, others = list_folder(pattern)
            skipped += others
        else:
            named = [pattern] if os.path.lexists(pattern) or not glob.has_magic(pattern) else _matches(pattern)
            pictures, others = _members(named)
            skipped += others
        if not pictures:
            raise CallError(f"{pattern} holds no pictures (.jpg, .png, .webp and alike)")
        found.update(dict.fromkeys(pictures))
    return list(found), skipped


def _members(files: Sequence[str]) -> tuple[list[str], list[Skipped]]:
    """These files, those that hold or name pictures replaced by them."""
    pictures, skipped = list[str](), list[Skipped]()
    for file in files:
        found, others = list_members(file) or ([file], [])
        pictures += found
        skipped += others
    return pictures, skipped


def _matches(pattern: str) -> list[str]:
    return sorted(path for path in glob.glob(pattern, recursive=True) if not os.path.isdir(path))


def refuse_overwriting(out: Path, pictures: Sequence[str]) -> None:
    """Raise CallError where `out` is one of the pictures: source pictures are never written."""
    if os.path.realpath(out) in {os.path.realpath(file) for file in set(map(container_of, pictures))}:
        raise CallError(f"{out} is one of the pictures to predict; nothing is overwritten. Choose another --out.")


def write_csv(
    path: Path, predictions: Iterable[Prediction], classes: Sequence[str], *, several: bool = False
) -> Iterator[Prediction]:
    """Pass the predictions on and write a row of each; the file appears when all are done. Raises StorageError.

    With `several` labels a picture there is a column of all of them, with "|" between.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.writer(file, lineterminator="\n")
            all_labels = ["labels"] if several else []
            writer.writerow(["path", "label", *all_labels, "probability", "unknown", "error", *(f"p_{name}" for name in classes)])
            for one in predictions:
                shares = one.probabilities.values() if not one.error else [""] * len(classes)
                path_cell, label, error = (cell_text(text or "") for text in (one.path, one.label, one.error))
                labels = [cell_text(LABEL_MARK.join(one.labels))] if several else []
                writer.writerow([path_cell, label, *labels, one.probability, one.unknown, error, *shares])
                yield one
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise write_error(path, error, then="or choose another --out") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def row_text(prediction: Prediction, *, name_width: int, label_width: int) -> str:
    """A prediction as a line of a table: name, label, a bar of its probability; of several labels each with its probability."""
    name = _shortened(prediction.path, name_width)
    if prediction.error or prediction.label is None or prediction.probability is None:
        return f"{name}  {'-':{label_width}}  {prediction.error}"
    share = prediction.probability
    stranger = "  like none of the training pictures" if prediction.unknown else ""
    if not prediction.label or len(prediction.labels) > 1:
        said = ", ".join(f"{printable(label)} {prediction.probabilities[label]:.1%}" for label in prediction.labels)
        return f"{name}  {said or NONE}{stranger}"
    return f"{name}  {printable(prediction.label):{label_width}}  {_bar(share)} {share:6.1%}{stranger}"


def name_width(paths: Sequence[str]) -> int:
    """How wide the column of names is, within the terminal."""
    room = max(20, shutil.get_terminal_size().columns - 45)
    return min(max(len(printable(path)) for path in paths), MAX_NAME_WIDTH, room)


def _shortened(path: str, width: int) -> str:
    name = printable(path)
    return f"{name:{width}}" if len(name) <= width else "…" + name[1 - width :]


def _bar(share: float) -> str:
    eighths = round(share * BAR_WIDTH * 8)
    full, rest = divmod(eighths, 8)
    return (BLOCKS[8] * full + BLOCKS[rest] * (rest > 0)).ljust(BAR_WIDTH)
