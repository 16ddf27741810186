"""The command that fetches pictures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tellapart.bars import bars
from tellapart.cli.app import Json, Seed, app
from tellapart.errors import CallError
from tellapart.files import printable

if TYPE_CHECKING:
    from tellapart.downloads.fetching import Limits
    from tellapart.downloads.guards import Guard
    from tellapart.downloads.lists import ListColumns

MIB = 2**20


@app.command(epilog="Example: tellapart collect cats.txt dogs.txt --out pets")
def collect(
    links: Annotated[
        list[str],
        typer.Argument(metavar="LINKS...", help="Lists of links: .txt, .csv, .tsv, .json, .jsonl; or fashion-mnist, flowers."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DATA", help="The folder to fill: a folder per class.")],
    label_column: Annotated[
        str | None, typer.Option("--label-column", metavar="NAME", help="The column of the classes; '': the list's name.")
    ] = None,
    url_column: Annotated[str | None, typer.Option("--url-column", metavar="NAME", help="The column of the links.")] = None,
    licence_column: Annotated[
        str | None, typer.Option("--licence-column", metavar="NAME", help="The column of the licences, kept beside the links.")
    ] = None,
    connections: Annotated[int, typer.Option("--connections", min=1, help="At once, in all.")] = 200,
    per_host: Annotated[int, typer.Option("--per-host", min=1, help="At once, to one host.")] = 8,
    timeout: Annotated[float, typer.Option("--timeout", min=0.01, help="Seconds for one request, to its last byte.")] = 30.0,
    max_bytes: Annotated[int, typer.Option("--max-bytes", min=1, help="Of one picture.")] = 32 * MIB,
    retries: Annotated[int, typer.Option("--retries", min=0, help="After a failure that may pass.")] = 2,
    retry_wait: Annotated[
        float, typer.Option("--retry-wait", min=0.0, help="Seconds before the first retry; then twice that.")
    ] = 1.0,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Ask private and local addresses too, of hosts that the lists name.")
    ] = False,
    source: Annotated[
        str | None, typer.Option("--from", metavar="URL|FOLDER", help="Of a public set: a mirror, or a folder with its files.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Download pictures from lists of links, a class per list or column; or a well-known public set."""
    from tellapart.downloads.fetching import Limits
    from tellapart.downloads.guards import Guard
    from tellapart.downloads.lists import ListColumns

    guard = Guard(allow_private=allow_private)
    limits = Limits(
        connections=connections,
        per_host=per_host,
        timeout_s=timeout,
        max_bytes=max_bytes,
        retries=retries,
        first_wait_s=retry_wait,
    )
    columns = ListColumns(url_column, label_column, licence_column)
    if len(links) == 1 and not Path(links[0]).is_file() and _may_be_name(links[0]):
        _collect_public(links[0], out, source, limits, guard, as_json=as_json)
        return
    for name in links:
        _refuse_public(name)
    if source is not None:
        raise CallError("--from says where a public set comes from: tellapart collect fashion-mnist --from FOLDER --out DATA")
    _collect_lists([Path(link) for link in links], out, columns, limits, guard, seed, as_json=as_json)


def _refuse_public(name: str) -> None:
    """Raise CallError where a public set is named among lists of links."""
    from tellapart.downloads.public import PUBLIC_SETS

    if name in {known.name for known in PUBLIC_SETS} and not Path(name).is_file():
        raise CallError(f"{name} is a public set, fetched by itself: tellapart collect {name} --out DATA; then the lists")


def _may_be_name(text: str) -> bool:
    return not any(mark in text for mark in "/\\.:")


def _collect_lists(
    lists: list[Path], out: Path, columns: ListColumns, limits: Limits, guard: Guard, seed: int, *, as_json: bool
) -> None:
    from tellapart.downloads.collecting import collect as run
    from tellapart.downloads.lists import read_lists

    entries, notes = read_lists(lists, columns=columns)
    for note in notes:
        print(printable(note), file=sys.stderr)
    with bars() as progress:
        made = run(entries, out, limits=limits, guard=guard, seed=seed, notes=notes, progress=progress)
    for note in made.notes[len(notes) :]:
        print(printable(note), file=sys.stderr)
    print(json.dumps(made.to_json()) if as_json else made.text())
    raise typer.Exit(int(made.counts["kept"] == 0))


def _collect_public(name: str, out: Path, source: str | None, limits: Limits, guard: Guard, *, as_json: bool) -> None:
    from tellapart.downloads.public import collect_public, public_set

    wanted = public_set(name)
    with bars() as progress:
        made = collect_public(wanted, out, source=source, limits=limits, guard=guard, progress=progress)
    print(json.dumps(made.to_json()) if as_json else printable(made.text()))
