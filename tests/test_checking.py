from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import tellapart as ta
from tellapart import checking
from tellapart.checking import check, gather, write
from tellapart.errors import CallError, DataError
from tellapart.images.samples import Sample
from tellapart.sources import read

RECIPE = ta.Recipe(size=96)


@pytest.fixture
def shapes(clean_sample: Sample, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean_sample.root, tmp_path / "shapes"))


def first_of(folder: Path) -> Path:
    return min(folder.iterdir())


def test_what_was_planted_is_found(sample: Sample) -> None:
    report = check(sample.root, recipe=RECIPE)
    planted = Counter(one.kind for one in sample.planted)
    assert report.counts["broken"] == sum(planted[kind] for kind in ("truncated", "empty", "text", "html")) == 4
    assert report.counts["copies"] == planted["copy"]
    assert report.counts["mixed_labels"] == planted["copy_other_label"]
    assert report.to_json()["n_images"] == len(report.table) == sample.n_pictures - 4


def test_what_is_known_of_each_picture_is_aligned(sample: Sample) -> None:
    evidence = gather(read(sample.root), RECIPE)
    n = len(evidence.table)
    assert len(evidence.glances) == len(evidence.features) == n
    assert evidence.n_embedding < evidence.features.shape[1]
    assert evidence.fold_probabilities is not None
    assert evidence.fold_probabilities.shape == (n, 3)
    assert evidence.split_probabilities is None
    assert all(pair.first < pair.second < n for pair in evidence.copies)


def test_a_leak_is_told_with_what_the_score_would_be_without(shapes: Path, tmp_path: Path) -> None:
    for part in ("train", "val"):
        shutil.copytree(shapes, tmp_path / "split" / part)
    for path in sorted((tmp_path / "split").glob("train/*/*"))[::2]:
        path.unlink()
    for path in sorted((tmp_path / "split").glob("val/*/*"))[1::6]:
        path.unlink()
    (leak,) = [finding for finding in check(tmp_path / "split", recipe=RECIPE).findings if finding.kind == "leak"]
    figures = "12 training pictures are copies of 12 validation pictures (12 exact, 0 near or of one group), 40.0%"
    assert leak.text.startswith(f"{figures} of the validation part.")
    assert "Your score without them would be about" in leak.text


