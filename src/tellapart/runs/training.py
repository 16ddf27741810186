"""From pictures to a report."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from safetensors.numpy import save

from tellapart.checks.balance import training_warnings
from tellapart.data import ImageTable
from tellapart.errors import CallError, DataError
from tellapart.evaluation.answers import Answers, read_answers, write_answers
from tellapart.evaluation.continuity import Continuity, compare_classes
from tellapart.files import write_atomically, write_json
from tellapart.grouping import with_copies_tied, with_hashed_copies_tied
from tellapart.inference.classifiers import BUNDLE, RUN_FILE
from tellapart.inference.runtimes import embedding_library, runtime_library
from tellapart.launch import refuse_several
from tellapart.progress import Progress, silent
from tellapart.runs import networks
from tellapart.runs.choices import Choices
from tellapart.runs.clock import Clock
from tellapart.runs.folders import forget, next_folder, refuse_used_run
from tellapart.runs.networks import Course, Told
from tellapart.runs.run import (
    FOLDS_FILE,
    FORMAT,
    PAGE_FILE,
    TABLE_FILE,
    Run,
    judge_valid,
    read_facts,
    refuse_other,
    write_report,
)
from tellapart.runs.together import together
from tellapart.sources import GUESSED, Columns
from tellapart.training import Fitted, Recipe, embed_table, fit_classifier
from tellapart.training.backbones import get_backbone
from tellapart.training.loop.logs import ignored
from tellapart.words import counted


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
    told: Told = ignored,
    progress: Progress = silent,
) -> Run:
    """Train a classifier on pictures; what comes back has its bundle, figures and report on disk.

    `source` is a table, or whatever `read` takes, with its `columns`. `out` is a new folder (default: runs/<name>-<number>);
    `drop` names classes to leave out. The journal of `edits` that lies with the pictures is honoured; a path names another,
    "none" takes the pictures as they are. Near copies are never parted by the split; `split_like` names a run whose split is
    kept, only new pictures being drawn. Training pictures that a given split also holds back are left out unless `allow_leaks`.
    `told` is called with each `Epoch` of a network's training as it ends; what it raises ends the training.
    Of several processes that torchrun started all make this call, and all get the run; only the first reads, writes and tells.
    Raises CallError for a call that cannot be meant, DataError for pictures that cannot be used as asked, StorageError where
    `out` cannot be written.
    """
    recipe, clock = recipe or Recipe(), Clock()
    if not recipe.trains_network:
        refuse_several("training a head alone (no --epochs, no --budget)")
    choices = Choices(tuple(drop), columns, edits, split_like, allow_leaks)
    return together(partial(_train, source, recipe, choices, out, clock, told, progress))


def _train(
    source: Any, recipe: Recipe, choices: Choices, out: str | Path | None, clock: Clock, told: Told, progress: Progress
) -> Run:
    if out is not None:
        refuse_used_run(Path(out))
    _import_ahead(recipe)
    with clock.of("read"):
        table = choices.read(source, progress)
        choices.split(table, recipe)  # what cannot be split is said before there is a folder
    networks.refuse_missing(recipe)
    if not recipe.is_from_scratch:
        with clock.of("backbone"):
            get_backbone(recipe)  # kept for the embedding; what is wrong with it is said before there is a folder
    folder = Path(out) if out is not None else next_folder(source)
    begun = {
        "format": FORMAT,
        "state": "unfinished",
        "source": str(Path(source).absolute()) if isinstance(source, str | Path) else None,
        "recipe": recipe.to_json(),
        **choices.to_json(),
    }
    write_json(folder / RUN_FILE, begun)
    try:
        return _train_into(folder, table, recipe, choices, begun, clock, told, progress)
    except DataError:
        forget(folder)
        raise


def resume(path: str | Path, *, progress: Progress = silent) -> Run:
    """Go on with an unfinished run: what it had computed is taken from the cache. A finished one is returned as it is."""
    return together(partial(_resume, Path(path), progress))


def _resume(folder: Path, progress: Progress) -> Run:
    refuse_other(folder)
    begun = read_facts(folder)
    if begun["state"] == "finished":
        return Run.load(folder)
    if begun["source"] is None:
        raise CallError(f"the run {folder} was started on a table in memory; call train with it again")
    clock, choices, recipe = Clock(), Choices.from_json(begun), Recipe.from_json(begun["recipe"])
    if not recipe.trains_network:
        refuse_several("training a head alone")
    _import_ahead(recipe)
    with clock.of("read"):
        table = choices.read(begun["source"], progress)
    return _train_into(folder, table, recipe, choices, begun, clock, ignored, progress)


@dataclass(frozen=True)
class _Trained:
    """A classifier before it is written, the pictures with their splits, and what is to be told of the way there."""

    fitted: Fitted
    whole: ImageTable
    embedding: dict[str, Any]  # the facts "runtime" and "n_cached"
    warnings: tuple[str, ...] = ()
    course: Course = field(default_factory=Course)


def _train_into(
    folder: Path,
    table: ImageTable,
    recipe: Recipe,
    choices: Choices,
    begun: dict[str, Any],
    clock: Clock,
    told: Told,
    progress: Progress,
) -> Run:
    way = _from_scratch if recipe.is_from_scratch else _by_transfer
    trained = way(table, recipe, choices, clock, folder, told, progress)
    whole = trained.whole
    with clock.of("bundle"):
        from tellapart.training.bundles import write_bundle  # imports onnx, as `_import_ahead` did meanwhile

        classifier = write_bundle(trained.fitted, folder / BUNDLE)
    with clock.of("evaluate"):
        notes = (*whole.notes, *trained.course.notes)
        report = judge_valid(
            classifier,
            whole,
            whole.account(),
            notes,
            title=folder.name,
            is_trained=bool(trained.course.history),
            progress=progress,
        )
        answers = write_answers(folder, "valid", report, whole.in_split("valid"))
        continuity = _continuity(choices, answers)
    with clock.of("report"):
        write_report(report, folder / PAGE_FILE, progress)
        networks.write_page(trained.course, folder)
    write_atomically(folder / TABLE_FILE, whole.to_csv().encode(errors="surrogateescape"))
    write_atomically(folder / FOLDS_FILE, save({"probabilities": trained.fitted.head.fold_probabilities}))
    facts = begun | {
        "state": "finished",
        "counts": whole.account(),
        "skipped": [{"path": skip.path, "reason": skip.reason} for skip in whole.skipped],
        "seconds": clock.seconds(),
        **trained.embedding,
        "warnings": [*trained.warnings, *training_warnings(whole)],
        "notes": list(notes),
        **trained.course.to_json(),
        **({"continuity": continuity.to_json() | {"text": continuity.text()}} if continuity else {}),
    }
    write_json(folder / RUN_FILE, facts)  # last: until now the folder is marked unfinished
    networks.tidy(folder)
    return Run(folder, recipe, whole, facts, classifier, report)


def _continuity(choices: Choices, after: Answers) -> Continuity | None:
    """What became of the classes of the run whose split was kept."""
    if choices.split_like is None:
        return None
    earlier = Run.load(choices.split_like)
    before = read_answers(earlier.path, "valid") or Answers.of(earlier.report, earlier.table.in_split("valid"))
    return compare_classes(before, after)


def _by_transfer(
    table: ImageTable, recipe: Recipe, choices: Choices, clock: Clock, folder: Path, told: Told, progress: Progress
) -> _Trained:
    """A head on the features of a frozen backbone; then, where the recipe asks for it, the network below it."""
    with clock.of("embed"):
        embedded = embed_table(table, recipe, progress=progress)  # a test part too: its copies in the training must be known
    with clock.of("split"):
        failures = embedded.features.failures
        tied = partial(with_copies_tied, table.without(failures), embedded, progress=progress)
        whole = _split(table, tied, failures, choices, recipe)
    with clock.of("head"):
        training, backbone = whole.in_split("train"), embedded.backbone
        embedding = {"runtime": embedded.features.runtime, "n_cached": embedded.features.n_cached}
        warnings = tuple(filter(None, [embedded.features.warning]))
        features = embedded.features.floats(training)
        del embedded, tied  # half precision makes room for single
        fitted = fit_classifier(features, training, backbone, recipe)
        del features  # and that for what follows
    if not recipe.trains_network:
        return _Trained(fitted, whole, embedding, warnings)
    with clock.of("tune"):
        deadline = clock.deadline(recipe.budget_s)
        fitted, course = networks.tune(fitted, whole, recipe, deadline=deadline, folder=folder, told=told, progress=progress)
    return _Trained(fitted, whole, embedding, warnings, course)


def _from_scratch(
    table: ImageTable, recipe: Recipe, choices: Choices, clock: Clock, folder: Path, told: Told, progress: Progress
) -> _Trained:
    """A network that begins with random weights."""
    with clock.of("split"):
        readable = with_hashed_copies_tied(table, progress=progress)
        failures = {skip.sha256: skip.reason for skip in readable.skipped[len(table.skipped) :]}
        whole = _split(table, lambda: readable, failures, choices, recipe)
    with clock.of("tune"):
        deadline = clock.deadline(recipe.budget_s)
        fitted, course = networks.begin(whole, recipe, deadline=deadline, folder=folder, told=told, progress=progress)
    return _Trained(fitted, whole, {"runtime": "", "n_cached": 0}, (), course)


def _split(
    table: ImageTable, tied: Callable[[], ImageTable], failures: Mapping[str, str], choices: Choices, recipe: Recipe
) -> ImageTable:
    """The readable pictures with their splits, near copies together; raises DataError where too little is left."""
    try:
        left = choices.split(tied(), recipe)
    except DataError as error:
        unread = f" ({counted(len(failures), 'file')} cannot be read as pictures.)" if failures else ""
        raise DataError(f"{error}{unread}") from error
    if "valid" not in left.splits:
        n_held = counted(table.splits.count("valid"), "held-back file")
        raise DataError(f"none of {n_held} can be read as a picture. Put others in their place.")
    return left


def _import_ahead(recipe: Recipe) -> None:
    """Import what a training needs only later, while the files are read and hashed: half a second of a warm run."""
    later = [embedding_library(), runtime_library(), "tellapart.training.bundles", "tellapart.evaluation.html"]
    if recipe.trains_network:
        later += ["torch._dynamo"]  # the first optimizer imports it: 6 s on top of the 5 s of torch itself
    threading.Thread(target=_import_quietly, args=(later,), daemon=True).start()


def _import_quietly(names: Sequence[str]) -> None:
    with suppress(ImportError):  # whoever needs it then says so
        for name in names:
            import_module(name)
