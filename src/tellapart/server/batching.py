"""Pictures of many requests through one network: decoded in threads, computed in batches, dropped where no one waits for them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

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

# How long a batch that is not full waits for pictures that are being decoded; a picture that is alone never waits. A guess:
# decoding a photograph takes some milliseconds, and four pictures together a tenth less than one by one.
MAX_WAIT_S = 0.005


@dataclass(eq=False)
class Item:
    """A picture on its way; its answer is cancelled where its client has left."""

    content: bytes
    classifier: Classifier
    views: tuple[str, ...]
    answer: asyncio.Future[Prediction]
    pixels: np.ndarray = field(init=False)  # (side, side, C) uint8, once it is decoded
    decoded_at: float = field(init=False)

    def goes_with(self, other: Item) -> bool:
        """Whether both can be in one batch."""
        return self.classifier is other.classifier and self.views == other.views


class Batcher:
    """Answers pictures. Belongs to one event loop; how many may wait is its callers' to limit."""

    def __init__(self, gate: PixelGate, metrics: Metrics) -> None:
        self._gate = gate
        self._metrics = metrics
        self._waiting = deque[Item]()
        self._decoded: list[Item] = []
        self._n_decoding = 0
        self._n_computing = 0
        self._decoders = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode")
        self._computers = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="compute")

    def submit(
        self, contents: Sequence[bytes], classifier: Classifier, views: tuple[str, ...]
    ) -> list[asyncio.Future[Prediction]]:
        """A prediction to wait for, for each picture; one that cannot be read has an `error`. Cancel those not wanted."""
        loop = asyncio.get_running_loop()
        items = [Item(content, classifier, views, loop.create_future()) for content in contents]
        self._waiting.extend(items)
        self._go_on()
        return [item.answer for item in items]

    def see(self, content: bytes, classifier: Classifier) -> asyncio.Future[Seen]:
        """A picture as the network sees it, to wait for. Raises PictureError."""
        return asyncio.get_running_loop().run_in_executor(self._decoders, _seen, content, classifier, self._gate)

    def compute(
        self, pictures: Sequence[np.ndarray], classifier: Classifier, views: tuple[str, ...]
    ) -> list[asyncio.Future[Prediction]]:
        """As `submit`, for pictures (side, side, C) uint8 as the network sees them."""
        loop = asyncio.get_running_loop()
        items = [Item(b"", classifier, views, loop.create_future()) for _ in pictures]
        for item, pixels in zip(items, pictures, strict=True):
            item.pixels, item.decoded_at = pixels, time.monotonic()
        self._decoded.extend(items)
        self._go_on()
        return [item.answer for item in items]

    def close(self) -> None:
        """Let the threads end."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._computers.shutdown(wait=False, cancel_futures=True)

    def _go_on(self) -> None:
        """Hand out all the work that threads are free for."""
        while self._waiting and self._n_decoding < DECODE_THREADS:
            item = self._waiting.popleft()
            if not self._is_dropped(item):
                self._n_decoding += 1
                _start(self._decoders, partial(_seen, item.content, item.classifier, self._gate), partial(self._on_decoded, item))
        while self._n_computing < DECODE_THREADS and (batch := self._next_batch()):
            self._n_computing += 1
            self._metrics.batch_pictures.observe(len(batch))
            _start(self._computers, partial(_compute, batch), partial(self._on_computed, batch))

    def _next_batch(self) -> list[Item]:
        """Pictures to be computed together now, the oldest first; none where it is worth waiting for those being decoded."""
        self._decoded = [item for item in self._decoded if not self._is_dropped(item)]
        batch = [item for item in self._decoded if item.goes_with(self._decoded[0])][:BATCH]
        if 0 < len(batch) < BATCH and self._n_decoding:
            waits_until = batch[0].decoded_at + MAX_WAIT_S
            if (rest_s := waits_until - time.monotonic()) > 0:
                asyncio.get_running_loop().call_later(rest_s, self._go_on)
                return []
        self._decoded = [item for item in self._decoded if item not in batch]
        return batch

    def _is_dropped(self, item: Item) -> bool:
        """Whether no one waits for a picture any more."""
        if item.answer.cancelled():
            self._metrics.pictures.add(outcome="dropped")
        return item.answer.done()

    def _on_decoded(self, item: Item, done: asyncio.Future[Seen]) -> None:
        self._n_decoding -= 1
        error = done.exception()
        if error is None:
            item.pixels, item.content, item.decoded_at = done.result().pixels, b"", time.monotonic()
            self._decoded.append(item)
        elif not item.answer.done():
            if isinstance(error, PictureError):
                item.answer.set_result(Prediction("", error=str(error)))
            else:
                item.answer.set_exception(error)
        self._go_on()

    def _on_computed(self, batch: Sequence[Item], done: asyncio.Future[list[Prediction]]) -> None:
        self._n_computing -= 1
        error = done.exception()
        for place, item in enumerate(batch):
            if item.answer.done():
                continue
            if error is None:
                item.answer.set_result(done.result()[place])
            else:
                item.answer.set_exception(error)
        self._go_on()


def _start(pool: Executor, work: Callable[[], Any], then: Callable[[asyncio.Future[Any]], None]) -> None:
    asyncio.get_running_loop().run_in_executor(pool, work).add_done_callback(then)


def _seen(content: bytes, classifier: Classifier, gate: PixelGate) -> Seen:
    width, height = picture_size(content)
    with gate.passed(width * height):
        return see(content, classifier.manifest.fit)


def _compute(batch: Sequence[Item]) -> list[Prediction]:
    classifier, views = batch[0].classifier, batch[0].views
    runtime = OverViews(classifier.runtime, views) if views != ("as_is",) else classifier.runtime
    [outputs] = runtime.stream([np.stack([item.pixels for item in batch])])
    results = [Result({name: values[place] for name, values in outputs.items()}) for place in range(len(batch))]
    return [classifier.prediction_of("", result) for result in results]
