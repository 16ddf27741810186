from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tellapart.data import ImageTable, split
from tellapart.errors import BundleError, StorageError
from tellapart.files import sha256_of
from tellapart.images.samples import Sample
from tellapart.sources import read
from tellapart.training import Fitted, Recipe, bundles, embed_table, fit_classifier
from tellapart.training.bundles import PARITY_TOLERANCE, check_parity, write_bundle
from tellapart.training.graphs import with_head
from tellapart.training.trainer import Embedded, class_centres

RECIPE = Recipe(size=96)


@pytest.fixture(scope="module")
def embedded(clean_sample: Sample) -> Embedded:
    return embed_table(split(read(clean_sample.root)), RECIPE)


def fitted_on(embedded: Embedded, table: ImageTable) -> Fitted:
    return fit_classifier(embedded.features.floats(table), table, embedded.backbone, RECIPE)


def test_a_bundle_says_what_it_is(embedded: Embedded, tmp_path: Path) -> None:
    train = embedded.table.in_split("train")
    fitted = fitted_on(embedded, train)
    write_bundle(fitted, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.safetensors", "manifest.json", "model.onnx"]
    assert (manifest["kind"], manifest["format"]) == ("tellapart-classifier", 1)
    assert manifest["classes"] == ["circle", "square", "triangle"]
    assert manifest["figures"]["counts"] == train.counts
    assert manifest["recipe"] == RECIPE.to_json()
    assert manifest["files"] == {name: sha256_of(tmp_path / name) for name in ("model.onnx", "head.safetensors")}
    assert fitted.head.fold_probabilities.shape == (len(train), 3)


def test_the_graph_takes_bytes_and_gives_probabilities_and_the_embedding(run_folder: Path) -> None:
    graph = onnx.load(run_folder / "bundle" / "model.onnx").graph
    (pixels,) = graph.input
    assert (pixels.name, pixels.type.tensor_type.elem_type) == ("pixels", onnx.TensorProto.UINT8)
    assert [dim.dim_value for dim in pixels.type.tensor_type.shape.dim][1:] == [96, 96, 3]
    widths = {port.name: port.type.tensor_type.shape.dim[1].dim_value for port in graph.output}
    assert widths == {"probabilities": 3, "embedding": 3136}


def test_an_export_that_computes_something_else_is_refused(
    embedded: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def corrupted(backbone: onnx.ModelProto, weights: np.ndarray, bias: np.ndarray, *, several: bool) -> onnx.ModelProto:
        return with_head(backbone, np.ascontiguousarray(weights[:, ::-1]), np.ascontiguousarray(bias[::-1]), several=several)

    monkeypatch.setattr(bundles, "with_head", corrupted)
    with pytest.raises(BundleError, match=r"the exported network differs from the trained one by [01]\.\d+ in a probability"):
        write_bundle(fitted_on(embedded, embedded.table.in_split("train")), tmp_path)


def test_parity_takes_nan_for_a_mismatch(embedded: Embedded, tmp_path: Path) -> None:
    train = embedded.table.in_split("train")
    classifier = write_bundle(fitted_on(embedded, train), tmp_path)
    paths = train.paths[:3]
    exact = np.array([list(one.probabilities.values()) for one in classifier.predict_many(paths)])
    assert check_parity(classifier, paths, exact) == 0
    assert check_parity(classifier, paths, exact + PARITY_TOLERANCE / 2) == pytest.approx(PARITY_TOLERANCE / 2, abs=1e-6)
    with pytest.raises(BundleError, match="differs from the trained one by nan"):
        check_parity(classifier, paths, exact * np.nan)


def test_the_data_digest_ignores_order_and_names(embedded: Embedded) -> None:
    table = embedded.table
    renamed = replace(table, paths=tuple(f"{path}.renamed" for path in table.paths))
    relabelled = replace(table, labels=("other", *table.labels[1:]))
    digest = bundles._data_digest(table)
    assert bundles._data_digest(renamed.take(reversed(range(len(table))))) == digest
    assert bundles._data_digest(relabelled) != digest


def test_centres_are_unit_vectors() -> None:
    features = np.array([[2, 0, 9], [4, 0, 9], [0, 3, 9]], np.float32)
    centres, familiarity = class_centres(features, np.array([0, 0, 1]), n_classes=2, width=2)
    assert centres.tolist() == [[1, 0], [0, 1]]
    assert familiarity == pytest.approx([1, 1, 1])


def test_a_place_that_cannot_be_written_is_named(embedded: Embedded, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*model.onnx: .*Choose another place\."):
        write_bundle(fitted_on(embedded, embedded.table.in_split("train")), tmp_path / "file")
