from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import tellapart as ta
from tellapart.errors import CallError, TellapartError
from tellapart.images.samples import Sample
from tellapart.runs import Run
from tellapart.runs.choices import Choices
from tellapart.tuning import Tuning, resume, tune

pytest.importorskip("optuna")

SMALL = ta.Recipe(size=96, test_frac=0.2)
FIXED = ("size", "test_frac")


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory, clean_sample: Sample) -> Tuning:
    """A study of the three ways to make a square. Not to be changed: copy its folder."""
    return tune(clean_sample.root, SMALL, fixed=FIXED, n_trials=9, out=tmp_path_factory.mktemp("tuned") / "study")


def test_each_trial_is_a_run_and_the_counts_reconcile(tuned: Tuning) -> None:
    names = ["trial-000", "trial-001", "trial-002"]
    assert sorted(path.name for path in tuned.folder.glob("trial-*")) == names
    assert [one.name for one in tuned.trials] == names
    assert {one.choices["fit"] for one in tuned.trials} == {"crop", "pad", "squish"}
    assert tuned.trials[0].choices == {"fit": "crop"}
    assert tuned.account() == "3 trials = 3 finished + 0 pruned + 0 failed"
    assert tuned.ended == "all 3 combinations were tried"
    accuracy_of = {one.name: one.accuracy for one in tuned.trials}
    for name in names:
        run = Run.load(tuned.folder / name)
        assert run.report.accuracy == accuracy_of[name]
        assert replace(run.recipe, fit="crop") == SMALL


def test_all_trials_are_judged_on_the_same_pictures_and_none_opens_the_test_part(tuned: Tuning) -> None:
    runs = [Run.load(path) for path in sorted(tuned.folder.glob("trial-*"))]
    for part in ("train", "valid", "test"):
        parts = {frozenset(run.table.in_split(part).sha256) for run in runs}
        assert len(parts) == 1
        assert next(iter(parts))
    assert not list(tuned.folder.rglob("test-openings*"))
    assert not list(tuned.folder.rglob("answers-test*"))


