"""Which pictures are computed together, and what becomes of each; a real classifier, on an event loop of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart.inference import Classifier, Prediction
from tellapart.inference.runtimes import BATCH
from tellapart.server.batching import LARGE_PIXELS, THREADS, Batcher
from tellapart.server.limits import PixelGate
from tellapart.server.metrics import Metrics


@pytest.fixture(scope="module")
def classifier(run_folder: Path) -> Classifier:
    return Classifier.load(run_folder).for_few()


def batched(act: Callable[[Batcher], Awaitable[list[Prediction]]]) -> tuple[list[Prediction], dict[str, float]]:
    """What `act` gave, and the metrics of pictures and batches afterwards."""
    metrics = Metrics()

    async def run() -> list[Prediction]:
        batcher = Batcher(PixelGate(10**8), metrics)
        try:
            return await act(batcher)
        finally:
            batcher.close()

    answers = asyncio.run(run())
    lines = (line.rpartition(" ") for line in metrics.text().splitlines() if not line.startswith("#"))
    return answers, {name: float(value) for name, _, value in lines if "batch" in name or "pictures" in name}


def large_picture() -> bytes:
    file = BytesIO()
    Image.new("RGB", (2000, LARGE_PIXELS // 2000 + 1), "red").save(file, "PNG")
    return file.getvalue()


def test_each_is_answered_as_alone_whatever_is_beside_it(classifier: Classifier, contents: list[bytes]) -> None:
    side_px = classifier.manifest.fit.side_px
    seen = np.zeros((side_px, side_px, 3), np.uint8)
    pictures: list[bytes | np.ndarray] = [contents[0], b"no picture", large_picture(), seen, b"", *contents[1:7], large_picture()]
    answers, metrics = batched(lambda batcher: asyncio.gather(*batcher.submit(pictures, classifier, ("as_is",))))
    expected = list(classifier.predict_many(pictures))
    for answer, one in zip(answers, expected, strict=True):
        assert answer.error == one.error
        assert answer.probabilities == pytest.approx(one.probabilities, abs=1e-6)
    assert sum(bool(one.error) for one in answers) == 2
    assert metrics["tellapart_batch_pictures_sum"] == len(pictures) - 2


def test_few_are_computed_one_by_one_and_many_together(classifier: Classifier, contents: list[bytes]) -> None:
    for n, n_batches in ((1, 1), (BATCH - 1, BATCH - 1), (BATCH + 1, BATCH + 1), (BATCH * THREADS, THREADS)):
        pictures = [contents[0]] * n
        _, metrics = batched(lambda batcher, of=pictures: asyncio.gather(*batcher.submit(of, classifier, ("as_is",))))
        assert metrics["tellapart_batch_pictures_count"] == n_batches


def test_large_pictures_of_one_batch_are_parted(classifier: Classifier) -> None:
    pictures = [large_picture()] * BATCH * THREADS
    answers, metrics = batched(lambda batcher: asyncio.gather(*batcher.submit(pictures, classifier, ("as_is",))))
    assert metrics["tellapart_batch_pictures_count"] == len(answers)


def test_other_views_make_another_batch(classifier: Classifier, contents: list[bytes]) -> None:
    async def act(batcher: Batcher) -> list[Prediction]:
        plain = batcher.submit(contents[:2], classifier, ("as_is",))
        mirrored = batcher.submit(contents[:2], classifier, ("as_is", "mirrored"))
        return await asyncio.gather(*plain, *mirrored)

    answers, _ = batched(act)
    for answer, one in zip(answers[:2], classifier.predict_many(contents[:2]), strict=True):
        assert answer.probabilities == pytest.approx(one.probabilities, abs=1e-6)
    for answer, one in zip(answers[2:], classifier.predict_many(contents[:2], tta=True), strict=True):
        assert answer.probabilities == pytest.approx(one.probabilities, abs=1e-6)


def test_what_no_one_waits_for_is_dropped(classifier: Classifier, contents: list[bytes]) -> None:
    n = 5 * BATCH * THREADS

    async def act(batcher: Batcher) -> list[Prediction]:
        answers = batcher.submit([contents[0]] * n, classifier, ("as_is",))
        for answer in answers[1:]:
            answer.cancel()
        return [await answers[0], *await asyncio.gather(*batcher.submit(contents[:1], classifier, ("as_is",)))]

    answers, metrics = batched(act)
    assert answers[0].label == answers[1].label
    assert metrics['tellapart_pictures_total{outcome="dropped"}'] >= n - 1 - BATCH * THREADS


def test_what_goes_wrong_in_computing_is_told_to_all_of_the_batch(classifier: Classifier) -> None:
    wrong_side = np.zeros((50, 50, 3), np.uint8)

    async def act(batcher: Batcher) -> list[Prediction]:
        answers = batcher.submit([wrong_side] * 2, classifier, ("as_is",))
        found = await asyncio.gather(*answers, return_exceptions=True)
        assert all(isinstance(one, Exception) for one in found)
        return []

    batched(act)
