"""The network of a bundle for programs that have nothing else: what the bundle keeps beside it, put inside."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from tellapart.inference import Classifier


def network_of(classifier: Classifier) -> onnx.ModelProto:
    """The bundle's graph with a third output `familiarity` (N, 1): the cosine to the nearest class centre, at most 1.

    A picture whose familiarity is below the manifest's `unknown_below` is like none of the training pictures. A bundle that was
    itself exported in a format has that output already.
    """
    model = onnx.load(classifier.folder / "model.onnx")
    if "familiarity" in {output.name for output in model.graph.output}:
        return model
    centres = load_file(classifier.folder / "head.safetensors")["centres"]  # (K, C) unit vectors
    graph, width = model.graph, centres.shape[1]
    weights: dict[str, np.ndarray] = {
        "familiar_begin": np.array([0], np.int64),
        "familiar_end": np.array([width], np.int64),
        "familiar_axis": np.array([1], np.int64),
        "familiar_centres": np.ascontiguousarray(centres.T, np.float32),
        "familiar_most": np.array([1], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in weights.items())
    # Operations that are the same in every opset that torch writes; ReduceMax, for one, is not.
    nodes = (
        helper.make_node("Slice", ["embedding", "familiar_begin", "familiar_end", "familiar_axis"], ["familiar_part"]),
        helper.make_node("LpNormalization", ["familiar_part"], ["familiar_unit"], axis=1, p=2),
        helper.make_node("MatMul", ["familiar_unit", "familiar_centres"], ["familiar_cosines"]),  # (N, K)
        helper.make_node("TopK", ["familiar_cosines", "familiar_most"], ["familiarity", "familiar_class"], axis=1),
    )
    for node in nodes:
        node.name = f"{node.output[0]}_{node.op_type.lower()}"
    graph.node.extend(nodes)
    graph.output.append(helper.make_tensor_value_info("familiarity", TensorProto.FLOAT, ["N", 1]))
    return model


def described(classifier: Classifier) -> dict[str, Any]:
    """What a program must know to use `network_of`: what goes in, what comes out and what it means."""
    manifest = classifier.manifest
    side, channels = manifest.fit.side_px, manifest.fit.n_channels
    return {
        "classes": list(manifest.classes),
        "fit": manifest.fit.to_json(),
        "unknown_below": manifest.unknown_below,
        "thresholds": manifest.thresholds,  # of several labels a picture: from which probability each is said; else null
        "arch": manifest.arch,
        "created": manifest.created,
        "version": manifest.files["model.onnx"][:12],  # of the bundle that it was made of
        "inputs": {"pixels": {"type": "uint8", "shape": ["N", side, side, channels]}},
        "outputs": {
            "probabilities": {"type": "float32", "shape": ["N", len(manifest.classes)]},
            "familiarity": {"type": "float32", "shape": ["N", 1]},
        },
    }
