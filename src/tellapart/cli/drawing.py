"""Commands that begin with nothing: the demo and the drawn data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tellapart.bars import bars
from tellapart.cli.app import Json, Seed, app
from tellapart.words import counted


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
    text = f"{counted(drawn.n_pictures, 'picture')} in {out}, {counted(len(drawn.planted), 'fault')} planted (see planted.json)"
    print(json.dumps(facts) if as_json else text)
