"""One trial after another, each an ordinary run, until there are enough of them or the time is up."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart.errors import CallError, MissingExtraError, StorageError, TellapartError
from tellapart.evaluation.report import percent
from tellapart.inference.classifiers import RUN_FILE
from tellapart.progress import Progress, silent
from tellapart.runs import Run, train
from tellapart.runs.choices import Choices
from tellapart.runs.folders import next_folder
from tellapart.runs.networks import refuse_missing
from tellapart.training import Recipe
from tellapart.training.backbones import get_backbone
from tellapart.tuning.plans import Plan, digest_of, refuse_used_study, source_of
from tellapart.tuning.results import EXHAUSTED, Tuning, write_best
from tellapart.tuning.spaces import space_of
from tellapart.tuning.studies import (
    CUT_OFF,
    FAILED,
    FINISHED,
    TIME_UP,
    Attempt,
    Study,
    Trial,
    opened,
    refuse_missing_optuna,
    trial_name,
)
from tellapart.words import counted

if TYPE_CHECKING:
    from tellapart.training.loop.logs import Epoch

N_TRIALS = 20  # where neither a number nor a time is given
MOST_TRIALS = 100_000
HOPELESS = 5  # trials, all failed, after which no other is begun; a guess


def tune(
    source: Any,
    recipe: Recipe | None = None,
    *,
    fixed: Sequence[str] = (),
    choices: Choices | None = None,
    n_trials: int | None = None,
    budget_s: float | None = None,
    out: str | Path | None = None,
    progress: Progress = silent,
) -> Tuning:
    """Search the recipe that does best on the validation pictures, starting from this one, whose `fixed` fields stay.

    The head alone is searched, or the training of the network where the recipe trains one. It ends after `n_trials` (20 unless
    there is a budget), or when the next trial would not fit into `budget_s`. `out` is a new folder (default:
    runs/<name>-tuning-<number>); each trial is a run in it, but those that are pruned or fail. No test part is opened.
    Raises CallError for a call that cannot be meant, MissingExtraError without Optuna, TellapartError where no trial finished,
    and as `train` does.
    """
    began, recipe, choices = time.monotonic(), recipe or Recipe(), choices or Choices()
    _refuse_limits(n_trials, budget_s, recipe)
    if out is not None:
        refuse_used_study(Path(out))
    refuse_missing_optuna()
    refuse_missing(recipe)
    table = choices.read(source, progress)
    space = space_of(recipe, choices.split(table, recipe), fixed=tuple(fixed))
    if not recipe.is_from_scratch:
        get_backbone(recipe)  # what is wrong with it is said before there is a folder
    if n_trials is None and budget_s is None:
        n_trials = N_TRIALS
    plan = Plan(source_of(source), recipe, tuple(fixed), choices, space, digest_of(table), n_trials, budget_s)
    folder = Path(out) if out is not None else next_folder(Path(f"{_name(source)}-tuning"))
    plan.write(folder)
    return _search(folder, source, replace(plan, n_trials=n_trials, budget_s=budget_s), began, progress)


def resume(
    folder: str | Path,
    *,
    source: Any = None,
    recipe: Recipe | None = None,
    fixed: Sequence[str] = (),
    choices: Choices | None = None,
    n_trials: int | None = None,
    budget_s: float | None = None,
    progress: Progress = silent,
) -> Tuning:
    """Go on with a study until it has `n_trials`, the earlier ones counted, or for `budget_s`; by default as it was begun.

    What else is given must be what it was begun with, else CallError; `source` is needed where that was a table in memory. A
    trial that was cut off counts as failed, and its recipe is tried again. Raises as `tune` does, CallError where the pictures
    have changed since.
    """
    began, folder = time.monotonic(), Path(folder)
    plan = Plan.load(folder)
    plan.refuse_other(folder, source=source, recipe=recipe, fixed=fixed, choices=choices or Choices())
    if n_trials is None and budget_s is None:
        n_trials, budget_s = plan.n_trials, plan.budget_s
    _refuse_limits(n_trials, budget_s, plan.recipe)
    source = plan.source if source is None else source
    if source is None:
        raise CallError(f"the study {folder} was begun on a table in memory; give it again")
    if digest_of(plan.choices.read(source, progress)) != plan.pictures:
        raise CallError(
            f"the pictures of {folder} have changed since it was begun: no trial on them can be compared. Begin anew."
        )
    return _search(folder, source, replace(plan, n_trials=n_trials, budget_s=budget_s), began, progress)


class _Pruned(Exception):
    """A trial does worse than others did."""


class _TimeUp(Exception):
    """The study's time is over."""


