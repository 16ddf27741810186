"""Pictures in containers on their whole way: trained on, judged, predicted, exported."""

from __future__ import annotations

import csv
import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tellapart.bulk.listing import PassedOver, find_pictures
from tellapart.errors import CallError
from tellapart.evaluations import evaluate
from tellapart.exports import export
from tellapart.images import open_picture
from tellapart.predictions import refuse_overwriting
from tellapart.runs import Run, train
from tellapart.training import Recipe

Cli = Callable[..., Any]


def shapes(paths: list[str]) -> tuple[np.ndarray, list[str]]:
    """(N, 32, 32, 3) uint8 of the drawn shapes, and their labels."""
    return np.stack([np.asarray(open_picture(path).resize((32, 32))) for path in paths]), [
        Path(path).parent.name for path in paths
    ]


def pixel_csv(path: Path, values: np.ndarray, labels: list[str] | None = None) -> Path:
    rows = [[*([labels[number]] if labels else []), *row.ravel().tolist()] for number, row in enumerate(values)]
    names = [*(["label"] if labels else []), *(f"pixel{number}" for number in range(values[0].size))]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def test_a_run_on_pixels_is_judged_predicted_and_exported(tmp_path: Path, pictures: list[str]) -> None:
    values, labels = shapes(pictures)
    source = pixel_csv(tmp_path / "shapes.csv", values, labels)
    run = train(source, Recipe(size=64), out=tmp_path / "run")
    loaded = Run.load(tmp_path / "run")
    assert {path.partition("#")[0] for path in loaded.table.paths} == {str(source)}
    assert evaluate(loaded).report.accuracy == run.report.accuracy
    assert export(tmp_path / "run", tmp_path / "bundle")["n_pictures"] > 0
    np.save(tmp_path / "new.npy", values)
    passed = PassedOver()
    predictions = list(loaded.classifier.predict_many(find_pictures([str(tmp_path / "new.npy")], passed)))
    assert (len(predictions), passed.n) == (len(pictures), 0)
    assert np.mean([one.label == label for one, label in zip(predictions, labels, strict=True)]) > 0.8


def test_predicting_a_container_predicts_each_member(
    tellapart: Cli, run_folder: Path, tmp_path: Path, pictures: list[str]
) -> None:
    source = pixel_csv(tmp_path / "new.csv", shapes(pictures[:3])[0])
    done = tellapart("predict", run_folder, source, "--out", tmp_path / "predictions.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "predictions.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [f"{source}#{number}" for number in range(3)]
    refused = tellapart("predict", run_folder, source, "--out", source)
    assert refused.returncode == 2
    assert f"{source} is one of the pictures to predict, or holds some; nothing is overwritten." in refused.stderr


def test_a_folder_of_idx_files_means_each_of_their_pictures(tmp_path: Path) -> None:
    header = struct.pack(">2xBB3I", 8, 3, 2, 4, 5)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(header + bytes(40))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + bytes(40)))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">2xBBI", 8, 1, 2) + bytes(2))
    (tmp_path / "notes.txt").write_text("x")
    passed = PassedOver()
    found = list(find_pictures([str(tmp_path)], passed))
    names = ["train-images-idx3-ubyte#0", "train-images-idx3-ubyte#1"]
    names += ["t10k-images-idx3-ubyte.gz#0", "t10k-images-idx3-ubyte.gz#1"]
    assert found == [str(tmp_path / name) for name in names]
    assert passed.n == 1
    assert passed.first is not None
    assert Path(passed.first.path).name == "notes.txt"


def test_pictures_to_predict_may_be_named_by_a_table(tmp_path: Path, pictures: list[str]) -> None:
    table = tmp_path / "list.csv"
    table.write_text("file\n" + "\n".join([*pictures[:3], "gone.png"]))
    passed = PassedOver()
    assert list(find_pictures([pictures[4], str(table)], passed)) == [pictures[4], *pictures[:3]]
    assert [skip.reason for skip in passed.unreadable] == ["no such file: row 5"]
    for out in (pictures[0], str(table)):
        with pytest.raises(CallError, match="is one of the pictures to predict"):
            refuse_overwriting(out, [pictures[4], str(table)])
