"""A study: trials of recipes, kept by Optuna in an SQLite file, so that it can be gone on with after a kill at any moment."""

from __future__ import annotations

import math
import random
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import count, filterfalse, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart.errors import BundleError, CallError, MissingExtraError, StorageError
from tellapart.tuning.spaces import Space

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

DATABASE = "study.db"
LOCK = ".study.lock"
NAME = "tellapart"
FINISHED, PRUNED, FAILED = "finished", "pruned", "failed"
INTERRUPTED, TIME_UP = "it was interrupted", "the time was up"
CUT_OFF = (INTERRUPTED, TIME_UP)
N_RANDOM = 8  # trials before the sampler begins to learn from them; Optuna's 10 would be half of a short study
N_UNPRUNED = 4  # trials that are let finish before any is pruned: a median of fewer says little; a guess
UNPRUNED_EPOCHS = 1  # of each trial; a guess
TRIES = 20  # to draw what was not tried before
FEWEST_FOR_IMPORTANCE = 20  # finished trials; with fewer the importances are mostly noise; a guess


@dataclass(frozen=True)
class Trial:
    """One recipe that was tried. `choices` are the fields that were searched; `reason` says why it failed or was pruned."""

    number: int
    state: str  # "finished", "pruned" or "failed"
    choices: dict[str, Any]
    accuracy: float | None = None  # on the validation pictures, where it finished
    reason: str = ""
    seconds: float | None = None

    @property
    def name(self) -> str:
        """What its run's folder is called."""
        return trial_name(self.number)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def trial_name(number: int) -> str:
    """ "trial-007" """
    return f"trial-{number:03d}"


def refuse_missing_optuna() -> None:
    """Raise MissingExtraError where Optuna is not there."""
    if find_spec("optuna") is None:
        raise MissingExtraError("tuning", "tune")


class Attempt:
    """A trial that has begun; it ends by one of `finish`, `prune` and `fail`."""

    def __init__(self, study: optuna.Study, trial: optuna.Trial, choices: dict[str, Any]) -> None:
        self.number, self.choices = trial.number, choices
        self._study, self._trial = study, trial

    def is_hopeless(self, epoch: int, accuracy: float) -> bool:
        """Whether the best accuracy of its epochs so far is below the median of the others' at that epoch."""
        self._trial.report(accuracy, epoch)
        return self._trial.should_prune()

    def finish(self, accuracy: float, *, seconds: float) -> None:
        self._trial.set_user_attr("seconds", seconds)
        self._study.tell(self._trial, accuracy)

    def prune(self, reason: str, *, seconds: float) -> None:
        self._end("PRUNED", reason, seconds)

    def fail(self, reason: str, *, seconds: float) -> None:
        self._end("FAIL", reason, seconds)

    def _end(self, state: str, reason: str, seconds: float) -> None:
        from optuna.trial import TrialState

        self._trial.set_user_attr("seconds", seconds)
        self._trial.set_user_attr("reason", reason)
        self._study.tell(self._trial, state=TrialState[state])


