"""Which column of a table holds what: as the caller says, else by its name, else by its content. Doubt is an error."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tellapart.data.plans import NO, YES
from tellapart.errors import CallError, DataError, unknown_name
from tellapart.images import PICTURE_SUFFIXES
from tellapart.images.containers import exists
from tellapart.sources.sheets import Sheet, text_of
from tellapart.words import counted

PATH_NAMES = frozenset(
    """path paths file files filename filenames filepath filepaths fname image images imagepath imagefile imagefilename imagename
    imageid img imgs imgpath imgfile imgname picture pictures photo photos""".split()
)
LINK_NAMES = frozenset("url urls link links src href imageurl imgurl".split())
LABEL_NAMES = frozenset(
    """label labels class classes classname classlabel labelname target targets category categories categoryname species breed tag
    tags y groundtruth diagnosis""".split()
)
SPLIT_NAMES = frozenset("split splits subset partition dataset datasplit".split())
GROUP_NAMES = frozenset("group groups groupid patient patientid subject subjectid video videoid burst burstid caseid".split())
WEIGHT_NAMES = frozenset("weight weights sampleweight sampleweights".split())
INDEX_NAME = re.compile(r"(unnamed: ?\d+|index|level_\d+|id|row|)", re.IGNORECASE)  # how data frames write their row numbers
OTHER_NAMES = frozenset("sha256 source width height size licence license provenance".split())  # never labels by mere content
SPLIT_OF = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
    "": "",
}
LINK = re.compile(r"(https?|ftp|s3|gs|file|data|javascript):", re.IGNORECASE)
TRIED_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")  # put behind names that have none
SAMPLED = 200  # values of a column that are looked for on disk
SHOWN = 5
PATH_OPTION = "--path-column (Columns(path=...))"
LABEL_OPTION = "--label-column (Columns(label=...))"


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are called; None is guessed and said, "" means that there is none.

    `label_sep` stands between several labels of one cell. `root` is the folder that relative paths begin at: by default the
    table's own.
    """

    path: str | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None
    weight: str | None = None
    label_sep: str | None = None
    root: str | Path | None = None


GUESSED = Columns()


@dataclass(frozen=True)
class Place:
    """Where a column's relative paths begin, what is put behind them, and the share of a sample that is there."""

    folder: Path
    suffix: str
    share: float

    def resolve(self, value: str) -> str:
        return os.path.join(self.folder, value + self.suffix)


@dataclass(frozen=True)
class Choice:
    """The columns that were chosen; None where there is none."""

    path: str
    place: Place | None  # None: the paths are whole, and known to be there
    label: str | None
    split: str | None
    group: str | None
    weight: str | None

    @property
    def names(self) -> list[str]:
        found = (self.path, self.label, self.split, self.group, self.weight)
        return list(dict.fromkeys(name for name in found if name is not None))


def choose(sheet: Sheet, columns: Columns, *, labelled: bool = True) -> Choice:
    """The columns of a sheet. Raises CallError for a name that is not there, and DataError where a column is not to be found,
    or several might be meant.
    """
    for name in (columns.path, columns.label, columns.split, columns.group, columns.weight):
        if name and name not in sheet.names:
            raise unknown_name(f"column of {sheet.name}", name, sheet.names)
    path, place = (sheet.path_column, None) if sheet.path_column else _choose_path(sheet, columns)
    others = [name for name in sheet.names if name != path]
    split = _by_name("split", columns.split, SPLIT_NAMES, others, sheet)
    if split is None and columns.split is None:
        split = _split_by_content(sheet, [name for name in others if name != columns.label and not is_named(name, LABEL_NAMES)])
    group = _by_name("group", columns.group, GROUP_NAMES, others, sheet)
    weight = _by_name("weight", columns.weight, WEIGHT_NAMES, others, sheet)
    taken = {path, split, group, weight}
    rest = [name for name in others if name not in taken]
    label = columns.label or (_choose_label(sheet, rest) if labelled else None)
    return Choice(path, place, label, split, group, weight)


