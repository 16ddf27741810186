"""The commands as their users call them: what each prints and writes, and what a wrong call gets."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from tellapart.images.samples import Sample
from tellapart.runs import Run

SIZE = ("--size", "96")
CLASSES = ["circle", "square", "triangle"]


def test_train_prints_the_promised_fields(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    facts = json.loads(printed)
    assert printed.count("\n") == 1
    assert {
        "run",
        "classes",
        "n_train",
        "n_valid",
        "n_test",
        "accuracy",
        "error_rate",
        "accuracy_interval",
        "arch",
        "seconds",
    } <= set(facts)
    assert (facts["run"], facts["classes"], facts["arch"]) == (str(folder), CLASSES, "efficientnet_lite0")
    assert facts["accuracy"] + facts["error_rate"] == pytest.approx(1)
    low, high = facts["accuracy_interval"]
    assert 0 <= low <= facts["accuracy"] <= high <= 1
    assert facts["seconds"]["total"] >= facts["seconds"]["embed"] > 0
    n_kept = facts["n_train"] + facts["n_valid"] + facts["n_test"]
    assert facts["counts"].startswith(f"46 files = {n_kept} kept + ")
    assert len(facts["skipped"]) == 46 - n_kept
    assert facts["warnings"] == [f"only {facts['n_valid']} pictures to judge on: the accuracy is uncertain, see its interval"]


def test_train_tells_people_what_came_out(tellapart, clean_sample: Sample, tmp_path: Path) -> None:
    done = tellapart("train", clean_sample.root, "--out", tmp_path / "run", *SIZE)
    assert done.returncode == 0
    assert "% right (95 % interval " in done.stdout
    assert "37 files = 36 kept + 1 not a picture by its name" in done.stdout
    assert f"report:  {tmp_path / 'run' / 'report.html'}" in done.stdout


def test_evaluate_prints_the_report(tellapart, run_folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run_folder, tmp_path / "run")
    done = tellapart("evaluate", run, "--json")
    facts = json.loads(done.stdout)
    assert done.returncode == 0
    assert {"run", "n", "accuracy", "error_rate", "accuracy_interval", "report"} <= set(facts)
    assert facts["subject"] == "test pictures"
    assert Path(facts["report"]).is_file()


def test_evaluate_tells_each_class(tellapart, run_folder: Path, clean_sample: Sample, tmp_path: Path) -> None:
    run = shutil.copytree(run_folder, tmp_path / "run")
    done = tellapart("evaluate", run, clean_sample.root)
    assert done.returncode == 0
    assert done.stdout.startswith("pictures of clean: ")
    assert all(f"  {name}" in done.stdout for name in CLASSES)


def test_predict_prints_a_line_a_picture(tellapart, run_folder: Path, clean_sample: Sample, tmp_path: Path) -> None:
    """A folder, a glob, a file twice, and one that is not there."""
    root, file = clean_sample.root, clean_sample.root / "circle" / "circle-0001.jpg"
    if not file.exists():
        file = min((root / "circle").iterdir())
    done = tellapart(
        "predict", run_folder, root / "square", str(root / "triangle" / "*.*"), file, file, tmp_path / "absent.jpg", "--json"
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [list(row) for row in rows] == [["path", "label", "probability", "probabilities", "unknown", "error", "labels"]] * 26
    squares, triangles = (sorted(str(path) for path in (root / name).iterdir()) for name in ("square", "triangle"))
    assert [row["path"] for row in rows] == [*squares, *triangles, str(file), str(tmp_path / "absent.jpg")]
    assert rows[-1]["error"] == "cannot be read: No such file or directory"
    assert rows[-1]["label"] is rows[-1]["unknown"] is None
    assert all(row["label"] in CLASSES and list(row["probabilities"]) == CLASSES and row["error"] is None for row in rows[:-1])
    assert "26 files = 25 predicted + 1 unreadable" in done.stderr


def test_predict_draws_a_table(tellapart, run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    odd = tmp_path / "new\nline.jpg"
    shutil.copy(pictures[0], odd)
    done = tellapart("predict", run_folder, pictures[0], odd, tmp_path / "absent.jpg")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(lines) == 3
    assert "%" in lines[0]
    assert r"new\nline.jpg" in lines[1]
    assert lines[2].endswith("cannot be read: No such file or directory")


def test_predict_writes_a_table(tellapart, run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    out = tmp_path / "new" / "predictions.csv"
    done = tellapart("predict", run_folder, *pictures[:5], "absent.jpg", "--out", out)
    assert done.returncode == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "probability", "unknown", "error", *(f"p_{name}" for name in CLASSES)]
    assert [row["path"] for row in rows] == [*pictures[:5], "absent.jpg"]
    assert all(float(row["probability"]) == max(float(row[f"p_{name}"]) for name in CLASSES) for row in rows[:5])
    assert (rows[5]["label"], rows[5]["p_circle"], rows[5]["error"]) == ("", "", "cannot be read: No such file or directory")
    assert f"6 files = 5 predicted + 1 unreadable, in {out}" in done.stderr
    assert not list(tmp_path.rglob("*.part"))


def test_predictions_hold_no_formula_and_are_read_back(tellapart, run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    for name in ("=1+1.jpg", "@x.jpg", "plain.jpg"):
        shutil.copy(pictures[0], tmp_path / name)
    done = tellapart("predict", run_folder, "=1+1.jpg", "@x.jpg", "plain.jpg", "--out", "preds.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "preds.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["'=1+1.jpg", "'@x.jpg", "plain.jpg"]
    again = tellapart("predict", run_folder, "preds.csv", "--json", cwd=tmp_path)
    assert [Path(json.loads(line)["path"]).name for line in again.stdout.splitlines()] == ["=1+1.jpg", "@x.jpg", "plain.jpg"]


def test_an_unknown_backbone_is_one_line(tellapart, clean_sample: Sample, tmp_path: Path) -> None:
    """What it takes to know all names (timm, PyTorch) says nothing on its way out."""
    pytest.importorskip("timm")
    done = tellapart("train", clean_sample.root, "--out", tmp_path / "run", "--arch", "nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith("tellapart: unknown backbone 'nonsense'; known: ")
    assert len(done.stderr.splitlines()) == 1


def test_predict_fails_where_nothing_can_be_read(tellapart, run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    done = tellapart("predict", run_folder, tmp_path / "empty.jpg", "absent.jpg", "--json")
    assert done.returncode == 1
    assert [json.loads(line)["error"] for line in done.stdout.splitlines()] == [
        "the file is empty (0 bytes)",
        "cannot be read: No such file or directory",
    ]


@pytest.mark.slow
def test_export_gives_a_bundle_that_predicts_alike(tellapart, clean_sample: Sample, pictures: list[str], tmp_path: Path) -> None:
    out, run_folder = tmp_path / "bundle", tmp_path / "run"
    tellapart("train", clean_sample.root, "--out", run_folder, *SIZE)
    done = tellapart("export", run_folder, "--out", out, "--json")
    facts = json.loads(done.stdout)
    assert done.returncode == 0
    assert (facts["out"], facts["files"]) == (str(out), ["head.safetensors", "manifest.json", "model.onnx"])
    assert facts["n_pictures"] >= 7
    assert facts["difference"] < 0.05
    shown = [tellapart("predict", folder, *pictures[:3], "--json").stdout for folder in (run_folder, out)]
    assert shown[0] == shown[1]
    again = tellapart("export", out, "--out", tmp_path / "again")  # of a bundle: there are no pictures to check on
    assert (again.returncode, again.stderr) == (0, "")
    refused = tellapart("export", run_folder, "--out", out)
    assert refused.returncode == 2
    assert "bundle is not empty; nothing is overwritten. Choose another --out." in refused.stderr


def test_export_passes_over_broken_pictures(tellapart, run_folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run_folder, tmp_path / "run")
    broken = Run.load(run).table.in_split("test").paths[0]
    table = (run / "pictures.csv").read_text().replace(broken, str(tmp_path / "broken.jpg"))
    (run / "pictures.csv").write_text(table)
    (tmp_path / "broken.jpg").write_text("no picture")
    assert tellapart("export", run, "--out", tmp_path / "bundle").returncode == 0


def test_backbones_lists_the_bundled_one(tellapart) -> None:
    found = json.loads(tellapart("backbones", "--json").stdout)
    assert [list(one) for one in found] == [["arch", "weights", "state"]] * len(found)
    assert (found[0]["arch"], found[0]["state"]) == ("efficientnet_lite0", "ready, offline")


def test_sample_says_what_it_drew(tellapart, tmp_path: Path) -> None:
    words = ("sample", "shapes", "--out", tmp_path / "shapes", "--pictures", "10", "--side", "32", "--json")
    facts = json.loads(tellapart(*words).stdout)
    assert (facts["out"], facts["classes"], facts["n_images"]) == (str(tmp_path / "shapes"), CLASSES, 30)
    assert facts["n_planted"] == len(json.loads((tmp_path / "shapes" / "planted.json").read_text())) > 0
    again = tellapart(*words)
    assert again.returncode == 2
    assert "is not empty; nothing is overwritten" in again.stderr


def test_the_demo_runs_the_whole_loop(tellapart, tmp_path: Path) -> None:
    words = ("demo", "--out", tmp_path / "demo", "--pictures", "12", "--json")
    done = tellapart(*words)
    facts = json.loads(done.stdout)
    assert done.returncode == 0
    assert (facts["classes"], facts["n_images"]) == (["copper", "gold", "silver"], 36)
    assert sum(facts["planted"].values()) >= 8
    assert Path(facts["report"]).is_file()
    assert len(facts["predictions"]) == 6
    again = tellapart(*words)
    assert again.returncode == 2
    assert "is not empty; nothing is overwritten" in again.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), ""),
        (("trian",), "trian"),
        (("train",), "give the pictures (tellapart train DATA), or a run to go on with"),
        (("train", "absent"), "no such folder: "),
        (("train", "absent", "--resume", "run"), "give the pictures"),
        (("train", "--resume", "run", "--size", "96"), "a resumed run keeps the choices that it was started with"),
        (("train", "absent", "--size", "big"), "--size"),
        (("train", "absent", "--size", "4"), "the input side is 4 px; whole numbers between 8 and 4096 are possible"),
        (("train", "absent", "--fit", "cropp"), "unknown fit 'cropp'; did you mean 'crop'?"),
        (("train", "absent", "--valid", "1.5"), "valid_frac is 1.5; it must lie between 0 and 0.9"),
        (("train", "absent", "--balance", "nan"), "balance is nan; it must lie between 0 and 1"),
        (("train", "absent", "--epochs", "-3"), "epochs is -3; it must lie between 0 and 10000"),
        (("train", "absent", "--budget", "soon"), "'soon' is no time; give seconds, minutes or hours: 90s, 5m, 1h"),
        (("predict", "absent"), "PATHS..."),
        (("sample", "coinz", "--out", "new"), "unknown sample 'coinz'; did you mean 'coins'?"),
        (("sample", "coins", "--out", "new", "--pictures", "0"), "0 pictures per class cannot be drawn"),
        (("sample", "coins", "--out", "new", "--seed", "-1"), "the seed is -1; it must be 0 or more"),
        (("demo", "--out", "new", "--pictures", "3"), "3 pictures per class are too few to plant faults in"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_a_wrong_call_is_2(tellapart, tmp_path: Path, words: tuple[str, ...], text: str) -> None:
    done = tellapart(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert text in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_negative_seed_is_a_wrong_call(tellapart, clean_sample: Sample, tmp_path: Path) -> None:
    assert tellapart("train", clean_sample.root, "--out", tmp_path / "run", "--seed", "-1", *SIZE).returncode == 2


@pytest.mark.parametrize(
    "words",
    [("train", "a" * 300), ("predict", "a" * 300, "b.jpg"), ("evaluate", "a" * 300)],
    ids=["train", "predict", "evaluate"],
)
def test_a_name_that_is_too_long_is_no_traceback(tellapart, tmp_path: Path, words: tuple[str, ...]) -> None:
    assert tellapart(*words, cwd=tmp_path).returncode in (1, 2)
