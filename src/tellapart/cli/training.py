"""Commands that make a classifier and judge it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tellapart.bars import bars
from tellapart.cli.app import AnySeed, Json, Seed, app
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
from tellapart.errors import CallError


@app.command(epilog="Example: tellapart train flowers/ --out runs/flowers")
def train(
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="A folder with a folder of pictures per class, a table, pixels, shards.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="RUN", help="A new folder. [default: runs/DATA-1]")] = None,
    valid: Annotated[float, typer.Option("--valid", help="Part of each class held back to judge on.")] = 0.2,
    test: Annotated[float, typer.Option("--test", help="Part of each class locked away for `evaluate`.")] = 0.0,
    arch: Annotated[str, typer.Option("--arch", help="Backbone: the bundled one, or any of timm's.")] = "efficientnet_lite0",
    weights: Annotated[
        str, typer.Option("--weights", metavar="NAME|FILE|none", help="A name of timm's, a .safetensors file, none.")
    ] = "auto",
    size: Annotated[int, typer.Option("--size", help="Side of the model's input in px.")] = 224,
    fit: Annotated[str, typer.Option("--fit", metavar="crop|pad|squish", help="How a picture becomes a square.")] = "crop",
    balance: Annotated[float, typer.Option("--balance", help="0: classes count as they come; 1: as if equally frequent.")] = 0.0,
    drop: Annotated[list[str] | None, typer.Option("--drop", metavar="CLASS", help="Leave a class out; may be repeated.")] = None,
    edits: Annotated[
        str | None, typer.Option("--edits", metavar="FILE|none", help="The journal of edits. [default: with the pictures]")
    ] = None,
    split_like: Annotated[
        Path | None, typer.Option("--split-like", metavar="RUN", help="Keep the split of this run; draw new pictures alone.")
    ] = None,
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
    epochs: Annotated[int, typer.Option("--epochs", help="Of fine-tuning, which this version has not: 0.")] = 0,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="60s|5m", help="Time that fine-tuning may take at most.")
    ] = None,
    resume: Annotated[Path | None, typer.Option("--resume", metavar="RUN", help="Go on with an unfinished run.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train a classifier and judge it on pictures that were held back."""
    from tellapart import runs
    from tellapart.training import Recipe

    _refuse_fine_tuning(epochs, budget)
    if (data is None) == (resume is None):
        raise CallError("give the pictures (tellapart train DATA), or a run to go on with (tellapart train --resume RUN)")
    recipe = Recipe(arch, weights, size, fit, valid_frac=valid, test_frac=test, balance=balance, seed=seed)
    columns = columns_of(path_column, label_column, split_column, group_column, weight_column, label_sep, root)
    others = (out, drop, edits, split_like, allow_leaks, columns != columns_of())
    if resume is not None and (recipe != Recipe() or any(others)):
        raise CallError("a resumed run keeps the choices that it was started with; leave the other options out")
    with bars() as progress:
        if resume is not None:
            run = runs.resume(resume, progress=progress)
        else:
            run = runs.train(
                data,
                recipe,
                out=out,
                drop=drop or (),
                columns=columns,
                edits=edits,
                split_like=split_like,
                allow_leaks=allow_leaks,
                progress=progress,
            )
    print(json.dumps(run.to_json()) if as_json else _train_text(run.to_json(), run.report.summary()))


@app.command(epilog="Example: tellapart evaluate runs/flowers more-flowers/")
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    data: Annotated[Path | None, typer.Argument(metavar="[DATA]", help="Other labelled pictures.")] = None,
    edits: Annotated[
        str | None, typer.Option("--edits", metavar="FILE|none", help="Of the other pictures. [default: the journal with them]")
    ] = None,
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    group_column: GroupColumn = None,
    weight_column: WeightColumn = None,
    label_sep: LabelSep = None,
    root: Root = None,
    _seed: AnySeed = 0,
    as_json: Json = False,
) -> None:
    """Judge a run on its locked test pictures (its validation pictures where it has none), or on other pictures."""
    from tellapart import evaluations, runs

    columns = columns_of(path_column, label_column, split_column, group_column, weight_column, label_sep, root)
    if data is None and (edits is not None or columns != columns_of()):
        raise CallError("columns and edits are chosen for other pictures: tellapart evaluate RUN DATA --label-column ...")
    with bars() as progress:
        judged = evaluations.evaluate(runs.Run.load(run), data, columns=columns, edits=edits, progress=progress)
    print(json.dumps(judged.to_json()) if as_json else judged.text())


def _refuse_fine_tuning(epochs: int, budget: str | None) -> None:
    if epochs:
        raise CallError(f"--epochs {epochs}: this version trains the head on frozen features only; leave --epochs out")
    if budget is not None and not re.fullmatch(r"\d+(\.\d+)?[smh]?", budget):
        raise CallError(f"--budget {budget!r} is no time; give seconds, minutes or hours: 90s, 5m, 1h")
    if budget is not None:
        print(
            f"budget {budget}: it bounds fine-tuning, which this version does not do; only the head is trained", file=sys.stderr
        )


def _train_text(facts: dict[str, Any], summary: str) -> str:
    lines = [
        summary,
        f"{facts['counts']}: {facts['n_train']} to train on, {facts['n_valid']} to judge on, {facts['n_test']} locked away",
        *(f"note: {note}" for note in (*facts["notes"], *facts["warnings"])),
        f"{facts['seconds']['total']:.1f} s; {facts['n_cached']} pictures' features came from the cache",
        f"report:  {facts['report']}",
        f"predict: tellapart predict {facts['run']} PICTURES...",
    ]
    return "\n".join(lines)
