"""Comparing runs: which is the best, in what they differ, and whether the difference is more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tellapart.errors import CallError, TellapartError, unknown_name
from tellapart.evaluation.answers import PARTS, Answers, paired, read_answers, write_answers
from tellapart.evaluation.report import percent, percent_range
from tellapart.evaluation.significance import Difference, holm, paired_difference, unpaired_difference
from tellapart.files import printable, read_json
from tellapart.inference.classifiers import RUN_FILE
from tellapart.runs import Run
from tellapart.words import counted

RUNS_FOLDER = Path("runs")  # where `train` puts runs unless it is told another place
MIN_SHARED = (
    0.5  # of the smaller held-back part: below, few pictures are left to pair and the parts are compared as wholes; a guess
)
WORDS = {"valid": "validation pictures", "test": "test pictures"}
NOTE_CHOSEN = "The best was chosen on these very pictures, so its accuracy flatters it."
NOTE_LOCKED = "Its locked test pictures tell how good it is: tellapart evaluate"
NOTE_TEST = "Each look at the test pictures by which something is chosen makes them worth less: choose by --part valid."
NOTE_CLASSES = "The runs do not tell the same classes apart: fewer are easier."


@dataclass(frozen=True)
class Entry:
    """One run among others. `choices` are the recipe's fields in which they differ; `to_best` is None for the best itself."""

    run: Run
    answers: Answers
    choices: dict[str, Any]
    to_best: Difference | None = None

    def to_json(self) -> dict[str, Any]:
        difference = None
        if (found := self.to_best) is not None:
            difference = asdict(found) | {"interval": list(found.interval), "is_noise": found.is_noise}
        return {
            "run": str(self.run.path),
            "arch": self.run.recipe.arch,
            "n": len(self.answers),
            "n_train": self.run.table.splits.count("train"),
            "n_classes": len(self.run.table.classes),
            "accuracy": self.answers.accuracy,
            "accuracy_interval": list(self.answers.interval or ()) or None,
            "seconds": self.run.facts["seconds"].get("total"),
            "choices": self.choices,
            "to_best": difference,
        }


