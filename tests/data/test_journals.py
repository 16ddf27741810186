"""The edits journal: it only grows, survives kills, moves and merges, and says what is wrong with it, by line."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.data import edited, journal_path, read_journal
from tellapart.data.edits import KEEP_ONE, Edit, Proposal
from tellapart.data.journals import EDITS_FILE, append_edits, draft, undo_edits
from tellapart.errors import CallError, DataError, StorageError
from tellapart.sources import read

HASHES = [f"{number:064x}" for number in range(10)]


def proposed(*actions: tuple[str, int, str]) -> list[Edit]:
    """Edits that are not written yet: (action, which picture, value)."""
    return [
        draft(Proposal(f"{which}.jpg", HASHES[which], action, value), who="ada", why="seen") for action, which, value in actions
    ]


def lines_of(journal: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in journal.read_text().splitlines()]


def line(**fields: object) -> str:
    return json.dumps({"format": 1, "id": "e1", "action": "drop", "sha256": HASHES[0]} | fields)


# By hand -------------------------------------------------------------------------------------------------------------


def by_hand(*actions: tuple[str, int, str]) -> str:
    """Lines as people write them: without an id, a time, a name."""
    return "".join(
        json.dumps({"action": action, "sha256": HASHES[which], "value": value}) + "\n" for action, which, value in actions
    )


def test_a_line_without_an_id_has_one_that_stays(tmp_path: Path) -> None:
    path = tmp_path / EDITS_FILE
    path.write_text(by_hand(("drop", 1, "")))
    (edit,) = read_journal(path).edits
    assert (edit.action, edit.sha256, edit.value) == ("drop", HASHES[1], "")
    assert re.fullmatch("[0-9a-f]{10}", edit.id)
    path.write_text(by_hand(("relabel", 2, "cat")) + path.read_text())  # another line above it
    assert read_journal(path).edits[1] == edit
    undo_edits(path, [edit.id], who="ada", why="")
    assert [one.sha256 for one in read_journal(path).standing] == [HASHES[2]]
    assert append_edits(path, proposed(("relabel", 2, "cat"))) == ()  # it stands already


def test_the_last_of_several_lines_by_hand_decides(tmp_path: Path) -> None:
    """Also where it says what an earlier one said."""
    path = tmp_path / EDITS_FILE
    path.write_text(by_hand(("relabel", 1, "cat"), ("relabel", 1, "dog"), ("relabel", 1, "cat")))
    journal = read_journal(path)
    assert len({edit.id for edit in journal.edits}) == 3
    assert [edit.value for edit in journal.standing] == ["cat"]


# Where it is ---------------------------------------------------------------------------------------------------------


def test_it_lies_with_its_pictures(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").touch()
    assert journal_path(tmp_path) == tmp_path / "tellapart-edits.jsonl"
    assert journal_path(str(tmp_path / "labels.csv")) == tmp_path / "labels.edits.jsonl"
    assert journal_path(tmp_path / "shard-{0..3}.tar") is None
    assert journal_path(object()) is None


def test_a_folder_with_a_journal_reads_as_before(tmp_path: Path, make_files) -> None:
    make_files(tmp_path / "data" / "wrapper", ["cat/1.png", "cat/2.png", "dog/1.png"])
    before = read(tmp_path / "data")
    append_edits(journal_path(tmp_path / "data"), proposed(("drop", 1, "")))
    (tmp_path / "data" / ".DS_Store").touch()
    assert read(tmp_path / "data") == before
    assert before.skipped == ()


def test_a_folder_of_shards_with_a_journal_reads_as_before(tmp_path: Path, make_files) -> None:
    make_files(tmp_path / "new", ["1.png", "2.png"])
    with tarfile.open(tmp_path / "0.tar", "w") as shard:
        for name in ("1", "2"):
            shard.add(tmp_path / "new" / f"{name}.png", f"{name}.png")
            (tmp_path / "new" / f"{name}.cls").write_text(name)
            shard.add(tmp_path / "new" / f"{name}.cls", f"{name}.cls")
    shutil.rmtree(tmp_path / "new")
    before = read(tmp_path)
    append_edits(journal_path(tmp_path), proposed(("drop", 1, "")))
    assert read(tmp_path) == before
    assert len(before) == 2


# Writing and reading -------------------------------------------------------------------------------------------------


def test_an_edit_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / EDITS_FILE
    (written,) = append_edits(path, proposed(("relabel", 3, "snowy owl")))
    (found,) = lines_of(path)
    assert found.pop("format") == 1
    assert Edit(**found) == written
    assert list(found) == ["id", "when", "who", "why", "action", "sha256", "value", "path"]
    assert re.fullmatch(r"[0-9a-f]{10}", written.id)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", written.when)
    assert (written.who, written.why, written.path) == ("ada", "seen", "3.jpg")
    assert read_journal(path).edits == (written,)


def test_what_stands_already_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / EDITS_FILE
    edits = proposed(("drop", 1, ""), ("relabel", 2, "cat"), ("drop", 3, KEEP_ONE))
    first = append_edits(path, edits)
    before = path.read_bytes()
    assert append_edits(path, edits) == ()
    assert path.read_bytes() == before
    undo_edits(path, [first[0].id], who="ada", why="")
    assert [edit.sha256 for edit in append_edits(path, edits)] == [HASHES[1]]
    assert len({edit.id for edit in read_journal(path).edits}) == 5


def test_what_is_decided_last_stands(tmp_path: Path) -> None:
    path = tmp_path / EDITS_FILE
    written = append_edits(path, proposed(("relabel", 1, "a"), ("relabel", 1, "b"), ("group", 1, "g"), ("relabel", 1, "a")))
    assert [edit.value for edit in written] == ["a", "b", "g", "a"]
    assert [edit.value for edit in read_journal(path).standing] == ["g", "a"]
    assert append_edits(path, proposed(("relabel", 1, "a"), ("group", 1, "g"))) == ()


def test_no_edits_make_no_journal(tmp_path: Path) -> None:
    assert append_edits(tmp_path / "new" / EDITS_FILE, []) == ()
    assert not (tmp_path / "new").exists()


def test_an_edit_is_undone_by_its_id(tmp_path: Path) -> None:
    path = tmp_path / EDITS_FILE
    first, second = append_edits(path, proposed(("drop", 1, ""), ("drop", 2, "")))
    (undo,) = undo_edits(path, [first.id], who="bob", why="it is fine")
    assert (undo.action, undo.value, undo.who, undo.path) == ("undo", first.id, "bob", "1.jpg")
    assert read_journal(path).standing == (second,)
    with pytest.raises(CallError, match=f"the edit {first.id} is undone already"):
        undo_edits(path, [first.id], who="bob", why="")
    undo_edits(path, [undo.id], who="bob", why="")
    assert read_journal(path).standing == (first, second)


def test_an_unknown_id_suggests_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / EDITS_FILE
    with pytest.raises(CallError, match=r"there are no edits in .* to undo"):
        undo_edits(path, ["abc"], who="bob", why="")
    (edit,) = append_edits(path, proposed(("drop", 1, "")))
    with pytest.raises(CallError, match=f"unknown edit '{edit.id[:-1]}'; did you mean '{edit.id}'"):
        undo_edits(path, [edit.id[:-1]], who="bob", why="")
    assert len(lines_of(path)) == 1


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(min_size=1, max_size=20))
@settings(deadline=None, max_examples=60)
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, who: str, why: str, path: str, label: str) -> None:
    journal = tmp_path_factory.mktemp("journal") / EDITS_FILE
    edit = draft(Proposal(path + "\udc80\u2028\n", HASHES[0], "relabel", f"x{label}"), who=who, why=why)
    written = append_edits(journal, [edit])
    assert read_journal(journal).edits == written
    assert len(journal.read_bytes().split(b"\n")) == 2


# Cut short -----------------------------------------------------------------------------------------------------------


def test_a_last_line_cut_short_is_ignored_and_said_and_nothing_else_is_lost(tmp_path: Path) -> None:
    """At each byte at which it could have been cut."""
    path = tmp_path / EDITS_FILE
    first, second = append_edits(path, proposed(("drop", 1, ""), ("relabel", 2, "Bär")))
    whole = path.read_bytes()
    begin = whole.index(b"\n") + 1
    for end in range(begin + 1, len(whole) - 1):
        path.write_bytes(whole[:end])
        journal = read_journal(path)
        assert journal.edits == (first,)
        assert journal.notes == (f"{path}: line 2 was cut short (by a kill or a full disk) and is no edit",)
    third = append_edits(path, proposed(("drop", 4, "")))[0]
    assert path.read_bytes().startswith(whole[: len(whole) - 2])  # nothing was taken away
    assert path.read_text().splitlines()[1].endswith(" <- cut short, no edit")
    assert read_journal(path).edits == (first, third)
    assert len(read_journal(path).notes) == 1
    assert second.id in path.read_text()


def test_a_last_line_without_its_end_is_an_edit(tmp_path: Path) -> None:
    path = tmp_path / EDITS_FILE
    path.write_text(line())
    append_edits(path, proposed(("drop", 5, "")))
    assert [edit.sha256 for edit in read_journal(path).edits] == [HASHES[0], HASHES[5]]
    assert read_journal(path).notes == ()


WRITER = """
import sys
from tellapart.data.edits import Proposal
from tellapart.data.journals import append_edits, draft
name, n_edits = sys.argv[2], int(sys.argv[3])
for number in range(n_edits):
    proposal = Proposal("x" * 3000, f"{hash((name, number)) & (1 << 250) - 1:064x}", "relabel", f"{name} {number}")
    (edit,) = append_edits(sys.argv[1], [draft(proposal, who=name, why="")])
    print(edit.id, flush=True)
