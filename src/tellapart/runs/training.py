"""From pictures to a report."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
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
from tellapart.inference.classifiers import BUNDLE, RUN_FILE
from tellapart.inference.runtimes import embedding_library, import_library, runtime_library
from tellapart.launch import refuse_several
from tellapart.progress import Progress, silent
from tellapart.runs import networks
from tellapart.runs.beginnings import Beginning, begin
from tellapart.runs.choices import Choices
from tellapart.runs.clock import Clock
from tellapart.runs.folders import forget, next_folder, refuse_used_run
from tellapart.runs.networks import Course, Planned, Told
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
from tellapart.training import Fitted, Recipe, refuse_channels
from tellapart.training.backbones import get_backbone
from tellapart.training.loop.logs import Epoch, ignored
from tellapart.training.thresholds import with_thresholds
from tellapart.training.trackers import refuse_absent_trackers, tracking


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
    track: Sequence[str] = (),
    told: Told = ignored,
    planned: Planned = ignored,
    progress: Progress = silent,
) -> Run:
    """Train a classifier on pictures; what comes back has its bundle, figures and report on disk.

    `source` is a table, or whatever `read` takes, with its `columns`. `out` is a new folder (default: runs/<name>-<number>);
    `drop` names classes to leave out. The journal of `edits` that lies with the pictures is honoured; a path names another,
    "none" takes the pictures as they are. Near copies are never parted by the split; `split_like` names a run whose split is
    kept, only new pictures being drawn. Training pictures that a given split also holds back are left out unless `allow_leaks`.
    `track` names what keeps each epoch of a network's training besides: "tensorboard", "mlflow". `planned` is called with a
    `Plan` before such a training, `told` with each `Epoch` of it as it ends; what they raise ends the training.
    Of several processes that torchrun started all make this call, and all get the run; only the first reads, writes and tells.
    Raises CallError for a call that cannot be meant, DataError for pictures that cannot be used as asked, StorageError where
    `out` cannot be written.
    """
    recipe, clock = recipe or Recipe(), Clock()
    if not recipe.trains_network:
        refuse_several("training a head alone (no --epochs, no --budget)")
    choices = Choices(tuple(drop), columns, edits, split_like, allow_leaks)
    return together(partial(_train, source, recipe, choices, out, track, clock, told, planned, progress))


def _train(
    source: Any,
    recipe: Recipe,
    choices: Choices,
    out: str | Path | None,
    track: Sequence[str],
    clock: Clock,
    told: Told,
    planned: Planned,
    progress: Progress,
) -> Run:
    if out is not None:
        refuse_used_run(Path(out))
    if track and not recipe.trains_network:
        raise CallError("a head alone has no epochs to track: leave --track out, or train the network (--epochs, --budget)")
    refuse_absent_trackers(track)
    _import_ahead(recipe)
    with clock.of("read"):
        table = choices.read(source, progress)
        choices.split(table, recipe)  # what cannot be split is said before there is a folder
    networks.refuse_missing(recipe)
    if not recipe.is_from_scratch:
        with clock.of("backbone"):
            refuse_channels(table, recipe)
            get_backbone(recipe)  # kept for the embedding; what is wrong with it is said before there is a folder
    folder = Path(out) if out is not None else next_folder(source)
    begun = {
        "format": FORMAT,
        "state": "unfinished",
        "source": str(Path(source).absolute()) if isinstance(source, str | Path) else None,
        "recipe": recipe.to_json(),
        **choices.to_json(),
        "track": list(track),
    }
    write_json(folder / RUN_FILE, begun)
    try:
        return _train_into(folder, table, recipe, choices, begun, clock, told, planned, progress)
    except DataError:
        forget(folder)
        raise


def resume(path: str | Path, *, planned: Planned = ignored, progress: Progress = silent) -> Run:
    """Go on with an unfinished run: what it had computed is taken from the cache. A finished one is returned as it is.

    Its trackers are told of what they had not heard of; `planned` is called as in `train`.
    """
    return together(partial(_resume, Path(path), planned, progress))


def _resume(folder: Path, planned: Planned, progress: Progress) -> Run:
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
    return _train_into(folder, table, recipe, choices, begun, clock, ignored, planned, progress)


def _train_into(
    folder: Path,
    table: ImageTable,
    recipe: Recipe,
    choices: Choices,
    begun: dict[str, Any],
    clock: Clock,
    told: Told,
    planned: Planned,
    progress: Progress,
) -> Run:
    beginning = begin(table, recipe, choices, clock, progress)
    whole, fitted, course = beginning.whole, beginning.fitted, Course()
    if fitted is None or recipe.trains_network:
        with clock.of("tune"):
            fitted, course = _train_network(beginning, recipe, begun.get("track", ()), clock, folder, told, planned, progress)
    fitted, about_thresholds = with_thresholds(fitted, whole.in_split("valid"))
    with clock.of("bundle"):
        from tellapart.training.bundles import write_bundle  # imports onnx, as `_import_ahead` did meanwhile

        classifier = write_bundle(fitted, folder / BUNDLE)
    with clock.of("evaluate"):
        notes = (*whole.notes, *course.notes, *about_thresholds)
        report = judge_valid(
            classifier,
            whole,
            whole.account(),
            notes,
            title=folder.name,
            is_trained=bool(course.history),
            progress=progress,
        )
        answers = write_answers(folder, "valid", report, whole.in_split("valid"))
        continuity = _continuity(choices, answers)
    with clock.of("report"):
        write_report(report, folder / PAGE_FILE, progress)
        networks.write_page(course, folder)
    write_atomically(folder / TABLE_FILE, whole.to_csv().encode(errors="surrogateescape"))
    write_atomically(folder / FOLDS_FILE, save({"probabilities": fitted.head.fold_probabilities}))
    facts = begun | {
        "state": "finished",
        "counts": whole.account(),
        "skipped": [{"path": skip.path, "reason": skip.reason} for skip in whole.skipped],
        "seconds": clock.seconds(),
        **beginning.embedding,
        "warnings": [*beginning.warnings, *training_warnings(whole)],
        "notes": list(notes),
        **course.to_json(),
        **({"continuity": continuity.to_json() | {"text": continuity.text()}} if continuity else {}),
    }
    write_json(folder / RUN_FILE, facts)  # last: until now the folder is marked unfinished
    networks.tidy(folder)
    return Run(folder, recipe, whole, facts, classifier, report)


def _train_network(
    beginning: Beginning,
    recipe: Recipe,
    track: Sequence[str],
    clock: Clock,
    folder: Path,
    told: Told,
    planned: Planned,
    progress: Progress,
) -> tuple[Fitted, Course]:
    with tracking(track, folder, recipe.to_json()) as trackers:

        def log(epoch: Epoch) -> None:
            trackers.log(epoch)
            told(epoch)

        deadline = clock.deadline(recipe.budget_s)
        more: dict[str, Any] = {"folder": folder, "told": log, "planned": planned, "progress": progress}
        fitted, course = networks.train_network(beginning, recipe, deadline=deadline, **more)
    return fitted, replace(course, notes=(*course.notes, *trackers.notes))


def _continuity(choices: Choices, after: Answers) -> Continuity | None:
    """What became of the classes of the run whose split was kept."""
    if choices.split_like is None:
        return None
    earlier = Run.load(choices.split_like)
    before = read_answers(earlier.path, "valid") or Answers.of(earlier.report, earlier.table.in_split("valid"))
    return compare_classes(before, after)


def _import_ahead(recipe: Recipe) -> None:
    """Import what a training needs only later, while the files are read and hashed: half a second of a warm run."""
    modules = ["tellapart.training.bundles", "tellapart.evaluation.html"]
    if recipe.trains_network:
        modules += ["torch._dynamo"]  # the first optimizer imports it: 6 s on top of the 5 s of torch itself
    threading.Thread(target=_import_quietly, args=(modules,), daemon=True).start()


def _import_quietly(modules: Sequence[str]) -> None:
    with suppress(ImportError):  # whoever needs it then says so
        for library in (embedding_library(), runtime_library()):
            import_library(library)
        for module in modules:
            import_module(module)
