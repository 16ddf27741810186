"""A PyTorch network as an ONNX graph."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import onnx
import torch

from tellapart.errors import BundleError
from tellapart.training.graphs import OPSET


def traced(network: torch.nn.Module, pixels: torch.Tensor, *, name: str) -> onnx.ModelProto:
    """The graph of a network that makes `features` (N, D) of `pixels` (N, side, side, C) uint8, such as those given.

    Raises BundleError where an operation cannot be written as ONNX; `name` is what the network is called then.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the tracing exporter is deprecated; the new one is slow and needs onnxscript
        path = Path(folder) / "backbone.onnx"
        try:
            torch.onnx.export(
                network,
                (pixels,),
                path,
                input_names=["pixels"],
                output_names=["features"],
                dynamic_axes={"pixels": {0: "N"}, "features": {0: "N"}},
                opset_version=OPSET,
                dynamo=False,
            )
        except Exception as error:  # the exporter has no base class of its own for an operation that ONNX lacks
            raise BundleError(f"{name!r} cannot be written as ONNX: {str(error).splitlines()[0]}") from error
        return onnx.load(path)
