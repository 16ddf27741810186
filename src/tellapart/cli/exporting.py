"""The command that gives a classifier away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tellapart.bars import bars
from tellapart.cli.app import AnySeed, Json, RunFolder, app
from tellapart.words import counted


@app.command(epilog="Example: tellapart export runs/flowers --docker flowers-image")
def export(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option("--out", help="A new folder for the bundle, or for a --format of it.")] = None,
    docker: Annotated[
        Path | None, typer.Option("--docker", metavar="DIR", help="A new folder that builds an image which serves it.")
    ] = None,
    web: Annotated[
        Path | None, typer.Option("--web", metavar="DIR", help="A new folder with a page that runs it in the browser.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--format", metavar="onnx|onnx-int8|openvino", help="For other programs, with a table of what it keeps."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DATA", show_default=False, help="Judge a --format on these. [default: what the run validated on]"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Of what is served. [default: the run's]", show_default=False)
    ] = None,
    _seed: AnySeed = 0,
    as_json: Json = False,
) -> None:
    """Copy a run's bundle to a folder of its own, or write what others build or run it with, and check that it answers alike."""
    from tellapart.errors import CallError

    places = [place for place in (out, docker, web) if place is not None]
    if len(places) != 1:
        raise CallError("say where to export to: one of --out DIR, --docker DIR and --web DIR")
    if kind is not None and out is None:
        raise CallError("a --format is written to an --out DIR")
    if data is not None and kind is None:
        raise CallError("--data is what a --format is judged on: give one")
    if name is not None and out is not None:
        raise CallError("--name is of what is served: with --docker or --web")
    from tellapart import exports

    with bars() as progress:
        if docker is not None:
            facts = exports.export_docker(run, places[0], name=name)
        elif web is not None:
            facts = exports.export_web(run, places[0], name=name)
        elif kind is not None:
            facts = exports.export_format(run, places[0], kind, data=data, progress=progress)
        else:
            facts = exports.export(run, places[0])
    print(json.dumps(facts) if as_json else _text(facts))


def _text(facts: dict[str, Any]) -> str:
    """What was written, and how far it was checked."""
    text = f"{facts['out']}: {', '.join(facts['files'])}"
    if "table" in facts:
        return f"{text}\n{facts['table']}"
    if "n_pictures" not in facts:
        return f"{text}; how to build and run it: {Path(facts['out']) / 'README.md'}"
    if not facts["n_pictures"]:
        return f"{text}; NOT checked: none of the run's pictures is in its place"
    return f"{text}; on {counted(facts['n_pictures'], 'picture')} no probability differs by more than {facts['difference']:.1e}"
