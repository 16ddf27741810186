"""A classifier in the formats of others: what it keeps, what is told of it, and when it is not given away."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from tellapart.errors import CallError, DataError, TellapartError
from tellapart.exports import FORMATS, export_format
from tellapart.exports.graphs import described, network_of
from tellapart.exports.parity import pictures_of
from tellapart.exports.quantizing import FLOAT_LAYERS, calibration_pixels, quantized
from tellapart.files import sha256_of
from tellapart.images.samples import Sample
from tellapart.inference import Classifier
from tellapart.progress import silent
from tellapart.runs import Run

BUNDLE_FILES = ["README.md", "comparison.json", "head.safetensors", "manifest.json", "model.onnx"]
FILES = {
    "onnx": BUNDLE_FILES,
    "onnx-int8": BUNDLE_FILES,
    "openvino": ["README.md", "comparison.json", "model.bin", "model.json", "model.xml"],
}


@pytest.fixture(scope="module")
def exported(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each format, judged on the run's own pictures."""
    root = tmp_path_factory.mktemp("formats")
    for kind in FORMATS:
        export_format(run_folder, root / kind, kind)
    return {kind: root / kind for kind in FORMATS}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_format_is_told_of_beside_it(exported: dict[str, Path], run_folder: Path, kind: str) -> None:
    folder = exported[kind]
    assert sorted(one.name for one in folder.iterdir()) == FILES[kind]
    told = json.loads((folder / "comparison.json").read_text())
    assert (told["format"], told["subject"]) == (kind, "pictures that the run held back")
    base, *rows = told["rows"]
    n_valid = len(Run.load(run_folder).table.in_split("valid"))
    assert {row["n"] for row in told["rows"]} == {n_valid}
    assert base["difference"] is None
    for row in rows:
        assert row["difference"] >= row["usual_difference"] >= 0
        assert row["accuracy"] >= base["accuracy"] - 0.005
        assert row["ms_per_picture"] > 0
    lines = re.findall(r"^\| .*", (folder / "README.md").read_text().partition("| file")[0], re.M)
    assert len(lines) == 2 + len(told["rows"])
    assert f"n = {n_valid}" in lines[2]


def test_integers_take_a_third_of_the_room(exported: dict[str, Path]) -> None:
    sizes = {kind: (exported[kind] / "model.onnx").stat().st_size for kind in ("onnx", "onnx-int8")}
    assert sizes["onnx-int8"] < 0.35 * sizes["onnx"]


@pytest.mark.parametrize("kind", ["onnx", "onnx-int8"])
def test_an_onnx_format_is_a_bundle(exported: dict[str, Path], run_folder: Path, pictures: list[str], kind: str) -> None:
    """To be predicted with, served, and exported again."""
    original, copy = (Classifier.load(folder, library="onnxruntime") for folder in (run_folder, exported[kind]))
    assert copy.classes == original.classes
    for one, other in zip(original.predict_many(pictures[:6]), copy.predict_many(pictures[:6]), strict=True):
        assert abs(one.probabilities[one.label] - other.probabilities[one.label]) < {"onnx": 1e-5, "onnx-int8": 0.25}[kind]
        assert one.unknown == other.unknown
    network = network_of(copy)
    assert network.SerializeToString() == onnx.load(exported[kind] / "model.onnx").SerializeToString()


@pytest.mark.parametrize("kind", FORMATS)
def test_its_readme_shows_how_to_ask_it(
    exported: dict[str, Path], run_folder: Path, pictures: list[str], kind: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported[kind], tmp_path / kind)
    shutil.copy(pictures[0], folder / "picture.jpg")
    [code] = re.findall(r"^```python\n(.*?)^```", (folder / "README.md").read_text(), re.M | re.S)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    label, probability, known = done.stdout.split()
    expected = Classifier.load(run_folder).predict(pictures[0])
    assert label == expected.label
    assert abs(float(probability) - (expected.probability or 0)) < (0.25 if "int8" in kind else 0.06)
    assert known == ("unknown" if expected.unknown else "known")


def test_familiarity_is_what_the_classifier_says(run_folder: Path, pictures: list[str]) -> None:
    classifier = Classifier.load(run_folder, library="onnxruntime")
    session = onnxruntime.InferenceSession(network_of(classifier).SerializeToString())
    pixels = np.stack([classifier.manifest.fit.read(path) for path in pictures[:4]])
    [found] = session.run(["familiarity"], {"pixels": pixels})
    expected = [one.familiarity for one in classifier.predict_many(pictures[:4])]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)
    assert described(classifier)["outputs"]["familiarity"]["shape"] == ["N", 1]


def test_of_other_pictures_the_run_s_own_are_left_out(
    run_folder: Path, sample: Sample, pictures: list[str], tmp_path: Path
) -> None:
    others = shutil.copytree(sample.root, tmp_path / "others")
    shutil.copy(pictures[0], others / Path(pictures[0]).parent.name / "new.png")
    chosen = pictures_of(run_folder, Classifier.load(run_folder), others, progress=silent)
    table = Run.load(run_folder).table
    assert chosen.judged is not None
    judged, own = set(chosen.judged.sha256), {part: set(table.in_split(part).sha256) for part in ("train", "valid", "test")}
    assert sha256_of(pictures[0]) in judged
    assert own["valid"] <= judged
    assert not judged & (own["train"] | own["test"])
    assert {sha256_of(path) for path in chosen.calibration} <= own["train"]
    assert chosen.subject == "pictures of others that were neither trained on nor locked away"


