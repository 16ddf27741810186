"""A `DataReport` as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path

from tellapart.checks.findings import Finding, Kind, named
from tellapart.checks.report import DataReport
from tellapart.files import write_atomically
from tellapart.pages import DENSITY, Thumbnails, open_thumbnails, page_environment
from tellapart.progress import Progress, silent

TEMPLATES = Path(__file__).parent / "templates"
SIDE_BY_SIDE = ("leak", "mixed_labels", "copies", "near_copies")  # kinds whose pictures are to be compared
LISTED = ("broken", "wrong_extension", "imbalance", "too_few")  # kinds whose sentences say it all
N_CARDS = 120  # of a kind that are shown as pictures; the others as sentences
N_OF_CARD = 8  # pictures on a card
N_SENTENCES = 200  # of a kind; a page is to be read
N_CLASS_ROWS = 40  # classes on open display; the rest unfold


@dataclass(frozen=True)
class Tile:
    """A picture as the page shows it; `css_class` is "" where there is a `reason` instead of a thumbnail."""

    path: str
    label: str
    split: str
    css_class: str
    reason: str


@dataclass(frozen=True)
class Card:
    """Pictures that are shown together, and the finding that they are of; `n_hidden` further ones are only in the JSON."""

    finding: Finding
    paths: tuple[str, ...]
    n_hidden: int = 0

    @property
    def remark(self) -> str:
        """The sentence without the names that stand below the pictures anyway."""
        return self.finding.text.removeprefix(named(self.finding.paths)).strip()


@dataclass(frozen=True)
class Section:
    """A kind of finding on the page: cards of pictures, then sentences; `n_more` findings are only in the JSON."""

    kind: Kind
    n: int
    lead: tuple[str, ...]
    cards: tuple[tuple[Card, tuple[Tile, ...]], ...]
    sentences: tuple[str, ...]
    n_more: int
    n_cards_more: int

    @property
    def is_side_by_side(self) -> bool:
        return self.kind.name in SIDE_BY_SIDE


def write_html(
    report: DataReport,
    path: str | Path,
    *,
    thumbnail_px: int = 112,
    max_thumbnails: int = 600,
    progress: Progress = silent,
) -> None:
    """Write the report to `path`. The findings of all kinds share the `max_thumbnails` pictures, the gravest first.

    `thumbnail_px` is the longer side at which one is shown. Raises StorageError where the page cannot be written.
    """
    cards = {kind.name: _cards(findings) for kind, findings in report.by_kind if kind.name not in LISTED}
    paths = _worth_embedding(list(cards.values()), max_thumbnails)
    thumbnails = open_thumbnails(paths, round(thumbnail_px * DENSITY), progress=progress)
    page = render(report, thumbnails, thumbnail_px=thumbnail_px)
    write_atomically(Path(path), page.encode("utf-8", "backslashreplace"))  # a file name need not be valid Unicode


def render(report: DataReport, thumbnails: Thumbnails, *, thumbnail_px: int = 112) -> str:
    """The page as text."""
    tile_of = _Tiles(report, thumbnails)
    counts = sorted(report.table.counts.items(), key=lambda item: -item[1])
    return (
        page_environment(TEMPLATES)
        .get_template("findings.html.j2")
        .render(
            report=report,
            thumbnails=thumbnails,
            thumbnail_px=thumbnail_px,
            sections=[_section(kind, findings, tile_of) for kind, findings in report.by_kind],
            class_counts=counts,
            n_class_rows=N_CLASS_ROWS,
        )
    )


class _Tiles:
    """Tiles by path, with what the table knows of each picture."""

    def __init__(self, report: DataReport, thumbnails: Thumbnails) -> None:
        table = report.table
        self._row_of = {path: row for row, path in enumerate(table.paths)}
        self._labels, self._splits = table.labels, table.splits
        self._thumbnails = thumbnails

    def shows(self, card: Card) -> bool:
        return all(path in self._thumbnails for path in card.paths)

    def of(self, path: str) -> Tile:
        row = self._row_of.get(path)
        label, split = ("", "") if row is None else (self._labels[row], self._splits[row])
        return Tile(path, label, split, self._thumbnails.css_class(path), self._thumbnails.reason(path))


def _section(kind: Kind, findings: Sequence[Finding], tiles: _Tiles) -> Section:
    cards = [] if kind.name in LISTED else _cards(findings)
    visible = [card for card in cards if tiles.shows(card)]
    seen = {id(card.finding) for card in visible}
    left = [finding for finding in findings if id(finding) not in seen]
    return Section(
        kind=kind,
        n=len(findings),
        lead=tuple(finding.text for finding in findings) if kind.name == "leak" else (),
        cards=tuple((card, tuple(map(tiles.of, card.paths))) for card in visible),
        sentences=tuple(finding.text for finding in left[:N_SENTENCES]),
        n_more=max(len(left) - N_SENTENCES, 0),
        n_cards_more=sum(len(finding.paths) // 2 for finding in findings) - len(visible) if kind.name == "leak" else 0,
    )


def _cards(findings: Sequence[Finding]) -> list[Card]:
    return list(islice(chain.from_iterable(map(_cards_of, findings)), N_CARDS))


def _cards_of(finding: Finding) -> Iterator[Card]:
    """One card of a finding's first pictures; of a leak, one for each of its pairs."""
    if finding.kind == "leak":
        yield from (Card(finding, finding.paths[first : first + 2]) for first in range(0, len(finding.paths), 2))
    elif finding.paths:
        yield Card(finding, finding.paths[:N_OF_CARD], max(len(finding.paths) - N_OF_CARD, 0))


def _worth_embedding(cards: Sequence[Sequence[Card]], n_max: int) -> list[str]:
    """Paths without repetition: a card of each kind in turn, and none that would not be whole."""
    chosen = dict[str, None]()
    for card in (card for turn in zip_longest(*cards) for card in turn if card is not None):
        if len(chosen.keys() | set(card.paths)) <= n_max:
            chosen |= dict.fromkeys(card.paths)
    return list(chosen)
