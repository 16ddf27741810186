"""The command that compares runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tellapart.cli.app import Json, Seed, app


@app.command(epilog="Example: tellapart runs flowers/")
def runs(
    places: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN|FOLDER|DATA]...", help="Runs, folders of runs, or what they were trained on. [default: runs]"
        ),
    ] = None,
    part: Annotated[
        str, typer.Option("--part", metavar="valid|test", help="Held-back pictures to compare on; test: only what was opened.")
    ] = "valid",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Compare runs, the best first, and say whether the differences are more than noise."""
    from tellapart import comparing

    found = comparing.compare(places or (comparing.RUNS_FOLDER,), part=part, seed=seed)
    print(json.dumps(found.to_json()) if as_json else found.text())
