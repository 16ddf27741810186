"""What a tuning searches: fields of the recipe and what each may become."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from tellapart.data import ImageTable
from tellapart.errors import CallError
from tellapart.training import Recipe
from tellapart.training.recipe import DEFAULT_ARCH

if TYPE_CHECKING:
    from optuna.trial import Trial

DIGITS = 3  # of a drawn number, behind the point or, on a log scale, in all: no training can tell more apart
OPEN, DRAWN = "open", "drawn"
FEWEST_BATCHES = 4  # a pass, of the largest batch that is searched; a guess


@dataclass(frozen=True)
class Axis:
    """A field and what it may become: one of `choices`, or a number from `low` to `high`, evenly drawn on a `log` scale.

    With `or_open` the number may also be left open (None), for the training to find.
    """

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    or_open: bool = False

    def draw(self, trial: Trial) -> None:
        """Let a trial choose; the choice is then among its parameters."""
        if self.choices:
            trial.suggest_categorical(self.name, self.choices)
        elif not self.or_open or trial.suggest_categorical(self._state, (OPEN, DRAWN)) == DRAWN:
            trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def chosen(self, parameters: Mapping[str, Any]) -> Any:
        """The field's value by a trial's parameters."""
        value = parameters.get(self.name)
        if self.choices or value is None:
            return value
        return float(f"{value:.{DIGITS}g}") if self.log else round(value, DIGITS)

    def parameters(self, value: Any) -> dict[str, Any]:
        """What a trial's parameters are where the field is `value`."""
        if not self.or_open:
            return {self.name: value}
        return {self._state: OPEN} if value is None else {self._state: DRAWN, self.name: value}

    @property
    def names(self) -> tuple[str, ...]:
        """What a trial's parameters call it, the one that is always there first."""
        return (self._state, self.name) if self.or_open else (self.name,)

    @property
    def _state(self) -> str:
        return f"{self.name} is"

    def text(self) -> str:
        """ "fit: crop, pad, squish" """
        if self.choices:
            return f"{self.name}: {', '.join('left open' if one is None else str(one) for one in self.choices)}"
        scale, left = " (log)" if self.log else "", ", or left open" if self.or_open else ""
        return f"{self.name}: {self.low:g} to {self.high:g}{scale}{left}"


@dataclass(frozen=True)
class Space:
    """The fields that are searched."""

    axes: tuple[Axis, ...]

    def choices_of(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The recipe's fields that a trial's parameters stand for."""
        return {axis.name: axis.chosen(parameters) for axis in self.axes}

    def parameters_of(self, choices: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters that stand for these fields."""
        return {name: value for axis in self.axes for name, value in axis.parameters(choices[axis.name]).items()}

    def first_of(self, recipe: Recipe) -> dict[str, Any]:
        """The recipe as it stands; what it leaves open is among choices the first of them, elsewhere what suits its network."""
        own = {axis.name: getattr(recipe if axis.or_open else recipe.settled, axis.name) for axis in self.axes}
        firsts = {axis.name: axis.choices[0] for axis in self.axes if axis.choices and own[axis.name] not in axis.choices}
        return own | firsts

    def is_known(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a trial came to choose every field before it ended."""
        return all(axis.names[0] in parameters for axis in self.axes) and DRAWN not in {
            parameters[axis.names[0]] for axis in self.axes if axis.name not in parameters
        }

    @property
    def n_combinations(self) -> float:
        """How many different recipes there are to try; infinite where a field is a number."""
        return math.prod(len(axis.choices) or math.inf for axis in self.axes)

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Each of them, where they are finite."""
        for values in product(*(axis.choices for axis in self.axes)):
            yield dict(zip((axis.name for axis in self.axes), values, strict=True))

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(axis) for axis in self.axes]

    @classmethod
    def from_json(cls, values: list[dict[str, Any]]) -> Space:
        """The space that `to_json` wrote. Raises TypeError or KeyError for anything else."""
        return cls(tuple(Axis(**(one | {"choices": tuple(one["choices"])})) for one in values))


def space_of(recipe: Recipe, table: ImageTable, *, fixed: tuple[str, ...] = ()) -> Space:
    """What to search for a recipe on these pictures, split: of the head alone, or of training the network where the recipe does.

    Fields named in `fixed` are left as they are, and so is what could change nothing. The recipe's own values are among what
    is searched. Raises CallError where nothing is left.
    """
    axes = network_axes(recipe, table) if recipe.trains_network else head_axes(table)
    left = tuple(axis for axis in axes if axis.name not in fixed)
    if not left:
        raise CallError(
            f"nothing is left to search: {', '.join(axis.name for axis in axes)} are all given. Leave one out, or train at once: "
            "tellapart train"
        )
    return Space(left)


def head_axes(table: ImageTable) -> tuple[Axis, ...]:
    """Of a head on frozen features, which are computed once for each size and fit."""
    training = table.in_split("train")
    counts = {training.labels.count(name) for name in training.classes}
    sizes = Axis("size", (224, *(side for side in range(160, 321, 32) if side != 224)))
    # Of equal classes it changes nothing, and several labels a picture cannot be balanced.
    balance = (Axis("balance", low=0.0, high=1.0),) if len(counts) > 1 and not table.multi_label else ()
    return (sizes, Axis("fit", ("crop", "pad", "squish")), *balance)


def network_axes(recipe: Recipe, table: ImageTable) -> tuple[Axis, ...]:
    """Of training the network. `None`, where it is among the choices, is the way's own default."""
    n_training = table.splits.count("train")
    sizes = (16, 64, 128) if recipe.arch == DEFAULT_ARCH and recipe.tune != "all" else (32, 64, 256)  # besides 32 and 128
    batches = tuple(size for size in sizes if size * FEWEST_BATCHES <= n_training)
    augment = dict.fromkeys((recipe.settled.augment, "default", "none", "light", "strong"))  # what suits the network first
    body = () if recipe.is_from_scratch else (Axis("body_lr", low=0.01, high=1.0, log=True),)
    return (
        Axis("lr", low=1e-4, high=1e-1, log=True, or_open=True),
        *body,
        Axis("weight_decay", low=1e-4, high=0.3, log=True),
        Axis("label_smoothing", low=0.0, high=0.2),
        Axis("dropout", low=0.0, high=0.5),
        Axis("augment", tuple(augment)),
        Axis("mixup", (0.0, 0.1, 0.4)),
        Axis("cutmix", (0.0, 0.5, 1.0)),
        Axis("ema", (0.0, 0.99, 0.999)),
        Axis("optimizer", tuple(dict.fromkeys((recipe.settled.optimizer, "adamw", "muon", "sgd", "rmsprop", "lamb")))),
        *([Axis("batch", (None, *batches))] if batches else []),
    )
