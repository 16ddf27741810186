"""The command that searches a recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tellapart.bars import bars
from tellapart.cli.app import Json, app
from tellapart.cli.columns import (
    GroupColumn,
    LabelColumn,
    LabelSep,
    PathColumn,
    Root,
    SplitColumn,
    WeightColumn,
    columns_of,
)
from tellapart.cli.recipes import recipe_of, seconds_of
from tellapart.errors import CallError


@app.command(epilog="Example: tellapart tune flowers/ --epochs 10 --budget 2h")
def tune(
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="Labelled pictures, as for `train`.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="A new folder for the runs. [default: runs/DATA-tuning-1]")
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", help="How many, those of a resumed study counted. [default: 20, or by --budget]")
    ] = None,
    budget: Annotated[str | None, typer.Option("--budget", metavar="30m|2h", help="Time for all the trials.")] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Train the network in each trial, so long, and search how. [default: 0]")
    ] = None,
    trial_budget: Annotated[
        str | None, typer.Option("--trial-budget", metavar="60s|5m", help="The same, by time for one trial.")
    ] = None,
    resume: Annotated[Path | None, typer.Option("--resume", metavar="FOLDER", help="Go on with a study.")] = None,
    valid: Annotated[float | None, typer.Option("--valid", help="Part of each class to judge on. [default: 0.2]")] = None,
    test: Annotated[float | None, typer.Option("--test", help="Part of each class locked away for `evaluate`.")] = None,
    arch: Annotated[str | None, typer.Option("--arch", metavar="NAME", help="The network, as for `train`.")] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="NAME|FILE|none", help="Its weights, as for `train`.")
    ] = None,
    size: Annotated[int | None, typer.Option("--size", help="Side of the model's input in px.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="A field of the recipe that is not searched; may be repeated."),
    ] = None,
    drop: Annotated[list[str] | None, typer.Option("--drop", metavar="CLASS", help="Leave a class out; may be repeated.")] = None,
    edits: Annotated[
        str | None, typer.Option("--edits", metavar="FILE|none", help="The journal of edits. [default: with the pictures]")
    ] = None,
    split_like: Annotated[Path | None, typer.Option("--split-like", metavar="RUN", help="Keep the split of this run.")] = None,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Train on copies of held-back pictures too, where the given split has them.")
    ] = False,
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    group_column: GroupColumn = None,
    weight_column: WeightColumn = None,
    label_sep: LabelSep = None,
    root: Root = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Decides all that is drawn. [default: 0]")] = None,
    as_json: Json = False,
) -> None:
    """Search the recipe that does best on the validation pictures; each trial is a run."""
    from tellapart import tuning
    from tellapart.runs.choices import Choices

    if data is None and resume is None:
        raise CallError("give the pictures (tellapart tune DATA), or a study to go on with (tellapart tune --resume FOLDER)")
    if resume is not None and out is not None:
        raise CallError("a resumed study stays in its folder; leave --out out")
    options: dict[str, Any] = {
        "budget_s": seconds_of(trial_budget),
        "epochs": epochs,
        "valid_frac": valid,
        "test_frac": test,
        "arch": arch,
        "weights": weights,
        "size": size,
        "seed": seed,
    }
    columns = columns_of(path_column, label_column, split_column, group_column, weight_column, label_sep, root)
    given: dict[str, Any] = {
        "recipe": recipe_of(None, settings or (), **options),
        "fixed": _names(options, settings or ()),
        "choices": Choices(tuple(drop or ()), columns, edits, split_like, allow_leaks),
        "n_trials": trials,
        "budget_s": seconds_of(budget),
    }
    with bars() as progress:
        if resume is not None:
            found = tuning.resume(resume, source=data, **given, progress=progress)
        else:
            found = tuning.tune(data, out=out, **given, progress=progress)
    print(json.dumps(found.to_json()) if as_json else found.text())


def _names(options: dict[str, Any], settings: Sequence[str]) -> tuple[str, ...]:
    """The recipe's fields that were given, each once."""
    given = [name for name, value in options.items() if value is not None]
    set_so = [setting.partition("=")[0].strip().replace("-", "_") for setting in settings]
    return tuple(dict.fromkeys([*given, *set_so]))
