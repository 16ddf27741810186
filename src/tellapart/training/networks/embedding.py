"""Features of pictures in memory, as the network that is trained has them at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tellapart.images import Fit
from tellapart.inference.partial_batches import stream_partial
from tellapart.inference.runtimes import BATCH as RUNTIME_BATCH
from tellapart.inference.runtimes import Runtime, load_runtime
from tellapart.progress import Progress, silent
from tellapart.training.loop.devices import precision_context, to_device, uses_bfloat16
from tellapart.training.networks.exporting import Served, graph_of
from tellapart.training.pixels import Decoded
from tellapart.training.recipe import OWN_NETWORKS, Recipe

BATCH = 256  # of PyTorch's


@dataclass(frozen=True)
class Embedder:
    """(N, D) float32 of decoded pictures as they are, by `runtime`; without one by PyTorch, in the precision of the training."""

    served: Served
    recipe: Recipe
    runtime: Runtime | None

    @classmethod
    def of(cls, served: Served, recipe: Recipe, fit: Fit, *, graph: Path | None = None) -> Embedder:
        """On a CPU timm's networks are asked as they will be served; ours are small, and as quick in PyTorch.

        `graph`: the network's file, where it is written already. Raises BundleError where it cannot be.
        """
        if recipe.arch in OWN_NETWORKS or next(served.parameters()).device.type != "cpu":
            return cls(served, recipe, None)
        return cls(served, recipe, load_runtime(graph or graph_of(served, fit, arch=recipe.arch)))

    def __call__(self, decoded: Decoded, progress: Progress = silent) -> np.ndarray:
        parts, n_done = [], 0
        for part in self._by_graph(decoded, self.runtime) if self.runtime else self._by_torch(decoded):
            parts.append(part)
            n_done += len(part)
            progress("embedding", n_done, len(decoded.pixels))
        return np.concatenate(parts)

    def _by_graph(self, decoded: Decoded, runtime: Runtime) -> Iterator[np.ndarray]:
        for outputs in stream_partial(runtime, (batch.numpy() for batch in _batches(decoded, RUNTIME_BATCH))):
            yield outputs["features"]

    def _by_torch(self, decoded: Decoded) -> Iterator[np.ndarray]:
        device = next(self.served.parameters()).device
        context = precision_context(device, bfloat16=uses_bfloat16(self.recipe, device))
        self.served.eval()
        for batch in _batches(decoded, BATCH):
            with torch.inference_mode(), context:
                yield self.served(to_device(batch, device)).float().cpu().numpy()


def _batches(decoded: Decoded, size: int) -> Iterator[torch.Tensor]:
    """(n, side, side, C) uint8, n at most `size`."""
    for start in range(0, len(decoded.pixels), size):
        yield decoded.pixels[start : start + size].expand(-1, decoded.fit.n_channels, -1, -1).permute(0, 2, 3, 1)
