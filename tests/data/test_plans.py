"""Plans: written from findings, read back as spreadsheets save them, and refused where they contradict themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data.edits import KEEP_ONE, Proposal
from tellapart.data.plans import Plan, PlanRow, plan_of, read_plan
from tellapart.errors import CallError, DataError, StorageError

A, B = "a" * 64, "b" * 64
HEADER = "take,action,path,sha256,value,kind,score,why"


@dataclass(frozen=True)
class Found:
    """A finding, as far as a plan looks at it."""

    kind: str
    proposals: tuple[Proposal, ...] = ()
    score: float = 0.5
    text: str = "seen"
    paths: tuple[str, ...] = ()


FINDINGS = (
    Found("broken", (Proposal("x.jpg", A, "drop"),), 1.0, "x.jpg: truncated."),
    Found("wrong_label", (Proposal("y, z.jpg", B, "relabel", "Bär"),), 0.875, 'y, z.jpg "looks" like Bär'),
    Found("imbalance"),
)


def saved(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "plan.csv"
    path.write_bytes(text.encode(encoding))
    return path


def message(call: object, *words: object) -> str:
    with pytest.raises((DataError, CallError)) as caught:
        call(*words)  # type: ignore[operator]
    return str(caught.value)


# Written and read ----------------------------------------------------------------------------------------------------


def test_findings_become_rows_and_only_what_is_sure_is_taken() -> None:
    plan = plan_of(FINDINGS)
    assert plan.to_csv() == (
        f"{HEADER}\n"
        f"yes,drop,x.jpg,{A},,broken,1.000,x.jpg: truncated.\n"
        f'no,relabel,"y, z.jpg",{B},Bär,wrong_label,0.875,"y, z.jpg ""looks"" like Bär"\n'
    )
    assert [row.kind for row in plan.taken()] == ["broken"]
    assert [row.kind for row in plan_of(FINDINGS, take=["wrong_label"]).taken()] == ["wrong_label"]


# Findings that contradict each other ---------------------------------------------------------------------------------

DROP_A, DROP_B = Proposal("a.jpg", A, "drop"), Proposal("b.jpg", B, "drop")
NEAR = Found("near_copies", (DROP_B,), paths=("a.jpg", "b.jpg"))


def outcome(*findings: Found, take: tuple[str, ...] = (), **contents: str) -> list[tuple[str, bool, str]]:
    """For each row its kind, whether it is taken and what it gives way to; what is taken must not contradict itself."""
    plan = plan_of(findings, take=take or {finding.kind for finding in findings}, contents=contents)
    assert len(plan.taken()) == sum(row.take for row in plan.rows)
    return [(row.kind, row.take, row.gives_way_to) for row in plan.rows]


def test_a_drop_settles_a_relabel_of_the_same_content() -> None:
    wrong = Found("wrong_label", (Proposal("b.jpg", B, "relabel", "cat"), Proposal("a.jpg", A, "relabel", "cat")))
    assert outcome(wrong, NEAR) == [("wrong_label", False, "near_copies"), ("wrong_label", True, ""), ("near_copies", True, "")]
    assert outcome(wrong, NEAR, take=("wrong_label",)) == [("wrong_label", True, "")] * 2 + [("near_copies", False, "")]


@pytest.mark.parametrize("action", ["relabel", "group"])
def test_the_graver_finding_goes_first(action: str) -> None:
    first, other = (Found(kind, (Proposal("a.jpg", A, action, kind),)) for kind in ("mixed_labels", "wrong_label"))
    assert outcome(first, other) == [("mixed_labels", True, ""), ("wrong_label", False, "mixed_labels")]


def test_a_group_and_one_of_several_copies_go_with_a_drop() -> None:
    others = Found("shortcut", (Proposal("b.jpg", B, "group", "g"),)), Found("copies", (Proposal("b.jpg", B, "drop", KEEP_ONE),))
    assert [taken for _, taken, _ in outcome(*others, NEAR)] == [True] * 3


@pytest.mark.parametrize("kind", ["leak", "blurred"])
def test_two_kinds_never_drop_both_sides_of_a_pair(kind: str) -> None:
    """Whichever stands first in the report, and though the other names the kept picture by another copy of its file."""
    other = Found(kind, (Proposal("copy of a.jpg", A, "drop"),))
    expected = [(kind, True, ""), ("near_copies", False, kind)]
    assert outcome(other, NEAR, **{"a.jpg": A, "b.jpg": B}) == expected
    assert outcome(NEAR, other, **{"a.jpg": A, "b.jpg": B}) == expected[::-1]
    assert outcome(Found(kind, (DROP_A,)), NEAR) == expected


def test_what_near_copies_keep_no_other_near_copies_drop() -> None:
    """One content under two labels is in two groups."""
    other = Found("near_copies", (DROP_A,), paths=("c.jpg", "a.jpg"))
    assert outcome(NEAR, other, **{"a.jpg": A}) == [("near_copies", True, ""), ("near_copies", False, "near_copies")]


PROPOSALS = st.builds(
    Proposal,
    st.sampled_from("abc"),
    st.sampled_from([A, B]),
    st.sampled_from(["drop", "relabel", "group"]),
    st.sampled_from("xy"),
).map(lambda one: Proposal(one.path, one.sha256, one.action, "" if one.action == "drop" else one.value))


@given(st.lists(st.tuples(st.sampled_from(["leak", "near_copies", "wrong_label"]), st.lists(PROPOSALS, max_size=3)), max_size=5))
@settings(deadline=None)
def test_what_findings_propose_never_contradicts_itself(listed: list[tuple[str, list[Proposal]]]) -> None:
    findings = [
        Found(kind, tuple(proposals), paths=(str(place), *(one.path for one in proposals)))
        for place, (kind, proposals) in enumerate(listed)
    ]
    plan_of(findings, take={"leak", "near_copies", "wrong_label"}).taken()


# Files ---------------------------------------------------------------------------------------------------------------


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan_of(FINDINGS).write(tmp_path / "plan.csv")
    assert (tmp_path / "plan.csv").read_bytes().startswith(b"\xef\xbb\xbftake,")
    read = read_plan(tmp_path / "plan.csv")
    assert [row.line for row in read.rows] == [2, 3]
    assert read.to_csv() == plan_of(FINDINGS).to_csv()


def test_nothing_in_a_plan_is_a_formula() -> None:
    text = plan_of([Found("blank", (Proposal("=cmd|x", A, "group", "-1+2"),), text="@x")]).to_csv()
    assert text.splitlines()[1] == f"no,group,'=cmd|x,{A},'-1+2,blank,0.500,'@x"


def test_a_plan_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write"):
        plan_of(FINDINGS).write(tmp_path / "file" / "plan.csv")


def test_names_that_are_no_unicode_come_back_and_others_with_them(tmp_path: Path) -> None:
    (row,) = plan_of([Found("blank", (Proposal("b\udce4r/1.jpg", A, "relabel", "Bär"),))]).rows
    Plan((row,)).write(tmp_path / "plan.csv")
    assert read_plan(tmp_path / "plan.csv").rows[0].proposal == row.proposal


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12).map(str.strip)


@given(st.lists(st.tuples(st.booleans(), TEXT, TEXT, TEXT), max_size=6))
@settings(deadline=None, max_examples=100)
def test_any_texts_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[bool, str, str, str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "plan.csv"
    plan = Plan(
        tuple(
            PlanRow(take, Proposal(name, A, "relabel", value or "x"), "blank", 0.5, why, line)
            for line, (take, name, value, why) in enumerate(rows, start=2)
        )
    )
    plan.write(path)
    assert read_plan(path) == plan


@given(st.binary(max_size=120) | st.text(max_size=120).map(lambda text: f"{HEADER}\n{text}".encode(errors="replace")))
@settings(deadline=None, max_examples=200)
def test_any_bytes_are_a_plan_or_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    try:
        assert all(row.proposal.action in ("drop", "relabel", "group") for row in read_plan(path).rows)
    except DataError:
        pass


# As spreadsheets save it ---------------------------------------------------------------------------------------------

ROW = f"yes,relabel,bären/1.jpg,{A},Bär,wrong_label,0.875,looks so\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_plan_saved_by_a_spreadsheet(tmp_path: Path, encoding: str, delimiter: str, end: str) -> None:
    text = f"{HEADER}\n{ROW}".replace(",", delimiter).replace("\n", end)
    (row,) = read_plan(saved(tmp_path, text, encoding)).rows
    assert row == PlanRow(True, Proposal("bären/1.jpg", A, "relabel", "Bär"), "wrong_label", 0.875, "looks so", 2)


@pytest.mark.parametrize(("word", "taken"), [("YES", True), (" x ", True), ("TRUE", True), ("1", True), ("ja", True)])
@pytest.mark.parametrize(("other", "untaken"), [("", False), ("No", False), ("FALSE", False), ("0", False), ("-", False)])
def test_ways_to_say_yes_and_no(tmp_path: Path, word: str, taken: bool, other: str, untaken: bool) -> None:
    path = saved(tmp_path, f"take,action,sha256\n{word},drop,{A}\n{other},drop,{B}\n")
    assert [row.take for row in read_plan(path).rows] == [taken, untaken]


def test_columns_may_move_go_and_come(tmp_path: Path) -> None:
    path = saved(tmp_path, f'My notes,SHA256,Action,Take\n"two\nlines",{A.upper()},Drop,yes\n\n,,,\n,{B},drop,yes\n')
    assert [(row.line, row.proposal) for row in read_plan(path).taken()] == [
        (2, Proposal("", A, "drop")),
        (6, Proposal("", B, "drop")),
    ]


def test_a_score_that_a_spreadsheet_has_changed_is_no_matter(tmp_path: Path) -> None:
    path = saved(tmp_path, f"take;action;sha256;score\nyes;drop;{A};0,875\nyes;drop;{B};3. Mai\n")
    assert [row.score for row in read_plan(path).rows] == [0.875, 0.0]


# Refused -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"perhaps,drop,x.jpg,{A},", "take is 'perhaps'; write yes or no"),
        (f"yes,drp,x.jpg,{A},", "unknown action 'drp'; did you mean 'drop'?"),
        ("yes,drop,,,", "there is neither a path nor a sha256"),
        ("yes,drop,x.jpg,1.2E+45,", "sha256 is '1.2e+45'; it must be 64 hexadecimal digits, or empty"),
        (f"yes,relabel,x.jpg,{A},", "a relabel needs a value: the new label"),
        (f"yes,group,x.jpg,{A},", "a group needs a value: the new group"),
        (f"yes,drop,x.jpg,{A},cat", "a drop with the value 'cat'; it must be empty, or 'keep one' of several copies"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(tmp_path: Path, row: str, said: str) -> None:
    path = saved(tmp_path, f"{HEADER}\nno,drop,y.jpg,{B},\n{row}\n")
    assert message(read_plan, path) == f"{path} cannot be taken as it is: line 3: {said}. Nothing was changed."


def test_many_wrong_rows_are_one_message(tmp_path: Path) -> None:
    path = saved(tmp_path, f"{HEADER}\n" + f"perhaps,drop,x.jpg,{A}\n" * 9)
    assert re.search(r"line 2: .*; line 6: take is 'perhaps'; write yes or no; and 4 more\. Nothing", message(read_plan, path))


def test_what_is_no_plan_is_said(tmp_path: Path) -> None:
    assert message(read_plan, tmp_path / "absent.csv").endswith("absent.csv: No such file or directory")
    assert "is empty. A plan begins with the line take,action," in message(read_plan, saved(tmp_path, ""))
    assert "has no column 'take'; it has 'path, label'" in message(read_plan, saved(tmp_path, "path,label\nx,y\n"))
    assert "has no column 'sha256'" in message(read_plan, saved(tmp_path, "take,action\nyes,drop\n"))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (f"yes,drop,x.jpg,{A},\nyes,relabel,x.jpg,{A},cat\n", "x.jpg: line 2 drops it, but line 3 relabels it to 'cat'"),
        (
            f"yes,relabel,x.jpg,{A},dog,wrong_label\nyes,relabel,copy.jpg,{A},cat,mixed_labels\n",
            "x.jpg: wrong_label (line 2) relabels it to 'dog', but mixed_labels (line 3) relabels it to 'cat'",
        ),
        (
            f"yes,group,x.jpg,{A},g\nyes,group,x.jpg,{A},h\n",
            "x.jpg: line 2 puts it into the group 'g', but line 3 puts it into the group 'h'",
        ),
    ],
)
def test_contradictions_name_both_rows(tmp_path: Path, rows: str, said: str) -> None:
    plan = read_plan(saved(tmp_path, f"{HEADER}\n{rows}"))
    assert f"the plan contradicts itself: {said}" in message(plan.taken)


def test_what_goes_together_is_no_contradiction(tmp_path: Path) -> None:
    rows = f"yes,drop,x,{A},\nyes,drop,y,{A},\nyes,group,x,{A},g\nno,relabel,x,{A},cat\nyes,drop,x,{A},keep one\n"
    assert [row.line for row in read_plan(saved(tmp_path, f"{HEADER}\n{rows}")).taken()] == [2, 4, 6]


def test_lost_contents_are_found_by_path(tmp_path: Path) -> None:
    plan = read_plan(saved(tmp_path, f"take,action,path,sha256\nyes,drop,x,\nno,drop,y,\nyes,drop,z,{B}\n"))
    found = plan.with_hashes({"x": A, "y": B}.__getitem__)
    assert [row.proposal.sha256 for row in found.rows] == [A, "", B]
