"""The commands: parse, call one function, print."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tellapart import __version__
from tellapart.bars import bars
from tellapart.errors import CallError
from tellapart.files import printable

if TYPE_CHECKING:
    from tellapart.inference import Prediction
    from tellapart.progress import Progress

app = typer.Typer(
    name="tellapart",
    help="Turn a pile of pictures into a classifier that you can trust, correct and serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout; progress goes to stderr.")]
Seed = Annotated[int, typer.Option("--seed", help="Decides all that is drawn.")]
AnySeed = Annotated[int, typer.Option("--seed", help="Taken as by every command; nothing is drawn here.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, or an exported bundle.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"tellapart {__version__}")
        raise typer.Exit


@app.command(epilog="Example: tellapart demo --out my-demo")
def demo(
    out: Annotated[Path | None, typer.Option("--out", help="A new folder. [default: tellapart-demo]")] = None,
    pictures: Annotated[int, typer.Option("--pictures", help="Pictures a class.")] = 200,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """The whole loop on coins that it draws itself: draw, train, judge, predict, report."""
    from tellapart.demo import run_demo

    with bars() as progress:
        told = run_demo(out, n_per_class=pictures, seed=seed, progress=progress)
    print(json.dumps(told.to_json()) if as_json else told.text())


@app.command(epilog="Example: tellapart sample coins --out coins --pictures 300")
def sample(
    kind: Annotated[str, typer.Argument(help="What to draw: coins or shapes.")],
    out: Annotated[Path, typer.Option("--out", help="A new folder.")],
    pictures: Annotated[int, typer.Option("--pictures", help="Pictures a class.")] = 200,
    side: Annotated[int, typer.Option("--side", help="Side of a picture in px.")] = 256,
    faults: Annotated[bool, typer.Option("--faults/--no-faults", help="Plant copies, wrong labels, broken files.")] = True,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Draw a data set, with the faults that real ones have."""
    from tellapart.images.samples import draw_sample

    with bars() as progress:
        drawn = draw_sample(kind, out, n_per_class=pictures, seed=seed, side_px=side, faults=faults, progress=progress)
    facts = {"out": str(out), "classes": list(drawn.classes), "n_images": drawn.n_pictures, "n_planted": len(drawn.planted)}
    text = f"{drawn.n_pictures} pictures in {out}, {len(drawn.planted)} faults planted (see planted.json)"
    print(json.dumps(facts) if as_json else text)


@app.command(epilog="Example: tellapart train flowers/ --out runs/flowers")
def train(
    data: Annotated[Path | None, typer.Argument(metavar="DATA", help="A folder with a folder of pictures per class.")] = None,
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
    if resume is not None and (recipe != Recipe() or out or drop):
        raise CallError("a resumed run keeps the choices that it was started with; leave the other options out")
    with bars() as progress:
        if resume is not None:
            run = runs.resume(resume, progress=progress)
        else:
            run = runs.train(str(data), recipe, out=out, drop=drop or (), progress=progress)
    print(json.dumps(run.to_json()) if as_json else _train_text(run.to_json(), run.report.summary()))


@app.command(epilog="Example: tellapart evaluate runs/flowers more-flowers/")
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    data: Annotated[Path | None, typer.Argument(metavar="[DATA]", help="Other labelled pictures.")] = None,
    _seed: AnySeed = 0,
    as_json: Json = False,
) -> None:
    """Judge a run on its locked test pictures (its validation pictures where it has none), or on other pictures."""
    from tellapart import evaluations, runs

    with bars() as progress:
        judged = evaluations.evaluate(runs.Run.load(run), data, progress=progress)
    print(json.dumps(judged.to_json()) if as_json else judged.text())


@app.command(epilog="Example: tellapart predict runs/flowers new/ 'more/*.jpg' --out predictions.csv")
def predict(
    run: RunFolder,
    paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="Pictures, folders of them, or globs.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the predictions to this CSV file.")] = None,
    _seed: AnySeed = 0,
    as_json: Json = False,
) -> None:
    """Say what is on pictures. A file that cannot be read is a row with its error."""
    from tellapart.inference import Classifier
    from tellapart.predictions import find_pictures, name_width, refuse_overwriting, row_text, write_csv

    classifier = Classifier.load(run)
    pictures, skipped = find_pictures(paths)
    if out is not None:
        refuse_overwriting(out, pictures)
    widths = {"name_width": name_width(pictures), "label_width": max(map(len, classifier.classes))}
    n_failed = 0
    rows_are_seen = sys.stdout.isatty() and out is None
    with bars(wanted=not rows_are_seen) as progress:
        predictions: Iterable[Prediction] = _counted(classifier.predict_many(pictures), len(pictures), progress)
        if out is not None:
            predictions = write_csv(out, predictions, classifier.classes)
        for one in predictions:
            n_failed += one.error is not None
            if as_json:
                print(json.dumps(one.to_json()))
            elif out is None:
                print(row_text(one, **widths))
    written = f", in {out}" if out else ""
    if skipped:
        first = f"{printable(skipped[0].path)}: {skipped[0].reason}"
        print(f"passed over {len(skipped)} other files, such as {first}", file=sys.stderr)
    print(f"{len(pictures)} files = {len(pictures) - n_failed} predicted + {n_failed} unreadable{written}", file=sys.stderr)
    raise typer.Exit(int(n_failed == len(pictures)))


@app.command(epilog="Example: tellapart export runs/flowers --out flowers-bundle")
def export(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", help="A new folder.")],
    _seed: AnySeed = 0,
    as_json: Json = False,
) -> None:
    """Copy a run's bundle to a folder of its own and check that it answers alike."""
    from tellapart import exports

    facts = exports.export(run, out)
    text = f"{out}: {', '.join(facts['files'])}"
    if facts["n_pictures"]:
        text += f"; on {facts['n_pictures']} pictures no probability differs by more than {facts['difference']:.1e}"
    else:
        text += "; NOT checked: none of the run's pictures is in its place"
    print(json.dumps(facts) if as_json else text)


@app.command(epilog="Example: tellapart backbones --json")
def backbones(_seed: AnySeed = 0, as_json: Json = False) -> None:
    """The backbones at hand, offline or not."""
    from tellapart.training.backbones import list_backbones

    found = list_backbones()
    rows = [f"{one['arch']:24} {one['weights']:32} {one['state']}" for one in found]
    print(json.dumps(found) if as_json else "\n".join(rows))


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
        *(f"note: {warning}" for warning in facts["warnings"]),
        f"{facts['seconds']['total']:.1f} s; {facts['n_cached']} pictures' features came from the cache",
        f"report:  {facts['report']}",
        f"predict: tellapart predict {facts['run']} PICTURES...",
    ]
    return "\n".join(lines)


def _counted(predictions: Iterable[Prediction], n_pictures: int, progress: Progress) -> Iterator[Prediction]:
    for done, prediction in enumerate(predictions, start=1):
        progress("predicting", done, n_pictures)
        yield prediction
