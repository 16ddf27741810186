"""Several labels a picture, from the table to the predictions, through the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image
from safetensors.numpy import load_file

import tellapart as ta
from tellapart.comparing import compare
from tellapart.errors import CallError, DataError
from tellapart.images.coins import draw_coin
from tellapart.inference.manifests import FORMAT, Manifest
from tellapart.runs import Run
from tellapart.shootouts import shootout
from tellapart.sources import Columns, read
from tellapart.training import Recipe

SEVERAL = Columns(label_sep="|")
SIDE_PX = 96
N_COINS = 72


@pytest.fixture(scope="module")
def coins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of drawn coins: gold or of another metal, pale or not, and some that are neither."""
    root = tmp_path_factory.mktemp("coins")
    rng, rows = np.random.default_rng(0), []
    for number in range(N_COINS):
        is_gold, is_pale = bool(number % 2), number % 3 == 0
        picture = draw_coin("gold" if is_gold else "silver", rng, side_px=64)
        if is_pale:
            picture = Image.blend(picture, Image.new("RGB", picture.size, "white"), 0.6)
        picture.save(root / f"{number}.png")
        rows.append((f"{number}.png", "|".join(["gold"] * is_gold + ["pale"] * is_pale)))
    with (root / "coins.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "labels"), *rows])
    return root / "coins.csv"


@pytest.fixture(scope="module")
def trained_coins(coins: Path, tmp_path_factory: pytest.TempPathFactory, tellapart: Any) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("several") / "run"
    words = ("--label-sep", "|", "--size", str(SIDE_PX), "--test", "0.2", "--json")
    done = tellapart("train", coins, "--out", folder, *words)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_a_run_on_several_labels_leaves_everything_behind(trained_coins: tuple[Path, dict[str, Any]]) -> None:
    folder, facts = trained_coins
    run = Run.load(folder)
    assert (facts["classes"], run.table.multi_label, run.report.accuracy) == (["gold", "pale"], True, facts["accuracy"])
    assert facts["accuracy"] > 0.5
    folds = load_file(folder / "fold_probabilities.safetensors")["probabilities"]
    targets = run.table.in_split("train").targets
    assert folds.shape == targets.shape
    assert ((folds >= 0.5) == targets).mean() > 0.8
    manifest = Manifest.read(folder / "bundle")
    assert manifest.several
    assert list(manifest.thresholds or {}) == ["gold", "pale"]
    assert json.loads((folder / "bundle" / "manifest.json").read_text())["format"] == FORMAT
    assert onnx.load(folder / "bundle" / "model.onnx").graph.node[-1].op_type == "Sigmoid"
    assert all(part.classes == ("gold", "pale") for part in map(run.table.in_split, ("train", "valid", "test")))
    assert any("threshold was chosen on these pictures" in note for note in run.report.notes)


def test_predictions_name_all_labels(
    trained_coins: tuple[Path, dict[str, Any]], coins: Path, tmp_path: Path, tellapart: Any
) -> None:
    folder, _ = trained_coins
    out = tmp_path / "predictions.csv"
    done = tellapart("predict", folder, coins, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    predictions = [json.loads(line) for line in done.stdout.splitlines()]
    thresholds = Manifest.read(folder / "bundle").thresholds or {}
    for one in predictions:
        said = [name for name in thresholds if one["probabilities"][name] >= thresholds[name]]
        assert sorted(one["labels"]) == said
        assert one["label"] == (max(said, key=one["probabilities"].__getitem__) if said else "")
        assert one["probability"] == (one["probabilities"][one["label"]] if said else max(one["probabilities"].values()))
    assert {len(one["labels"]) for one in predictions} == {0, 1, 2}
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["labels"] for row in rows] == ["|".join(one["labels"]) for one in predictions]
    shown = tellapart("predict", folder, coins).stdout
    assert "none of the labels" in shown


def test_the_locked_part_and_other_pictures_are_judged(
    trained_coins: tuple[Path, dict[str, Any]], coins: Path, tmp_path: Path, tellapart: Any
) -> None:
    folder, _ = trained_coins
    locked = tellapart("evaluate", folder)
    assert "with all labels right" in locked.stdout, locked.stderr
    assert "These pictures were locked away from the training." in locked.stdout
    again = tellapart("evaluate", folder, coins, "--label-sep", "|", "--json")
    facts = json.loads(again.stdout)
    assert (facts["n"], set(facts["per_class"])) == (N_COINS, {"gold", "pale"})
    assert "were trained on: of that the accuracy says nothing; of the others:" in facts["notes"][-1]
    unknown = tmp_path / "unknown.csv"
    unknown.write_text(f"file,labels\n{coins.parent / '0.png'},golden|pale\n{coins.parent / '1.png'},gold\n")
    refused = tellapart("evaluate", folder, unknown, "--label-sep", "|")
    assert refused.returncode != 0
    assert "'golden' (1 picture; did you mean 'gold'?)" in refused.stderr


def test_runs_on_several_labels_are_compared_picture_by_picture(
    trained_coins: tuple[Path, dict[str, Any]], coins: Path, tmp_path: Path
) -> None:
    folder, facts = trained_coins
    other = ta.train(coins, Recipe(size=64, test_frac=0.2), columns=SEVERAL, out=tmp_path / "other")
    found = compare([folder, other.path])
    assert {entry.answers.accuracy for entry in found.entries} == {facts["accuracy"], other.report.accuracy}
    assert found.entries[1].to_best is not None
    assert found.entries[1].to_best.is_paired


def test_what_needs_one_label_says_so(
    trained_coins: tuple[Path, dict[str, Any]], run_folder: Path, coins: Path, tmp_path: Path
) -> None:
    with pytest.raises(CallError, match=r"balance 0\.5 weighs each picture by its class, but these have several labels"):
        ta.train(coins, Recipe(balance=0.5), columns=SEVERAL, out=tmp_path / "run")
    with pytest.raises(CallError, match="sampling 'balanced' draws pictures by their class"):
        ta.train(coins, Recipe(sampling="balanced", epochs=1), columns=SEVERAL, out=tmp_path / "run")
    with pytest.raises(CallError, match="backbones are compared on one label a picture"):
        shootout(read(coins, columns=SEVERAL), Recipe(), ["efficientnet_lite0", "resnet18"])
    with pytest.raises(DataError, match="these pictures have several labels each, but the classifier was trained on one label"):
        ta.evaluate(Run.load(run_folder), coins, columns=SEVERAL)
    with pytest.raises(DataError, match=r"what stands between those of a cell\? --label-sep '\|'"):
        ta.evaluate(Run.load(trained_coins[0]), coins)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (["a", "a|b", "a", "a|b", "a"], r"1 label is on all of 5 training pictures|1 label is on all of 4 training pictures"),
        (["a", "", "a", "", ""], "one class, 'a' has pictures to train on"),
        (["", "", "", "", ""], "no class has pictures to train on"),
    ],
)
def test_labels_that_tell_nothing_are_named(cells: list[str], text: str, coins: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("file,labels\n" + "".join(f"{coins.parent / f'{row}.png'},{cell}\n" for row, cell in enumerate(cells)))
    with pytest.raises(DataError, match=text):
        ta.train(table, columns=Columns(label="labels", label_sep="|"), out=tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [{"tune": "tail"}, {"tune": "all", "mixup": 0.2}, {"arch": "compact"}], ids=["tail", "all", "scratch"]
)
def test_networks_learn_several_labels(more: dict[str, Any], coins: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    run = ta.train(coins, Recipe(size=SIDE_PX, epochs=1, batch=16, lr=1e-3, **more), columns=SEVERAL, out=tmp_path / "run")
    assert run.is_trained
    assert run.classifier.several
    assert sum(map(len, (one.labels for one in run.classifier.predict_many(run.table.paths)))) > 0
