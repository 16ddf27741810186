"""Sheets become tables of pictures: each row a picture, or the reason why it is none."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence

from tellapart.data.plans import NO, YES
from tellapart.data.table import LABEL_MARK, UNREADABLE, ImageTable, Skipped, is_weight, table_of
from tellapart.errors import DataError
from tellapart.images.containers import exists
from tellapart.progress import Progress, silent
from tellapart.sources.columns import LINK, SPLIT_OF, Choice, Columns, choose
from tellapart.sources.sheets import Cells, Sheet, text_of
from tellapart.words import counted

SHOWN = 5
NO_LABEL, NO_PATH, NO_FILE, A_LINK = "no label", "no path", "no such file", "a link, not a file"
JOINERS = ("|", ";")  # in labels, a sign that a cell holds several


_Label = str | None  # "": the picture has none of several labels; None: nobody has said which it has
_Key = tuple[str, str, str, str, float]  # path, label, split, group, weight


def read_sheet(sheet: Sheet, columns: Columns, *, source: str, progress: Progress = silent) -> ImageTable:
    """The pictures of a sheet. What was understood is in `notes`; rows that name no picture, or no label, are in `skipped`.

    A row that repeats an earlier one counts once. A path under several labels is a row for each: the checks tell of it.
    Where a cell may hold several labels it may hold none: an empty cell with `label_sep`, else an empty list.
    Raises CallError and DataError where columns or cells cannot be understood, naming the rows.
    """
    choice = choose(sheet, columns)
    cells = sheet.load(choice.names)
    labels, multi_label = _labels(cells, choice, columns, sheet.name)
    facts = labels, _splits(cells, choice, sheet.name), _texts(cells, choice.group), _weights(cells, choice, sheet.name)
    kept, repeated, skipped = _sifted(sheet, choice, cells, facts)
    if not kept:
        raise _nothing(sheet, choice, skipped)
    notes = (
        *sheet.notes,
        _understood(choice, len(cells.rows), sheet),
        *_path_notes(kept, choice),
        *_label_notes(kept, multi_label),
        *_repeat_notes(kept, repeated),
    )
    kept_paths, kept_labels, kept_splits, kept_groups, kept_weights = zip(*kept, strict=True)
    return table_of(
        kept_paths, kept_labels, splits=kept_splits, groups=kept_groups, weights=kept_weights,
        source=source, skipped=tuple(skipped), notes=notes, multi_label=multi_label, progress=progress,
    )  # fmt: skip


def read_paths(sheet: Sheet, columns: Columns) -> tuple[list[str], list[Skipped]]:
    """The pictures that a sheet names, each once, labelled or not, and what in it is none."""
    choice = choose(sheet, columns, labelled=False)
    cells = sheet.load([choice.path])
    resolve, paths, skipped = _resolver(choice), dict[str, None](), list[Skipped]()
    for row, value in zip(cells.rows, cells.columns[choice.path], strict=True):
        path, problem = resolve(value)
        if problem:
            skipped.append(_skipped(sheet, row, path, problem))
        else:
            paths[path] = None
    return list(paths), skipped


def _sifted(
    sheet: Sheet, choice: Choice, cells: Cells, facts: tuple[Sequence[_Label], Sequence[str], Sequence[str], Sequence[float]]
) -> tuple[dict[_Key, int], list[int], list[Skipped]]:
    """The rows that are pictures, each once with its number, the numbers of those that repeat one, and all others."""
    resolve, kept, repeated, skipped = _resolver(choice), dict[_Key, int](), list[int](), list[Skipped]()
    for row, value, label, split, group, weight in zip(cells.rows, cells.columns[choice.path], *facts, strict=True):
        path, problem = resolve(value)
        if problem or label is None:
            skipped.append(_skipped(sheet, row, path, problem or NO_LABEL))
        elif kept.setdefault((path, label, split, group, weight), row) != row:
            repeated.append(row)
    return kept, repeated, skipped


def _skipped(sheet: Sheet, row: int, path: str, problem: str) -> Skipped:
    kind = UNREADABLE if problem == NO_FILE else ""
    return Skipped(path or f"row {row} of {sheet.name}", f"{problem}: row {row}", kind=kind)


def _resolver(choice: Choice) -> Callable[[object], tuple[str, str]]:
    """How a cell becomes (path, "") or (what it says, why it names no picture); each path is looked for once."""
    known = dict[str, tuple[str, str]]()

    def resolve(value: object) -> tuple[str, str]:
        text = text_of(value)
        if text not in known:
            known[text] = _resolve(text, choice)
        return known[text]

    return resolve


def _resolve(text: str, choice: Choice) -> tuple[str, str]:
    if not text:
        return "", NO_PATH
    if choice.place is None:
        return text, ""
    if LINK.match(text):
        return text, A_LINK
    path = choice.place.resolve(text)
    return path, "" if exists(path) else NO_FILE


def _texts(cells: Cells, name: str | None) -> list[str]:
    if name is None:
        return [""] * len(cells.rows)
    return [text_of(value) for value in cells.columns[name]]


def _labels(cells: Cells, choice: Choice, columns: Columns, where: str) -> tuple[list[_Label], bool]:
    """A label for each row, and whether a cell may hold several, joined by "|"."""
    values = cells.columns[choice.label or ""]
    if columns.label_sep:
        return [_joined(text_of(value).split(columns.label_sep), where) for value in values], True
    if any(isinstance(value, list | tuple) or hasattr(value, "tolist") for value in values):
        return [_joined(_items(value), where) if _is_given(value) else None for value in values], True
    texts = [text_of(value) for value in values]
    lists = [_json_list(text) for text in texts if text] if texts and _first(texts).startswith("[") else []
    if lists and all(one is not None for one in lists):
        return [_joined(_json_list(text) or (), where) if text else None for text in texts], True
    return [text or None for text in texts], False


def _first(texts: Sequence[str]) -> str:
    return next(filter(None, texts), "")


def _is_given(value: object) -> bool:
    """Whether a cell of lists says anything: an empty list says that there is none."""
    return isinstance(value, list | tuple) or hasattr(value, "tolist") or bool(text_of(value))


def _items(value: object) -> Sequence[object]:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return value if isinstance(value, list | tuple) else (value,)


def _json_list(text: str) -> list[object] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _joined(labels: Sequence[object], where: str) -> str:
    """Several labels as one cell, each once, in their order."""
    texts = list(dict.fromkeys(filter(None, map(text_of, labels))))
    for text in texts:
        if LABEL_MARK in text:
            raise DataError(
                f"{where}: the label {text!r} holds a {LABEL_MARK!r}, which stands between several labels. Rename it."
            )
    return LABEL_MARK.join(texts)


def _splits(cells: Cells, choice: Choice, where: str) -> list[str]:
    texts = _texts(cells, choice.split)
    if choice.split is None:
        return texts
    unknown = Counter(text for text in texts if text.lower() not in SPLIT_OF)
    if unknown:
        names = ", ".join(
            f"{name!r} ({counted(n, 'row')}, the first is {_row_of(texts, name, cells)})"
            for name, n in unknown.most_common(SHOWN)
        )
        flags = " It says yes and no, but not to what." if all(name.lower() in YES | NO for name in unknown) else ""
        raise DataError(
            f"{where}: column {choice.split!r} holds {names}.{flags} Splits are train, valid (val, dev) and test, or empty. "
            "Rename them, or leave the column out: --split-column ''"
        )
    return [SPLIT_OF[text.lower()] for text in texts]


def _row_of(texts: Sequence[str], name: str, cells: Cells) -> str:
    return f"row {cells.rows[texts.index(name)]}"


def _weights(cells: Cells, choice: Choice, where: str) -> list[float]:
    if choice.weight is None:
        return [1.0] * len(cells.rows)
    texts = _texts(cells, choice.weight)
    weights, problems = list[float](), list[str]()
    for place, text in enumerate(texts):
        try:
            weight = float(text) if text else 1.0
        except ValueError:
            weight = 0.0
        if not is_weight(weight):
            problems.append(f"row {cells.rows[place]} has {text!r}")
        weights.append(weight)
    if problems:
        are = "is no number" if len(problems) == 1 else "are no numbers"
        raise DataError(
            f"{where}: {counted(len(problems), 'weight')} in column {choice.weight!r} {are} above 0: "
            f"{', '.join(problems[:SHOWN])}. "
            "Mend them, or leave the column out: --weight-column ''"
        )
    return weights


def _nothing(sheet: Sheet, choice: Choice, skipped: Sequence[Skipped]) -> DataError:
    reasons = Counter(skip.reason.split(":")[0] for skip in skipped)
    found = ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())
    return DataError(
        f"{sheet.name}: no row is a picture with a label ({found}), such as {skipped[0].path!r}; "
        f"paths are in column {choice.path!r}, labels in {choice.label!r}"
    )


def _understood(choice: Choice, n_rows: int, sheet: Sheet) -> str:
    roles = {
        "paths": choice.path,
        "labels": choice.label,
        "splits": choice.split,
        "groups": choice.group,
        "weights": choice.weight,
    }
    found = [f"{name!r} {what}" for what, name in roles.items() if name and not (what == "paths" and choice.place is None)]
    found[0] = "column " + found[0].replace("' ", "' holds ", 1)
    text = f"read {sheet.name} as a table: {', '.join(found)}; {counted(n_rows, 'row')}"
    if choice.place is not None:
        text += f"; relative to {os.path.join(choice.place.folder, '')}"
        text += f"; {choice.place.suffix} put behind the names" if choice.place.suffix else ""
    return text


def _path_notes(kept: dict[_Key, int], choice: Choice) -> tuple[str, ...]:
    """Paths that lead out of the folder that they are relative to."""
    if choice.place is None:
        return ()
    folder = os.path.abspath(choice.place.folder)
    outside = [path for path, *_ in kept if not os.path.abspath(path).startswith(os.path.join(folder, ""))]
    return (f"{counted(len(outside), 'picture lies', 'pictures lie')} outside {folder}, such as {outside[0]}",) if outside else ()


def _label_notes(kept: dict[_Key, int], multi_label: bool) -> tuple[str, ...]:
    labels = {label for _, label, *_ in kept}
    notes = list[str]()
    if all(label.isdecimal() for label in labels) and not multi_label:
        numbers = sorted(map(int, labels))
        notes.append(f"labels are the numbers {numbers[0]} to {numbers[-1]}, taken as they are")
    if len(labels) == len(kept) > SHOWN and not multi_label:
        notes.append("every row has a label of its own: is the label column an index?")
    for mark in JOINERS if not multi_label else ():
        several = sorted(label for label in labels if mark in label)
        if several:
            notes.append(f"labels such as {several[0]!r} are one label each; if they are several: --label-sep {mark!r}")
    if multi_label:
        n_none = sum(not label for _, label, *_ in kept)
        none = f"; {counted(n_none, 'picture has', 'pictures have')} none, and counts as such" if n_none else ""
        notes.append(f"a picture may have several labels{none}")
    return tuple(notes)


def _repeat_notes(kept: dict[_Key, int], repeated: Sequence[int]) -> tuple[str, ...]:
    notes = list[str]()
    if repeated:
        rows = ", ".join(map(str, repeated[:SHOWN])) + (" ..." if len(repeated) > SHOWN else "")
        repeat = counted(len(repeated), "row repeats", "rows repeat")
        notes.append(f"{repeat} an earlier one and {'counts' if len(repeated) == 1 else 'count'} once: {rows}")
    first = dict[str, tuple[str, int]]()
    conflicts = list[str]()
    for (path, label, *_), row in kept.items():
        other, other_row = first.setdefault(path, (label, row))
        if other != label:
            conflicts.append(f"{path} is {other!r} in row {other_row} and {label!r} in row {row}")
    if conflicts:
        rows = counted(len(conflicts), "row gives", "rows give")
        notes.append(f"{rows} a picture another label, and both are kept: {'; '.join(conflicts[:SHOWN])}")
    return tuple(notes)
