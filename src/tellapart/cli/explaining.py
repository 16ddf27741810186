"""The command that says which parts of pictures their labels rest on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from tellapart.bars import bars
from tellapart.cli.app import AnySeed, Json, RunFolder, app
from tellapart.files import printable
from tellapart.words import counted


@app.command(epilog="Example: tellapart explain runs/coins new/ --out heat-maps")
def explain(
    run: RunFolder,
    paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="Pictures, folders of them, or globs.")],
    out: Annotated[Path, typer.Option("--out", help="A new folder for the heat maps.")],
    label: Annotated[
        str | None, typer.Option("--label", help="Whose probability is watched. [default: each picture's most probable]")
    ] = None,
    _seed: AnySeed = 0,
    as_json: Json = False,
) -> None:
    """Show which parts of pictures their labels rest on, by hiding one after the other: 50 predictions a picture."""
    from tellapart.bulk.listing import PassedOver, find_pictures
    from tellapart.explanations import explain_files
    from tellapart.inference import Classifier

    classifier = Classifier.load(run)
    pictures = list(find_pictures(paths, PassedOver()))
    n_failed = 0
    with bars() as progress:
        for done, one in enumerate(explain_files(classifier, pictures, out, label=label), start=1):
            progress("explaining", done, len(pictures))
            n_failed += one.error is not None
            if as_json:
                print(json.dumps(one.to_json()))
            else:
                print(f"{printable(one.path)}: {one.text()}")
    account = f"{counted(len(pictures), 'file')} = {len(pictures) - n_failed} explained + {n_failed} unreadable"
    print(f"{account}, in {out}", file=sys.stderr)
    raise typer.Exit(int(n_failed == len(pictures)))
