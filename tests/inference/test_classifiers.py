from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tellapart.errors import BundleError, CallError, PictureError
from tellapart.images import open_picture
from tellapart.inference import Classifier
from tellapart.inference.runtimes import BATCH


@pytest.fixture(scope="module")
def classifier(run_folder: Path) -> Classifier:
    return Classifier.load(run_folder)


def change_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = bundle / "manifest.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_a_prediction_holds_every_class(classifier: Classifier, pictures: list[str]) -> None:
    prediction = classifier.predict(pictures[0])
    assert classifier.classes == ("circle", "square", "triangle")
    assert tuple(prediction.probabilities) == classifier.classes
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-3)
    assert prediction.probability == max(prediction.probabilities.values()) == prediction.probabilities[prediction.label]
    assert (prediction.path, prediction.error) == (pictures[0], None)
    assert prediction.unknown is (prediction.familiarity < classifier.manifest.unknown_below)
    assert list(prediction.to_json()) == ["path", "label", "probability", "probabilities", "unknown", "error", "labels"]
    assert prediction.labels == (prediction.label,)


def test_it_has_learned_something(classifier: Classifier, pictures: list[str]) -> None:
    right = [prediction.label == Path(prediction.path).parent.name for prediction in classifier.predict_many(pictures)]
    assert sum(right) > 0.7 * len(pictures)


def test_a_path_and_its_bytes_are_the_same_picture(classifier: Classifier, pictures: list[str]) -> None:
    by_name, by_path, by_bytes = (
        classifier.predict(one) for one in (pictures[0], Path(pictures[0]), Path(pictures[0]).read_bytes())
    )
    assert by_name == by_path
    assert by_bytes.path == ""
    assert by_bytes.probabilities == by_name.probabilities


def test_a_picture_is_judged_alike_in_every_company(classifier: Classifier, pictures: list[str]) -> None:
    alone = classifier.predict(pictures[0])
    for place in range(2 * BATCH + 1):
        company = [*pictures[1 : place + 1], pictures[0], *pictures[place + 1 : 2 * BATCH + 1]]
        found = list(classifier.predict_many(company))[place]
        assert found.path == pictures[0]
        assert list(found.probabilities.values()) == pytest.approx(list(alone.probabilities.values()), abs=1e-6)


def test_a_picture_that_cannot_be_read_says_why(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "notes.jpg").write_text("no picture")
    with pytest.raises(PictureError, match=r"absent\.jpg: cannot be read: No such file or directory"):
        classifier.predict(tmp_path / "absent.jpg")
    with pytest.raises(PictureError, match=r"empty\.jpg: the file is empty \(0 bytes\)"):
        classifier.predict(tmp_path / "empty.jpg")
    with pytest.raises(PictureError, match=r"notes\.jpg: not a picture \(text\)"):
        classifier.predict(tmp_path / "notes.jpg")
    with pytest.raises(PictureError, match="the picture: not a picture"):
        classifier.predict(b"no picture")


def test_among_many_it_is_a_row_with_its_error(classifier: Classifier, pictures: list[str]) -> None:
    given = [pictures[0], "absent.jpg", b"", *pictures[1:9]]
    found = list(classifier.predict_many(given))
    assert [one.path for one in found] == [pictures[0], "absent.jpg", "", *pictures[1:9]]
    assert [one.error for one in found[:4]] == [
        None,
        "cannot be read: No such file or directory",
        "the file is empty (0 bytes)",
        None,
    ]
    assert found[1].to_json() == {
        "path": "absent.jpg", "label": None, "probability": None, "probabilities": {}, "unknown": None, "error": found[1].error,
        "labels": [],
    }  # fmt: skip


def test_no_picture_is_no_prediction(classifier: Classifier) -> None:
    assert list(classifier.predict_many([])) == []


def test_noise_is_like_none_of_the_pictures(classifier: Classifier, pictures: list[str], tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (96, 96, 3), np.uint8)).save(tmp_path / f"{number}.png")
    noise = classifier.predict_many(sorted(tmp_path.iterdir()))
    assert all(prediction.unknown for prediction in noise)
    assert sum(prediction.unknown is True for prediction in classifier.predict_many(pictures)) < len(pictures) / 4


def test_embeddings_come_in_order(classifier: Classifier, pictures: list[str]) -> None:
    found = list(classifier.embed([pictures[0], b"", pictures[1]]))
    assert isinstance(found[1], PictureError)
    assert [one.shape for one in found if isinstance(one, np.ndarray)] == [(3136,), (3136,)]


