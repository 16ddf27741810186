from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import tellapart as ta
from tellapart.errors import BundleError, CallError, DataError
from tellapart.images.samples import Sample
from tellapart.runs import Run, resume
from tellapart.runs.folders import next_folder
from tellapart.sources import read
from tellapart.training import embed_table, fit_classifier

RECIPE = ta.Recipe(size=96)


@pytest.fixture
def copied(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder, tmp_path / "run"))


def rewrite(run: Path, **fields: object) -> None:
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | fields))


def test_a_run_leaves_everything_behind(run_folder: Path, sample: Sample) -> None:
    assert sorted(path.name for path in run_folder.iterdir()) == [
        "answers-valid.csv", "bundle", "fold_probabilities.safetensors", "pictures.csv", "report.html", "report.json", "run.json"
    ]  # fmt: skip
    run = Run.load(run_folder)
    train = run.table.in_split("train")
    folds = load_file(run_folder / "fold_probabilities.safetensors")["probabilities"]
    assert folds.shape == (len(train), 3)
    assert np.allclose(folds.sum(1), 1, atol=1e-4)
    n_broken = sum(one.kind in ("truncated", "empty", "text", "html") for one in sample.planted)
    n_unread = sum(skip["reason"] != "not a picture by its name" for skip in run.facts["skipped"])
    assert len(run.table) + n_unread == sample.n_pictures
    assert n_unread <= n_broken == 4  # a broken picture that is locked away is found when it is judged


def test_copies_never_stand_on_both_sides(run_folder: Path) -> None:
    table = Run.load(run_folder).table
    splits_of: dict[str, set[str]] = {}
    for digest, split in zip(table.sha256, table.splits, strict=True):
        splits_of.setdefault(digest, set()).add(split)
    assert all(len(splits) == 1 for splits in splits_of.values())
    assert set(table.splits) == {"train", "valid", "test"}


