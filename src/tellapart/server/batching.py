"""Pictures of many requests through one network: a few threads each take what waits, decode it and compute it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from threading import Lock

import numpy as np

from tellapart.errors import PictureError
from tellapart.images.decoding import picture_size
from tellapart.inference import Classifier, Prediction
from tellapart.inference.explaining import Seen, see
from tellapart.inference.runtimes import BATCH
from tellapart.inference.streaming import DECODE_THREADS, Result
from tellapart.inference.tta import OverViews
from tellapart.server.limits import PixelGate
from tellapart.server.metrics import Metrics

THREADS = DECODE_THREADS + 1  # so that no core is idle while a thread waits for Python's lock: 7 % more answers on two cores
LARGE_PIXELS = 2_000_000  # of a picture that is answered alone: some 20 ms to decode, for which no other should wait. A guess


@dataclass(eq=False)
class Item:
    """A picture on its way; its answer is cancelled where its client has left."""

    picture: bytes | np.ndarray  # a file's content, or pixels (side, side, C) uint8 as the network sees them
    classifier: Classifier
    views: tuple[str, ...]
    answer: asyncio.Future[Prediction]
    is_large: bool = False  # known once a thread has looked at it

    def goes_with(self, other: Item) -> bool:
        """Whether both can be in one batch."""
        is_alike = self.classifier is other.classifier and self.views == other.views
        return self is other or (is_alike and not self.is_large and not other.is_large)


Answers = dict[Item, Prediction | Exception | None]  # None of those that no one waits for


class Batcher:
    """Answers pictures. Belongs to one event loop; how many may wait is its callers' to limit.

    None waits for others to come: a thread that is free takes the one that has waited longest; of many, a batch.
    """

    def __init__(self, gate: PixelGate, metrics: Metrics) -> None:
        self._gate = gate
        self._metrics = metrics
        self._lock = Lock()  # for the next two
        self._waiting = deque[Item]()
        self._n_free = THREADS
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="predict")
        self._seers = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="see")

    def submit(
        self, pictures: Iterable[bytes | np.ndarray], classifier: Classifier, views: tuple[str, ...]
    ) -> list[asyncio.Future[Prediction]]:
        """A prediction to wait for, for each picture (see `Item`); one that cannot be read has an `error`.

        Cancel those not wanted.
        """
        loop = asyncio.get_running_loop()
        items = [Item(picture, classifier, views, loop.create_future()) for picture in pictures]
        with self._lock:
            self._waiting.extend(items)
            self._start(loop)
        return [item.answer for item in items]

    def see(self, content: bytes, classifier: Classifier) -> asyncio.Future[Seen]:
        """A picture as the network sees it, to wait for. Raises PictureError."""
        return asyncio.get_running_loop().run_in_executor(self._seers, _seen, content, classifier, self._gate)

    def close(self) -> None:
        """Let the threads end; what still waits is not answered."""
        with self._lock:
            self._waiting.clear()
        for pool in (self._threads, self._seers):
            pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let threads that are free take what waits. The lock is held, as in `_next_batch`."""
        while self._n_free and (batch := self._next_batch()):
            self._n_free -= 1
            self._threads.submit(self._work, batch, loop)

    def _work(self, batch: list[Item], loop: asyncio.AbstractEventLoop) -> None:
        """In a thread: answer the batch, and then what waits. It asks no one for more: meanwhile its core would be idle."""
        while batch:
            answers = _answers(batch, self._gate)
            with suppress(RuntimeError):  # the loop is closed: no one waits
                loop.call_soon_threadsafe(self._hand_over, answers)
            with self._lock:
                for item in reversed(batch):
                    if item not in answers:
                        item.is_large = True
                        self._waiting.appendleft(item)
                batch = self._next_batch()
                self._n_free += not batch
                self._start(loop)  # large pictures that were in one batch are for several threads

    def _next_batch(self) -> list[Item]:
        """The picture that has waited longest, with those that go with it where a batch waits for each thread that is free."""
        if not self._waiting:
            return []
        is_enough = len(self._waiting) >= BATCH * max(1, self._n_free)
        alike = list(islice((item for item in self._waiting if item.goes_with(self._waiting[0])), BATCH))
        batch = alike if is_enough and len(alike) == BATCH else alike[:1]
        for item in batch:
            self._waiting.remove(item)
        return batch

    def _hand_over(self, answers: Answers) -> None:
        """On the event loop."""
        if n_computed := sum(isinstance(answer, Prediction) and not answer.error for answer in answers.values()):
            self._metrics.batch_pictures.observe(n_computed)
        for item, answer in answers.items():
            if item.answer.cancelled():
                self._metrics.pictures.add(outcome="dropped")
            elif isinstance(answer, Prediction):
                item.answer.set_result(answer)
            elif answer is not None:
                item.answer.set_exception(answer)


def _answers(batch: Sequence[Item], gate: PixelGate) -> Answers:
    """What is said of each picture; large ones among others are left out."""
    pixels: dict[Item, np.ndarray] = {}
    answers: Answers = {}
    for item in batch:
        try:
            if item.answer.cancelled():
                answers[item] = None
            elif len(batch) == 1 or not _is_large(item.picture):
                pixels[item] = _pixels(item, gate)
        except PictureError as error:
            answers[item] = Prediction("", error=str(error))
        except Exception as error:
            answers[item] = error
    try:
        return answers | _predictions(pixels)
    except Exception as error:
        return answers | dict.fromkeys(pixels, error)


def _is_large(picture: bytes | np.ndarray) -> bool:
    if isinstance(picture, np.ndarray):
        return False
    width, height = picture_size(picture)
    return width * height > LARGE_PIXELS


def _pixels(item: Item, gate: PixelGate) -> np.ndarray:
    return item.picture if isinstance(item.picture, np.ndarray) else _seen(item.picture, item.classifier, gate).pixels


def _seen(content: bytes, classifier: Classifier, gate: PixelGate) -> Seen:
    width, height = picture_size(content)
    with gate.passed(width * height):
        return see(content, classifier.manifest.fit)


def _predictions(pixels: dict[Item, np.ndarray]) -> dict[Item, Prediction]:
    """Of pictures that go together, as the network sees them."""
    if not pixels:
        return {}
    first = next(iter(pixels))
    runtime = OverViews(first.classifier.runtime, first.views) if first.views != ("as_is",) else first.classifier.runtime
    outputs = runtime.compute(np.stack(list(pixels.values())))
    results = (Result({name: values[place] for name, values in outputs.items()}) for place in range(len(pixels)))
    return {item: first.classifier.prediction_of("", result) for item, result in zip(pixels, results, strict=True)}