def test_the_best_recipe_is_kept_for_train(tuned: Tuning, clean_sample: Sample, tellapart, tmp_path: Path) -> None:
    facts = json.loads(tuned.recipe_file.read_text())
    assert facts["run"] == tuned.best.run.path.name
    assert ta.Recipe.from_json(facts["recipe"]) == tuned.recipe == tuned.best.run.recipe
    assert facts["accuracy"] == tuned.best.answers.accuracy == max(one.accuracy or 0 for one in tuned.trials)
    done = tellapart("train", clean_sample.root, "--recipe", tuned.recipe_file, "--out", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    assert Run.load(tmp_path / "run").recipe == tuned.recipe


def test_the_text_says_how_far_it_can_be_believed(tuned: Tuning) -> None:
    lines = tuned.text().splitlines()
    n = len(tuned.best.answers)
    assert lines[0].startswith("3 trials = 3 finished + 0 pruned + 0 failed, in ")
    assert lines[0].endswith(f" s; judged on {n} validation pictures")
    assert lines[1].split("  ")[0] == "trial"
    assert lines[2].startswith(f"{tuned.best.run.path.name}  ")
    assert lines[2].endswith(f"fit {tuned.recipe.fit}")
    assert f"The best of 3 trials was chosen on these very {n} validation pictures, so its accuracy flatters it" in lines[5]
    assert lines[5].endswith(f"tellapart evaluate {tuned.best.run.path}")
    assert any("trial-000, the recipe that the search began with" in line for line in lines)
    assert lines[-1] == f"train: tellapart train {tuned.plan.source} --recipe {tuned.recipe_file}"  # no more: all were tried


def test_json_says_the_same(tuned: Tuning) -> None:
    value = json.loads(json.dumps(tuned.to_json(), allow_nan=False))
    assert (value["n_trials"], value["n_finished"], value["n_pruned"], value["n_failed"]) == (3, 3, 0, 0)
    assert value["best"]["recipe"] == tuned.recipe.to_json()
    assert value["best"]["accuracy"] == tuned.best.answers.accuracy
    assert value["best"]["accuracy_interval"] == list(tuned.best.answers.interval)
    assert [one["state"] for one in value["trials"]] == ["finished"] * 3
    assert value["fixed"] == {"size": 96, "test_frac": 0.2}
    assert value["importances"] is None
    assert value["notes"] == list(tuned.notes)


def test_runs_compares_the_trials(tuned: Tuning, tellapart) -> None:
    value = json.loads(tellapart("runs", tuned.folder, "--json").stdout)
    assert [Path(one["run"]).name for one in value["runs"]] == [entry.run.path.name for entry in tuned.comparison.entries]


@pytest.mark.slow
def test_a_study_is_gone_on_with_in_its_folder(clean_sample: Sample, tellapart, tmp_path: Path) -> None:
    study = tmp_path / "study"
    done = tellapart("tune", clean_sample.root, "--size", "96", "--trials", "1", "--out", study, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_trials"] == 1
    assert json.loads(done.stdout)["ended"] is None
    again = tellapart("tune", "--resume", study, "--trials", "2", "--json")
    assert again.returncode == 0, again.stderr
    assert [one["number"] for one in json.loads(again.stdout)["trials"]] == [0, 1]
    refused = tellapart("tune", "--resume", study, "--set", "size=128")
    assert refused.returncode == 2
    assert "was begun with size=96, not 128. Begin another study: --out" in refused.stderr
    same = resume(study, source=clean_sample.root, recipe=ta.Recipe(size=96), fixed=("size",))
    assert same.account() == "2 trials = 2 finished + 0 pruned + 0 failed"  # as many as it was begun with are there
    for wrong, text in (
        ({"recipe": ta.Recipe(balance=1), "fixed": ("balance",)}, "was begun without balance=1"),
        ({"choices": Choices(drop=("circle",))}, "was begun with other pictures dropped, edited or split"),
        ({"source": tmp_path}, f"is a study of {clean_sample.root}, not of {tmp_path}"),
    ):
        with pytest.raises(CallError, match=re.escape(text)):
            resume(study, **wrong)
    assert sorted(path.name for path in study.glob("trial-*")) == ["trial-000", "trial-001"]


def test_changed_pictures_are_another_study(tuned: Tuning, clean_sample: Sample, tmp_path: Path) -> None:
    study = Path(shutil.copytree(tuned.folder, tmp_path / "study"))
    moved = Path(shutil.copytree(clean_sample.root, tmp_path / "data"))
    facts = json.loads((study / "study.json").read_text())
    (study / "study.json").write_text(json.dumps(facts | {"source": str(moved)}))
    assert len(resume(study).trials) == 3
    next(moved.glob("circle/*")).unlink()
    with pytest.raises(CallError, match="have changed since it was begun"):
        resume(study)


def test_a_table_in_memory_is_given_again(clean_sample: Sample, tmp_path: Path) -> None:
    table = ta.read(clean_sample.root)
    tune(table, SMALL, fixed=FIXED, n_trials=1, out=tmp_path / "study")
    with pytest.raises(CallError, match="was begun on a table in memory; give it again"):
        resume(tmp_path / "study", n_trials=2)
    assert len(resume(tmp_path / "study", source=table, n_trials=2).trials) == 2
    with pytest.raises(CallError, match="have changed since it was begun"):
        resume(tmp_path / "study", source=table.take(range(1, len(table))), n_trials=3)


def test_calls_that_cannot_be_meant_leave_nothing_behind(clean_sample: Sample, tuned: Tuning, tmp_path: Path) -> None:
    out = tmp_path / "study"
    for wrong, text in (
        ({"n_trials": 0}, "0 trials cannot be made; give a number from 1 to 100,000: --trials 20"),
        ({"budget_s": 0.0}, "there is no time for a trial; give some: --budget 30m"),
        ({"fixed": ("size", "fit", "balance")}, "nothing is left to search"),
        ({"recipe": ta.Recipe(budget_s=60), "budget_s": 30.0}, "a budget of 30 s is too short for one trial of 60 s"),
    ):
        with pytest.raises(TellapartError, match=text):
            tune(clean_sample.root, **({"out": out} | wrong))
        assert not out.exists()
    with pytest.raises(CallError, match=r"is not empty; nothing is overwritten\. Choose another --out"):
        tune(clean_sample.root, out=clean_sample.root)
    with pytest.raises(CallError, match=r"already holds a study\. Go on with it: tellapart tune --resume "):
        tune(clean_sample.root, out=tuned.folder)
    with pytest.raises(CallError, match=r"holds no study: there is no study\.json in it"):
        resume(tmp_path)


def test_a_time_too_short_for_one_trial_is_said_and_can_be_made_good(clean_sample: Sample, tmp_path: Path) -> None:
    with pytest.raises(TellapartError, match=r"the time was up before one trial was finished\. Give more: tellapart tune"):
        tune(clean_sample.root, SMALL, fixed=FIXED, budget_s=1e-3, out=tmp_path / "study")
    assert not list((tmp_path / "study").glob("trial-*"))
    found = resume(tmp_path / "study", n_trials=1)
    assert found.account() == "1 trial = 1 finished + 0 pruned + 0 failed"


def test_a_trial_that_runs_out_of_time_is_counted_and_tried_again(
    clean_sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour passes while the first picture is embedded; the cache knows none of this size."""
    recipe, hours = replace(SMALL, size=104), [0.0]

    def pass_an_hour(what: str, done: int, total: int) -> None:
        hours[0] += 3600 * (what == "embedding")

    with monkeypatch.context() as patch:
        patch.setattr("tellapart.tuning.trying.time", SimpleNamespace(monotonic=lambda: hours[0]))
        with pytest.raises(TellapartError, match="the time was up before one trial was finished"):
            tune(clean_sample.root, recipe, fixed=FIXED, budget_s=600, out=tmp_path / "study", progress=pass_an_hour)
    assert not list((tmp_path / "study").glob("trial-*"))
    found = resume(tmp_path / "study", n_trials=2)
    assert [(one.state, one.reason) for one in found.trials] == [("failed", "the time was up"), ("finished", "")]
    assert found.trials[0].choices == found.trials[1].choices
    assert "trial-000 failed: the time was up; trial-001 is the same recipe again" in found.notes


@pytest.mark.slow
def test_where_every_trial_fails_the_first_reason_is_said(clean_sample: Sample, tmp_path: Path) -> None:
    """From scratch a second is too short to learn anything."""
    pytest.importorskip("timm")
    recipe = ta.Recipe(arch="compact", budget_s=1)
    with pytest.raises(TellapartError, match=r"none of 5 trials finished; trial-000: .*Give it more time \(--budget\)"):
        tune(clean_sample.root, recipe, fixed=("arch", "budget_s"), n_trials=9, out=tmp_path / "study")
    assert not list((tmp_path / "study").glob("trial-*"))


@pytest.mark.slow
def test_trials_that_do_worse_than_others_are_pruned_and_leave_no_run(clean_sample: Sample, tmp_path: Path) -> None:
    """After four trials that learn, one whose rate is too small to learn anything."""
    pytest.importorskip("timm")
    recipe = ta.Recipe(arch="compact", size=32, epochs=6, augment="none", batch=8)
    fixed = tuple(set(recipe.to_json()) - {"lr"})
    study = tmp_path / "study"
    found = tune(clean_sample.root, recipe, fixed=fixed, n_trials=12, out=study)
    assert len(found.trials) == 12
    pruned = [one for one in found.trials if one.state == "pruned"]
    assert pruned
    assert all(re.fullmatch(r"\d+\.\d % after epoch [2-5]: below the median of the others", one.reason) for one in pruned)
    assert sorted(path.name for path in study.glob("trial-*")) == [one.name for one in found.trials if one.state == "finished"]
    assert found.account() == f"12 trials = {12 - len(pruned)} finished + {len(pruned)} pruned + 0 failed"


@pytest.mark.slow
def test_a_killed_study_goes_on(clean_sample: Sample, command: list[str], cache: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    words = [*command, "tune", str(clean_sample.root), "--set", "fit=crop", "--trials", "4", "--out", str(study)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while not (study / "trial-001" / "run.json").exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    found = resume(study)
    assert found.account() == "4 trials = 3 finished + 0 pruned + 1 failed"
    assert (found.trials[1].reason, found.trials[2].choices) == ("it was interrupted", found.trials[1].choices)
    assert "trial-001 failed: it was interrupted; trial-002 is the same recipe again" in found.notes
    assert sorted(path.name for path in study.glob("trial-*")) == ["trial-000", "trial-002", "trial-003"]
