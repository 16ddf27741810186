"""A network in 8-bit integers, its ranges taken from pictures. Needs nothing beside ONNX Runtime."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnxruntime import quantization

from tellapart.errors import CallError, DataError, PictureError
from tellapart.images import Fit
from tellapart.inference.runtimes import BATCH

# What OpenVINO and ONNX Runtime compute in integers from end to end; what follows the last of them (pooling, head) stays float.
INTEGER = ("Conv", "Add", "Clip", "Relu", "MaxPool")
# How many of the first convolutions stay in float: they see raw pixels and have few channels, whose ranges differ most. Of the
# squared errors that the default backbone's 49 convolutions make in the features, each in integers alone, the first two make
# 45 %, the first six 63 %. One in float, three and six: the Kullback-Leibler divergence of the answers to 550 flowers, as they
# are and enlarged, is 0.0040, 0.0027 and 0.0019, and OpenVINO answers 1.40, 1.39 and 1.33 times as many as in float (medians
# of twelve turns).
FLOAT_LAYERS = (3, 6)


def quantized(model: onnx.ModelProto, pixels: Sequence[np.ndarray], n_float: int) -> bytes:
    """The network as an ONNX file, its convolutions in integers but for the first `n_float`: at most a quarter, at least one.

    `pixels` are pictures (side, side, C) uint8 that the ranges are taken from. Raises CallError for less than two
    convolutions: the others multiply matrices, which stay in float.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)  # the quantizer changes what it is given
    for number, node in enumerate(copy.graph.node):
        node.name = node.name or f"node_{number}"
    convolutions = [node.name for node in copy.graph.node if node.op_type == "Conv"]
    if len(convolutions) < 2:
        found = "one alone" if convolutions else "none"
        raise CallError(f"int8 is for networks of convolutions, and this one has {found}. Export it as it is: --format onnx")
    with _quiet(), TemporaryDirectory(prefix="tellapart-") as folder:
        file = Path(folder) / "model.onnx"
        quantization.quantize_static(
            copy,
            file,
            _Reader(pixels),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(INTEGER),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=convolutions[: min(n_float, max(1, len(convolutions) // 4))],
        )
        return file.read_bytes()


def calibration_pixels(paths: Sequence[str], fit: Fit) -> list[np.ndarray]:
    """The pictures at these paths as the network sees them, without those that cannot be read.

    Raises DataError where none can.
    """
    pixels = []
    for path in paths:
        try:
            pixels.append(fit.read(path))
        except PictureError:
            continue
    if not pixels:
        raise DataError(f"none of the {len(paths)} pictures to calibrate on can be read. Give others: --data FOLDER")
    return pixels


class _Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Hands the pictures out in batches."""

    def __init__(self, pixels: Sequence[np.ndarray]) -> None:
        self._batches = (np.stack(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"pixels": batch}


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer advises through the root logger to simplify graphs first; ours are simple."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
