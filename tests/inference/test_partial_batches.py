"""A picture's answer does not depend on how many are computed with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tellapart.inference import Classifier
from tellapart.inference.partial_batches import PartialBatches, partial_batches, stream_partial
from tellapart.inference.runtimes import BATCH, LIBRARIES, OpenVino, load_runtime


@pytest.fixture
def model(run_folder: Path) -> Path:
    return run_folder / "bundle" / "model.onnx"


def drawn(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 96, 96, 3), np.uint8)


@pytest.mark.parametrize("singly", [True, False])
@pytest.mark.parametrize("library", LIBRARIES)
def test_few_are_answered_as_in_a_full_batch(model: Path, library: str, singly: bool) -> None:
    runtime, pictures = load_runtime(model, library=library), drawn(BATCH)
    [full] = runtime.stream([pictures])
    partial = partial_batches(runtime, singly=singly)
    assert partial.takes_one is singly
    assert (partial.name, partial.widths, partial.n_channels) == (runtime.name, runtime.widths, runtime.n_channels)
    sizes = range(1, BATCH + 1)
    for n, outputs in zip(sizes, partial.stream([pictures[:n] for n in sizes]), strict=True):
        for name, values in full.items():
            assert outputs[name].shape == (n, values.shape[1])
            assert np.abs(outputs[name] - values[:n]).max() <= 1e-6


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_stream_of_batches_of_any_size_keeps_its_order(model: Path, library: str) -> None:
    runtime, pictures = load_runtime(model, library=library), drawn(3 * BATCH)
    whole = np.concatenate([one["probabilities"] for one in runtime.stream(np.split(pictures, 3))])
    sizes = [1, BATCH, 2, BATCH, 1]
    parts = np.split(pictures[: sum(sizes)], np.cumsum(sizes)[:-1])
    found = [one["probabilities"] for one in stream_partial(runtime, parts)]
    assert [len(one) for one in found] == sizes
    np.testing.assert_allclose(np.concatenate(found), whole[: sum(sizes)], atol=1e-6)


def test_a_network_for_one_that_answers_otherwise_is_not_taken(model: Path) -> None:
    """As where a library computes another shape by another kernel, in bf16."""
    changed = onnx.load(model)
    for tensor in changed.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim > 1:
            tensor.CopyFrom(numpy_helper.from_array(values * np.float32(1.01), tensor.name))

    class Odd(OpenVino):
        def of_one(self) -> OpenVino:
            return OpenVino(changed.SerializeToString(), batch=1)

    partial = partial_batches(Odd(model.read_bytes()))
    assert not partial.takes_one
    [full], [one] = partial.stream([drawn(BATCH)]), partial.stream([drawn(1)])
    assert np.array_equal(one["probabilities"], full["probabilities"][:1])


def test_a_classifier_for_few_predicts_alike(run_folder: Path, pictures: list[str]) -> None:
    classifier = Classifier.load(run_folder)
    few = classifier.for_few()
    assert isinstance(few.runtime, PartialBatches)
    for one, other in zip(classifier.predict_many(pictures[:6]), few.predict_many(pictures[:6]), strict=True):
        assert one == other
