"""Commands that make a classifier and judge it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tellapart.bars import bars
from tellapart.cli.app import AnySeed, Json, app
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
from tellapart.launch import refuse_several

if TYPE_CHECKING:
    from tellapart.training.loop.planning import Plan


@app.command(epilog="Example: tellapart train flowers/ --out runs/flowers")
def train(
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="A folder with a folder of pictures per class, a table, pixels, shards.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="RUN", help="A new folder. [default: runs/DATA-1]")] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="60s|5m", help="Time for it all; trains the network itself while it lasts.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Of the network itself, after the head. [default: 0, or by --budget]")
    ] = None,
    valid: Annotated[float | None, typer.Option("--valid", help="Part of each class to judge on. [default: 0.2]")] = None,
    test: Annotated[float | None, typer.Option("--test", help="Part of each class locked away for `evaluate`.")] = None,
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch", metavar="NAME", help="Bundled, compact, compact_wide, tutorial_cnn, any of timm's; a,b: the better."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="NAME|FILE|none", help="Of timm's, a .safetensors file; none: scratch."),
    ] = None,
    size: Annotated[int | None, typer.Option("--size", help="Side of the model's input in px. [default: 224]")] = None,
    fit: Annotated[
        str | None, typer.Option("--fit", metavar="crop|pad|squish", help="How a picture becomes a square. [default: crop]")
    ] = None,
    balance: Annotated[
        float | None, typer.Option("--balance", help="0: classes count as they come; 1: as if equally frequent.")
    ] = None,
    tune: Annotated[
        str | None,
        typer.Option("--tune", metavar="tail|all", help="What of the network learns. [default: tail on a CPU]"),
    ] = None,
    lr: Annotated[
        float | None, typer.Option("--lr", help="Highest rate. [default: 5e-3 of a tail, ours their own, else by a sweep]")
    ] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Pictures a step.")] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            "--optimizer", metavar="NAME", help="adamw, muon, sgd, rmsprop. [default: adamw; muon for networks of ours]"
        ),
    ] = None,
    augment: Annotated[str | None, typer.Option("--augment", metavar="NAME", help="none, flip, light, default, strong.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Any other field of the recipe; may be repeated.")
    ] = None,
    recipe_file: Annotated[
        Path | None, typer.Option("--recipe", metavar="FILE", help="A recipe as JSON; a run's run.json holds one.")
    ] = None,
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
    preview: Annotated[
        bool, typer.Option("--preview", help="Do not train: draw how pictures are varied. [--out: a .png]")
    ] = False,
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="Do not train: suggest a rate for the network. [--out: an .html or .svg]")
    ] = False,
    summary: Annotated[bool, typer.Option("--summary", help="Do not train: show the layers of the network.")] = False,
    track: Annotated[
        list[str] | None,
        typer.Option("--track", metavar="tensorboard|mlflow", help="Send each epoch there too; may be repeated."),
    ] = None,
    resume: Annotated[Path | None, typer.Option("--resume", metavar="RUN", help="Go on with an unfinished run.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Decides all that is drawn. [default: 0]")] = None,
    as_json: Json = False,
) -> None:
    """Train a classifier and judge it on pictures that were held back."""
    from tellapart import rehearsals, runs
    from tellapart.runs.choices import Choices

    if (data is None) == (resume is None):
        raise CallError("give the pictures (tellapart train DATA), or a run to go on with (tellapart train --resume RUN)")
    recipe = recipe_of(
        recipe_file,
        settings or (),
        budget_s=seconds_of(budget),
        epochs=epochs,
        valid_frac=valid,
        test_frac=test,
        arch=arch,
        weights=weights,
        size=size,
        fit=fit,
        balance=balance,
        tune=tune,
        lr=lr,
        batch=batch,
        optimizer=optimizer,
        augment=augment,
        seed=seed,
    )
    columns = columns_of(path_column, label_column, split_column, group_column, weight_column, label_sep, root)
    choices = Choices(tuple(drop or ()), columns, edits, split_like, allow_leaks)
    is_rehearsal = preview or find_lr or summary
    if resume is not None and (recipe != recipe_of(None, ()) or choices != Choices() or out or is_rehearsal or track):
        raise CallError("a resumed run keeps the choices that it was started with; leave the other options out")
    if preview + find_lr + summary > 1 or (is_rehearsal and track) or (summary and out):
        raise CallError(
            "--preview, --find-lr and --summary train nothing: give one of them, no --track, and with a summary no --out"
        )
    several_archs = "," in (arch or "")
    asked = {"--preview": preview, "--find-lr": find_lr, "--summary": summary, "comparing backbones (--arch a,b)": several_archs}
    for name in (name for name, is_asked in asked.items() if is_asked):
        refuse_several(name)
    with bars() as progress:
        if preview:
            shown = rehearsals.write_preview(data, recipe, choices, out, progress=progress)
            print(json.dumps(shown.to_json()) if as_json else shown.text())
            return
        if find_lr:
            rate = rehearsals.find_rate(data, recipe, choices, out, progress=progress)
            print(json.dumps(rate.to_json()) if as_json else rate.text())
            return
        if summary:
            network = rehearsals.summarize_network(data, recipe, choices, progress=progress)
            print(json.dumps(network.to_json()) if as_json else network.text())
            return
        if several_archs:
            found = rehearsals.compare_backbones(data, recipe, choices, progress=progress)
            print(found.text(), file=sys.stderr)
            recipe = replace(recipe, arch=found.best.arch)
        if resume is not None:
            run = runs.resume(resume, planned=_say_plan, progress=progress)
        else:
            run = runs.train(data, recipe, out=out, **vars(choices), track=track or (), planned=_say_plan, progress=progress)
    print(json.dumps(run.to_json()) if as_json else _train_text(run.to_json(), run.report.summary()))


@app.command(epilog="Example: tellapart evaluate runs/flowers more-flowers/")
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    data: Annotated[Path | None, typer.Argument(metavar="[DATA]", help="Other labelled pictures.")] = None,
    tta: Annotated[
        bool, typer.Option("--tta", help="Answer by the mean over views of each picture; say its cost and gain.")
    ] = False,
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
        judged = evaluations.evaluate(runs.Run.load(run), data, columns=columns, edits=edits, tta=tta, progress=progress)
    print(json.dumps(judged.to_json()) if as_json else judged.text())


def _say_plan(plan: Plan) -> None:
    print(plan.text, file=sys.stderr)


def _train_text(facts: dict[str, Any], summary: str) -> str:
    lines = [
        summary,
        f"{facts['counts']}: {facts['n_train']} to train on, {facts['n_valid']} to judge on, {facts['n_test']} locked away",
        *(f"note: {note}" for note in (*facts["notes"], *facts["warnings"])),
        *([facts["continuity"]["text"]] if facts["continuity"] else []),
        f"{facts['seconds']['total']:.1f} s; {facts['n_cached']} pictures' features came from the cache",
        f"report:  {facts['report']}",
        f"predict: tellapart predict {facts['run']} PICTURES...",
    ]
    return "\n".join(lines)
