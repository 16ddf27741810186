"""A trained tail as a backbone on disk: the frozen and the trained stages in one graph, which needs no PyTorch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from tellapart.files import cache_dir, write_atomically
from tellapart.inference.features import Backbone
from tellapart.training.lite0 import lite0_graph
from tellapart.training.tails.networks import Tail

FILE = "backbone.onnx"


def export_tail(tail: Tail, weights: Mapping[str, np.ndarray], start: Backbone, *, folder: Path | None) -> Backbone:
    """Write the network of which `tail` is the end to `folder`, by default to one of the cache that is named by its content.

    `weights` are the checkpoint's that `start` has, the backbone that the training began with. Raises StorageError.
    """
    graph = lite0_graph({**weights, **tail.as_checkpoint()}, start.fit.side_px).SerializeToString()
    digest = hashlib.sha256(graph).hexdigest()
    path = (folder or cache_dir() / "trained" / digest[:24]) / FILE
    write_atomically(path, graph)
    words = f"{start.weights}, stages {tail.boundary} and on fine-tuned"
    return replace(start, weights=words, weights_sha256=digest, path=path)
