"""The command that takes findings into the edits journal."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tellapart.bars import bars
from tellapart.cli.app import AnySeed, Json, app
from tellapart.cli.columns import GroupColumn, LabelColumn, LabelSep, PathColumn, Root, SplitColumn, WeightColumn, columns_of
from tellapart.errors import CallError


@app.command(epilog="Example: tellapart clean flowers/ --apply copies,broken")
def clean(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The pictures; they are never changed themselves.")],
    plan: Annotated[
        Path | None, typer.Option("--plan", help="A plan that `tellapart check --plan` wrote: its rows to take.")
    ] = None,
    apply: Annotated[str, typer.Option("--apply", metavar="KINDS", help="All that these kinds of findings propose.")] = "",
    undo: Annotated[list[str] | None, typer.Option("--undo", metavar="ID", help="Undo an edit; may be repeated.")] = None,
    list_all: Annotated[bool, typer.Option("--list", help="Show the edits.")] = False,
    edits: Annotated[
        Path | None, typer.Option("--edits", metavar="FILE", help="The journal. [default: with the pictures]")
    ] = None,
    who: Annotated[str, typer.Option("--who", help="Who decides. [default: your user name]")] = "",
    why: Annotated[str, typer.Option("--why", help="The reason. [default: what was found]")] = "",
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
    """Drop, relabel or group pictures: in a journal of edits that training honours. No picture is touched."""
    from tellapart import cleaning

    if (plan is not None) + bool(apply) + bool(undo) + list_all != 1:
        raise CallError("give one of --plan FILE, --apply KINDS, --undo ID and --list")
    if list_all:
        listing = cleaning.list_edits(data, edits=edits)
        print(json.dumps(listing.to_json()) if as_json else listing.text())
        return
    columns = columns_of(path_column, label_column, split_column, group_column, weight_column, label_sep, root)
    with bars() as progress:
        kinds = [kind.strip() for kind in apply.split(",") if kind.strip()]
        write = partial(cleaning.undo, ids=undo) if undo else partial(cleaning.clean, plan=plan, apply=kinds)
        done = write(data, columns=columns, edits=edits, who=who, why=why, progress=progress)
    print(json.dumps(done.to_json()) if as_json else done.text())
