"""The command that looks for what is wrong with pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tellapart.bars import bars
from tellapart.cli.app import Json, Seed, app
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


@app.command(epilog="Example: tellapart check flowers/ --plan flowers-plan.csv")
def check(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A folder of class folders, a table, pixels, shards.")],
    out: Annotated[Path | None, typer.Option("--out", help="The page. [default: runs/check-DATA.html]")] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="Write what is proposed to this CSV file, to edit and give to `clean`.")
    ] = None,
    only: Annotated[str, typer.Option("--only", metavar="KINDS", help="Findings of these kinds alone: copies,broken.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="Run no network: what hashes and a glance tell, in seconds.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where anything is found.")] = False,
    edits: Annotated[
        str | None, typer.Option("--edits", metavar="FILE|none", help="The journal of edits. [default: with the pictures]")
    ] = None,
    arch: Annotated[str, typer.Option("--arch", help="Backbone that says what looks alike.")] = "efficientnet_lite0",
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    group_column: GroupColumn = None,
    weight_column: WeightColumn = None,
    label_sep: LabelSep = None,
    root: Root = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Find copies, leaks, wrong labels, pictures that do not belong, shortcuts and broken files."""
    from tellapart import checking
    from tellapart.training import Recipe

    columns = columns_of(path_column, label_column, split_column, group_column, weight_column, label_sep, root)
    kinds = [kind.strip() for kind in only.split(",") if kind.strip()]
    with bars() as progress:
        recipe = Recipe(arch, seed=seed)
        report = checking.check(data, columns=columns, edits=edits, only=kinds, quick=quick, recipe=recipe, progress=progress)
        written = checking.write(report, out=out, plan=plan, progress=progress)
    print(json.dumps(report.to_json() | written) if as_json else "\n".join([report.text(), "", *map(": ".join, written.items())]))
    raise typer.Exit(int(strict and bool(report.findings)))
