"""A plan: what findings propose, as a table that a person goes through in a spreadsheet before it becomes edits."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from tellapart.data.edits import KEEP_ONE, Proposal
from tellapart.errors import CallError, DataError, unknown_name
from tellapart.files import cell_text, table_writer, text_of_cell, write_atomically

COLUMNS = ("take", "action", "path", "sha256", "value", "kind", "score", "why")
SURE_KINDS = ("broken", "copies")  # taken unless the user says no: a file that cannot be read, the same bytes twice
KEEPING_ONE = "near_copies"  # the kind whose drops hold only while the picture that they leave is kept
NO_CONTENTS: Mapping[str, str] = MappingProxyType({})
# The words of a person, and what spreadsheets in some languages make of TRUE and FALSE.
YES = frozenset("yes y true 1 x take ja oui si sí sì ✓ ✔ wahr vrai verdadero verdadeiro vero waar prawda sant".split())
NO = frozenset({"", *"no n false 0 - nein non falsch faux falso onwaar fałsz falskt".split()})
DELIMITERS = ",;\t"  # as spreadsheets write them, by country and by what "save as" was chosen
PROBLEMS_NAMED = 5
VERBS = {"drop": "drops it", "relabel": "relabels it to {!r}", "group": "puts it into the group {!r}"}


class Finding(Protocol):
    """What a plan needs of a finding (tellapart.checks.Finding is one)."""

    @property
    def kind(self) -> str: ...
    @property
    def paths(self) -> tuple[str, ...]: ...
    @property
    def score(self) -> float: ...
    @property
    def text(self) -> str: ...
    @property
    def proposals(self) -> tuple[Proposal, ...]: ...


@dataclass(frozen=True)
class PlanRow:
    """A proposal, whether to take it, and the finding that it comes from.

    `line` is its place in a file, 0 in none. `gives_way_to` is the kind of the finding that decides otherwise about the picture,
    where the proposal is not taken for that.
    """

    take: bool
    proposal: Proposal
    kind: str = ""
    score: float = 0.0
    why: str = ""
    line: int = 0
    gives_way_to: str = ""


@dataclass(frozen=True)
class Plan:
    """Proposals, taken or not."""

    rows: tuple[PlanRow, ...]

    def taken(self) -> tuple[PlanRow, ...]:
        """The rows to be taken, each decision once. Raises DataError where two of them contradict each other."""
        rows = {(_content(row.proposal), _decision(row)): row for row in reversed(self.rows) if row.take}
        kept = tuple(reversed(rows.values()))
        _refuse_contradictions(kept)
        return kept

    def with_hashes(self, hash_of: Callable[[str], str]) -> Plan:
        """The plan with the content of each taken row that lacks it, by its path; `hash_of` says "" where it cannot be told."""
        rows = (
            replace(row, proposal=replace(row.proposal, sha256=hash_of(row.proposal.path)))
            if row.take and not row.proposal.sha256
            else row
            for row in self.rows
        )
        return Plan(tuple(rows))

    def to_csv(self) -> str:
        """The plan as CSV with a header line; `read_plan` reads it."""
        text = io.StringIO()
        writer = table_writer(text)
        writer.writerow(COLUMNS)
        for row in self.rows:
            one = row.proposal
            take = "yes" if row.take else "no"
            cells = (take, one.action, one.path, one.sha256, one.value, row.kind, f"{row.score:.3f}", row.why)
            writer.writerow(map(cell_text, cells))
        return text.getvalue()

    def write(self, path: str | Path) -> None:
        """Write the plan as CSV, with the byte-order mark by which spreadsheets know UTF-8. Raises StorageError."""
        text = "\ufeff" + self.to_csv()
        write_atomically(Path(path), text.encode(errors="surrogatepass"))  # names that are no Unicode come back as they were


def plan_of(
    findings: Iterable[Finding], *, take: Collection[str] = SURE_KINDS, contents: Mapping[str, str] = NO_CONTENTS
) -> Plan:
    """What the findings propose, in their order; the proposals of the kinds in `take` are to be taken.

    Where those contradict each other, one gives way: a relabel to a drop, a later finding to an earlier one (the gravest come
    first), and near copies to a finding that drops the picture they would keep. `contents` gives the SHA-256 of pictures by
    their path; without it a picture that is kept is known by its path alone.
    """
    findings = tuple(findings)
    decided = _Decided([finding for finding in findings if finding.kind in take], contents)
    rows = []
    for finding in findings:
        for proposal in finding.proposals:
            is_asked = finding.kind in take
            gives_way = decided.against(finding, proposal) if is_asked else ""
            row = PlanRow(is_asked and not gives_way, proposal, finding.kind, finding.score, finding.text)
            rows.append(replace(row, gives_way_to=gives_way))
    return Plan(tuple(rows))


class _Decided:
    """What findings decide about each picture where each of them is to be taken."""

    def __init__(self, findings: Sequence[Finding], contents: Mapping[str, str]) -> None:
        self._contents = contents
        self._drops = dict[str, str]()  # by content: the kind of the finding that drops it
        self._kept = dict[str, str]()  # and of the one that keeps it, of several near copies
        self._values = dict[tuple[str, str], tuple[str, str]]()  # by content and action: the value, and the kind
        self._unwanted = dict[tuple[str, ...], str]()  # by the paths of near copies that give way: to what kind
        for finding in findings:
            if finding.kind != KEEPING_ONE:
                self._drop(finding)
        for finding in findings:
            if finding.kind == KEEPING_ONE:
                self._drop_but_one(finding)
        for finding in findings:
            for one in finding.proposals:
                if one.action == "group" or (one.action == "relabel" and _content(one) not in self._drops):
                    self._values.setdefault((_content(one), one.action), (one.value, finding.kind))

    def against(self, finding: Finding, proposal: Proposal) -> str:
        """The kind of the finding that a proposal gives way to, or ""."""
        if proposal.action == "drop":
            return self._unwanted.get(finding.paths, "") if finding.kind == KEEPING_ONE else ""
        if proposal.action == "relabel" and _content(proposal) in self._drops:
            return self._drops[_content(proposal)]
        value, kind = self._values.get((_content(proposal), proposal.action), (proposal.value, ""))
        return kind if value != proposal.value else ""

    def _drop(self, finding: Finding) -> None:
        for content in _dropped(finding):
            self._drops.setdefault(content, finding.kind)

    def _drop_but_one(self, finding: Finding) -> None:
        dropped = _dropped(finding)
        kept = [self._contents.get(path, path) for path in finding.paths if path not in dropped]
        gone = [self._drops[content] for content in kept if content in self._drops]
        needed = [self._kept[content] for content in dropped if content in self._kept]
        if needed or (gone and len(gone) == len(kept)):
            self._unwanted[finding.paths] = (needed + gone)[0]
            return
        self._drop(finding)
        self._kept.update(dict.fromkeys(kept, finding.kind))


def _content(proposal: Proposal) -> str:
    return proposal.sha256 or proposal.path


def _dropped(finding: Finding) -> set[str]:
    """The contents that a finding drops wholly, and the paths that it names for that."""
    drops = [one for one in finding.proposals if one.action == "drop" and one.value != KEEP_ONE]
    return {mark for one in drops for mark in (one.sha256, one.path) if mark}


def read_plan(path: str | Path) -> Plan:
    """The plan in a CSV file, also as a spreadsheet has saved it: other delimiters, encodings, order of columns, ways to say yes.

    Raises CallError where there is no such file, and DataError, with the numbers of the lines, for what is no plan.
    """
    lines = _csv_lines(Path(path))
    if not lines:
        raise DataError(f"{path} is empty. A plan begins with the line {','.join(COLUMNS)}")
    header = [cell.strip().lower() for cell in lines[0][1]]
    lacking = [name for name in ("take", "action") if name not in header]
    if lacking or not {"path", "sha256"} & set(header):
        lacking = lacking or ["sha256"]
        raise DataError(f"{path} has no column {lacking[0]!r}; it has {', '.join(header)[:200]!r}. Write the plan once more.")
    rows, problems = list[PlanRow](), list[str]()
    for number, cells in lines[1:]:
        try:
            rows.append(_row(dict(zip(header, (text_of_cell(cell.strip()) for cell in cells), strict=False)), number))
        except (ValueError, CallError) as error:
            problems.append(f"line {number}: {error}")
    if problems:
        raise DataError(f"{path} cannot be taken as it is: {_first(problems)}. Nothing was changed.")
    return Plan(tuple(rows))


def _row(cells: dict[str, str], line: int) -> PlanRow:
    """The row in these cells; raises ValueError or CallError that says what is wrong with it."""
    said = cells.get("take", "").lower()
    if said not in YES | NO:
        raise ValueError(f"take is {said!r}; write yes or no")
    action, value = cells.get("action", "").lower(), cells.get("value", "")
    if action not in VERBS:
        raise unknown_name("action", action, VERBS)
    proposal = Proposal(cells.get("path", ""), cells.get("sha256", "").lower(), action, value)
    if not proposal.path and not proposal.sha256:
        raise ValueError("there is neither a path nor a sha256")
    if proposal.sha256 and (len(proposal.sha256) != 64 or set(proposal.sha256) - set("0123456789abcdef")):
        raise ValueError(f"sha256 is {proposal.sha256[:70]!r}; it must be 64 hexadecimal digits, or empty")
    if action == "drop" and value not in ("", KEEP_ONE):
        raise ValueError(f"a drop with the value {value!r}; it must be empty, or {KEEP_ONE!r} of several copies")
    if action != "drop" and not value and said in YES:
        raise ValueError(f"a {action} needs a value: the new {'label' if action == 'relabel' else 'group'}")
    return PlanRow(said in YES, proposal, cells.get("kind", ""), _number(cells.get("score", "")), cells.get("why", ""), line)


def _number(text: str) -> float:
    """The score, which nothing depends on: 0 where a spreadsheet has made something else of it."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return 0.0