def is_named(name: str, known: Iterable[str]) -> bool:
    """Whether a column's name, without case, spaces and signs, is among `known`."""
    return re.sub(r"[^a-z0-9]", "", name.lower()) in known


def _by_name(option: str, given: str | None, known: Iterable[str], names: Sequence[str], sheet: Sheet) -> str | None:
    if given is not None:
        return given or None
    found = [name for name in names if is_named(name, known)]
    if len(found) > 1:
        raise DataError(
            f"{sheet.name}: {_quoted(found)} could each be the {option}. Name one: --{option}-column NAME, or none: ''."
        )
    return found[0] if found else None


def _split_by_content(sheet: Sheet, names: Sequence[str]) -> str | None:
    """The only column that holds nothing but names of splits."""
    found = [name for name in names if (values := _distinct(sheet, name)) and all(value.lower() in SPLIT_OF for value in values)]
    return found[0] if len(found) == 1 else None


def _choose_path(sheet: Sheet, columns: Columns) -> tuple[str, Place]:
    if columns.path:
        place = _place(sheet, columns.path, columns)
        if not place.share:
            raise _no_files(sheet, columns.path, columns)
        return columns.path, place
    named = [name for name in sheet.names if is_named(name, PATH_NAMES)]
    looking = [name for name in sheet.names if name not in named and _looks_like_paths(sheet, name)]
    rest = [name for name in sheet.names if name not in named and name not in looking]
    for candidates in (named, looking, rest):
        places = {name: _place(sheet, name, columns) for name in candidates}
        found = [name for name in candidates if places[name].share]
        if len(found) == 1:
            return found[0], places[found[0]]
        if found:
            shares = ", ".join(f"{name!r} ({places[name].share:.0%} of its values are files)" for name in found)
            raise DataError(f"{sheet.name}: several columns hold paths: {shares}. Name one: {PATH_OPTION}.")
    for name in (*named, *looking, *(name for name in sheet.names if is_named(name, LINK_NAMES))):
        _refuse_links(sheet, name)
    if named or looking:
        raise _no_files(sheet, (named or looking)[0], columns)
    raise DataError(
        f"{sheet.name}: no column holds paths of pictures; there are {_quoted(sheet.names)}. Name it: {PATH_OPTION}, "
        "or say where relative paths begin: --root FOLDER (Columns(root=...))."
    )