class Study:
    """The trials of one study. What is drawn next depends on the seed and the trials before alone, so a kill changes nothing."""

    def __init__(self, found: optuna.Study, space: Space, seed: int) -> None:
        self._found, self._space, self._seed = found, space, seed

    def trials(self) -> tuple[Trial, ...]:
        """The trials that are over, in order."""
        return tuple(_trial(one, self._space) for one in self._found.get_trials(deepcopy=False) if one.state.is_finished())

    def unfinished(self) -> tuple[int, ...]:
        """The numbers of the trials that a kill has cut off."""
        return tuple(one.number for one in self._of_state("RUNNING"))

    def settle(self, number: int, accuracy: float | None) -> None:
        """End a trial that was cut off: as finished where its run was whole, else as failed."""
        from optuna.trial import TrialState

        if accuracy is None:
            self._found.tell(number, state=TrialState.FAIL)
        else:
            self._found.tell(number, accuracy)

    def is_exhausted(self) -> bool:
        """Whether every combination was tried."""
        return len(self._tried()) >= self._space.n_combinations and not self._of_state("WAITING")

    def begin(self, first: dict[str, Any]) -> Attempt:
        """The next trial: of the choices `first`, then of what was cut off before it was known, then of what promises most."""
        if not self._of_state("WAITING"):  # else a kill came between these two lines
            self._found.enqueue_trial(self._space.parameters_of(self._next(first)))
        trial = self._found.ask()
        for axis in self._space.axes:
            axis.draw(trial)
        return Attempt(self._found, trial, self._space.choices_of(trial.params))

    def importances(self) -> dict[str, float]:
        """How much each field had to do with being among the better trials, the most first; in all 1, or empty for too few.

        PED-ANOVA (arXiv:2304.10255) on the finished trials.
        """
        finished = self._of_state("COMPLETE")
        if len(finished) < FEWEST_FOR_IMPORTANCE or len({one.value for one in finished}) < 2:
            return {}
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        with _quiet():
            found = get_param_importances(self._found, evaluator=PedAnovaImportanceEvaluator())
        summed = {axis.name: sum(found.get(name, 0.0) for name in axis.names) for axis in self._space.axes}
        return dict(sorted(summed.items(), key=lambda item: -item[1])) if sum(summed.values()) > 0 else {}

    def _next(self, first: dict[str, Any]) -> dict[str, Any]:
        tried = self._tried()
        again = [one.choices for one in self._cut_off()]
        return next((choices for choices in (first, *again) if choices not in tried), None) or self._new(tried)

    def _new(self, tried: list[dict[str, Any]]) -> dict[str, Any]:
        """Choices that were not tried: what promises most, or where that was tried each time, any."""
        trials = self._found.get_trials(deepcopy=False)
        seeds = count(self._seed + TRIES * len(trials))
        for seed in islice(seeds, TRIES):
            if (choices := self._drawn(trials, seed, is_random=False)) not in tried:
                return choices
        if self._space.n_combinations < math.inf:
            return random.Random(next(seeds)).choice([one for one in self._space.combinations() if one not in tried])
        return next(filterfalse(tried.__contains__, (self._drawn(trials, seed, is_random=True) for seed in seeds)))

    def _drawn(self, trials: list[FrozenTrial], seed: int, *, is_random: bool) -> dict[str, Any]:
        """What a sampler that knows these trials draws next; in a study of its own, since a trial once begun is a trial."""
        from optuna import create_study
        from optuna.samplers import RandomSampler, TPESampler

        sampler = RandomSampler(seed=seed) if is_random else TPESampler(n_startup_trials=N_RANDOM, seed=seed)
        with _quiet():
            probe = create_study(direction="maximize", sampler=sampler)
            probe.add_trials(trials)
            drawn = probe.ask()
            for axis in self._space.axes:
                axis.draw(drawn)
        return self._space.choices_of(drawn.params)

    def _tried(self) -> list[dict[str, Any]]:
        """What need not be tried again: what was found out, what fails, and what was cut off twice: it may be what kills."""
        cut_off = [one.choices for one in self._cut_off()]
        twice = [choices for choices in cut_off if cut_off.count(choices) > 1]
        return [*(one.choices for one in self.trials() if one.reason not in CUT_OFF), *twice]

    def _cut_off(self) -> list[Trial]:
        """The trials of which nothing is known but what they would have tried."""
        whole = {one.number for one in self._of_state("FAIL") if self._space.is_known(one.params)}
        return [one for one in self.trials() if one.reason in CUT_OFF and one.number in whole]

    def _of_state(self, name: str) -> list[FrozenTrial]:
        from optuna.trial import TrialState

        return self._found.get_trials(deepcopy=False, states=(TrialState[name],))


@contextmanager
def opened(folder: Path, space: Space, *, seed: int) -> Iterator[Study]:
    """The study in a folder, begun where there is none; nobody else may work on it meanwhile.

    Raises CallError where somebody does, BundleError where its file is damaged, StorageError where it cannot be written.
    """
    refuse_missing_optuna()
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    path = folder / DATABASE
    with _alone(folder):
        if not path.exists() and any(folder.glob("trial-*")):
            raise BundleError(f"{path} is missing, though there are trials in {folder}. Begin another study: --out")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            # A creator, since a URL has no room for every character of a path.
            storage = optuna.storages.RDBStorage("sqlite://", {"creator": lambda: sqlite3.connect(path, timeout=60)})
        except (SQLAlchemyError, RuntimeError) as error:  # RuntimeError: written by another version of Optuna
            raise BundleError(f"{path} is damaged, or of another version of Optuna: {_line(error)}") from error
        try:
            pruner = optuna.pruners.MedianPruner(n_startup_trials=N_UNPRUNED, n_warmup_steps=UNPRUNED_EPOCHS + 1)
            found = optuna.create_study(
                storage=storage, study_name=NAME, direction="maximize", pruner=pruner, load_if_exists=True
            )
            yield Study(found, space, seed)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            raise StorageError(f"cannot read or write {path}: {_line(error)}") from error
        finally:
            storage.remove_session()
            storage.engine.dispose()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, however that ends."""
    with ExitStack() as held:
        try:
            lock = held.enter_context(closing(sqlite3.connect(folder / LOCK, timeout=0, isolation_level=None)))
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise StorageError(f"cannot write into {folder}: {error}. Choose another place: --out") from error
            raise CallError(f"somebody is tuning in {folder} already. Wait for it, or choose another --out.") from error
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that something is experimental in one version of Optuna or another
        yield


def _trial(found: FrozenTrial, space: Space) -> Trial:
    state = {"COMPLETE": FINISHED, "PRUNED": PRUNED}.get(found.state.name, FAILED)
    accuracy = found.value if state == FINISHED else None
    reason = found.user_attrs.get("reason", INTERRUPTED if state == FAILED else "")
    return Trial(found.number, state, space.choices_of(found.params), accuracy, reason, found.user_attrs.get("seconds"))


def _line(error: BaseException) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())
