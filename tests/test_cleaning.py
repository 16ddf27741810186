"""Cleaning, as its users call it: findings and plans become edits, edits change what is trained on, and no picture is touched."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tellapart.cleaning import clean, list_edits, undo
from tellapart.data import ImageTable, edited
from tellapart.errors import CallError, DataError
from tellapart.files import sha256_of
from tellapart.images.samples import Sample
from tellapart.runs import train
from tellapart.sources import read
from tellapart.training import Recipe

HEADER = ("take", "action", "path", "sha256", "value", "kind", "score", "why")


@pytest.fixture
def data(clean_sample: Sample, tmp_path: Path) -> Path:
    """36 pictures in 3 classes."""
    return Path(shutil.copytree(clean_sample.root, tmp_path / "data"))


@pytest.fixture
def table(data: Path) -> ImageTable:
    return read(data)


def write_plan(path: Path, *rows: tuple[str, ...]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows([HEADER, *rows])
    return path


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*") if path.is_file()}


def test_a_plan_becomes_edits_and_no_picture_is_touched(data: Path, table: ImageTable, tmp_path: Path) -> None:
    before = contents(data)
    plan = write_plan(
        tmp_path / "plan.csv",
        ("yes", "drop", table.paths[0], table.sha256[0], "", "blurred", "0.9", "too blurred"),
        ("no", "drop", table.paths[1], table.sha256[1], "", "blurred", "0.5", ""),
        ("yes", "relabel", table.paths[2], table.sha256[2], "square", "wrong_label", "0.9", "looks like a square"),
    )
    done = clean(data, plan=plan, who="ada", why="the first round")
    assert [(edit.action, edit.who, edit.why) for edit in done.written] == [
        ("drop", "ada", "the first round"),
        ("relabel", "ada", "the first round"),
    ]
    assert done.account == "37 files = 35 kept + 1 not a picture by its name + 1 dropped by an edit"
    assert done.notes == ("edits: 1 dropped, 1 relabelled",)
    after = contents(data)
    after.pop("tellapart-edits.jsonl")
    assert after == before
    assert edited(read(data), data).counts == {"circle": 10, "square": 13, "triangle": 12}
    again = clean(data, plan=plan, who="bob")
    assert (again.written, again.n_known) == ((), 2)
    assert again.text().startswith(f"0 edits written to {data / 'tellapart-edits.jsonl'} (2 stood there already)\n37 files = ")


def test_a_plan_that_lost_its_contents_goes_by_path(data: Path, table: ImageTable, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    inside = str(Path(table.paths[2]).relative_to(data))
    rows = [
        ("yes", "drop", path) for path in (table.paths[0], str(Path("data") / Path(table.paths[1]).relative_to(data)), inside)
    ]
    done = clean(data, plan=write_plan(tmp_path / "plan.csv", *rows))
    assert [edit.sha256 for edit in done.written] == list(table.sha256[:3])
    with pytest.raises(DataError) as caught:
        clean(data, plan=write_plan(tmp_path / "plan.csv", ("yes", "drop", "data/absent.jpg")))
    assert str(caught.value).startswith("1 row of the plan without a sha256, and with a path that is not among the pictures of ")
    assert ": line 2: data/absent.jpg. Correct the paths" in str(caught.value)


def test_a_file_without_a_content_is_said(data: Path, tmp_path: Path) -> None:
    (data / "circle" / "dangling.jpg").symlink_to(tmp_path / "nowhere")
    done = clean(data, plan=write_plan(tmp_path / "plan.csv", ("yes", "drop", str(data / "circle" / "dangling.jpg"))))
    assert done.written == ()
    assert done.notes[1] == (
        "1 file cannot be read at all, so that no edit can name its content; move it away yourself: "
        f"{data / 'circle' / 'dangling.jpg'}"
    )


def test_a_contradicting_plan_writes_nothing(data: Path, table: ImageTable, tmp_path: Path) -> None:
    rows = [("yes", "drop", table.paths[0], ""), ("yes", "relabel", table.paths[0], table.sha256[0], "square")]
    with pytest.raises(DataError, match="line 2 drops it, but line 3 relabels it to 'square'"):
        clean(data, plan=write_plan(tmp_path / "plan.csv", *rows))
    assert not (data / "tellapart-edits.jsonl").exists()


def test_edits_are_undone_and_listed(data: Path, table: ImageTable, tmp_path: Path) -> None:
    rows = [("yes", "drop", table.paths[row], table.sha256[row]) for row in range(2)]
    first, second = clean(data, plan=write_plan(tmp_path / "plan.csv", *rows), who="ada", why="dark").written
    done = undo(data, [first.id], who="bob", why="fine in fact")
    assert done.account == "37 files = 35 kept + 1 not a picture by its name + 1 dropped by an edit"
    listing = list_edits(data)
    assert listing.states() == ["undone", "stands", "stands"]
    lines = listing.text().splitlines()
    assert lines[1] == f"{second.id}  {second.when}  ada  stands     drop {table.paths[1]}  (dark)"
    assert lines[2].endswith(f"bob  stands     undo {table.paths[0]} -> {first.id}  (fine in fact)")
    assert lines[3] == f"{data / 'tellapart-edits.jsonl'}: 1 of 3 lines decides something now"
    assert [row["state"] for row in listing.to_json()["edits"]] == listing.states()


def test_copies_are_dropped_but_for_one(data: Path, table: ImageTable, tmp_path: Path) -> None:
    shutil.copy(table.paths[0], data / "circle" / "zz copy.jpg")
    plan = write_plan(tmp_path / "plan.csv", ("yes", "drop", "zz copy.jpg", table.sha256[0], "keep one", "copies"))
    assert clean(data, plan=plan).account.startswith("38 files = 36 kept + ")


def test_calls_that_cannot_be_meant(data: Path, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="give either a plan"):
        clean(data)
    with pytest.raises(CallError, match="--edits none takes pictures as they are"):
        clean(data, plan="plan.csv", edits="none")
    with pytest.raises(CallError, match=r"is no one folder or file, .*give one: --edits FILE"):
        list_edits(tmp_path / "shard-*.tar")


# The command ---------------------------------------------------------------------------------------------------------


def test_the_command_cleans_undoes_and_lists(tellapart, data: Path, table: ImageTable, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.csv", ("yes", "drop", table.paths[0], table.sha256[0]))
    done = tellapart("clean", data, "--plan", plan, "--who", "ada", "--why", "dark", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert {name: facts[name] for name in ("journal", "n_written", "n_known", "notes")} == {
        "journal": str(data / "tellapart-edits.jsonl"),
        "n_written": 1,
        "n_known": 0,
        "notes": ["edits: 1 dropped"],
    }
    assert (facts["edits"][0]["who"], facts["edits"][0]["why"]) == ("ada", "dark")
    undone = tellapart("clean", data, "--undo", facts["edits"][0]["id"])
    assert undone.returncode == 0
    assert "37 files = 36 kept + 1 not a picture by its name" in undone.stdout
    listed = json.loads(tellapart("clean", data, "--list", "--json").stdout)
    assert [edit["state"] for edit in listed["edits"]] == ["undone", "stands"]


def test_the_command_keeps_the_journal_elsewhere(tellapart, data: Path, table: ImageTable, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.csv", ("yes", "drop", table.paths[0], table.sha256[0]))
    assert tellapart("clean", data, "--plan", plan, "--edits", tmp_path / "mine.jsonl").returncode == 0
    assert (tmp_path / "mine.jsonl").exists()
    assert not (data / "tellapart-edits.jsonl").exists()


@pytest.mark.parametrize("words", [(), ("--list", "--undo", "abc"), ("--plan", "plan.csv", "--apply", "copies")])
def test_the_command_does_one_thing_at_a_time(tellapart, data: Path, words: tuple[str, ...]) -> None:
    done = tellapart("clean", data, *words)
    assert done.returncode == 2
    assert "give one of --plan FILE, --apply KINDS, --undo ID and --list" in done.stderr


def test_a_damaged_journal_is_said(tellapart, data: Path) -> None:
    (data / "tellapart-edits.jsonl").write_text("drop it\n")
    done = tellapart("clean", data, "--list")
    assert done.returncode == 1
    assert "tellapart-edits.jsonl cannot be taken as it is: line 1 is not JSON" in done.stderr


# From findings -------------------------------------------------------------------------------------------------------


def test_findings_are_applied_by_their_kinds(tellapart, sample: Sample, tmp_path: Path) -> None:
    data = Path(shutil.copytree(sample.root, tmp_path / "data"))
    done = tellapart("clean", data, "--apply", "copies,broken", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert {edit["action"] for edit in facts["edits"]} == {"drop"}
    assert len(facts["edits"]) >= sum(one.kind in ("truncated", "empty", "text", "html") for one in sample.planted)
    again = json.loads(tellapart("clean", data, "--apply", "copies,broken", "--json").stdout)
    assert again["n_written"] == 0


def test_kinds_that_contradict_each_other_are_applied_together(data: Path, table: ImageTable) -> None:
    """Two near copies of a circle among the squares: one kind relabels both, the other drops one of them."""
    with Image.open(table.paths[0]) as circle:
        for side_px in (150, 200):
            circle.convert("RGB").resize((side_px, side_px)).save(data / "square" / f"circle {side_px}.jpg")
    done = clean(data, apply=["mixed_labels", "near_copies"])
    assert sorted((edit.action, Path(edit.path).name, edit.value) for edit in done.written) == [
        ("drop", "circle 150.jpg", ""),
        ("relabel", "circle 200.jpg", "circle"),
        ("relabel", Path(table.paths[0]).name, "circle"),
    ]
    assert done.notes[0] == (
        "1 relabel that mixed_labels proposes gave way to near_copies, which decides otherwise about the same pictures"
    )


def test_cleaning_and_training_count_alike(data: Path, table: ImageTable, tmp_path: Path) -> None:
    """Whether what cannot be read was dropped or not, and however it was."""
    for path in table.paths[:2]:
        Path(path).write_text(f"no picture: {path}")
    plan = write_plan(tmp_path / "plan.csv", ("yes", "drop", table.paths[5], table.sha256[5], "", "blurred", "0.9", ""))

    def trained() -> str:
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        return str(train(data, Recipe(size=96), out=tmp_path / "run").facts["counts"])

    planned = clean(data, plan=plan)
    assert planned.account == ("37 files = 33 kept + 2 not a picture (text) + 1 not a picture by its name + 1 dropped by an edit")
    assert sorted(trained().split(" + ")) == sorted(planned.account.split(" + "))
    applied = clean(data, apply=["broken"])
    assert applied.account == "37 files = 33 kept + 3 dropped by an edit + 1 not a picture by its name"
    assert trained() == applied.account
    assert undo(data, [applied.written[0].id]).account.startswith("37 files = 33 kept + 2 dropped by an edit")


def test_one_edit_is_one_edit(data: Path, table: ImageTable, tmp_path: Path) -> None:
    plan = write_plan(tmp_path / "plan.csv", ("WAHR", "drop", table.paths[0], "", "", "", "", ""))
    assert clean(data, plan=plan).text().startswith(f"1 edit written to {data / 'tellapart-edits.jsonl'}\n")
    refused = write_plan(tmp_path / "no.csv", ("FALSCH", "drop", table.paths[1], "", "", "", "", ""))
    assert clean(data, plan=refused).written == ()


def test_an_unknown_kind_suggests_the_nearest(tellapart, data: Path) -> None:
    done = tellapart("clean", data, "--apply", "copys")
    assert done.returncode == 2
    assert "unknown kind of finding 'copys'; did you mean 'copies'?" in done.stderr