def _csv_lines(path: Path) -> list[tuple[int, list[str]]]:
    """(number of its first line, cells) for each row that is not blank."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CallError(f"cannot read the plan {path}: {error.strerror}") from error
    text = _decoded(content).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=first.count))
    rows, begun = [], 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((begun, cells))
            begun = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path} is no CSV: line {reader.line_num}: {error}") from error
    return rows


def _decoded(content: bytes) -> str:
    """The text: UTF-8, or what spreadsheets write where they do not."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig", errors="surrogatepass")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _decision(row: PlanRow) -> tuple[str, str]:
    return row.proposal.action, row.proposal.value


def _refuse_contradictions(rows: Sequence[PlanRow]) -> None:
    """Raise DataError that names both rows where one drops and one relabels a picture, or two say different things of it."""
    problems, decided = list[str](), defaultdict[tuple[str, bool], list[PlanRow]](list)
    for row in rows:
        if row.proposal.value != KEEP_ONE:
            decided[_content(row.proposal), row.proposal.action == "group"].append(row)
    for first, *others in decided.values():
        for other in others:
            problems.append(f"{first.proposal.path}: {_said(first)}, but {_said(other)}")
    if problems:
        raise DataError(f"the plan contradicts itself: {_first(problems)}. Take one of the two.")


def _said(row: PlanRow) -> str:
    verb = VERBS[row.proposal.action].format(row.proposal.value)
    place = f"line {row.line}" if row.line else ""
    return f"{row.kind or place}{f' ({place})' if row.kind and place else ''} {verb}"


def _first(problems: Sequence[str]) -> str:
    more = f"; and {len(problems) - PROBLEMS_NAMED} more" if len(problems) > PROBLEMS_NAMED else ""
    return "; ".join(problems[:PROBLEMS_NAMED]) + more