"""


def test_a_killed_writer_loses_at_most_the_line_in_flight(tmp_path: Path) -> None:
    path = tmp_path / EDITS_FILE
    writer = subprocess.Popen([sys.executable, "-c", WRITER, path, "one", "100000"], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    seen = [writer.stdout.readline().strip() for _ in range(20)]
    os.kill(writer.pid, signal.SIGKILL)
    seen += writer.stdout.read().split()
    writer.wait()
    writer.stdout.close()
    found = [edit.id for edit in read_journal(path).edits]
    assert found[: len(seen)] == seen
    assert len(found) <= len(seen) + 1
    append_edits(path, proposed(("drop", 1, "")))
    assert len(read_journal(path).edits) == len(found) + 1


def test_writers_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / EDITS_FILE
    command = [sys.executable, "-c", WRITER, path]
    writers = [subprocess.Popen([*command, name, "20"], stdout=subprocess.PIPE, text=True) for name in ("one", "two")]
    ids = [set(writer.communicate(timeout=60)[0].split()) for writer in writers]
    edits = read_journal(path).edits
    assert {edit.id for edit in edits} == ids[0] | ids[1]
    assert [sum(edit.who == name for edit in edits) for name in ("one", "two")] == [20, 20]


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / EDITS_FILE
    append_edits(path, proposed(("drop", 1, "")))
    before = path.read_bytes()
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1000, 1000))
    done = subprocess.run(
        [sys.executable, "-c", WRITER, path, "one", "1"], preexec_fn=limit, capture_output=True, text=True, check=False
    )
    assert "StorageError: cannot write" in done.stderr
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*: File exists\. Choose another place"):
        append_edits(tmp_path / "file" / EDITS_FILE, proposed(("drop", 1, "")))


# By hand, and by git -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("drop it", "is not JSON"),
        ("[1, 2]", "is not an object"),
        ('{"a": ' * 50_000, "is not JSON"),
        ("9" * 5000, "is not JSON"),
        (line(id=7), "has a 'id' that is no text"),
        (line(id="a b"), "has the 'id' 'a b'; it must be 1 to 64 letters and digits, or left out"),
        (line(action="relable", value="x"), "has an unknown action 'relable'; did you mean 'relabel'?"),
        (line(action="relabel"), "has no 'value', which a relabel needs"),
        (
            line(action="drop", value="keep-one"),
            "drops 'keep-one'; the 'value' of a drop is empty, or 'keep one' of several copies",
        ),
        (line(sha256="abc"), "has the 'sha256' 'abc'; it must be 64 hexadecimal digits"),
        (line(format="1"), "has 'format' '1', which must be 1"),
        (line(format=2), "is of format 2; this Tellapart reads up to 1: pip install -U tellapart"),
        (line(id="e0", sha256=HASHES[2]), "has the 'id' 'e0' of another edit above it"),
        (line(action="undo", value="e9"), "undoes 'e9', which is not above it"),
        ("<<<<<<< HEAD", "is a mark of a git merge: keep the edits of both sides and remove the marks"),
        ("caf\udce9", "is not UTF-8"),
    ],
)
def test_a_wrong_line_is_named_by_its_number(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / EDITS_FILE
    path.write_bytes(f"{line(id='e0')}\n\n{text}\n".encode(errors="surrogateescape"))
    for call in (lambda: read_journal(path), lambda: append_edits(path, proposed(("drop", 1, "")))):
        with pytest.raises(DataError) as caught:
            call()
        assert f"{path} cannot be taken as it is: line 3 {said}" in str(caught.value)
        assert str(caught.value).endswith(". Correct or remove the lines; nothing was changed.")


def test_many_wrong_lines_are_one_message(tmp_path: Path) -> None:
    path = tmp_path / EDITS_FILE
    path.write_text("[]\n" * 9)
    with pytest.raises(DataError, match=r"line 1 is .*; line 5 is not an object.*; and 4 more\. Correct"):
        read_journal(path)


def test_lines_may_come_twice_and_hold_more(tmp_path: Path) -> None:
    """As after a merge of two branches, saved by an editor on Windows, with a field of the user's own."""
    path = tmp_path / EDITS_FILE
    text = f"\ufeff{line()}\r\n{line(id='e2', sha256='A' * 64, ticket=12)}\r\n{line()}\r\n"
    path.write_bytes(text.encode())
    assert [(edit.id, edit.sha256) for edit in read_journal(path).edits] == [("e1", HASHES[0]), ("e2", "a" * 64)]
    append_edits(path, proposed(("drop", 5, "")))
    assert path.read_bytes().startswith(text.encode())


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_two_branches_merge(tmp_path: Path) -> None:
    """Each drops a picture; the line of `.gitattributes` is the one that the docs show."""
    path = tmp_path / EDITS_FILE

    def git(*words: str) -> None:
        identity = ("-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    def commit_edit(*actions: tuple[str, int, str]) -> Edit:
        (edit,) = append_edits(path, proposed(*actions))
        git("add", "--all")
        git("commit", "--message", "an edit")
        return edit

    git("init", "--initial-branch", "main")
    (tmp_path / ".gitattributes").write_text(f"{EDITS_FILE} merge=union\n")
    first = commit_edit(("drop", 0, ""))
    git("checkout", "-b", "other")
    theirs = commit_edit(("drop", 1, ""))
    git("checkout", "main")
    ours = commit_edit(("drop", 2, ""))
    git("merge", "other")
    assert {edit.id for edit in read_journal(path).standing} == {first.id, theirs.id, ours.id}
    assert read_journal(path).notes == ()


@given(st.binary(max_size=200), st.booleans())
@settings(deadline=None, max_examples=150)
def test_any_bytes_are_a_journal_or_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes, begun: bool) -> None:
    """And where they are a journal, an edit more makes a longer one that holds what they held."""
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    content = f"{line()}\n".encode() + content if begun else content
    path.write_bytes(content)
    try:
        before = read_journal(path)
    except DataError:
        with pytest.raises(DataError, match=r": line \d+ "):
            append_edits(path, proposed(("drop", 5, "")))
        assert path.read_bytes() == content
        return
    written = append_edits(path, proposed(("drop", 5, "")))
    assert path.read_bytes().startswith(content)
    assert read_journal(path).edits == before.edits + written