def _sample(sheet: Sheet, name: str) -> list[str]:
    """Some values of a column, from its whole head, without the empty ones."""
    values = [text for value in sheet.head[name] if (text := text_of(value))]
    return values[:: max(1, len(values) // SAMPLED)][:SAMPLED]


def _has_suffix(value: str) -> bool:
    return os.path.splitext(value)[1].lower() in PICTURE_SUFFIXES


def _looks_like_paths(sheet: Sheet, name: str) -> bool:
    values = _sample(sheet, name)
    return bool(values) and sum(_has_suffix(value) or "#" in value for value in values) > len(values) / 2


def _place(sheet: Sheet, name: str, columns: Columns) -> Place:
    """Where most of a column's values are found."""
    values = _sample(sheet, name)
    suffixes = ("",) if any(map(_has_suffix, values)) else ("", *TRIED_SUFFIXES)
    best = Place(_folders(sheet, columns)[0], "", 0.0)
    for folder in _folders(sheet, columns):
        for suffix in suffixes:
            n_there = sum(exists(os.path.join(folder, value + suffix)) for value in values)
            place = Place(folder, suffix, n_there / max(1, len(values)))
            best = place if place.share > best.share else best
    return best


def _folders(sheet: Sheet, columns: Columns) -> list[Path]:
    """Where relative paths may begin."""
    if columns.root is not None:
        return [Path(columns.root)]
    return list(dict.fromkeys([sheet.folder, Path()]))


def _refuse_links(sheet: Sheet, name: str) -> None:
    values = _sample(sheet, name)
    n_links = sum(bool(LINK.match(value)) for value in values)
    if n_links > len(values) / 2:
        raise CallError(
            f"{sheet.name}: column {name!r} holds links, such as {_short(values[0])}, not files. "
            "Fetch them first: tellapart collect LINKS --out FOLDER"
        )


def _no_files(sheet: Sheet, name: str, columns: Columns) -> DataError | CallError:
    _refuse_links(sheet, name)
    values = _sample(sheet, name)
    if not values:
        return DataError(f"{sheet.name}: column {name!r} is empty")
    looked = " and ".join(str(folder.absolute()) for folder in _folders(sheet, columns))
    such = ", ".join(map(_short, values[:2]))
    if any(map(_has_suffix, values)):
        return DataError(
            f"{sheet.name}: none of the files in column {name!r} is there, such as {such}; looked in {looked}. "
            "Say where relative paths begin: --root FOLDER (Columns(root=...))."
        )
    others = _quoted([other for other in sheet.names if other != name])
    return DataError(
        f"{sheet.name}: column {name!r} holds text, such as {such}, and no paths of files in {looked}. "
        f"Name the column of paths: {PATH_OPTION}; the others are {others}."
    )


def _choose_label(sheet: Sheet, names: Sequence[str]) -> str:
    found = [name for name in names if is_named(name, LABEL_NAMES)]
    if not found:
        repeating = [name for name in names if _may_be_label(sheet, name)]
        found = [name for name in repeating if len(_distinct(sheet, name)) > 1] or repeating
    if len(found) == 1:
        return found[0]
    if found:
        _refuse_yes_and_no(sheet, found)
        counts = ", ".join(f"{name!r} ({counted(len(_distinct(sheet, name)), 'different value')})" for name in found)
        n_rows = len(sheet.head[found[0]])
        raise DataError(
            f"{sheet.name}: several columns could hold the labels, by the first {counted(n_rows, 'row')}: {counts}. "
            f"Name one: {LABEL_OPTION}."
        )
    there = f"there are {_quoted(names)}, of which none repeats like labels do" if names else "there is no other column"
    raise DataError(f"{sheet.name}: no column holds labels; {there}. Name it: {LABEL_OPTION}.")


def _refuse_yes_and_no(sheet: Sheet, names: Sequence[str]) -> None:
    """Raise DataError where each class seems to have a column of its own, that says yes and no."""
    said = [sorted(_distinct(sheet, name)) for name in names]
    if max(map(len, said)) > 1 and all(value.lower() in YES | NO for values in said for value in values):
        raise DataError(
            f"{sheet.name}: columns {_quoted(names)} each say {' or '.join(map(repr, said[0]))}: a column a class, it seems. "
            f"Write the classes into one column of labels (several with a sign between them: --label-sep), or name the one "
            f"column to tell apart by: {LABEL_OPTION}."
        )


def _may_be_label(sheet: Sheet, name: str) -> bool:
    """By content: values that repeat, and are no row numbers, fractions or links."""
    if INDEX_NAME.fullmatch(name.strip()) or is_named(name, OTHER_NAMES | LINK_NAMES | PATH_NAMES):
        return False
    values = _sample(sheet, name)
    fractions = any(re.fullmatch(r"-?\d*\.\d*[1-9]\d*", value) for value in values)
    return 0 < len(_distinct(sheet, name)) < len(sheet.head[name]) and not fractions and not any(map(LINK.match, values))


def _distinct(sheet: Sheet, name: str) -> set[str]:
    return {text for value in sheet.head[name] if (text := text_of(value))}


def _quoted(names: Sequence[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(map(repr, names[:12])) + more


def _short(value: str) -> str:
    return repr(value if len(value) <= 60 else value[:57] + "...")
