"""Commands that use a classifier."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from tellapart.bars import bars
from tellapart.cli.app import AnySeed, Json, RunFolder, app


@app.command(epilog="Example: tellapart predict runs/flowers new/ 'more/*.jpg' --out predictions.csv")
def predict(
    run: RunFolder,
    paths: Annotated[list[str], typer.Argument(metavar="PATHS...", help="Pictures, folders of them, globs, or URLs: s3://...")],
    out: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Write the predictions to this CSV file; .jsonl: JSON lines.")
    ] = None,
    failures: Annotated[
        str | None, typer.Option("--failures", metavar="FILE", help="Write what cannot be read, and why, to this CSV file.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what an earlier call has begun to write; begin where there is none.")
    ] = False,
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="K/N", help="Only the K-th of N parts, to files that are named by it.")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="ADDRESS", help="Predict on a Ray cluster: auto, ray://..., or local.")
    ] = None,
    tta: Annotated[bool, typer.Option("--tta", help="Answer by the mean over two or four views of each picture.")] = False,
    _seed: AnySeed = 0,
    as_json: Json = False,
) -> None:
    """Say what is on pictures, be they millions. A file that cannot be read is a row with its error."""
    from tellapart.predictions import Job, name_width, row_text

    job = Job.of(run, paths, out=out, failures=failures, resume=resume, shard=shard, cluster=cluster, tta=tta)
    widths = {"name_width": name_width(job.first), "label_width": max(map(len, job.classes))}
    rows_are_seen = sys.stdout.isatty() and out is None
    with bars(wanted=not rows_are_seen) as progress:
        for one in job.work(progress):
            if as_json:
                print(json.dumps(one.to_json()))
            elif out is None:
                print(row_text(one, **widths))
    print("\n".join(job.account()), file=sys.stderr)
    raise typer.Exit(int(job.has_failed))


@app.command(epilog="Example: tellapart backbones --json")
def backbones(_seed: AnySeed = 0, as_json: Json = False) -> None:
    """The backbones at hand, offline or not."""
    from tellapart.training.backbones import list_backbones

    found = list_backbones()
    rows = [f"{one['arch']:24} {one['weights']:32} {one['state']}" for one in found]
    print(json.dumps(found) if as_json else "\n".join(rows))