# With its pictures ---------------------------------------------------------------------------------------------------


def test_edits_survive_a_move_and_a_rename(tmp_path: Path, make_files) -> None:
    make_files(tmp_path / "data", ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"])
    table = read(tmp_path / "data")
    edits = [
        draft(Proposal(table.paths[0], table.sha256[0], "drop"), who="ada", why="blurred"),
        draft(Proposal(table.paths[2], table.sha256[2], "relabel", "cat"), who="ada", why=""),
    ]
    append_edits(journal_path(tmp_path / "data"), edits)
    shutil.move(tmp_path / "data", tmp_path / "moved")
    (tmp_path / "moved" / "dog" / "1.png").rename(tmp_path / "moved" / "dog" / "another name.png")
    done = edited(read(tmp_path / "moved"), tmp_path / "moved")
    assert done.labels == ("cat", "dog", "cat")
    assert done.account() == "4 files = 3 kept + 1 dropped by an edit"
    assert edited(read(tmp_path / "moved"), tmp_path / "moved", edits="none") == read(tmp_path / "moved")


def test_another_journal_may_be_named(tmp_path: Path, make_files) -> None:
    make_files(tmp_path / "data", ["cat/1.png", "dog/1.png"])
    table = read(tmp_path / "data")
    mine = tmp_path / "mine.jsonl"
    append_edits(mine, [draft(Proposal("", table.sha256[0], "drop"), who="ada", why="")])
    assert len(edited(table, tmp_path / "data", edits=mine)) == 1
    assert edited(table, tmp_path / "data") == edited(table, object()) == table
    with pytest.raises(CallError, match=r"no such journal of edits: .*absent\.jsonl\. Give the file, or `none`"):
        edited(table, tmp_path / "data", edits=tmp_path / "absent.jsonl")
