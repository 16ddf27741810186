"""A run: one training from pictures to a report, kept in a folder that is whole or marked unfinished."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from safetensors.numpy import save

from tellapart.data import ImageTable, edited, find_split_leaks, split, split_like
from tellapart.data.journals import NO_EDITS
from tellapart.errors import BundleError, CallError, DataError, StorageError
from tellapart.evaluation import Report
from tellapart.evaluation.judging import judge
from tellapart.files import read_json, refuse_used, write_atomically, write_json
from tellapart.grouping import with_copies_tied
from tellapart.inference import Classifier
from tellapart.inference.classifiers import BUNDLE, RUN_FILE
from tellapart.inference.runtimes import embedding_library, runtime_library
from tellapart.progress import Progress, silent
from tellapart.sources import GUESSED, Columns, read
from tellapart.training import Embedded, Recipe, embed_table, fit_classifier
from tellapart.training.backbones import get_backbone

FORMAT = 1  # of a run's folder: run.json and the files that it stands for
TABLE_FILE = "pictures.csv"
FOLDS_FILE = "fold_probabilities.safetensors"
PAGE_FILE = "report.html"
NOTE_VALID = "The head's penalty was chosen by cross-validation inside the training part; nothing was chosen on these pictures."
NOTE_TEST = "These pictures were locked away from the training."
IMBALANCED = 3.0  # the largest class over the smallest; a guess at where a reader should be told
FEW_VALID = 50  # below, the 95 % interval spans some 10 points or more


@dataclass(frozen=True)
class Run:
    """A finished training: `path` holds its bundle, table, report and figures."""

    path: Path
    recipe: Recipe
    table: ImageTable  # its pictures with their splits
    facts: dict[str, Any] = field(repr=False)  # run.json: source, counts, seconds, warnings
    loaded: Classifier | None = field(default=None, repr=False, compare=False)  # where a training has just loaded it
    judged: Report | None = field(default=None, repr=False, compare=False)  # where a training has just judged it

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """The run in a folder; raises BundleError where there is none, or it is unfinished or damaged."""
        folder = Path(path)
        if not (folder / RUN_FILE).is_file():
            raise BundleError(f"{folder} is not a run: there is no {RUN_FILE} in it. Train one: tellapart train DATA")
        facts = _read_facts(folder)
        if facts["state"] != "finished":
            raise BundleError(f"the run {folder} is unfinished. Go on with it: tellapart train --resume {folder}")
        try:
            table = ImageTable.from_csv((folder / TABLE_FILE).read_bytes().decode(errors="surrogateescape"))
        except (OSError, ValueError, DataError) as error:
            raise BundleError(f"{folder / TABLE_FILE} is damaged: {error}. Train again.") from error
        return cls(folder, Recipe.from_json(facts["recipe"]), table, facts)

    @cached_property
    def classifier(self) -> Classifier:
        return self.loaded or Classifier.load(self.path)

    @cached_property
    def report(self) -> Report:
        """How the classifier does on the validation pictures, computed through its bundle."""
        return self.judged or _judge_valid(self.classifier, self.table, self.facts["counts"], title=self.path.name)

    @property
    def page(self) -> Path:
        """The HTML report."""
        return self.path / PAGE_FILE

    def to_json(self) -> dict[str, Any]:
        """What `tellapart train --json` prints."""
        report = self.report.to_json()
        figures = {name: report[name] for name in ("accuracy", "error_rate", "accuracy_interval", "balanced_accuracy")}
        n_of = {f"n_{name}": len(self.table.in_split(name)) for name in ("train", "valid", "test")}
        shown = ("counts", "skipped", "seconds", "runtime", "n_cached", "warnings")
        return {
            "run": str(self.path),
            "classes": list(self.classifier.classes),
            **n_of,
            **figures,
            "arch": self.recipe.arch,
            "report": str(self.page),
            **{name: self.facts[name] for name in shown},
            "notes": self.facts.get("notes", []),  # runs of 0.1 have none
        }

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def train(
    source: Any,
    recipe: Recipe | None = None,
    *,
    out: str | Path | None = None,
    drop: Sequence[str] = (),
    columns: Columns = GUESSED,
    edits: str | Path | None = None,
    split_like: str | Path | None = None,
    allow_leaks: bool = False,
    progress: Progress = silent,
) -> Run:
    """Train a classifier on pictures; what comes back has its bundle, figures and report on disk.

    `source` is a table, or whatever `read` takes, with its `columns`. `out` is a new folder (default: runs/<name>-<number>);
    `drop` names classes to leave out. The journal of `edits` that lies with the pictures is honoured; a path names another,
    "none" takes the pictures as they are. Near copies are never parted by the split; `split_like` names a run whose split is
    kept, only new pictures being drawn. Training pictures that a given split also holds back are left out unless `allow_leaks`.
    Raises CallError for a call that cannot be meant, DataError for pictures that cannot be used as asked, StorageError where
    `out` cannot be written.
    """
    recipe, clock = recipe or Recipe(), _Clock()
    choices = _Choices(tuple(drop), columns, edits, split_like, allow_leaks)
    if out is not None:
        _refuse_used(Path(out))
    _import_ahead()
    with clock.of("read"):
        table = choices.read(source, progress)
        choices.split(table, recipe)  # what cannot be split is said before there is a folder
    with clock.of("backbone"):
        get_backbone(recipe)  # kept for the embedding; what is wrong with it is said before there is a folder
    folder = Path(out) if out is not None else _next_folder(source)
    begun = {
        "format": FORMAT,
        "state": "unfinished",
        "source": str(Path(source).absolute()) if isinstance(source, str | Path) else None,
        "recipe": recipe.to_json(),
        **choices.to_json(),
    }
    write_json(folder / RUN_FILE, begun)
    try:
        return _train_into(folder, table, recipe, choices, begun, clock, progress)
    except DataError:
        _forget(folder)
        raise


def resume(path: str | Path, *, progress: Progress = silent) -> Run:
    """Go on with an unfinished run: what it had computed is taken from the cache. A finished one is returned as it is."""
    folder = Path(path)
    if not (folder / RUN_FILE).is_file():
        raise BundleError(f"{folder} is not a run: there is no {RUN_FILE} in it")
    begun = _read_facts(folder)
    if begun["state"] == "finished":
        return Run.load(folder)
    if begun["source"] is None:
        raise CallError(f"the run {folder} was started on a table in memory; call train with it again")
    clock, choices = _Clock(), _Choices.from_json(begun)
    _import_ahead()
    with clock.of("read"):
        table = choices.read(begun["source"], progress)
    return _train_into(folder, table, Recipe.from_json(begun["recipe"]), choices, begun, clock, progress)


@dataclass(frozen=True)
class _Choices:
    """What a call of `train` says of the pictures, kept so that a run can be gone on with."""

    drop: tuple[str, ...]
    columns: Columns
    edits: str | Path | None
    split_like: str | Path | None
    allow_leaks: bool

    def to_json(self) -> dict[str, Any]:
        def absolute(path: str | Path | None) -> str | None:
            return None if path is None else NO_EDITS if str(path) == NO_EDITS else os.path.abspath(path)

        return {
            "drop": list(self.drop),
            "columns": asdict(self.columns) | {"root": absolute(self.columns.root)},
            "edits": absolute(self.edits),
            "split_like": absolute(self.split_like),
            "allow_leaks": self.allow_leaks,
        }

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> _Choices:
        columns = Columns(**facts.get("columns", {}))  # runs of 0.1 have none of what follows
        return cls(tuple(facts["drop"]), columns, facts.get("edits"), facts.get("split_like"), facts.get("allow_leaks", False))

    def read(self, source: Any, progress: Progress) -> ImageTable:
        """The pictures after the edits, with absolute paths, so that the run can be judged from any folder."""
        table = source if isinstance(source, ImageTable) else read(source, columns=self.columns, progress=progress)
        table = edited(table, source, edits=self.edits).without_classes(self.drop)
        if table.multi_label:
            raise DataError(
                "these pictures have several labels each; this version trains one label a picture: leave --label-sep out"
            )
        return replace(table, paths=tuple(map(os.path.abspath, table.paths)))

    def split(self, table: ImageTable, recipe: Recipe) -> ImageTable:
        """The table with its splits; raises DataError where nothing would be held back to judge on."""
        earlier = None if self.split_like is None else Run.load(self.split_like).table
        draw = split if earlier is None else partial(split_like, earlier=earlier)
        whole = draw(
            table,
            valid_frac=recipe.valid_frac,
            test_frac=recipe.test_frac,
            seed=recipe.seed,
            allow_leaks=self.allow_leaks,
        )
        if "valid" not in whole.splits:
            raise DataError("no picture is held back to judge on. Give --valid a part above 0, or add a valid folder.")
        return whole


def _train_into(
    folder: Path,
    table: ImageTable,
    recipe: Recipe,
    choices: _Choices,
    begun: dict[str, Any],
    clock: _Clock,
    progress: Progress,
) -> Run:
    with clock.of("embed"):
        embedded = embed_table(table, recipe, progress=progress)  # a test part too: its copies in the training must be known
    with clock.of("split"):
        whole = _split_readable(table, embedded, choices, recipe, progress)
    with clock.of("head"):
        fitted = fit_classifier(embedded, whole.in_split("train"), recipe)
        facts_of_embedding = {"runtime": embedded.features.runtime, "n_cached": embedded.features.n_cached}
        warnings = _warnings(whole, embedded.features.warning)
        del embedded  # the features make room for the judging
        from tellapart.training.bundles import write_bundle  # imports onnx, as `_import_ahead` did meanwhile

        classifier = write_bundle(fitted, folder / BUNDLE)
    with clock.of("evaluate"):
        report = _judge_valid(classifier, whole, whole.account(), title=folder.name, progress=progress)
    with clock.of("report"):
        write_report(report, folder / PAGE_FILE, progress)
    write_atomically(folder / TABLE_FILE, whole.to_csv().encode(errors="surrogateescape"))
    write_atomically(folder / FOLDS_FILE, save({"probabilities": fitted.head.fold_probabilities}))
    facts = begun | {
        "state": "finished",
        "counts": whole.account(),
        "skipped": [{"path": skip.path, "reason": skip.reason} for skip in whole.skipped],
        "seconds": clock.seconds(),
        **facts_of_embedding,
        "warnings": warnings,
        "notes": list(whole.notes),
    }
    write_json(folder / RUN_FILE, facts)  # last: until now the folder is marked unfinished
    return Run(folder, recipe, whole, facts, classifier, report)


def _split_readable(table: ImageTable, embedded: Embedded, choices: _Choices, recipe: Recipe, progress: Progress) -> ImageTable:
    """The readable pictures with their splits, near copies together; raises DataError where too little is left."""
    failures = embedded.features.failures
    try:
        tied = with_copies_tied(table.without(failures), embedded, progress=progress)
        left = choices.split(tied, recipe)
    except DataError as error:
        unread = f" ({len(failures)} files cannot be read as pictures.)" if failures else ""
        raise DataError(f"{error}{unread}") from error
    if "valid" not in left.splits:
        raise DataError(f"none of the {len(table.in_split('valid'))} held-back files can be read as a picture. Replace them.")
    return left


def _judge_valid(classifier: Classifier, whole: ImageTable, files: str, *, title: str, progress: Progress = silent) -> Report:
    """The report on the validation pictures; `files` says where every file of the data went."""
    valid, subject, notes = whole.in_split("valid"), "validation pictures", part_notes(whole, "valid")
    return judge(classifier, valid, title=title, subject=subject, facts={"Files": files}, notes=notes, progress=progress)


def part_notes(table: ImageTable, part: str) -> tuple[str, ...]:
    """What a reader of figures on a held-back part must know: how far it was held back."""
    leaks = [leak.text() for leak in find_split_leaks(table) if (leak.part, leak.held) == ("train", part)]
    if leaks:
        return (f"{leaks[0]}, and were trained on, as asked: of these the accuracy says nothing.",)
    return (NOTE_TEST if part == "test" else NOTE_VALID,)


def _read_facts(folder: Path) -> dict[str, Any]:
    """run.json; raises BundleError where it lacks what every run has."""
    facts = read_json(folder / RUN_FILE)
    if isinstance(found := facts.get("format"), int) and found > FORMAT:
        raise BundleError(f"the run {folder} is of format {found}; this Tellapart reads up to {FORMAT}: pip install -U tellapart")
    kinds: dict[str, Any] = {"format": int, "state": str, "source": str | None, "recipe": dict, "drop": list}
    if facts.get("state") == "finished":
        kinds |= {"counts": str, "skipped": list, "seconds": dict, "runtime": str, "n_cached": int, "warnings": list}
    for name, kind in kinds.items():
        if name not in facts or not isinstance(facts[name], kind):
            raise BundleError(f"{folder / RUN_FILE} is damaged: {name!r} is missing or of the wrong kind. Train again.")
    return facts


def _import_ahead() -> None:
    """Import what a training needs only later, while the files are read and hashed: half a second of a warm run."""
    later = (embedding_library(), runtime_library(), "tellapart.training.bundles", "tellapart.evaluation.html")
    threading.Thread(target=_import_quietly, args=(later,), daemon=True).start()


def _import_quietly(names: Sequence[str]) -> None:
    with suppress(ImportError):  # whoever needs it then says so
        for name in names:
            import_module(name)


class _Clock:
    """Where the time goes, in seconds by stage."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._spent: dict[str, float] = {}

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._spent[stage] = time.perf_counter() - start

    def seconds(self) -> dict[str, float]:
        spent = {"total": time.perf_counter() - self._start, **self._spent}
        return {stage: round(seconds, 3) for stage, seconds in spent.items()}


