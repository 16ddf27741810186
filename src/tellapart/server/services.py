"""What all requests share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice

from tellapart.inference import Classifier, Prediction
from tellapart.inference.explaining import Explanation, drops_of, hidden
from tellapart.inference.runtimes import BATCH
from tellapart.inference.streaming import DECODE_THREADS
from tellapart.server.batching import Batcher
from tellapart.server.keys import Keys, Rates
from tellapart.server.limits import Limits, PixelGate, Room
from tellapart.server.links import Links
from tellapart.server.metrics import Labels, Metrics
from tellapart.server.models import Models, Served
from tellapart.server.uploads import Upload

# Of an explanation's predictions so many wait together; then pictures that came meanwhile have their turn.
IN_TURN = BATCH * DECODE_THREADS


class Service:
    """The models, who may ask them, the room for pictures and the batches, and whether the server was told to stop.

    `keys` None lets everyone in, `links` None fetches none.
    """

    def __init__(
        self, models: Models, metrics: Metrics, limits: Limits, keys: Keys | None = None, *, links: Links | None = None
    ) -> None:
        self.models = models
        self.metrics = metrics
        self.limits = limits
        self.keys = keys
        self.links = links
        self.rates = Rates(limits.requests_per_s)
        self.room = Room(limits)
        self.batcher = Batcher(PixelGate(limits.decoding_pixels), metrics)
        self.draining = False
        metrics.measure("tellapart_queue_pictures", "Pictures being answered.", lambda: {(): self.room.n_pictures})
        metrics.measure("tellapart_queue_bytes", "Bytes of the bodies being held.", lambda: {(): self.room.n_bytes})
        metrics.measure("tellapart_model_info", "The models that are served.", self._infos)

    def close(self) -> None:
        """Let the threads end."""
        self.batcher.close()
        if self.links is not None:
            self.links.close()

    def submit(self, uploads: Sequence[Upload], served: Served, *, tta: bool) -> list[asyncio.Future[Prediction]]:
        """A prediction to wait for for each picture."""
        views = served.classifier.views(tta)
        readable = iter(self.batcher.submit([one.content for one in uploads if not one.error], served.classifier, views))
        answers = [_failed(one.error) if one.error else next(readable) for one in uploads]
        for answer in answers:
            answer.add_done_callback(self._count)
        return answers

    def explain(
        self, uploads: Sequence[Upload], predictions: Sequence[Prediction], served: Served, *, tta: bool
    ) -> list[asyncio.Future[Explanation | None]]:
        """An explanation to wait for for each picture, None of those that could not be read."""
        views = served.classifier.views(tta)
        return [
            asyncio.ensure_future(self._explanation(upload.content, one, served.classifier, views))
            for upload, one in zip(uploads, predictions, strict=True)
        ]

    async def _explanation(
        self, content: bytes, prediction: Prediction, classifier: Classifier, views: tuple[str, ...]
    ) -> Explanation | None:
        if prediction.error:
            return None
        probabilities = prediction.probabilities
        label = max(probabilities, key=lambda name: probabilities[name])
        seen = await self.batcher.see(content, classifier)
        rest, shares = hidden(seen.pixels), list[float]()
        while some := list(islice(rest, IN_TURN)):
            answers = await asyncio.gather(*self.batcher.submit(some, classifier, views))
            shares += [one.probabilities[label] for one in answers]
        return Explanation(label, probabilities[label], drops_of(probabilities[label], shares), seen.box)

    def _infos(self) -> dict[Labels, float]:
        return {(("model", one.name), ("version", one.version)): 1.0 for one in self.models}

    def _count(self, answer: asyncio.Future[Prediction]) -> None:
        if answer.cancelled():
            return
        if error := answer.exception():
            outcome = type(error).__name__
        elif answer.result().error:
            outcome = "unreadable"
        else:
            outcome = "unknown" if answer.result().unknown else "predicted"
        self.metrics.pictures.add(outcome=outcome)


def _failed(text: str) -> asyncio.Future[Prediction]:
    answer: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()
    answer.set_result(Prediction("", error=text))
    return answer
