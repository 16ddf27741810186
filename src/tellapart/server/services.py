"""What all requests share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tellapart.inference import Prediction
from tellapart.server.batching import Batcher
from tellapart.server.keys import Keys, Rates
from tellapart.server.limits import Limits, PixelGate, Room
from tellapart.server.metrics import Labels, Metrics
from tellapart.server.models import Models, Served
from tellapart.server.uploads import Upload


class Service:
    """The models, who may ask them, the room for pictures and the batches, and whether the server was told to stop.

    `keys` None lets everyone in.
    """

    def __init__(self, models: Models, metrics: Metrics, limits: Limits, keys: Keys | None) -> None:
        self.models = models
        self.metrics = metrics
        self.limits = limits
        self.keys = keys
        self.rates = Rates(limits.requests_per_s)
        self.room = Room(limits)
        self.batcher = Batcher(PixelGate(limits.decoding_pixels), metrics)
        self.draining = False
        metrics.measure("tellapart_queue_pictures", "Pictures being answered.", lambda: {(): self.room.n_pictures})
        metrics.measure("tellapart_queue_bytes", "Bytes of the bodies being held.", lambda: {(): self.room.n_bytes})
        metrics.measure("tellapart_model_info", "The models that are served.", self._infos)

    def submit(self, uploads: Sequence[Upload], served: Served, *, tta: bool) -> list[asyncio.Future[Prediction]]:
        """A prediction to wait for for each picture."""
        views = served.classifier.views(tta)
        readable = iter(self.batcher.submit([one.content for one in uploads if not one.error], served.classifier, views))
        answers = [_failed(one.error) if one.error else next(readable) for one in uploads]
        for answer in answers:
            answer.add_done_callback(self._count)
        return answers

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
