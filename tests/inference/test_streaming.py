from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tellapart.images import Fit
from tellapart.inference.runtimes import BATCH, Outputs
from tellapart.inference.streaming import BATCHES_AHEAD, run_pictures

FIT = Fit(8)


class Means:
    """A runtime whose output is each picture's mean, `ahead` batches running at once."""

    name = "means"

    def __init__(self, ahead: int = 0) -> None:
        self.ahead = ahead

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Outputs]:
        running: list[np.ndarray] = []
        for batch in batches:
            assert batch.shape == (BATCH, 8, 8, 3)
            assert batch.dtype == np.uint8
            running.append(batch)
            if len(running) > self.ahead:
                yield {"mean": running.pop(0).mean((1, 2, 3))}
        for batch in running:
            yield {"mean": batch.mean((1, 2, 3))}


def grey(value: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (9, 9), (value, value, value)).save(file, "PNG")
    return file.getvalue()


def decoding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.mark.parametrize("ahead", [0, 1, 5])
@pytest.mark.parametrize("n", [0, 1, BATCH - 1, BATCH, BATCH + 1, 101])
def test_results_come_in_order(n: int, ahead: int) -> None:
    results = list(run_pictures(Means(ahead), (grey(value) for value in range(n)), FIT))
    assert [result.outputs["mean"] for result in results] == list(range(n))
    assert all(result.error is None for result in results)


def test_an_unreadable_picture_is_an_error_in_its_place(tmp_path: Path) -> None:
    sources = [grey(1), b"", grey(3), str(tmp_path / "absent.png"), b"text", tmp_path, grey(7)]
    results = list(run_pictures(Means(), sources, FIT))
    assert [str(result.error or result.outputs["mean"]) for result in results] == [
        "1.0",
        "the file is empty (0 bytes)",
        "3.0",
        "cannot be read: No such file or directory",
        "not a picture (text)",
        "not a regular file",
        "7.0",
    ]
    assert all(result.outputs == {} for result in results if result.error)


def test_all_unreadable_pictures_are_errors() -> None:
    results = list(run_pictures(Means(), [b""] * 9, FIT))
    assert [str(result.error) for result in results] == ["the file is empty (0 bytes)"] * 9


def test_only_a_bounded_number_of_pictures_is_taken_ahead() -> None:
    content, n_taken = grey(5), 0

    def sources() -> Iterator[bytes]:
        nonlocal n_taken
        while n_taken < 10_000:
            n_taken += 1
            yield content

    results = run_pictures(Means(), sources(), FIT)
    assert n_taken == 0  # nothing is taken before it is asked for
    for n_given in range(1, 200):
        next(results)
        assert n_taken <= n_given + (BATCHES_AHEAD + 1) * BATCH
    results.close()
    assert n_taken < 400


def test_closing_early_leaves_no_thread() -> None:
    results = run_pictures(Means(3), (grey(value) for value in range(200)), FIT)
    next(results)
    threads = decoding_threads()
    assert threads
    results.close()
    for thread in threads:
        thread.join(timeout=30)
    assert decoding_threads() == []


def test_an_error_of_the_source_reaches_the_caller() -> None:
    def sources() -> Iterator[bytes]:
        yield grey(1)
        raise KeyError("the caller's own")

    with pytest.raises(KeyError, match="the caller's own"):
        list(run_pictures(Means(), sources(), FIT))
    for thread in decoding_threads():
        thread.join(timeout=30)
    assert decoding_threads() == []
