"""Writing a bundle: one graph from pixels to calibrated probabilities, checked against what the training computed."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from safetensors.numpy import save

from tellapart.data import ImageTable
from tellapart.errors import BundleError
from tellapart.files import write_atomically, write_json
from tellapart.inference.classifiers import Classifier
from tellapart.inference.manifests import FILE_NAME, Manifest
from tellapart.training.graphs import with_head
from tellapart.training.trainer import Fitted

PARITY_TOLERANCE = 0.05  # of a probability: bf16 keeps 8 bits, and the head multiplies in it too; float32 stays below 1e-4


def write_bundle(fitted: Fitted, folder: Path) -> Classifier:
    """Write a fitted classifier to `folder` and return it as loaded from there.

    Raises BundleError where the written file does not compute what the training did, and StorageError where it cannot be written.
    """
    head, centres = fitted.head, fitted.centres
    contents = {
        "model.onnx": with_head(
            onnx.load(fitted.backbone.path), head.weights, head.bias, several=head.several
        ).SerializeToString(),
        "head.safetensors": save({"weights": head.weights, "bias": head.bias, "centres": centres}),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    write_json(folder / FILE_NAME, _manifest(fitted, files=hashes).to_json())
    classifier = Classifier.load(folder)
    check_parity(classifier, list(fitted.witnesses), np.stack(list(fitted.witnesses.values())))
    return classifier


def _manifest(fitted: Fitted, *, files: dict[str, str]) -> Manifest:
    return Manifest(
        classes=fitted.table.classes,
        fit=fitted.backbone.fit,
        arch=fitted.backbone.arch,
        weights=fitted.backbone.weights,
        weights_sha256=fitted.backbone.weights_sha256,
        unknown_below=fitted.unknown_below,
        data_sha256=_data_digest(fitted.table),
        recipe=fitted.recipe.to_json(),
        figures=fitted.figures,
        versions={name: version(name) for name in ("tellapart", "numpy", "onnx", "pillow")},
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        files=files,
        thresholds=None if fitted.thresholds is None else dict(zip(fitted.table.classes, fitted.thresholds, strict=True)),
    )


def check_parity(classifier: Classifier, paths: Sequence[str], expected: np.ndarray) -> float:
    """The largest difference of a probability from `expected` (N, K); raises BundleError where it is too large.

    In float32 if need be: networks that have hardly learned, or very much, answer far otherwise after bfloat16's rounding.
    """
    difference = _difference(classifier, paths, expected)
    if not difference <= PARITY_TOLERANCE:  # also when it is not a number
        difference = _difference(Classifier.load(classifier.folder, library="onnxruntime"), paths, expected)
    if not difference <= PARITY_TOLERANCE:
        raise BundleError(
            f"the exported network differs from the trained one by {difference:.3f} in a probability (at most {PARITY_TOLERANCE} "
            f"is rounding). Please report this with the recipe."
        )
    return difference


def _difference(classifier: Classifier, paths: Sequence[str], expected: np.ndarray) -> float:
    answers = list(classifier.predict_many(paths))
    if unread := [one for one in answers if one.error]:
        raise BundleError(f"{unread[0].path}, whose features were kept, can no longer be read: {unread[0].error}. Train again.")
    found = np.array([list(one.probabilities.values()) for one in answers])  # (N, K)
    return float(np.abs(found - expected).max())


def _data_digest(table: ImageTable) -> str:
    rows = sorted(zip(table.sha256, table.labels, strict=True))
    return hashlib.sha256("\n".join(f"{digest} {label}" for digest, label in rows).encode(errors="surrogateescape")).hexdigest()