@dataclass(frozen=True)
class _Search:
    """What every trial of a call has in common."""

    folder: Path
    source: Any
    plan: Plan
    deadline: float | None  # in time.monotonic()
    progress: Progress

    def try_next(self, study: Study) -> Trial:
        """Begin a trial and see it end, whichever way."""
        attempt, start = study.begin(self.plan.space.first_of(self.plan.recipe)), time.monotonic()
        folder = self.folder / trial_name(attempt.number)
        try:
            run = self._train(attempt, folder, study)
            attempt.finish(run.report.accuracy or 0.0, seconds=time.monotonic() - start)
        except _Pruned as pruned:
            attempt.prune(str(pruned), seconds=time.monotonic() - start)
        except _TimeUp:
            attempt.fail(TIME_UP, seconds=time.monotonic() - start)
        except (StorageError, MissingExtraError):
            raise  # no other trial would do better; this one counts as interrupted
        except TellapartError as error:
            attempt.fail(str(error), seconds=time.monotonic() - start)
        ended = study.trials()[-1]
        if ended.state != FINISHED:
            shutil.rmtree(folder, ignore_errors=True)
        return ended

    def has_time_for(self, trials: Sequence[Trial]) -> bool:
        """Whether another trial could be done in time, if it were as quick as the quickest so far."""
        if self.deadline is None:
            return True
        quickest = min((one.seconds for one in trials if one.state == FINISHED and one.seconds), default=0.0)
        return time.monotonic() + quickest < self.deadline

    def _train(self, attempt: Attempt, folder: Path, study: Study) -> Run:
        recipe = replace(self.plan.recipe, **attempt.choices)

        def watch(what: str, done: int, total: int) -> None:
            if self.deadline is not None and time.monotonic() > self.deadline:
                raise _TimeUp
            self.progress(what, done, total)

        def told(epoch: Epoch) -> None:
            watch("epochs", epoch.number, recipe.epochs or 0)
            is_last = epoch.number == recipe.epochs  # what is over is worth more finished than pruned
            if attempt.is_hopeless(epoch.number, epoch.valid_accuracy) and not is_last:
                raise _Pruned(f"{percent(epoch.valid_accuracy)} after epoch {epoch.number}: below the median of the others")

        choices = self._with_split(study)
        return train(self.source, recipe, out=folder, **vars(choices), told=told, progress=watch)

    def _with_split(self, study: Study) -> Choices:
        """The split of the first run for all: near copies, which no split parts, may be told otherwise at another size."""
        if self.plan.choices.split_like is not None:
            return self.plan.choices
        runs = (self.folder / one.name for one in study.trials() if one.state == FINISHED)
        return replace(self.plan.choices, split_like=next((run for run in runs if (run / RUN_FILE).is_file()), None))


def _search(folder: Path, source: Any, plan: Plan, began: float, progress: Progress) -> Tuning:
    deadline = None if plan.budget_s is None else began + plan.budget_s
    search = _Search(folder, source, plan, deadline, progress)
    with opened(folder, plan.space, seed=plan.recipe.seed) as study:
        for number in study.unfinished():
            study.settle(number, _settled(folder / trial_name(number)))
        ended = _try_all(search, study)
        trials, importances = study.trials(), study.importances()
    _refuse_fruitless(folder, trials, ended)
    found = Tuning.of(folder, plan, trials, importances, ended, seconds=time.monotonic() - began)
    write_best(folder, trials, plan)
    return found


def _try_all(search: _Search, study: Study) -> str:
    """Try one recipe after another; why no other one was begun."""
    plan, trials = search.plan, study.trials()
    while plan.n_trials is None or len(trials) < plan.n_trials:
        search.progress(_standing(trials), len(trials), plan.n_trials or 0)
        if study.is_exhausted():
            return f"all {plan.space.n_combinations:.0f} {EXHAUSTED}"
        if not search.has_time_for(trials) or search.try_next(study).reason == TIME_UP:
            return TIME_UP
        trials = study.trials()
        write_best(search.folder, trials, plan)
        if len(trials) >= HOPELESS and all(one.state == FAILED for one in trials):
            return "every trial failed"
    search.progress(_standing(trials), len(trials), len(trials))
    return ""


def _standing(trials: Sequence[Trial]) -> str:
    best = max((one.accuracy for one in trials if one.accuracy is not None), default=None)
    return "trials" if best is None else f"trials: {percent(best)} right"


def _settled(folder: Path) -> float | None:
    """The accuracy of a run that was whole when the kill came; what is less is taken away."""
    try:
        return Run.load(folder).report.accuracy
    except TellapartError:
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _refuse_fruitless(folder: Path, trials: Sequence[Trial], ended: str) -> None:
    if any(one.state == FINISHED for one in trials):
        return
    failed = [one for one in trials if one.reason not in CUT_OFF]
    if failed:
        raise TellapartError(f"none of {counted(len(trials), 'trial')} finished; {failed[0].name}: {failed[0].reason}")
    if ended == TIME_UP:
        raise TellapartError(
            f"the time was up before one trial was finished. Give more: tellapart tune --resume {folder} --budget 1h"
        )
    raise TellapartError(
        f"{counted(len(trials), 'trial')} began and none finished. Go on: tellapart tune --resume {folder} --trials 20"
    )


def _refuse_limits(n_trials: int | None, budget_s: float | None, recipe: Recipe) -> None:
    if n_trials is not None and not 1 <= n_trials <= MOST_TRIALS:
        raise CallError(f"{n_trials} trials cannot be made; give a number from 1 to {MOST_TRIALS:,}: --trials 20")
    if budget_s is not None and budget_s <= 0:
        raise CallError("there is no time for a trial; give some: --budget 30m")
    if budget_s is not None and recipe.budget_s is not None and budget_s < recipe.budget_s:
        raise CallError(
            f"a budget of {budget_s:g} s is too short for one trial of {recipe.budget_s:g} s. Give more: --budget 30m"
        )


def _name(source: Any) -> str:
    return Path(source).resolve().stem if isinstance(source, str | Path) else "pictures"
