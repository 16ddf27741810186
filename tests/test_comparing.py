from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tellapart.comparing import compare, difference_of, find_runs
from tellapart.errors import CallError
from tellapart.evaluation.answers import Answers
from tellapart.runs import Run

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(run_folder: Path, tmp_path: Path) -> MakeRun:
    """make_run("runs/a", {"size": 64}, wrong=3): the trained run with other choices, the first so many answers made wrong."""
    valid = Run.load(run_folder).table.in_split("valid")

    def make(name: str, recipe: dict[str, object] | None = None, *, wrong: int = 0, part: str = "valid", copies: int = 1) -> Path:
        folder = Path(shutil.copytree(run_folder, tmp_path / name))
        facts = json.loads((folder / "run.json").read_text())
        facts["recipe"] |= recipe or {}
        (folder / "run.json").write_text(json.dumps(facts))
        digests = tuple(f"{digest}{number}" for number in range(copies) for digest in valid.sha256)
        labels = valid.labels * copies
        predicted = ("wrong",) * wrong + labels[wrong:]
        answers = Answers(digests, labels, predicted, (0.9,) * len(labels), (0.9,) * len(labels))
        (folder / f"answers-{part}.csv").write_text(answers.to_csv())
        return folder

    return make


def test_the_best_comes_first_and_the_others_say_what_is_noise(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("runs/b", {"seed": 1}, copies=10)
    make_run("runs/a", {"balance": 0.5}, copies=10, wrong=2)
    make_run("runs/c", copies=10, wrong=30)
    found = compare([tmp_path / "runs"])
    best, near, far = found.entries
    assert [entry.run.path.name for entry in found.entries] == ["b", "a", "c"]
    assert best.to_best is None
    assert (near.to_best.n_gained, near.to_best.n_lost, near.to_best.is_noise) == (0, 2, True)
    assert near.to_best.p_value == pytest.approx(0.5)
    assert not far.to_best.is_noise
    assert far.to_best.interval[1] < 0
    assert best.choices == {"balance": 0.0, "seed": 1}
    lines = found.text().splitlines()
    assert lines[0] == "3 runs, judged on validation pictures"
    assert "100.0 %" in lines[2]
    assert lines[2].endswith("balance 0.0, seed 1")
    assert "could be noise, p = 0.5" in lines[3]
    assert "more than noise, p = " in lines[4]
    assert found.notes[0].startswith("The best was chosen on these very pictures, so its accuracy flatters it. Its locked test")
    assert found.notes[0].endswith("tellapart evaluate " + str(tmp_path / "runs" / "b"))
    assert any("raised for 2 comparisons" in note for note in found.notes)


def test_p_values_are_raised_for_each_other(make_run: MakeRun, tmp_path: Path) -> None:
    best, other = make_run("runs/a", copies=4), make_run("runs/b", copies=4, wrong=6)
    alone = compare([best, other]).entries[1].to_best
    assert alone.p_value == pytest.approx(2 / 2**6)
    assert not alone.is_noise
    for name in "cde":
        make_run(f"runs/{name}", copies=4, wrong=5)
    among = {entry.run.path.name: entry.to_best for entry in compare([tmp_path / "runs"]).entries[1:]}
    assert among["b"].p_value == pytest.approx(4 * 2 / 2**6)
    assert among["b"].is_noise


def test_other_pictures_are_compared_as_wholes(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("runs/a", copies=10)
    make_run("runs/b", copies=3, wrong=4)  # a third of the pictures of a; all of its own, so still picture by picture
    paired = compare([tmp_path / "runs"])
    assert paired.entries[1].to_best.is_paired
    assert "Other pictures than those of a were held back by: b." in paired.notes
    make_run("few/a", copies=2)  # twice as many, among them all of b
    make_run("few/b", copies=1, wrong=4)
    part = compare([tmp_path / "few" / "b", tmp_path / "few" / "a"])
    n = len(part.entries[1].answers)
    assert (len(part.entries[0].answers), part.entries[1].to_best.n) == (2 * n, n)
    one = Answers(("a", "b", "c"), ("x",) * 3, ("x",) * 3, (1,) * 3, (1,) * 3)
    other = replace(one, sha256=("c", "d", "e"))
    large = replace(one, sha256=tuple("cdefgh"), labels=("x",) * 6, predicted=("x",) * 6)
    assert difference_of(replace(one, sha256=("b", "c", "d")), large).n == 2
    assert (difference_of(one, other).is_paired, difference_of(one, other).n) == (False, 6)


def test_what_cannot_be_compared_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("runs/good")
    unfinished, damaged, cut = (make_run(f"runs/{name}") for name in ("unfinished", "damaged", "cut"))
    facts = json.loads((unfinished / "run.json").read_text())
    (unfinished / "run.json").write_text(json.dumps(facts | {"state": "unfinished"}))
    (damaged / "run.json").write_text("{")
    (cut / "answers-valid.csv").write_text("sha")
    (tmp_path / "runs" / "notes").mkdir()
    found = compare([tmp_path / "runs"])
    assert [entry.run.path.name for entry in found.entries] == ["good"]
    reasons = {Path(path).name: reason for path, reason in found.skipped}
    assert "is unfinished. Go on with it" in reasons["unfinished"]
    assert "run.json is damaged" in reasons["damaged"]
    assert "answers-valid.csv is damaged" in reasons["cut"]
    assert found.notes == ()
    assert found.text().count("left out: ") == 3


def test_a_run_without_answers_is_judged_now(run_folder: Path, tmp_path: Path) -> None:
    old = Path(shutil.copytree(run_folder, tmp_path / "old"))
    (old / "answers-valid.csv").unlink(missing_ok=True)
    entry = compare([old]).entries[0]
    report = Run.load(run_folder).report
    assert (len(entry.answers), entry.answers.accuracy, entry.answers.interval) == (report.n, report.accuracy, report.interval)
    assert (old / "answers-valid.csv").is_file()


def test_a_test_part_is_never_opened_here(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("runs/opened", part="test")
    make_run("runs/locked")
    found = compare([tmp_path / "runs"], part="test")
    assert [entry.run.path.name for entry in found.entries] == ["opened"]
    assert found.skipped[0][1].startswith("its test pictures were not judged yet: tellapart evaluate ")
    assert not list((tmp_path / "runs" / "locked").glob("test-openings*"))
    assert "no run can be compared on its test pictures" in compare([tmp_path / "runs" / "locked"], part="test").text()


def test_places_are_runs_folders_of_runs_or_their_pictures(
    make_run: MakeRun, sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run("runs/a")
    make_run("runs/b")
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "run.json").write_text("[")
    both = [Path("runs/a"), Path("runs/b")]
    assert find_runs([sample.root]) == both
    assert find_runs(["runs/b", "runs/b", sample.root]) == both[::-1]
    assert find_runs(["runs"]) == [*both, Path("runs/broken")]
    with pytest.raises(CallError, match=r"there is no absent\. Give runs, a folder of runs, or the pictures"):
        compare(["absent"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(CallError, match=r"no run lies in empty, and none in runs/ was trained on it\. Train one"):
        compare(["empty"])
    with pytest.raises(CallError, match=r"unknown part 'vaild'; did you mean 'valid'\?"):
        compare(["runs"], part="vaild")


def test_the_command_prints_a_table_or_json(make_run: MakeRun, tellapart, tmp_path: Path) -> None:
    make_run("runs/a", {"seed": 5})
    make_run("runs/b", wrong=1)
    done = tellapart("runs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:4]] == ["run", "runs/a", "runs/b"]
    value = json.loads(tellapart("runs", "runs/b", "runs/a", "--json", cwd=tmp_path).stdout)
    best, other = value["runs"]
    assert (best["run"], best["to_best"], best["choices"]) == ("runs/a", None, {"seed": 5})
    assert (other["to_best"]["n_lost"], other["to_best"]["is_noise"], other["to_best"]["is_paired"]) == (1, True, True)
    assert tellapart("runs", "absent", cwd=tmp_path).returncode == 2