def test_a_bundle_stands_alone(bundle: Path, classifier: Classifier, pictures: list[str]) -> None:
    assert Classifier.load(bundle).predict(pictures[0]) == classifier.predict(pictures[0])


@pytest.mark.parametrize("name", ["model.onnx", "head.safetensors"])
def test_a_changed_file_is_named(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(
        BundleError, match=rf"{name} is damaged: its SHA-256 is not the manifest's\. Copy or export the bundle again\."
    ):
        Classifier.load(bundle)


@pytest.mark.parametrize("name", ["model.onnx", "head.safetensors"])
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=rf"is damaged: '{name}' is missing\. Copy or export the bundle again\."):
        Classifier.load(bundle)


def test_a_damaged_manifest_is_named(bundle: Path) -> None:
    (bundle / "manifest.json").write_bytes((bundle / "manifest.json").read_bytes()[:100])
    with pytest.raises(BundleError, match=r"manifest\.json is damaged \(not JSON"):
        Classifier.load(bundle)


@pytest.mark.parametrize("name", ["model.onnx", "head.safetensors"])
def test_a_file_without_a_hash_is_refused(bundle: Path, name: str) -> None:
    change_manifest(bundle, lambda values: values["files"].pop(name))
    with pytest.raises(BundleError, match=name):
        Classifier.load(bundle)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values["classes"].pop(),
        lambda values: values["fit"].update(side_px=97),
        lambda values: values.update(n_channels=5),
    ],
    ids=["a class fewer", "another side", "other channels"],
)
def test_a_manifest_of_another_network_is_refused(
    bundle: Path, pictures: list[str], change: Callable[[dict[str, Any]], object]
) -> None:
    change_manifest(bundle, change)
    with pytest.raises(BundleError, match="damaged"):
        Classifier.load(bundle).predict(pictures[0])


def test_a_head_without_centres_is_refused(bundle: Path) -> None:
    path = bundle / "head.safetensors"
    tensors = {name: tensor for name, tensor in load_file(path).items() if name != "centres"}
    save_file(tensors, path)
    from tellapart.files import sha256_of

    change_manifest(bundle, lambda values: values["files"].update({"head.safetensors": sha256_of(path)}))
    with pytest.raises(BundleError, match=r"head\.safetensors is damaged"):
        Classifier.load(bundle)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (["a.jpg"], "a list is no picture: give a path, the bytes of a file, or an array (H, W, C) of uint8, and predict_many"),
        (np.zeros((8, 8, 3)), "an array of the shape (8, 8, 3) and float64 is no picture: give (H, W) or (H, W, C) of uint8"),
        (np.zeros((2, 8, 8, 3), np.uint8), "an array of the shape (2, 8, 8, 3) and uint8 is no picture: "),
        (np.zeros((8, 0, 3), np.uint8), "the array has the shape (1, 8, 0, 3): pictures without pixels"),
        (None, "a NoneType is no picture"),
    ],
)
def test_what_is_no_picture_is_named(classifier: Classifier, source: Any, text: str) -> None:
    with pytest.raises(CallError) as caught:
        classifier.predict(source)
    assert str(caught.value).startswith(text)
    with pytest.raises(CallError):
        list(classifier.predict_many([source]))


def test_an_array_is_a_picture(classifier: Classifier, pictures: list[str]) -> None:
    pixels = np.asarray(open_picture(pictures[0]))
    assert classifier.predict(pixels).probabilities == classifier.predict(pictures[0]).probabilities
    assert classifier.predict(pixels[..., 0]).path == ""
    assert [one.error for one in classifier.predict_many([pixels, np.zeros((9, 9, 5), np.uint8)])] == [
        None, "has 5 channels, where 3 (red, green and blue) are wanted"
    ]  # fmt: skip


def test_a_place_without_a_classifier_is_named(tmp_path: Path) -> None:
    with pytest.raises(CallError, match=r"no such run or bundle: .*absent\. Train one: tellapart train DATA --out "):
        Classifier.load(tmp_path / "absent")
    with pytest.raises(BundleError, match=r"holds no classifier: there is no manifest\.json in it"):
        Classifier.load(tmp_path)


def test_an_unfinished_run_is_refused_with_the_remedy(run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text('{"state": "unfinished"}')
    with pytest.raises(BundleError, match=r"the run .*run is unfinished\. Go on with it: tellapart train --resume .*run"):
        Classifier.load(tmp_path / "run")
