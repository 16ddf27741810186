"""Pictures through a network: decoded in threads ahead of the batch that is being computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np

from tellapart.errors import PictureError
from tellapart.images import Fit
from tellapart.images.decoding import Source, open_described
from tellapart.images.glances import glance
from tellapart.inference.runtimes import BATCH, Outputs, Runtime
from tellapart.threads import n_threads

DECODE_THREADS = n_threads()
BATCHES_AHEAD = 2 * DECODE_THREADS + 2  # enough to ride out one slow picture; memory stays at some 50 pictures


@dataclass(frozen=True)
class Result:
    """What a network made of one picture: its outputs, each without the batch axis, or the error that stopped it."""

    outputs: Outputs
    error: PictureError | None = None
    glance: np.ndarray | None = None  # of kind GLANCE, where it was asked for


@dataclass(frozen=True)
class _Batch:
    pixels: np.ndarray  # (BATCH, side, side, C) uint8; places of unreadable pictures are black
    errors: tuple[PictureError | None, ...]
    glances: tuple[np.ndarray | None, ...]


def run_pictures(
    runtime: Runtime, sources: Iterable[Source], fit: Fit, *, glances: bool = False, shown: bool = False
) -> Iterator[Result]:
    """A result for each source, in order, with a glance at each picture where `glances` are wanted.

    Of a picture with other channels than the fit takes the result is an error, or with `shown` that of its visible three.
    Holds only a bounded number of pictures, however many there are.
    """
    pending = deque[_Batch]()

    def pixels() -> Iterator[np.ndarray]:
        for batch in _decoded(sources, partial(_decode, fit=fit, glances=glances, shown=shown)):
            pending.append(batch)
            yield batch.pixels

    for outputs in runtime.stream(pixels()):
        batch = pending.popleft()
        for place, error in enumerate(batch.errors):
            of_one = {} if error else {name: values[place] for name, values in outputs.items()}
            yield Result(of_one, error, batch.glances[place])


def _decoded(sources: Iterable[Source], decode: Callable[[list[Source]], _Batch]) -> Iterator[_Batch]:
    rest, ahead = iter(sources), deque[Future[_Batch]]()
    pool = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode")
    try:
        while chunk := list(islice(rest, BATCH)):
            ahead.append(pool.submit(decode, chunk))
            if len(ahead) == BATCHES_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _decode(sources: list[Source], *, fit: Fit, glances: bool, shown: bool) -> _Batch:
    pixels = np.zeros((BATCH, fit.side_px, fit.side_px, fit.n_channels), np.uint8)
    errors: list[PictureError | None] = [None] * len(sources)
    seen: list[np.ndarray | None] = [None] * len(sources)
    for place, source in enumerate(sources):
        try:
            opened = open_described(source, min_side_px=fit.decoded_px)
            pixels[place] = fit.apply(opened.image) if shown else fit.of(opened)
            seen[place] = glance(opened) if glances else None
        except PictureError as error:
            errors[place] = error
    return _Batch(pixels, tuple(errors), tuple(seen))