def test_pictures_of_one_class_and_none_that_can_be_read(shapes: Path, tmp_path: Path) -> None:
    shutil.rmtree(shapes / "circle")
    shutil.rmtree(shapes / "square")
    report = check(shapes, recipe=RECIPE)
    assert report.table.classes == ("triangle",)
    assert "wrong_label" not in report.counts
    broken = tmp_path / "broken" / "a"
    broken.mkdir(parents=True)
    (broken / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of the 1 files can be read as a picture"):
        check(broken.parent, recipe=RECIPE)


def test_only_some_kinds(sample: Sample) -> None:
    assert set(check(sample.root, only=("broken", "copies"), recipe=RECIPE).counts) == {"broken", "copies"}
    with pytest.raises(CallError, match="unknown kind of finding 'copis'; did you mean 'copies'"):
        check(sample.root, only=("copis",), recipe=RECIPE)


@pytest.fixture
def without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever would run a network fails, and nothing is known from before."""
    monkeypatch.setattr(checking, "embed_table", None)
    monkeypatch.setenv("TELLAPART_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("without_network")
def test_a_quick_check_runs_no_network(sample: Sample) -> None:
    report = check(sample.root, quick=True)
    planted = Counter(one.kind for one in sample.planted)
    assert report.counts["broken"] == 4
    assert report.counts["copies"] == planted["copy"]
    assert report.counts["mixed_labels"] == planted["copy_other_label"]
    assert not {"wrong_label", "off_topic"} & set(report.counts)
    assert report.title == "shapes-quick"
    assert "quick: not looked for, as that takes a network: wrong_label and off_topic" in report.notes
    assert "quick: copies are those that hashes propose: most crops and captions are missed" in report.notes


@pytest.mark.usefixtures("without_network")
@pytest.mark.parametrize("kinds", [["near_copies"], ["near_copies", "dark"]], ids=["hashed first", "looked at all"])
def test_near_copies_are_found_quickly(sample: Sample, tmp_path: Path, kinds: list[str]) -> None:
    """Blots, since drawn shapes are near copies of each other."""
    rng = np.random.default_rng(0)
    for number in range(12):
        blots = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((320, 240), Image.Resampling.BICUBIC)
        folder = tmp_path / "blots" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        blots.save(folder / f"{number}.png")
        blots.resize((200, 150)).save(folder / f"{number}-small.jpg")
        ImageOps.mirror(blots).resize((40, 30)).save(folder / f"{number}-tiny.png")
    (tmp_path / "blots" / "a" / "cut.jpg").write_bytes((tmp_path / "blots" / "a" / "0-small.jpg").read_bytes()[:2000])
    report = check(tmp_path / "blots", only=kinds, quick=True)
    found = {tuple(sorted(Path(path).stem for path in finding.paths)) for finding in report.findings}
    assert found == {(str(number), f"{number}-small") for number in range(12)}
    assert report.account == "37 files = 36 kept + 1 cannot be decoded"


@pytest.mark.usefixtures("without_network")
def test_what_needs_no_network_runs_none(sample: Sample, tmp_path: Path) -> None:
    report = check(sample.root, only=("broken", "copies", "dark"))
    assert report.counts["broken"] == 4
    assert not any(note.startswith("quick") for note in report.notes)
    with pytest.raises(TypeError):  # of None, which stands where the network would be run
        check(sample.root, only=("near_copies",))


def test_what_only_the_network_tells_is_not_told_quickly(sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="off_topic cannot be told quickly: a network must look at the pictures"):
        check(sample.root, only=("off_topic", "broken"), quick=True)
    (tmp_path / "broken" / "a").mkdir(parents=True)
    (tmp_path / "broken" / "a" / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of the 1 files can be read as a picture: not a picture"):
        check(tmp_path / "broken", quick=True)


def test_the_quick_command(tellapart, sample: Sample, tmp_path: Path) -> None:
    done = tellapart("check", sample.root, "--quick", "--only", "broken,copies", "--json", cwd=tmp_path)
    assert set(json.loads(done.stdout)["counts"]) == {"broken", "copies"}
    assert (tmp_path / "runs" / "check-shapes-broken-copies-quick.html").is_file()
    refused = tellapart("check", sample.root, "--quick", "--only", "wrong_label", cwd=tmp_path)
    assert refused.returncode == 2
    assert "wrong_label cannot be told quickly" in refused.stderr


def test_the_page_and_the_plan_are_written(sample: Sample, tmp_path: Path) -> None:
    report = check(sample.root, recipe=RECIPE)
    written = write(report, out=tmp_path / "page.html", plan=tmp_path / "plan.csv")
    assert written == {"report": str(tmp_path / "page.html"), "plan": str(tmp_path / "plan.csv")}
    rows = list(csv.DictReader((tmp_path / "plan.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert {row["action"] for row in rows} <= {"drop", "relabel", "group"}
    assert {row["kind"] for row in rows if row["take"] == "yes"} == {"broken", "copies"}
    assert write(report, out=tmp_path / "page.html", plan=tmp_path / "plan.csv") == written
    with pytest.raises(CallError, match=r"notes.txt does not end in .html"):
        write(report, out=tmp_path / "notes.txt")


@pytest.mark.parametrize("option", ["out", "plan"])
def test_nothing_else_is_overwritten(sample: Sample, tmp_path: Path, option: str) -> None:
    path = tmp_path / {"out": "mine.html", "plan": "labels.csv"}[option]
    path.write_text("path,label\na.jpg,a\n")
    with pytest.raises(CallError, match=f"{path.name} is there already and is not ours; nothing is overwritten"):
        write(check(sample.root, recipe=RECIPE), **{"out": tmp_path / "page.html", option: path})
    assert path.read_text() == "path,label\na.jpg,a\n"
    assert not (tmp_path / "page.html").exists()


def test_the_command(tellapart, sample: Sample, tmp_path: Path) -> None:
    done = tellapart("check", sample.root, "--json", "--strict", "--out", tmp_path / "page.html")
    facts = json.loads(done.stdout)
    assert done.returncode == 1
    assert sum(facts["counts"].values()) == len(facts["findings"]) > 0
    assert set(facts["findings"][0]) == {"kind", "paths", "score", "text", "suggestion"}
    assert facts["report"] == str(tmp_path / "page.html")
    plain = tellapart("check", sample.root, cwd=tmp_path)
    assert plain.returncode == 0
    assert (tmp_path / "runs" / "check-shapes.html").is_file()
    assert "Exact copies: " in plain.stdout


def test_near_copies_are_not_parted(shapes: Path, tmp_path: Path) -> None:
    """Every picture and its mirror image: each pair is on one side."""
    for path in sorted(shapes.glob("*/*")):
        with Image.open(path) as image:
            ImageOps.mirror(image).save(path.with_name(f"{path.stem}-mirrored.png"))
    run = ta.train(shapes, RECIPE, out=tmp_path / "run")
    parts: dict[str, set[str]] = {}
    for path, part in zip(run.table.paths, run.table.splits, strict=True):
        parts.setdefault(Path(path).stem.removesuffix("-mirrored"), set()).add(part)
    assert len(parts) == 36
    assert sum(len(found) > 1 for found in parts.values()) <= 2  # of mirror images that look like another shape


def test_training_honours_the_journal(tellapart, sample: Sample, tmp_path: Path) -> None:
    data = shutil.copytree(sample.root, tmp_path / "shapes")
    cleaned = json.loads(tellapart("clean", data, "--apply", "broken,copies", "--json").stdout)
    assert cleaned["n_written"] > 0
    words = ("train", data, "--size", "96", "--json")
    facts = json.loads(tellapart(*words, "--out", tmp_path / "edited").stdout)
    assert any(note.startswith("edits: ") for note in facts["notes"])
    assert "dropped by an edit" in facts["counts"]
    plain = json.loads(tellapart(*words, "--edits", "none", "--out", tmp_path / "plain").stdout)
    assert not plain["notes"]
    assert plain["n_train"] + plain["n_valid"] > facts["n_train"] + facts["n_valid"]


def test_a_split_is_kept_when_pictures_are_added(tellapart, shapes: Path, tmp_path: Path) -> None:
    words = ("train", shapes, "--size", "96", "--json")
    assert tellapart(*words, "--out", tmp_path / "first").returncode == 0
    before = ta.Run.load(tmp_path / "first").table
    for number, label in enumerate(before.classes):
        Image.new("RGB", (80, 64), (200, 40 * number, 90)).save(shapes / label / "added.png")
    assert tellapart(*words, "--out", tmp_path / "second", "--split-like", tmp_path / "first").returncode == 0
    after = ta.Run.load(tmp_path / "second").table
    had = dict(zip(before.sha256, before.splits, strict=True))
    now = dict(zip(after.sha256, after.splits, strict=True))
    assert len(now) == len(had) + 3
    assert {digest: now[digest] for digest in had} == had


def test_a_split_that_leaks(tellapart, shapes: Path, tmp_path: Path) -> None:
    for part in ("train", "val"):
        shutil.copytree(shapes, tmp_path / "split" / part)
    for path in sorted((tmp_path / "split").glob("train/*/*"))[::2]:
        path.unlink()
    for path in sorted((tmp_path / "split").glob("val/*/*"))[1::6]:
        path.unlink()
    words = ("train", tmp_path / "split", "--size", "96", "--json")
    facts = json.loads(tellapart(*words, "--out", tmp_path / "run").stdout)
    assert facts["n_train"] == 6
    assert "12 training pictures are copies of 12 validation pictures" in facts["notes"][0]
    assert "--allow-leaks" in facts["notes"][0]
    allowed = json.loads(tellapart(*words, "--out", tmp_path / "allowed", "--allow-leaks").stdout)
    assert allowed["n_train"] == 18
    assert "the score is better than the truth" in allowed["notes"][0]
    note = json.loads((tmp_path / "allowed" / "report.json").read_text())["notes"][0]
    assert note.startswith("12 training pictures are copies of 12 validation pictures (12 exact, 0 near or of one group)")
    assert note.endswith("of these the accuracy says nothing.")


def test_a_locked_test_part_that_leaks(tmp_path: Path) -> None:
    """Crops are near copies that only the network proposes; a test part is embedded for that and for nothing else."""
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        for number in range(8):
            blots = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((320, 240), Image.Resampling.BICUBIC)
            part = tmp_path / "split" / "train" / label
            part.mkdir(parents=True, exist_ok=True)
            blots.save(part / f"{number}.png")
            if number < 4:
                held = tmp_path / "split" / "test" / label
                held.mkdir(parents=True, exist_ok=True)
                blots.crop((10, 12, 286, 218)).save(held / f"{number}.png")
    run = ta.train(tmp_path / "split", RECIPE, out=tmp_path / "run")
    (note,) = [note for note in run.table.notes if "test pictures" in note]
    assert note.startswith("the given split leaks: 8 training pictures are copies of 8 test pictures (0 exact, 8 near")


def test_another_data_set_is_judged_with_its_columns_and_edits(tellapart, run_folder: Path, shapes: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run_folder, tmp_path / "run")
    rows = [
        f"{path.relative_to(shapes)},{path.parent.name},{number % 5}" for number, path in enumerate(sorted(shapes.glob("*/*")))
    ]
    (shapes / "labels.csv").write_text("\n".join(["where,what,kind", *rows]))
    columns = ("--path-column", "where", "--label-column", "what")
    words = ("evaluate", run, shapes / "labels.csv", *columns, "--json")
    assert json.loads(tellapart(*words).stdout)["n"] == 36
    dropped = json.loads(tellapart("clean", shapes / "labels.csv", "--list", "--json").stdout)
    assert dropped["edits"] == []
    (shapes / "plan.csv").write_text(f"take,action,path,value\nyes,drop,{first_of(shapes / 'circle')},\n")
    cleaned = tellapart(
        "clean", shapes / "labels.csv", "--plan", shapes / "plan.csv", "--path-column", "where", "--label-column", "what"
    )
    assert cleaned.returncode == 0, cleaned.stderr
    assert json.loads(tellapart(*words).stdout)["n"] == 35
    assert json.loads(tellapart(*words, "--edits", "none").stdout)["n"] == 36
    alone = tellapart("evaluate", run, "--edits", "none")
    assert alone.returncode == 2
    assert "columns and edits are chosen for other pictures" in alone.stderr


def test_a_table_is_trained_on_and_resumed(tellapart, shapes: Path, tmp_path: Path) -> None:
    rows = [f"{path.relative_to(shapes)},{path.parent.name},{number}" for number, path in enumerate(sorted(shapes.glob("*/*")))]
    (shapes / "labels.csv").write_text("\n".join(["where,what,number", *rows]))
    words = ("train", shapes / "labels.csv", "--path-column", "where", "--label-column", "what", "--size", "96", "--json")
    facts = json.loads(tellapart(*words, "--out", tmp_path / "run").stdout)
    assert facts["classes"] == ["circle", "square", "triangle"]
    assert "'where'" in facts["notes"][0]
    begun = json.loads((tmp_path / "run" / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps(begun | {"state": "unfinished"}))
    resumed = json.loads(tellapart("train", "--resume", tmp_path / "run", "--json").stdout)
    assert resumed["n_train"] == facts["n_train"]
