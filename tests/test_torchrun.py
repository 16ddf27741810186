"""The command under torchrun: several gloo processes on a CPU against one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tellapart.images.samples import Sample
from tellapart.inference import Classifier
from tellapart.runs import Run

pytest.importorskip("torch")
pytest.importorskip("timm")

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tellapart"]
ENV = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
EXACT = ("--batch", "8", "--set", "precision=float32")
SMOOTH = ("--optimizer", "sgd", "--lr", "0.0003")  # larger steps, and those of AdamW and Muon, make much of mere rounding
WAYS = {
    "compact": ("--arch", "compact", "--epochs", "2", "--set", "dropout=0.3", "--set", "ema=0.9", *SMOOTH),
    "tutorial": ("--arch", "tutorial_cnn", "--epochs", "2", "--augment", "strong", "--set", "erasing=0.3", *SMOOTH),
    "tail": ("--size", "64", "--epochs", "3", "--set", "views=1"),  # the third pass looks at kept views
    "all": ("--tune", "all", "--size", "64", "--epochs", "2", "--set", "mixup=0.4"),  # with a sweep of rates
}


def several(*words: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    line = [*TORCHRUN, *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **ENV}, **more)


def ours(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What our processes said on stderr, beside torchrun's own report."""
    return [line for line in done.stderr.splitlines() if line.startswith("tellapart: ")]


def probabilities(run: Run) -> np.ndarray:
    answers = Classifier.load(run.path).predict_many(list(run.table.paths))
    return np.array([list(answer.probabilities.values()) for answer in answers])


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_two_processes_do_what_one_does(tellapart, clean_sample: Sample, tmp_path: Path, way: str) -> None:
    words = ["train", clean_sample.root, *WAYS[way], *EXACT, "--json"]
    alone = tellapart(*words, "--out", tmp_path / "alone", env=ENV)
    together = several(*words, "--out", tmp_path / "together")
    assert alone.returncode == together.returncode == 0, together.stderr
    one, other = json.loads(alone.stdout), json.loads(together.stdout)  # a single JSON object: one process speaks
    assert len(one["epochs"]) == len(other["epochs"]) > 1
    for row, row_together in zip(one["epochs"], other["epochs"], strict=True):
        for name in ("number", "n_pictures", "batch", "valid_accuracy", "is_best"):
            assert row_together[name] == row[name], name
        for name in ("rate", "train_loss", "valid_loss"):
            assert row_together[name] == pytest.approx(row[name], rel=1e-3, abs=1e-4), name
    apart = probabilities(Run.load(tmp_path / "alone")) - probabilities(Run.load(tmp_path / "together"))
    assert np.abs(apart).max() < 0.02


@pytest.mark.slow
def test_what_two_processes_began_one_goes_on_with_after_a_loss(tellapart, clean_sample: Sample, tmp_path: Path) -> None:
    """The second process is killed in the midst of the training; the first says so once, and nothing is lost."""
    run, whole = tmp_path / "run", tmp_path / "whole"
    words = ["train", str(clean_sample.root), "--arch", "compact", "--epochs", "12", *EXACT, *SMOOTH]
    env = {**os.environ, **ENV}
    with subprocess.Popen(
        [*TORCHRUN, *words, "--out", str(run)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        wait_for(run / "log.jsonl", process)
        os.kill(helper_of(process.pid), signal.SIGKILL)
        out, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert out == ""
    assert "exitcode  : -9" in errors  # torchrun's report
    assert sum(line.startswith("tellapart: ") for line in errors.splitlines()) <= 1
    assert json.loads((run / "run.json").read_text())["state"] == "unfinished"
    resumed = tellapart("train", "--resume", run, "--json", env=ENV)
    assert resumed.returncode == 0, resumed.stderr
    assert tellapart(*words, "--out", whole, env=ENV).returncode == 0
    assert np.abs(probabilities(Run.load(run)) - probabilities(Run.load(whole))).max() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_all_and_they_go_on_later(clean_sample: Sample, tmp_path: Path, number: signal.Signals) -> None:
    run = tmp_path / "run"
    words = ["train", str(clean_sample.root), "--arch", "compact", "--epochs", "12", *EXACT, "--out", str(run)]
    env = {**os.environ, **ENV}
    with subprocess.Popen([*TORCHRUN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        wait_for(run / "log.jsonl", process)
        helper = helper_of(process.pid)
        process.send_signal(number)
        out, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert out == ""
    assert not Path(f"/proc/{helper}").exists()
    n_said = sum(line.startswith("tellapart: stopped; what is done is kept") for line in errors.splitlines())
    assert n_said == (number == signal.SIGINT)
    assert json.loads((run / "run.json").read_text())["state"] == "unfinished"
    done = several("train", "--resume", run, "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["epochs"]) == 12


@pytest.mark.slow
def test_what_is_wrong_is_said_once(clean_sample: Sample, tmp_path: Path) -> None:
    done = several("train", clean_sample.root, "--arch", "compact", "--epochs", "1", "--batch", "1", "--out", tmp_path / "run")
    assert done.returncode != 0
    assert ours(done) == ["tellapart: a batch of 1 is too small for 2 processes. Choose --batch 2 or more."]
    assert done.stdout == ""


@pytest.mark.slow
def test_what_one_of_the_others_lacks_is_said_by_it(clean_sample: Sample, tmp_path: Path) -> None:
    """The second process has no room for activations: its cache is a file."""
    (tmp_path / "file").touch()
    script = f'if [ $RANK = 1 ]; then export TELLAPART_CACHE={tmp_path}/file; fi; exec {sys.executable} -m tellapart "$@"'
    words = ["train", str(clean_sample.root), *WAYS["tail"], "--out", str(tmp_path / "run")]
    line = [*TORCHRUN[:-2], "--no-python", "bash", "-c", script, "bash", *words]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **ENV})
    assert done.returncode != 0
    assert done.stdout == ""
    (said,) = ours(done)
    assert said.startswith("tellapart: process 1: ")
    assert f"{tmp_path}/file" in said


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["predict", "RUN", "picture.jpg"], "`tellapart predict`"),
        (["train", "pictures"], "training a head alone (no --epochs, no --budget)"),
        (["train", "pictures", "--epochs", "1", "--preview"], "--preview"),
        (["train", "pictures", "--epochs", "1", "--arch", "resnet18,resnet34"], "comparing backbones (--arch a,b)"),
    ],
)
def test_what_is_the_work_of_one_process_is_refused(tellapart, words: list[str], what: str) -> None:
    done = tellapart(*words, env={"WORLD_SIZE": "2", "RANK": "0"})
    assert done.returncode == 2
    assert done.stderr.startswith(f"tellapart: 2 processes were started together (WORLD_SIZE), but {what} is the work of one.")


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def helper_of(torchrun: int) -> int:
    """The id of the process with rank 1."""
    children = map(int, Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split())
    return next(child for child in children if b"\0RANK=1\0" in Path(f"/proc/{child}/environ").read_bytes())
