from __future__ import annotations

from dataclasses import replace

import pytest

import tellapart as ta
from tellapart.data import ImageTable
from tellapart.errors import CallError
from tellapart.tuning.spaces import Axis, Space, space_of

optuna = pytest.importorskip("optuna")


def table_of(n_a: int, n_b: int) -> ImageTable:
    labels = ("a",) * n_a + ("b",) * n_b
    names = tuple(map(str, range(len(labels))))
    empty = ("",) * len(labels)
    return ImageTable(names, names, labels, empty, ("train",) * len(labels), empty)


def names_of(space: Space) -> list[str]:
    return [axis.name for axis in space.axes]


def test_the_head_alone_is_searched_unless_a_network_is_trained() -> None:
    assert names_of(space_of(ta.Recipe(), table_of(5, 9))) == ["size", "fit", "balance"]
    assert names_of(space_of(ta.Recipe(), table_of(9, 9))) == ["size", "fit"]  # balancing equal classes changes nothing
    network = names_of(space_of(ta.Recipe(epochs=3), table_of(500, 500)))
    assert network[:3] == ["lr", "body_lr", "weight_decay"]
    assert network[-1] == "batch"
    assert names_of(space_of(ta.Recipe(budget_s=60), table_of(500, 500))) == network
    assert "body_lr" not in names_of(space_of(ta.Recipe(arch="compact", epochs=3), table_of(500, 500)))
    assert "batch" not in names_of(space_of(ta.Recipe(epochs=3), table_of(20, 20)))


def test_what_is_given_is_not_searched_and_something_must_be_left() -> None:
    assert names_of(space_of(ta.Recipe(size=96), table_of(5, 9), fixed=("size",))) == ["fit", "balance"]
    with pytest.raises(CallError, match=r"nothing is left to search: size, fit are all given\. Leave one out, or train at once"):
        space_of(ta.Recipe(), table_of(9, 9), fixed=("size", "fit", "lr"))


@pytest.mark.parametrize(
    "recipe", [ta.Recipe(), ta.Recipe(epochs=2), ta.Recipe(arch="compact"), ta.Recipe(tune="all", budget_s=9)]
)
def test_the_recipe_as_it_stands_is_in_the_space(recipe: ta.Recipe) -> None:
    space = space_of(recipe, table_of(500, 900))
    first = space.first_of(recipe)
    open_or_suited = {name: (getattr(recipe, name), getattr(recipe.settled, name)) for name in first}
    assert all(value in open_or_suited[name] for name, value in first.items() if (name, value) != ("size", 224))
    study = optuna.create_study()
    study.enqueue_trial(space.parameters_of(first))
    trial = study.ask()
    for axis in space.axes:
        axis.draw(trial)
    assert space.choices_of(trial.params) == first
    assert space.is_known(trial.params)


def test_every_drawn_recipe_is_one_and_survives_json() -> None:
    recipe = ta.Recipe(epochs=2)
    space = space_of(recipe, table_of(500, 900))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = []
    for _ in range(50):
        trial = study.ask()
        for axis in space.axes:
            axis.draw(trial)
        drawn.append(space.choices_of(trial.params))
        assert replace(recipe, **drawn[-1])
    rates = [one["lr"] for one in drawn]
    assert 10 < rates.count(None) < 40
    assert all(1e-4 <= rate <= 1e-1 and len(f"{rate:.9g}".lstrip("0.")) <= 5 for rate in rates if rate is not None)
    assert Space.from_json(space.to_json()) == space


def test_a_trial_that_was_cut_off_while_it_chose_is_not_known() -> None:
    space = Space((Axis("fit", ("crop", "pad")), Axis("lr", low=1e-4, high=0.1, log=True, or_open=True)))
    assert not space.is_known({"fit": "crop"})
    assert not space.is_known({"fit": "crop", "lr is": "drawn"})
    assert space.is_known({"fit": "crop", "lr is": "drawn", "lr": 0.01})
    assert space.is_known({"fit": "crop", "lr is": "open"})


def test_combinations_are_counted() -> None:
    finite = Space((Axis("fit", ("crop", "pad")), Axis("size", (96, 128, 160))))
    assert finite.n_combinations == 6
    assert len({tuple(one.items()) for one in finite.combinations()}) == 6
    assert Space((*finite.axes, Axis("balance", high=1.0))).n_combinations == float("inf")
