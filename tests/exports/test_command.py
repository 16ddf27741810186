"""`tellapart export` as it is called: what it prints, and what a wrong call gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_a_format_prints_its_table(tellapart, run_folder: Path, tmp_path: Path) -> None:
    done = tellapart("export", run_folder, "--out", tmp_path / "out", "--format", "openvino")
    assert done.returncode == 0, done.stderr
    files, *rows = done.stdout.splitlines()
    assert files == f"{tmp_path / 'out'}: README.md, comparison.json, model.bin, model.json, model.xml"
    assert [row.split("|")[1].strip() for row in rows] == ["network", "-------", "the bundle's", "model.xml"]
    assert "\n".join(rows) in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
def test_a_format_as_json_predicts(tellapart, run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    done = tellapart("export", run_folder, "--out", tmp_path / "out", "--format", "onnx-int8", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    assert (facts["out"], facts["format"]) == (str(tmp_path / "out"), "onnx-int8")
    assert facts["rows"][-1]["network"] == "model.onnx, int8"
    predicted = tellapart("predict", tmp_path / "out", pictures[0], "--json")
    assert json.loads(predicted.stdout)["label"] in ("circle", "square", "triangle")


def test_an_image_is_called_as_told(tellapart, run_folder: Path, tmp_path: Path) -> None:
    done = tellapart("export", run_folder, "--docker", tmp_path / "image", "--name", "shapes")
    assert done.returncode == 0, done.stderr
    assert f"; how to build and run it: {tmp_path / 'image' / 'README.md'}" in done.stdout
    assert '"shapes=model"' in (tmp_path / "image" / "start.sh").read_text()


def test_a_page_is_checked(tellapart, run_folder: Path, tmp_path: Path) -> None:
    done = tellapart("export", run_folder, "--web", tmp_path / "page", "--name", "Shapes & co")
    assert done.returncode == 0, done.stderr
    assert "pictures no probability differs by more than " in done.stdout
    assert json.loads((tmp_path / "page" / "model.json").read_text())["name"] == "Shapes & co"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say where to export to: one of --out DIR, --docker DIR and --web DIR"),
        (("--out", "a", "--web", "b"), "say where to export to: one of"),
        (("--docker", "a", "--format", "onnx"), "a --format is written to an --out DIR"),
        (("--out", "a", "--data", "b"), "--data is what a --format is judged on: give one"),
        (("--out", "a", "--name", "b"), "--name is of what is served: with --docker or --web"),
        (("--out", "a", "--format", "tflite"), "unknown format 'tflite'; known: onnx, onnx-int8, openvino"),
        (("--docker", "a", "--name", "!"), "'!' is no name for a service"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_call(tellapart, run_folder: Path, tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    done = tellapart("export", run_folder, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert list(tmp_path.iterdir()) == []
