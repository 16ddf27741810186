"""Runs that train the network itself, from the pictures to the bundle."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tellapart.errors import CallError
from tellapart.evaluations import evaluate
from tellapart.images.samples import Sample
from tellapart.inference import Classifier
from tellapart.runs import Run, resume, train
from tellapart.training import Recipe

pytest.importorskip("torch")
pytest.importorskip("timm")

FROM_SCRATCH = Recipe(arch="tutorial_cnn", size=32, epochs=2, batch=16, lr=0.002)


@pytest.fixture(scope="module")
def from_scratch(clean_sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Run:
    told = []
    run = train(clean_sample.root, FROM_SCRATCH, out=tmp_path_factory.mktemp("scratch") / "run", told=told.append)
    assert [epoch.number for epoch in told] == [1, 2]
    return run


def test_a_network_from_scratch_is_a_run_like_any_other(from_scratch: Run, clean_sample: Sample) -> None:
    loaded = Run.load(from_scratch.path)
    assert loaded.is_trained
    assert [epoch["number"] for epoch in loaded.to_json()["epochs"]] == [1, 2]
    picture = next(path for path in loaded.table.paths)
    assert sum(Classifier.load(loaded.path).predict(picture).probabilities.values()) == pytest.approx(1, abs=1e-3)
    assert evaluate(loaded).report.n == len(loaded.table.in_split("valid"))
    assert any("Which epoch's network is kept was chosen on these pictures" in note for note in loaded.report.notes)


def test_each_epoch_has_its_line_and_the_curves_their_page(from_scratch: Run) -> None:
    lines = [json.loads(line) for line in (from_scratch.path / "log.jsonl").read_text().splitlines()]
    with (from_scratch.path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [line["number"] for line in lines] == [int(row["number"]) for row in rows] == [1, 2]
    assert "<svg" in (from_scratch.path / "training.html").read_text()
    assert not (from_scratch.path / "checkpoint.safetensors").exists()


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_network(from_scratch: Run, clean_sample: Sample, tmp_path: Path) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(clean_sample.root, FROM_SCRATCH, out=tmp_path / "run", told=stop)
    resumed = resume(tmp_path / "run")
    pictures = from_scratch.table.paths[:8]
    one, other = (
        np.array([list(answer.probabilities.values()) for answer in run.classifier.predict_many(pictures)])
        for run in (from_scratch, resumed)
    )
    assert np.array_equal(one, other)


@pytest.mark.slow
def test_a_tail_is_never_worse_than_its_head(clean_sample: Sample, tmp_path: Path) -> None:
    recipe = Recipe(size=96, epochs=1, augment="none")
    head = train(clean_sample.root, replace(recipe, epochs=0), out=tmp_path / "head")
    tuned = train(clean_sample.root, recipe, out=tmp_path / "tuned")
    assert tuned.report.accuracy >= head.report.accuracy
    assert not head.is_trained
    assert tuned.is_trained


def test_what_was_planned_stands_in_the_run(from_scratch: Run) -> None:
    plan = from_scratch.to_json()["plan"]
    assert (plan["part"], plan["epochs"], plan["batch"], plan["lr"], plan["n_frozen"]) == ("all", 2, 16, 0.002, 0)
    assert plan["seconds"] > plan["epoch_s"] > 0


@pytest.mark.slow
def test_the_command_says_its_plan_first_and_trains_nothing_where_asked(clean_sample: Sample, tellapart, tmp_path: Path) -> None:
    words = ("train", clean_sample.root, "--arch", "tutorial_cnn", "--size", "32", "--epochs", "1", "--batch", "16")
    done = tellapart(*words, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "To train is the whole network: " in done.stderr
    assert "1 epoch of about " in done.stderr
    summary = json.loads(tellapart(*words, "--summary", "--json").stdout)
    assert summary["layers"][-1]["kind"] == "Linear"
    rates = tellapart(*words, "--find-lr", "--out", tmp_path / "rates.svg")
    assert [line.partition(":")[0] for line in rates.stdout.splitlines()] == ["steepest", "valley", "swept", "note", "curve"]
    assert (tmp_path / "rates.svg").is_file()
    wrong = tellapart(*words, "--find-lr", "--summary")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "give one of them" in wrong.stderr


@pytest.mark.slow
def test_the_command_ends_well_where_the_rate_ruins_the_network(clean_sample: Sample, tellapart, tmp_path: Path) -> None:
    words = ("--arch", "compact", "--size", "32", "--epochs", "2", "--lr", "100")
    done = tellapart("train", clean_sample.root, *words, "--out", tmp_path / "run")
    assert (done.returncode, done.stdout) == (1, "")
    assert "The training diverged in epoch 1" in done.stderr
    assert "there is no network to keep" in done.stderr


def test_trackers_are_refused_before_there_is_a_folder(clean_sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"unknown tracker 'mlfow'; did you mean 'mlflow'\?"):
        train(clean_sample.root, FROM_SCRATCH, out=tmp_path / "run", track=("mlfow",))
    with pytest.raises(CallError, match="a head alone has no epochs to track"):
        train(clean_sample.root, Recipe(size=96), out=tmp_path / "run", track=("mlflow",))
    if find_spec("tensorboard") is None:
        with pytest.raises(CallError, match="the tracker 'tensorboard' is not installed: pip install tensorboard"):
            train(clean_sample.root, FROM_SCRATCH, out=tmp_path / "run", track=("tensorboard",))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what these packages say of their own dependencies
@pytest.mark.skipif(find_spec("tensorboard") is None, reason="TensorBoard is not installed")
def test_a_resumed_training_goes_on_in_its_tracker(clean_sample: Sample, tmp_path: Path) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(clean_sample.root, FROM_SCRATCH, out=tmp_path / "run", track=("tensorboard",), told=stop)
    resumed = resume(tmp_path / "run")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [one.step for one in found.Scalars("valid_loss")] == [1, 2]
    assert any("tensorboard --logdir" in note for note in resumed.to_json()["notes"])


def test_what_cannot_be_meant_is_refused(clean_sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(CallError, match="compact has no weights to begin with"):
        Recipe(arch="compact", epochs=0)
    with pytest.raises(CallError, match=r"always trained from scratch\. Leave --weights out"):
        train(clean_sample.root, replace(FROM_SCRATCH, weights="resnet.safetensors"), out=tmp_path / "run")
