"""The options that say what the columns of a table hold, for every command that reads one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tellapart.sources import Columns

PathColumn = Annotated[str | None, typer.Option("--path-column", metavar="NAME", help="Of a table: where the paths are.")]
LabelColumn = Annotated[str | None, typer.Option("--label-column", metavar="NAME", help="Of a table: where the labels are.")]
SplitColumn = Annotated[str | None, typer.Option("--split-column", metavar="NAME", help="Train, valid or test; '' for none.")]
GroupColumn = Annotated[
    str | None, typer.Option("--group-column", metavar="NAME", help="What a split keeps together; '' for none.")
]
WeightColumn = Annotated[str | None, typer.Option("--weight-column", metavar="NAME", help="How much a row counts; '' for none.")]
LabelSep = Annotated[str | None, typer.Option("--label-sep", metavar="TEXT", help="Stands between several labels of one cell.")]
Root = Annotated[Path | None, typer.Option("--root", metavar="FOLDER", help="Where the relative paths of a table begin.")]


def columns_of(
    path: str | None = None,
    label: str | None = None,
    split: str | None = None,
    group: str | None = None,
    weight: str | None = None,
    label_sep: str | None = None,
    root: Path | None = None,
) -> Columns:
    """The options as one value; what was not given is guessed when the table is read."""
    from tellapart.sources import Columns

    return Columns(path, label, split, group, weight, label_sep, root)
