"""Writing a bundle: one graph from pixels to calibrated probabilities, checked against what the training computed."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from safetensors.numpy import save

from tellapart.data import ImageTable
from tellapart.errors import BundleError
from tellapart.files import write_atomically, write_json
from tellapart.inference.classifiers import Classifier
from tellapart.inference.features import Backbone
from tellapart.inference.manifests import FILE_NAME, Manifest
from tellapart.training.graphs import with_head
from tellapart.training.head import Head
from tellapart.training.recipe import Recipe

UNKNOWN_QUANTILE = 0.01  # of the training pictures' own familiarity: one in a hundred of their kind is called unknown
PARITY_PICTURES = 16
PARITY_TOLERANCE = 0.05  # of a probability: bf16 keeps 8 bits, and the head multiplies in it too; float32 stays below 1e-4


def class_centres(features: np.ndarray, labels: np.ndarray, *, n_classes: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit centres (K, width) of the classes in the first `width` features, and each picture's cosine to the nearest (N,)."""
    part = features[:, :width].astype(np.float32)
    part /= np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12)
    centres = np.stack([part[labels == label].mean(0) for label in range(n_classes)])
    centres = centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    return centres.astype(np.float32), (part @ centres.T).max(1)


def write_bundle(
    folder: Path,
    *,
    head: Head,
    features: np.ndarray,
    table: ImageTable,
    backbone: Backbone,
    recipe: Recipe,
    figures: dict[str, Any],
) -> Classifier:
    """Write the classifier of these training pictures to `folder` and return it as loaded from there.

    `features` (N, D) are aligned with `table`. Raises BundleError where the written file does not compute what the
    training did, and StorageError where it cannot be written.
    """
    centres, familiarity = class_centres(features, table.codes, n_classes=len(table.classes), width=backbone.blocks[0])
    contents = {
        "model.onnx": with_head(onnx.load(backbone.path), head.weights, head.bias).SerializeToString(),
        "head.safetensors": save({"weights": head.weights, "bias": head.bias, "centres": centres}),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    unknown_below = float(np.quantile(familiarity, UNKNOWN_QUANTILE))
    manifest = _manifest(table, backbone, recipe, figures=figures, unknown_below=unknown_below, files=hashes)
    write_json(folder / FILE_NAME, manifest.to_json())
    classifier = Classifier.load(folder)
    rows = np.linspace(0, len(table) - 1, min(PARITY_PICTURES, len(table))).astype(int)
    check_parity(classifier, [table.paths[row] for row in rows], head.probabilities(features[rows]))
    return classifier


def _manifest(
    table: ImageTable, backbone: Backbone, recipe: Recipe, *, figures: dict[str, Any], unknown_below: float, files: dict[str, str]
) -> Manifest:
    return Manifest(
        classes=table.classes,
        fit=backbone.fit,
        arch=backbone.arch,
        weights=backbone.weights,
        weights_sha256=backbone.weights_sha256,
        unknown_below=unknown_below,
        data_sha256=_data_digest(table),
        recipe=recipe.to_json(),
        figures=figures,
        versions={name: version(name) for name in ("tellapart", "numpy", "onnx", "pillow")},
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        files=files,
    )


def check_parity(classifier: Classifier, paths: Sequence[str], expected: np.ndarray) -> float:
    """The largest difference of a probability from `expected` (N, K); raises BundleError where it is too large."""
    answers = list(classifier.predict_many(paths))
    if unread := [one for one in answers if one.error]:
        raise BundleError(f"{unread[0].path}, whose features were kept, can no longer be read: {unread[0].error}. Train again.")
    found = np.array([list(one.probabilities.values()) for one in answers])  # (N, K)
    difference = float(np.abs(found - expected).max())
    if not difference <= PARITY_TOLERANCE:  # also when it is not a number
        raise BundleError(
            f"the exported network differs from the trained one by {difference:.3f} in a probability (at most {PARITY_TOLERANCE} "
            f"is rounding). Please report this with the recipe; TELLAPART_RUNTIME=onnxruntime may get round it."
        )
    return difference


def _data_digest(table: ImageTable) -> str:
    rows = sorted(zip(table.sha256, table.labels, strict=True))
    return hashlib.sha256("\n".join(f"{digest} {label}" for digest, label in rows).encode(errors="surrogateescape")).hexdigest()
