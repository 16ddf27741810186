"""Batches that are not full, as a server has them when few pictures wait.

Computed with empty places, one picture takes as long as four: 19 ms on a core of an AMD EPYC (EfficientNet-Lite0, 224 px,
bf16). Alone it takes 5.5.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from tellapart.inference.runtimes import BATCH, OnnxRuntime, OpenVino, Outputs, Runtime

# A library may compute another shape by another kernel, and in bf16 that changes the third digit of a probability; it must not
# depend on who else asks at the time. On an AMD EPYC both shapes gave 200 photographs the same bits, in bf16 and in float32.
SAME = 1e-7
COARSE = 8  # patches a side of the pictures that are drawn to compare them


class PartialBatches:
    """A runtime that takes batches of 1 to `BATCH` pictures: those that are not full go through `one`, a picture at a time, or
    without it with empty places.
    """

    def __init__(self, full: Runtime, one: Runtime | None) -> None:
        self._full = full
        self._one = one
        self.name = full.name

    @property
    def widths(self) -> dict[str, int]:
        return self._full.widths

    @property
    def n_channels(self) -> int:
        return self._full.n_channels

    @property
    def takes_one(self) -> bool:
        """Whether a picture that comes alone is computed alone."""
        return self._one is not None

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Outputs]:
        """The outputs of each (n, side, side, C) uint8 batch by name, in order."""
        return map(self.compute, batches)

    def compute(self, batch: np.ndarray) -> Outputs:
        """The outputs of one such batch, by the thread that asks."""
        if len(batch) == BATCH:
            return self._full.compute(batch)
        if self._one is not None:
            return _joined(map(self._one.compute, np.split(batch, len(batch))))
        return _first(self._full.compute(_filled(batch)), len(batch))


def stream_partial(runtime: Runtime, batches: Iterable[np.ndarray]) -> Iterator[Outputs]:
    """The outputs of batches of 1 to `BATCH` pictures, in order, several computed at a time; not full ones with empty places."""
    sizes = deque[int]()

    def filled() -> Iterator[np.ndarray]:
        for batch in batches:
            sizes.append(len(batch))
            yield _filled(batch)

    for outputs in runtime.stream(filled()):
        yield _first(outputs, sizes.popleft())


def partial_batches(runtime: Runtime, *, singly: bool = True) -> PartialBatches:
    """`runtime` for batches of 1 to `BATCH` pictures.

    Those that are not full go `singly`, through the network compiled for one picture, where that answers as the other does.
    """
    one = runtime.of_one() if singly and isinstance(runtime, OpenVino | OnnxRuntime) else None
    return PartialBatches(runtime, one if one and _agree(runtime, one) else None)


def _agree(runtime: Runtime, one: Runtime) -> bool:
    """Whether the network for a batch and that for one picture give drawn pictures, smooth and noisy ones, the same answers."""
    random, side = np.random.default_rng(0), runtime.widths["pixels"]
    scale = -(-side // COARSE)
    coarse = random.integers(0, 256, (BATCH, COARSE, COARSE, runtime.n_channels))
    smooth = coarse.repeat(scale, 1).repeat(scale, 2)[:, :side, :side]
    noise = random.integers(-40, 41, smooth.shape) * (np.arange(BATCH) % 2).reshape(-1, 1, 1, 1)
    pictures = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    together, alone = runtime.compute(pictures), _joined(map(one.compute, np.split(pictures, BATCH)))
    return all(np.allclose(alone[name], values, rtol=SAME, atol=SAME) for name, values in together.items())


def _filled(batch: np.ndarray) -> np.ndarray:
    """The batch with empty places up to `BATCH`."""
    n_empty = BATCH - len(batch)
    return np.concatenate([batch, np.zeros((n_empty, *batch.shape[1:]), np.uint8)]) if n_empty else batch


def _first(outputs: Outputs, n: int) -> Outputs:
    """The outputs without those of empty places."""
    return {name: values[:n] for name, values in outputs.items()}


def _joined(outputs: Iterable[Outputs]) -> Outputs:
    """The outputs of several batches as those of one."""
    parts = list(outputs)
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
