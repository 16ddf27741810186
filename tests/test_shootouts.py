from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

import tellapart as ta
from tellapart.errors import BundleError, CallError
from tellapart.images.samples import Sample
from tellapart.runs import Run
from tellapart.shootouts import NOTE, Contender, Shootout, _Result, _with_differences, shootout

RECIPE = ta.Recipe(size=96)
CONTENDER = Contender("a", "random", 8, 100, 90, 0.3, 50.0, 1.25, 0)


def with_right(arch: str, *wrong: int) -> _Result:
    is_right = np.ones(100, bool)
    is_right[list(wrong)] = False
    return _Result(replace(CONTENDER, arch=arch, n_right=int(is_right.sum())), is_right)


def test_the_bundled_backbone_is_judged_as_training_judges_it(run_folder) -> None:
    """By the folds of its training part: what a run with the same choices keeps."""
    run = Run.load(run_folder)
    found = shootout(run.table, run.recipe, ["efficientnet_lite0"])
    kept = load_file(run_folder / "fold_probabilities.safetensors")["probabilities"]
    training = run.table.in_split("train")
    assert (found.best.n, found.best.n_right) == (len(training), int((kept.argmax(1) == training.codes).sum()))
    assert (found.best.n_cached, found.best.n_features) == (len(set(training.sha256)), 3136)
    assert found.best.pictures_per_s > 1
    assert found.best.to_best is None


def test_the_others_are_compared_with_the_best() -> None:
    best, near, far = _with_differences([with_right("a", 1), with_right("b", 2, 3), with_right("c", *range(20, 50))], seed=0)
    assert (best.arch, best.to_best) == ("a", None)
    assert (near.to_best.n_gained, near.to_best.n_lost, near.to_best.is_noise) == (1, 2, True)
    assert (far.to_best.value, far.to_best.is_noise) == (pytest.approx(-0.29), False)
    lines = Shootout((best, near, far), (("d", "no weights"),)).text().splitlines()
    assert lines[0] == "100 training pictures"
    assert lines[2].split()[:2] == ["a", "99.0"]
    assert lines[3].endswith(": could be noise, p = 1")
    assert "more than noise" in lines[4]
    assert lines[5:] == ["left out: d: no weights", f"note: {NOTE}"]


def test_json_holds_plain_values() -> None:
    found = Shootout(_with_differences([with_right("a"), with_right("b", 2)], seed=0), ())
    value = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (value["best"], [one["accuracy"] for one in value["backbones"]]) == ("a", [1, 0.99])
    assert value["backbones"][1]["to_best"]["is_noise"] is True
    assert value["backbones"][0]["to_best"] is None


def test_nothing_to_compare_is_refused(clean_sample: Sample) -> None:
    with pytest.raises(CallError, match="no backbone is named; give some: --arch "):
        shootout(ta.read(clean_sample.root), RECIPE, [])


@pytest.mark.slow
def test_networks_of_timm_take_part_and_what_cannot_be_had_is_left_out(clean_sample: Sample, monkeypatch) -> None:
    pytest.importorskip("timm")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    table = ta.split(ta.read(clean_sample.root))
    found = shootout(table, RECIPE, ["efficientnet_lite0", "mobilenetv3_small_050", "efficientnet_lite0"])
    assert [one.arch for one in found.contenders] == ["efficientnet_lite0"]
    assert [arch for arch, _ in found.skipped] == ["mobilenetv3_small_050"]
    assert "cannot be had from the hub" in found.skipped[0][1]
    random = shootout(table, replace(RECIPE, weights="none"), ["mobilenetv3_small_050", "resnet10t"])
    assert {one.arch for one in random.contenders} == {"mobilenetv3_small_050", "resnet10t"}
    assert all(one.n == len(table.in_split("train")) for one in random.contenders)
    with pytest.raises(CallError, match=r"unknown backbone 'resnet10z'"):
        shootout(table, RECIPE, ["efficientnet_lite0", "resnet10z"])
    with pytest.raises(BundleError, match="cannot be had from the hub"):
        shootout(table, RECIPE, ["mobilenetv3_small_050"])
