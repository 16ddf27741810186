"""Commands that use a classifier."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tellapart.bars import bars
from tellapart.cli.app import AnySeed, Json, RunFolder, app
from tellapart.files import printable
from tellapart.words import counted

if TYPE_CHECKING:
    from tellapart.inference import Prediction
    from tellapart.progress import Progress


@app.command(epilog="Example: tellapart predict runs/flowers new/ 'more/*.jpg' --out predictions.csv")
def predict(
    run: RunFolder,
    paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="Pictures, folders of them, or globs.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write the predictions to this CSV file.")] = None,
    tta: Annotated[bool, typer.Option("--tta", help="Answer by the mean over views of each picture: twice the time.")] = False,
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
        predictions: Iterable[Prediction] = _counted(classifier.predict_many(pictures, tta=tta), len(pictures), progress)
        if out is not None:
            predictions = write_csv(out, predictions, classifier.classes, several=classifier.several)
        for one in predictions:
            n_failed += one.error is not None
            if as_json:
                print(json.dumps(one.to_json()))
            elif out is None:
                print(row_text(one, **widths))
    written = f", in {out}" if out else ""
    if skipped:
        first = f"{printable(skipped[0].path)}: {skipped[0].reason}"
        print(f"passed over {counted(len(skipped), 'other file')}, such as {first}", file=sys.stderr)
    account = f"{counted(len(pictures), 'file')} = {len(pictures) - n_failed} predicted + {n_failed} unreadable"
    print(f"{account}{written}", file=sys.stderr)
    raise typer.Exit(int(n_failed == len(pictures)))


@app.command(epilog="Example: tellapart backbones --json")
def backbones(_seed: AnySeed = 0, as_json: Json = False) -> None:
    """The backbones at hand, offline or not."""
    from tellapart.training.backbones import list_backbones

    found = list_backbones()
    rows = [f"{one['arch']:24} {one['weights']:32} {one['state']}" for one in found]
    print(json.dumps(found) if as_json else "\n".join(rows))


def _counted(predictions: Iterable[Prediction], n_pictures: int, progress: Progress) -> Iterator[Prediction]:
    for done, prediction in enumerate(predictions, start=1):
        progress("predicting", done, n_pictures)
        yield prediction