@dataclass(frozen=True)
class Comparison:
    """Runs on their held-back `part`, the best first, and (path, reason) of those that could not be compared."""

    part: str
    entries: tuple[Entry, ...]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What `tellapart runs --json` prints."""
        return {
            "part": self.part,
            "runs": [entry.to_json() for entry in self.entries],
            "skipped": [{"run": path, "reason": reason} for path, reason in self.skipped],
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """The table for a terminal, and what a reader must know of it."""
        skipped = [f"left out: {printable(path)}: {printable(reason)}" for path, reason in self.skipped]
        notes = [f"note: {note}" for note in self.notes]
        if not self.entries:
            return "\n".join([f"no run can be compared on its {WORDS[self.part]}", *skipped])
        head = ("run", "right", "95 % interval", "n", "trained on", "seconds", "against the best", "differs in")
        rows = [head, *map(_cells, self.entries)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([f"{counted(len(self.entries), 'run')}, judged on {WORDS[self.part]}", *lines, *skipped, *notes])


def compare(places: Sequence[str | Path] = (RUNS_FOLDER,), *, part: str = "valid", seed: int = 0) -> Comparison:
    """The runs at these places on their held-back "valid" or "test" part, the best first, each compared with the best.

    A place is a run, a folder of runs, or the pictures that runs in runs/ were trained on. Where two runs held back the same
    pictures they are compared picture by picture (McNemar, paired bootstrap); `seed` decides the bootstrap's draws. A test
    part is not opened here: only what `evaluate` judged before counts. Runs that are unfinished or damaged are skipped and said.
    Raises CallError where there is no run, and for an unknown part.
    """
    if part not in PARTS:
        raise unknown_name("part", part, PARTS)
    entries, skipped = list[Entry](), list[tuple[str, str]]()
    for folder in find_runs(places):
        try:
            run = Run.load(folder)
            entries.append(Entry(run, _answers(run, part), {}))
        except TellapartError as error:
            skipped.append((str(folder), str(error)))
    entries.sort(key=lambda entry: (-(entry.answers.accuracy or 0), str(entry.run.path)))
    ranked = _with_differences(_with_choices(entries), seed=seed)
    return Comparison(part, tuple(ranked), tuple(skipped), _notes(ranked, part))


def find_runs(places: Sequence[str | Path]) -> list[Path]:
    """The folders of the runs at these places, each once; see `compare`. Raises CallError for a place without any."""
    found = dict[Path, Path]()
    for place in map(Path, places):
        for folder in _runs_at(place):
            found.setdefault(folder.resolve(), folder)
    return list(found.values())


def _runs_at(place: Path) -> list[Path]:
    if (place / RUN_FILE).is_file():
        return [place]
    if inside := _runs_in(place):
        return inside
    source = str(place.absolute())
    if trained := [folder for folder in _runs_in(RUNS_FOLDER) if _source(folder) == source]:
        return trained
    if not place.exists():
        raise CallError(f"there is no {place}. Give runs, a folder of runs, or the pictures that they were trained on.")
    raise CallError(f"no run lies in {place}, and none in {RUNS_FOLDER}/ was trained on it. Train one: tellapart train {place}")


def _runs_in(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob(f"*/{RUN_FILE}")) if folder.is_dir() else []


def _source(folder: Path) -> object:
    try:
        return read_json(folder / RUN_FILE).get("source")
    except TellapartError:  # damaged: of unknown pictures
        return None


def _answers(run: Run, part: str) -> Answers:
    """What a run answered on a part: kept, or judged now where an older version kept nothing."""
    if (kept := read_answers(run.path, part)) is not None:
        return kept
    if part == "test":
        raise CallError(f"its test pictures were not judged yet: tellapart evaluate {run.path}")
    report = run.report
    if not report.n:
        raise CallError("none of its held-back pictures is in its place")
    return write_answers(run.path, part, report, run.table.in_split(part))


def _with_choices(entries: Sequence[Entry]) -> list[Entry]:
    recipes = [entry.run.recipe.to_json() for entry in entries]
    differing = [name for name in recipes[0] if any(one[name] != recipes[0][name] for one in recipes)] if recipes else []
    return [replace(entry, choices={name: one[name] for name in differing}) for entry, one in zip(entries, recipes, strict=True)]


def _with_differences(entries: Sequence[Entry], *, seed: int) -> list[Entry]:
    """Each but the first compared with the first, the p-values raised for each other."""
    if not entries:
        return []
    best, *others = entries
    found = [difference_of(entry.answers, best.answers, seed=seed) for entry in others]
    raised = holm([one.p_value for one in found])
    return [
        best,
        *(replace(entry, to_best=replace(one, p_value=p)) for entry, one, p in zip(others, found, raised, strict=True)),
    ]


def difference_of(answers: Answers, others: Answers, *, seed: int = 0) -> Difference:
    """How much more often the first is right: picture by picture where enough pictures are shared, else part against part."""
    pairs = paired(answers, others)
    if len(pairs) < MIN_SHARED * min(len(answers.is_right), len(others.is_right)):
        return unpaired_difference(answers.n_right, len(answers), others.n_right, len(others))
    n_gained = sum(one > other for _, one, other in pairs)
    n_lost = sum(one < other for _, one, other in pairs)
    return paired_difference(n_gained, n_lost, len(pairs), seed=seed)


def _notes(entries: Sequence[Entry], part: str) -> tuple[str, ...]:
    if len(entries) < 2:
        return ()
    best, notes = entries[0], [NOTE_CHOSEN if part == "valid" else NOTE_TEST]
    if part == "valid" and "test" in best.run.table.splits:
        notes[0] += f" {NOTE_LOCKED} {best.run.path}"
    if any(entry.run.table.classes != best.run.table.classes for entry in entries):
        notes.append(NOTE_CLASSES)
    parted = [entry for entry in entries if entry.answers.is_right.keys() != best.answers.is_right.keys()]
    if parted:
        names = ", ".join(printable(entry.run.path.name) for entry in parted)
        notes.append(f"Other pictures than those of {printable(best.run.path.name)} were held back by: {names}.")
    if len(entries) > 2:
        notes.append(f"The p-values are raised for {len(entries) - 1} comparisons at once (Holm).")
    return tuple(notes)


def _cells(entry: Entry) -> tuple[str, ...]:
    answers, seconds = entry.answers, entry.run.facts["seconds"].get("total")
    return (
        printable(str(entry.run.path)),
        percent(answers.accuracy),
        percent_range(answers.interval) if answers.interval else "–",
        f"{len(answers):,}",
        f"{entry.run.table.splits.count('train'):,}",
        "–" if seconds is None else f"{seconds:,.1f}",
        _verdict(entry.to_best, answers) if entry.to_best else "is the best",
        ", ".join(f"{name} {printable(str(value))}" for name, value in entry.choices.items()) or "nothing",
    )


def _verdict(difference: Difference, answers: Answers) -> str:
    if not difference.is_paired:
        return f"{difference.verdict}, on other pictures"
    is_part = difference.n < len(answers.is_right)
    return f"{difference.verdict}{f', on the {difference.n:,} that both held back' if is_part else ''}"