def test_without_pictures_nothing_is_claimed(run_folder: Path, tmp_path: Path) -> None:
    facts = export_format(run_folder / "bundle", tmp_path / "out", "onnx")
    assert [(row["n"], row["accuracy"], row["difference"]) for row in facts["rows"]] == [(0, None, None)] * 2
    assert "NOT judged: there were no labelled pictures" in (tmp_path / "out" / "README.md").read_text()
    assert facts["table"].count("not judged") == 2


def test_a_bundle_is_calibrated_on_every_other_picture(run_folder: Path, clean_sample: Sample, tmp_path: Path) -> None:
    facts = export_format(run_folder / "bundle", tmp_path / "out", "onnx-int8", data=clean_sample.root)
    assert facts["rows"][0]["n"] == 18  # of 36


@pytest.mark.slow
def test_integers_that_cost_accuracy_are_not_written(run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    """Pictures on the very border between two classes, which the float network tells right: its own answers are the truth."""
    classifier = Classifier.load(run_folder)
    fitted = [
        Image.open(path).convert("RGB").resize((96, 96)) for path in (pictures[0], pictures[12], pictures[24], pictures[30])
    ]
    for number, (one, other) in enumerate((a, b) for a in fitted for b in fitted if a is not b):
        blends = [Image.blend(one, other, step / 96) for step in range(97)]
        labels = [classifier.predict(np.asarray(blend)).label for blend in blends]
        for step in (step for step in range(1, 97) if labels[step] != labels[step - 1]):
            for near in (step - 1, step):
                folder = tmp_path / "border" / str(labels[near])
                folder.mkdir(parents=True, exist_ok=True)
                blends[near].save(folder / f"{number}-{near}.png")
    with pytest.raises(TellapartError) as caught:
        export_format(run_folder, tmp_path / "out", "onnx-int8", data=tmp_path / "border")
    assert re.match(r"int8 costs \d+\.\d points of accuracy on \d+ pictures of ", str(caught.value))
    assert "at most 0.5 are given away. Nothing was written. Use --format onnx" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_wrong_calls(run_folder: Path, exported: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(CallError, match="unknown format 'onxx'; did you mean 'onnx'"):
        export_format(run_folder, out, "onxx")
    with pytest.raises(CallError, match=r"onnx is not empty; nothing is overwritten\."):
        export_format(run_folder, exported["onnx"], "onnx")
    with pytest.raises(
        CallError, match=r"int8 is calibrated and judged on pictures that can be read, .* Give labelled ones: --data FOLDER"
    ):
        export_format(run_folder / "bundle", out, "onnx-int8")
    (tmp_path / "cats" / "cat").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "cats" / "cat" / "1.png")
    with pytest.raises(DataError, match="cat"):
        export_format(run_folder, out, "onnx", data=tmp_path / "cats")
    with pytest.raises(CallError, match="absent"):
        export_format(run_folder, out, "onnx", data=tmp_path / "absent")
    assert not out.exists()


def test_calibration_passes_over_broken_pictures(run_folder: Path, pictures: list[str], tmp_path: Path) -> None:
    fit = Classifier.load(run_folder).manifest.fit
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert len(calibration_pixels([pictures[0], str(tmp_path / "broken.png")], fit)) == 1
    with pytest.raises(DataError, match="none of the 1 pictures to calibrate on can be read"):
        calibration_pixels([str(tmp_path / "broken.png")], fit)


def test_a_network_without_convolutions_stays_float() -> None:
    node = onnx.helper.make_node("Identity", ["pixels"], ["probabilities"])
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("pixels", "probabilities")]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "none", info[:1], info[1:]))
    with pytest.raises(CallError, match="int8 is for networks of convolutions, and this one has none"):
        quantized(model, [], FLOAT_LAYERS[0])
    model.graph.node.add(op_type="Conv", input=["pixels", "weights"], output=["maps"])  # as a vision transformer begins
    with pytest.raises(CallError, match="and this one has one alone"):
        quantized(model, [], FLOAT_LAYERS[0])


def test_the_first_convolutions_stay_float(run_folder: Path, pictures: list[str]) -> None:
    classifier = Classifier.load(run_folder)
    model, pixels = network_of(classifier), calibration_pixels(pictures[:4], classifier.manifest.fit)
    for n_float in FLOAT_LAYERS:
        nodes = onnx.load_from_string(quantized(model, pixels, n_float)).graph.node
        made_by = {output: node.op_type for node in nodes for output in node.output}
        in_integers = [made_by.get(node.input[1]) == "DequantizeLinear" for node in nodes if node.op_type == "Conv"]
        assert in_integers == [False] * n_float + [True] * (len(in_integers) - n_float)