def _refuse_used(out: Path) -> None:
    """Raise CallError rather than write into a folder that holds something; a run in it is told from other things."""
    if os.path.isfile(out / RUN_FILE):
        state = read_json(out / RUN_FILE).get("state")
        remedy = "Choose another --out." if state == "finished" else f"Go on with it: tellapart train --resume {out}"
        raise CallError(f"{out} already holds a run ({state}). {remedy}")
    refuse_used(out)


def _next_folder(source: Any) -> Path:
    """runs/<name>-<number>, the first that is free, made."""
    name = Path(source).resolve().stem if isinstance(source, str | Path) else "pictures"
    return next(folder for number in count(1) if _claim(folder := Path("runs") / f"{name}-{number}"))


def _forget(folder: Path) -> None:
    """Take away a run that no resuming could finish, unless it holds more than its first note."""
    with suppress(OSError):
        if [entry.name for entry in folder.iterdir()] == [RUN_FILE]:
            (folder / RUN_FILE).unlink()
            folder.rmdir()


def _claim(folder: Path) -> bool:
    """Make the folder; False where it is there already, perhaps since another training made it just now."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as error:
        raise StorageError(f"cannot make {folder}: {error.strerror}. Choose another place: --out") from error
    return True


def _warnings(table: ImageTable, cache_warning: str) -> list[str]:
    """What a person should know before they trust the figures."""
    counts = table.in_split("train").counts
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    found = [cache_warning] if cache_warning else []
    if counts[most] > IMBALANCED * counts[least]:
        ratio = counts[most] / counts[least]
        found.append(
            f"unbalanced: {ratio:.0f} times as many pictures of {most!r} as of {least!r}; "
            f"look at each class's recall, or try --balance 0.5"
        )
    n_valid = len(table.in_split("valid"))
    if n_valid < FEW_VALID:
        found.append(f"only {n_valid} pictures to judge on: the accuracy is uncertain, see its interval")
    return found


def write_report(report: Report, page: Path, progress: Progress) -> None:
    """Write the report as an HTML page, and beside it the same as JSON."""
    from tellapart.evaluation.html import write_html  # imports jinja2

    write_html(report, page, progress=progress)
    write_json(page.with_suffix(".json"), report.to_json())
