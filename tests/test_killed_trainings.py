"""Trainings of a network that are killed again and again, and go on to what they would have become."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tellapart.images.samples import Sample
from tellapart.inference import Classifier
from tellapart.runs import Run

pytest.importorskip("torch")
pytest.importorskip("timm")

N_KILLS = 4
# A mean of the weights (tail), momentum, dropout and varied pictures are in them; of "all" the sweep of rates too.
WAYS = {
    "tail": ("--size", "64", "--epochs", "6", "--batch", "8", "--set", "views=2"),
    "compact": ("--arch", "compact", "--epochs", "6", "--batch", "8", "--lr", "0.002", "--set", "dropout=0.2"),
    "all": ("--tune", "all", "--size", "32", "--epochs", "3", "--batch", "12"),
}


def begin(command: list[str], words: list[str]) -> subprocess.Popen[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "2"}
    return subprocess.Popen([*command, "train", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def finish(command: list[str], words: list[str]) -> float:
    """The seconds that it took."""
    began = time.monotonic()
    with begin(command, words) as process:
        _, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    return time.monotonic() - began


def probabilities(run: Run) -> np.ndarray:
    answers = Classifier.load(run.path).predict_many(list(run.table.paths))
    return np.array([list(answer.probabilities.values()) for answer in answers])


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_training_killed_at_random_moments_goes_on_to_the_same_classifier(
    command: list[str], clean_sample: Sample, tmp_path: Path, way: str
) -> None:
    first = [str(clean_sample.root), *WAYS[way], "--out"]
    whole_s = finish(command, [*first, str(tmp_path / "whole")])
    run, chance = tmp_path / "killed", random.Random(way)
    for _ in range(N_KILLS):
        words = ["--resume", str(run)] if (run / "run.json").exists() else [*first, str(run)]
        with begin(command, words) as process:
            try:
                process.wait(chance.uniform(0.3, 0.9) * whole_s)  # imports take the first third
            except subprocess.TimeoutExpired:
                process.kill()
            process.communicate()
    assert json.loads((run / "run.json").read_text())["state"] in ("unfinished", "finished")
    finish(command, ["--resume", str(run)])
    whole, killed = Run.load(tmp_path / "whole"), Run.load(run)
    logs = [[{**row, "seconds": 0} for row in one.to_json()["epochs"]] for one in (whole, killed)]
    assert logs[0] == logs[1]
    assert np.array_equal(probabilities(whole), probabilities(killed))
    models = [(one.path / "bundle" / "model.onnx").read_bytes() for one in (whole, killed)]
    assert models[0] == models[1]
