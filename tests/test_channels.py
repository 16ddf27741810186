"""Pictures of five channels all the way: read, checked, learned from by a network from scratch, judged and predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tellapart.checking import check
from tellapart.errors import CallError, DataError, PictureError
from tellapart.evaluations import evaluate
from tellapart.inference import Classifier
from tellapart.inference.classifiers import BUNDLE
from tellapart.rehearsals import write_preview
from tellapart.runs import Run, train
from tellapart.runs.choices import Choices
from tellapart.training import Recipe

pytest.importorskip("torch")
pytest.importorskip("timm")

SIDE_PX, N_CHANNELS, N_PER_CLASS = 24, 5, 20
STRIPES = {"columns": (1, 0), "rows": (0, 1)}
COMPACT = Recipe(arch="compact", epochs=10, batch=16)


def bands(n_channels: int = N_CHANNELS, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise (N, side, side, C), and in the last channel alone the stripes that a class is known by."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    labels = np.repeat(list(STRIPES), N_PER_CLASS)
    values = rng.normal(128, 25, (len(labels), SIDE_PX, SIDE_PX, n_channels))
    for picture, label in zip(values, labels, strict=True):
        along_x, along_y = STRIPES[label]
        picture[..., -1] += 60 * np.sin(2 * np.pi * (along_x * x + along_y * y) / 8 + rng.uniform(0, 6))
    return values.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bands") / "bands.npz"
    values, labels = bands()
    np.savez(path, x=values, y=labels)
    return path


@pytest.fixture(scope="module")
def run(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(source, COMPACT, out=tmp_path_factory.mktemp("run") / "run")


def test_what_the_last_channel_alone_tells_is_learned(run: Run) -> None:
    assert run.report.accuracy is not None
    assert run.report.accuracy > 0.8
    assert f"The network takes pictures of {SIDE_PX} px, their own side." in run.report.notes
    assert f"pictures of {N_CHANNELS} channels" in run.report.notes


def test_the_bundle_says_and_takes_all_channels(run: Run) -> None:
    shape = onnx.load(run.path / BUNDLE / "model.onnx").graph.input[0].type.tensor_type.shape
    assert [side.dim_value for side in shape.dim[1:]] == [SIDE_PX, SIDE_PX, N_CHANNELS]
    assert run.classifier.manifest.to_json()["n_channels"] == N_CHANNELS


@pytest.mark.parametrize("library", ["openvino", "onnxruntime", "torch"])
def test_files_and_arrays_are_predicted_alike(run: Run, source: Path, library: str) -> None:
    pytest.importorskip(library)
    classifier = Classifier.load(run.path, library=library)
    values, labels = bands()
    of_file, of_array = classifier.predict(f"{source}#x/0"), classifier.predict(values[0])
    assert of_file.probabilities == of_array.probabilities
    assert of_file.label == labels[0]
    for tta in (True, ("as_is", "top_left")):
        assert classifier.predict(values[0], tta=tta).label == labels[0]


def test_another_number_of_channels_is_that_rows_error(run: Run, source: Path, pictures: list[str]) -> None:
    found = list(run.classifier.predict_many([f"{source}#x/0", pictures[0], bands(8)[0][0]]))
    assert [one.error for one in found] == [
        None, "has 3 channels, where 5 are wanted", "has 8 channels, where 5 are wanted"
    ]  # fmt: skip
    with pytest.raises(PictureError, match="has 3 channels, where 5 are wanted"):
        run.classifier.predict(pictures[0])


def test_it_is_judged_and_the_report_says_what_is_shown(run: Run, tmp_path: Path) -> None:
    values, labels = bands(seed=1)
    np.savez(tmp_path / "new.npz", x=values, y=labels)
    found = evaluate(run, tmp_path / "new.npz", tta=True)
    assert found.report.n == len(labels)
    assert found.report.facts["Shown"] == "the first three, as red, green and blue, of 5 channels"
    assert "data:image/jpeg" in found.page.read_text()


@pytest.mark.parametrize("quick", [True, False])
def test_a_check_looks_at_what_is_shown(source: Path, quick: bool) -> None:
    report = check(source, quick=quick, recipe=Recipe(size=96))
    assert len(report.table) == 2 * N_PER_CLASS
    assert "looked at and shown: the first three, as red, green and blue, of 5 channels" in report.notes
    assert not any(finding.kind == "unreadable" for finding in report.findings)


@pytest.mark.parametrize(
    "recipe", [Recipe(), Recipe(epochs=1), Recipe("resnet18", "none", 32)], ids=["frozen", "fine-tuned", "random"]
)
def test_a_frozen_backbone_refuses_and_names_the_remedy(source: Path, recipe: Recipe, tmp_path: Path) -> None:
    check(source, quick=True)  # what was looked at before is not taken for what can be learned from
    with pytest.raises(CallError, match=r"these pictures have 5 channels, and the frozen backbone .* knows 3 .*: --arch compact"):
        train(source, recipe, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_preview_shows_three_channels(source: Path, tmp_path: Path) -> None:
    assert write_preview(source, COMPACT, Choices(), tmp_path / "preview.png").page.stat().st_size


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("recipe", [Recipe("resnet10t", "none", 32, epochs=1, lr=1e-3), Recipe("tutorial_cnn", epochs=1)])
@pytest.mark.parametrize("n_channels", [2, 8])
def test_other_networks_from_scratch_take_all_channels(recipe: Recipe, n_channels: int, tmp_path: Path) -> None:
    run = train(bands(n_channels), recipe, out=tmp_path / "run")
    assert run.classifier.manifest.fit.n_channels == n_channels
    assert run.classifier.predict(bands(n_channels)[0][0]).label in STRIPES


@pytest.mark.slow
def test_the_estimator_takes_arrays() -> None:
    pytest.importorskip("sklearn")
    from tellapart import ImageClassifier

    values, labels = bands()
    fitted = ImageClassifier(arch="compact", epochs=20).fit(values, labels)
    assert fitted.predict_proba(values).shape == (len(values), 2)
    assert fitted.score(values, labels) > 0.8
    with pytest.raises(DataError, match="has 8 channels, where 5 are wanted"):
        fitted.predict(bands(8)[0])
    with pytest.raises(CallError, match="these pictures have 5 channels"):
        ImageClassifier().fit(values, labels)
    with pytest.raises(DataError, match=r"X has the shape \(40, 24, 24, 0\): pictures without pixels"):
        ImageClassifier().fit(values[..., :0], labels)
    with pytest.raises(CallError, match="ImageClassifier trains a head, or a network from scratch"):
        ImageClassifier(epochs=2).fit(values, labels)