def test_the_report_is_what_was_printed(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    run, facts = Run.load(folder), json.loads(printed)
    assert run.report.accuracy == facts["accuracy"]
    assert list(run.report.interval or ()) == facts["accuracy_interval"]
    assert run.to_json() == facts
    assert json.loads((folder / "report.json").read_text())["accuracy"] == facts["accuracy"]
    assert f"{facts['accuracy']:.1%}".replace("%", " %") in run._repr_html_()


def test_a_table_in_memory_is_trained_on(clean_sample: Sample, tmp_path: Path) -> None:
    run = ta.train(read(clean_sample.root), RECIPE, out=tmp_path / "run")
    assert run.facts["source"] is None
    assert (run.path, len(run.table), run.report.n) == (tmp_path / "run", 36, len(run.table.in_split("valid")))
    rewrite(run.path, state="unfinished")
    with pytest.raises(CallError, match="was started on a table in memory; call train with it again"):
        resume(run.path)


def test_the_same_seed_gives_the_same_run(clean_sample: Sample, tmp_path: Path) -> None:
    first, second = (ta.train(clean_sample.root, RECIPE, out=tmp_path / name) for name in "ab")
    assert first.table == second.table
    for name in ("model.onnx", "head.safetensors"):
        assert (first.path / "bundle" / name).read_bytes() == (second.path / "bundle" / name).read_bytes()
    assert second.facts["n_cached"] == 36


def test_a_class_can_be_left_out(clean_sample: Sample, tmp_path: Path) -> None:
    run = ta.train(clean_sample.root, RECIPE, out=tmp_path / "run", drop=["circle"])
    assert run.classifier.classes == ("square", "triangle")
    with pytest.raises(CallError, match=r"unknown class 'cirkle'; did you mean 'circle'?"):
        ta.train(clean_sample.root, RECIPE, out=tmp_path / "other", drop=["cirkle"])
    assert not (tmp_path / "other").exists()


def test_default_folders_are_numbered(clean_sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [str(ta.train(clean_sample.root, RECIPE).path) for _ in range(2)] == ["runs/clean-1", "runs/clean-2"]


def test_nothing_is_overwritten(copied: Path, clean_sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"run already holds a run \(finished\)\. Choose another --out\."):
        ta.train(clean_sample.root, RECIPE, out=copied)
    rewrite(copied, state="unfinished")
    with pytest.raises(CallError, match=r"run already holds a run \(unfinished\)\. Go on with it: tellapart train --resume "):
        ta.train(clean_sample.root, RECIPE, out=copied)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for out in (tmp_path / "mine", tmp_path / "mine" / "notes.txt"):
        with pytest.raises(CallError, match="nothing is overwritten"):
            ta.train(clean_sample.root, RECIPE, out=out)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_nothing_held_back_is_refused(clean_sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no picture is held back to judge on"):
        ta.train(clean_sample.root, ta.Recipe(size=96, valid_frac=0), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_class_without_a_readable_picture_is_named(clean_sample: Sample, tmp_path: Path) -> None:
    shutil.copytree(clean_sample.root / "circle", tmp_path / "data" / "circle")
    (tmp_path / "data" / "blank").mkdir()
    for number in range(4):
        (tmp_path / "data" / "blank" / f"{number}.jpg").write_text(f"no picture {number}")
    with pytest.raises(DataError, match=r"'circle',? has pictures to train on; telling apart needs at least 2"):
        ta.train(tmp_path / "data", RECIPE, out=tmp_path / "run")


def test_the_test_part_is_judged_by_evaluate_alone(copied: Path) -> None:
    run = Run.load(copied)
    judged = ta.evaluate(run)
    assert judged.report.subject == "test pictures"
    assert judged.report.n + len(judged.report.failures) == len(run.table.in_split("test"))
    assert judged.page == copied / "evaluation-test.html"
    assert judged.page.stat().st_size > 1000
    assert json.loads((copied / "evaluation-test.json").read_text()) == judged.report.to_json()


def test_each_opening_of_the_test_part_is_logged(copied: Path, clean_sample: Sample) -> None:
    run = Run.load(copied)
    notes = [ta.evaluate(run).report.notes[-1] for _ in range(2)]
    assert notes[0] == "The test pictures were opened for the first time."
    assert notes[1].startswith("The test pictures were opened once before: ")
    ta.evaluate(run, clean_sample.root)
    openings = [json.loads(line) for line in (copied / "test-openings.jsonl").read_text().splitlines()]
    assert [(one["n"], one["accuracy"]) for one in openings] == [(ta.evaluate(run).report.n, openings[0]["accuracy"])] * 2


def test_other_pictures_are_judged(copied: Path, clean_sample: Sample, tmp_path: Path) -> None:
    judged = ta.evaluate(Run.load(copied), clean_sample.root)
    assert (judged.report.subject, judged.report.n) == ("pictures of clean", 36)
    seen = ta.evaluate(Run.load(copied), Run.load(copied).facts["source"])
    assert any("were trained on" in note for note in seen.report.notes)
    shutil.copytree(clean_sample.root / "circle", tmp_path / "other" / "cirkle")
    with pytest.raises(DataError, match=r"'cirkle' .*did you mean 'circle'"):
        ta.evaluate(Run.load(copied), tmp_path / "other")


def test_pictures_that_have_moved_are_said_so(copied: Path) -> None:
    table = (copied / "pictures.csv").read_text()
    (copied / "pictures.csv").write_text(table.replace("/shapes/", "/moved/"))
    with pytest.raises(
        DataError, match=r"none of \d+ pictures can be judged: cannot be read: No such file or directory\. Have they moved"
    ):
        ta.evaluate(Run.load(copied))


def test_resuming_a_finished_run_returns_it(copied: Path) -> None:
    before = (copied / "run.json").read_bytes()
    assert resume(copied).facts == json.loads(before)
    assert (copied / "run.json").read_bytes() == before


def test_an_unfinished_run_is_gone_on_with(copied: Path, run_folder: Path) -> None:
    rewrite(copied, state="unfinished")
    shutil.rmtree(copied / "bundle")
    run = resume(copied)
    assert run.facts["state"] == "finished"
    assert Run.load(copied).table == Run.load(run_folder).table
    assert (copied / "bundle" / "model.onnx").read_bytes() == (run_folder / "bundle" / "model.onnx").read_bytes()


def test_the_report_says_how_the_pictures_were_read_and_split(clean_sample: Sample, run_folder: Path, tmp_path: Path) -> None:
    run = ta.train(clean_sample.root, ta.Recipe(size=96), out=tmp_path / "again", split_like=run_folder)
    note = next(note for note in run.facts["notes"] if note.startswith("split like an earlier run: "))
    assert note in run.report.notes
    assert note in json.loads((run.path / "report.json").read_text())["notes"]
    assert note in Run.load(run.path).report.notes  # judged once more
    n_train, n_valid, n_test = (run.table.splits.count(part) for part in ("train", "valid", "test"))
    assert run.report.facts["Split"] == f"{n_train} to train on, {n_valid} to judge on, {n_test} locked away"
    assert run.report.facts["Files"] == run.facts["counts"]


def test_what_is_no_run_is_named(tmp_path: Path, copied: Path) -> None:
    for call in (Run.load, resume):
        with pytest.raises(CallError, match=r"no such run or bundle: .*absent\. Train one: tellapart train DATA --out "):
            call(tmp_path / "absent")
        with pytest.raises(BundleError, match=r"is not a run: there is no run\.json in it"):
            call(tmp_path)
    rewrite(copied, state="unfinished")
    with pytest.raises(BundleError, match=r"the run .* is unfinished\. Go on with it: tellapart train --resume "):
        Run.load(copied)


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_a_damaged_state_is_named(copied: Path, content: str) -> None:
    (copied / "run.json").write_text(content)
    for call in (Run.load, resume):
        with pytest.raises(BundleError, match=r"run\.json is damaged"):
            call(copied)


@pytest.mark.parametrize("content", ["", "path\n", "a,b\n1,2\n"])
def test_a_damaged_table_is_named(copied: Path, content: str) -> None:
    (copied / "pictures.csv").write_text(content)
    with pytest.raises(BundleError, match=r"pictures\.csv is damaged"):
        Run.load(copied)


@pytest.mark.parametrize(
    "facts",
    [
        {"state": "unfinished"},
        {"state": "unfinished", "source": "pictures"},
        {"state": "unfinished", "source": 5, "recipe": {}},
        {"state": "unfinished", "source": ".", "recipe": []},
    ],
    ids=["no source", "no recipe", "a number as source", "a list as recipe"],
)
def test_a_state_that_lacks_its_fields_is_damage(copied: Path, facts: dict[str, object]) -> None:
    (copied / "run.json").write_text(json.dumps(facts))
    with pytest.raises(BundleError, match=r"run\.json is damaged"):
        resume(copied)


def test_a_finished_state_that_lacks_its_fields_is_damage(copied: Path) -> None:
    (copied / "run.json").write_text('{"state": "finished"}')
    with pytest.raises(BundleError, match=r"run\.json is damaged"):
        Run.load(copied)


def test_trainings_started_at_once_take_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [next_folder("pictures/") for _ in range(2)]
    assert folders == [Path("runs/pictures-1"), Path("runs/pictures-2")]


def test_pictures_of_one_group_cannot_be_cross_validated(clean_sample: Sample, tmp_path: Path) -> None:
    table = ta.split(ta.read(clean_sample.root))
    grouped = replace(table, groups=("one",) * len(table))
    embedded, training = embed_table(table, RECIPE), grouped.in_split("train")
    with pytest.raises(
        DataError, match="training pictures are copies of one, or one group; at least 2 different ones are needed"
    ):
        fit_classifier(embedded.features.floats(training), training, embedded.backbone, RECIPE)
