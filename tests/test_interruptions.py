"""Full disks (a file may not grow past a limit, which fails as a full disk does) and signals at a known place."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tellapart.images import GLANCE
from tellapart.images.samples import Sample
from tellapart.inference.caches import FeatureCache
from tellapart.runs import Run

SIZE = ("--size", "96")


def limited(n_bytes: int) -> Callable[[], None]:
    return partial(resource.setrlimit, resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def test_a_full_disk_under_the_run_is_said_and_the_run_goes_on_later(
    tellapart, clean_sample: Sample, run_folder: Path, tmp_path: Path
) -> None:
    """`run_folder` has put the backbone into the cache; the run's own model no longer fits."""
    run = tmp_path / "run"
    done = tellapart("train", clean_sample.root, "--out", run, *SIZE, preexec_fn=limited(5_000_000))
    assert done.returncode == 1
    assert "model.onnx: File too large. Free space or choose another place." in done.stderr
    assert json.loads((run / "run.json").read_text())["state"] == "unfinished"
    assert not list(run.rglob("*.part"))
    again = tellapart("train", "--resume", run, "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["n_cached"] == 36
    assert Run.load(run).report.n > 0


def test_a_full_disk_under_the_cache_is_said(tellapart, clean_sample: Sample, tmp_path: Path) -> None:
    env = {"TELLAPART_CACHE": str(tmp_path / "cache")}
    done = tellapart("train", clean_sample.root, "--out", tmp_path / "run", *SIZE, env=env, preexec_fn=limited(5_000_000))
    assert done.returncode == 1
    assert "backbone.onnx: File too large. Free space or choose another place." in done.stderr
    assert not list(tmp_path.rglob("*.part"))


def test_features_that_cannot_be_kept_cost_only_a_note(tellapart, clean_sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "features").write_text("a file where the folder should be")
    env = {"TELLAPART_CACHE": str(tmp_path / "cache")}
    done = tellapart("train", clean_sample.root, "--out", tmp_path / "run", "--json", *SIZE, env=env)
    assert done.returncode == 0
    assert "the computed features could not be kept: cannot write " in json.loads(done.stdout)["warnings"][0]


def test_a_table_of_predictions_that_cannot_be_written(tellapart, run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    out = tmp_path / "predictions.csv"
    done = tellapart("predict", run_folder, *pictures[:9], "--out", out, preexec_fn=limited(100))
    assert done.returncode == 1
    assert "predictions.csv: File too large. Free space or choose another --out." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_table_below_a_file_cannot_be_written(tellapart, run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = tellapart("predict", run_folder, pictures[0], "--out", tmp_path / "file" / "predictions.csv")
    assert done.returncode == 1


def test_a_report_that_cannot_be_written_is_said(tellapart, run_folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run_folder, tmp_path / "run")
    done = tellapart("evaluate", run, preexec_fn=limited(1000))
    assert done.returncode == 1
    assert "evaluation-test.html: File too large" in done.stderr
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_under_the_output_is_no_traceback(command: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*command, "backbones", "--json"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_traceback(command: list[str], run_folder: Path, clean_sample: Sample) -> None:
    words = [*command, "predict", str(run_folder), str(clean_sample.root), "--json"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


# A call of the named function sends the signal first, the first n_before calls excepted.
INTERRUPTED = """
import importlib, os, signal, sys
place, n_before, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
del sys.argv[1:4]
module, _, name = place.partition(":")
holder = importlib.import_module(module)
*owners, name = name.split(".")
for owner in owners:
    holder = getattr(holder, owner)
original, n_calls = getattr(holder, name), 0
def interrupted(*words, **options):
    global n_calls
    n_calls += 1
    if n_calls == n_before + 1:
        os.kill(os.getpid(), number)
    return original(*words, **options)
setattr(holder, name, interrupted)
from tellapart.__main__ import main
main()
"""
EMBEDDING = ("tellapart.inference.caches:FeatureCache.add", 7)  # while features are computed
WRITING = ("tellapart.files:os.fsync", 4)  # while a file is written
OTHERS = [
    ("tellapart.sources.folders:table_of", 0),  # before there is a run
    ("tellapart.runs.beginnings:embed_table", 0),
    ("tellapart.training.trainer:fit_head", 0),
    ("tellapart.runs.training:write_report", 0),
]


def moments(first: tuple[str, int], *others: tuple[str, int]) -> pytest.MarkDecorator:
    """Where a training is interrupted: at the first always, at the others only where there is time."""
    slow = [pytest.param(*moment, marks=pytest.mark.slow) for moment in others]
    return pytest.mark.parametrize(("place", "n_before"), [first, *slow])


def interrupt(words: list[str | Path], cache: Path, place: str, n_before: int, number: int) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", INTERRUPTED, place, str(n_before), str(number), *map(str, words)]
    environment = {**os.environ, "TELLAPART_CACHE": str(cache)}
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, env=environment)


def check_cache(cache: Path) -> None:
    """Reading throws damaged shards away; none must go."""
    shards = list(cache.rglob("*.safetensors"))
    for folder in {shard.parent for shard in shards}:
        reader = FeatureCache({}, folder=cache)
        reader.folder = folder
        assert all(len(digest) == 64 and row.shape in {(3136,), (GLANCE.itemsize,)} for digest, row in reader.rows())
    assert all(shard.exists() for shard in shards)


def finish(tellapart, data: Path, run: Path, cache: Path) -> dict[str, Any]:
    """What a user does after an interruption; the run is whole then."""
    env = {"TELLAPART_CACHE": str(cache)}
    if (run / "run.json").exists():
        assert json.loads((run / "run.json").read_text())["state"] == "unfinished"
        done = tellapart("train", "--resume", run, "--json", env=env)
    else:
        done = tellapart("train", data, "--out", run, "--json", *SIZE, env=env)
    assert done.returncode == 0, done.stderr
    assert Run.load(run).report.n > 0
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


@moments(EMBEDDING, WRITING, *OTHERS)
def test_ctrl_c_leaves_a_run_that_can_be_finished(
    tellapart, clean_sample: Sample, tmp_path: Path, place: str, n_before: int
) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    words = ["train", clean_sample.root, "--out", run, "--json", *SIZE]
    done = interrupt(words, cache, place, n_before, signal.SIGINT)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "go on with --resume FOLDER" in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.rglob("*.part"))
    check_cache(cache)
    facts = finish(tellapart, clean_sample.root, run, cache)
    if place.endswith("add"):
        assert 7 // 2 <= facts["n_cached"] < 36  # what was computed was kept: of each picture a glance and features are added


@pytest.mark.slow
@moments(WRITING, EMBEDDING, *OTHERS)
def test_a_kill_leaves_a_run_that_can_be_finished(
    tellapart, clean_sample: Sample, tmp_path: Path, place: str, n_before: int
) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    done = interrupt(["train", clean_sample.root, "--out", run, *SIZE], cache, place, n_before, signal.SIGKILL)
    assert done.returncode == -signal.SIGKILL
    check_cache(cache)
    finish(tellapart, clean_sample.root, run, cache)


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.1, 0.4, 0.7, 1.0, 1.4, 1.8, 2.4])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "Ctrl-C"])
def test_an_interruption_at_any_time(
    tellapart, command: list[str], clean_sample: Sample, tmp_path: Path, after_s: float, number: signal.Signals
) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    words = [*command, "train", str(clean_sample.root), "--out", str(run), *SIZE]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TELLAPART_CACHE": str(cache)}
    ) as process:
        try:
            process.communicate(timeout=after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            process.communicate(timeout=60)
    check_cache(cache)
    if process.returncode != 0:
        finish(tellapart, clean_sample.root, run, cache)
    assert Run.load(run).facts["state"] == "finished"


def test_ctrl_c_during_start_is_no_traceback(tmp_path: Path) -> None:
    early = "import os, signal, sys; from tellapart.errors import CallError\n"
    early += "class Finder:\n def find_spec(name, *_):\n  if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
    early += "sys.meta_path.insert(0, Finder)\nfrom tellapart.__main__ import main\nmain()"
    done = subprocess.run([sys.executable, "-c", early, "backbones"], capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
