"""ONNX graphs: what one must say of itself, and the few operations that our backbones and heads are made of."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17  # the oldest that holds all we use; every runtime we support reads it
IR_VERSION = 9


class Exported(NamedTuple):
    """A backbone's graph with what must be known to use it."""

    graph: onnx.ModelProto
    weights: str  # where they come from, in words
    weights_sha256: str
    crop_frac: float
    blocks: tuple[int, ...]


class GraphWriter:
    """Collects nodes and weights; each method adds an operation and returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, values: np.ndarray) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def normalised_pixels(self, side_px: int, *, mean: float, std: float) -> str:
        """`pixels` (N, side, side, 3) uint8 -> (N, 3, side, side) float32."""
        self.inputs.append(helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", side_px, side_px, 3]))
        x = self.node("Cast", ["pixels"], to=TensorProto.FLOAT)
        x = self.node("Transpose", [x], perm=[0, 3, 1, 2])
        x = self.node("Sub", [x, self.weight(np.array(mean, np.float32))])
        return self.node("Div", [x, self.weight(np.array(std, np.float32))])

    def conv(self, x: str, kernel: np.ndarray, bias: np.ndarray, *, stride: int = 1, groups: int = 1) -> str:
        """A convolution padded as TensorFlow does (SAME: the odd pixel goes below and to the right)."""
        inputs = [x, self.weight(kernel.astype(np.float32)), self.weight(bias.astype(np.float32))]
        return self.node("Conv", inputs, strides=[stride, stride], group=groups, auto_pad="SAME_UPPER")

    def relu6(self, x: str) -> str:
        return self.node("Clip", [x, self.weight(np.array(0, np.float32)), self.weight(np.array(6, np.float32))])

    def add(self, x: str, y: str) -> str:
        return self.node("Add", [x, y])

    def concat(self, parts: Sequence[str]) -> str:
        return self.node("Concat", parts, axis=1)

    def mean(self, x: str) -> str:
        """(N, C, H, W) -> (N, C)."""
        return self.node("ReduceMean", [x], axes=[2, 3], keepdims=0)

    def maximum(self, x: str) -> str:
        """(N, C, H, W) -> (N, C)."""
        return self.node("ReduceMax", [x], axes=[2, 3], keepdims=0)

    def deviation(self, x: str) -> str:
        """Standard deviation over the positions: (N, C, H, W) -> (N, C)."""
        centred = self.node("Sub", [x, self.node("ReduceMean", [x], axes=[2, 3], keepdims=1)])
        return self.node("Sqrt", [self.mean(self.node("Mul", [centred, centred]))])

    def innermost(self, x: str, side: int) -> str:
        """The positions in the middle third, or a little more, of a map: (N, C, side, side) -> (N, C, 3, 3) for a side of 7."""
        margin = (side - 1) // 3
        start, end, axes = (self.weight(np.array(pair, np.int64)) for pair in ((margin,) * 2, (side - margin,) * 2, (2, 3)))
        return self.node("Slice", [x, start, end, axes])

    def finished(self, outputs: dict[str, tuple[str, tuple[int, ...]]]) -> onnx.ModelProto:
        """The model with these outputs: name -> (node that makes it, its shape without the batch axis); all float32."""
        # Renamed rather than copied by an Identity node: OpenVINO would then know the output by either name.
        public = {made_by: name for name, (made_by, _) in outputs.items()}
        for node in self.nodes:
            node.input[:] = [public.get(name, name) for name in node.input]
            node.output[:] = [public.get(name, name) for name in node.output]
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]) for name, (_, shape) in outputs.items()]
        graph = helper.make_graph(self.nodes, "tellapart", self.inputs, infos, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def convolution_sizes(model: onnx.ModelProto) -> tuple[int, int]:
    """Of a graph's convolutions: how many parameters they have, and how many multiply-adds they take for one picture."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    made = {info.name: info.type.tensor_type.shape.dim for info in (*inferred.value_info, *inferred.output)}
    lengths = {tensor.name: prod(tensor.dims) for tensor in model.graph.initializer}
    n_parameters = n_multiplications = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            _, kernel, bias = node.input
            n_parameters += lengths[kernel] + lengths[bias]
            n_multiplications += lengths[kernel] * prod(axis.dim_value for axis in made[node.output[0]][2:])
    return n_parameters, n_multiplications


def with_head(backbone: onnx.ModelProto, weights: np.ndarray, bias: np.ndarray, *, several: bool = False) -> onnx.ModelProto:
    """The backbone's graph with a linear layer (D, K) and softmax, or sigmoid for `several` labels, on its `features`.

    Outputs: `probabilities` (N, K), and the features themselves as `embedding` (N, D).
    """
    graph = backbone.graph
    for node in graph.node:
        node.output[:] = ["embedding" if name == "features" else name for name in node.output]
    graph.initializer.extend([numpy_helper.from_array(weights, "head_weights"), numpy_helper.from_array(bias, "head_bias")])
    graph.node.append(helper.make_node("Gemm", ["embedding", "head_weights", "head_bias"], ["logits"], name="head"))
    last: dict[str, Any] = {"op_type": "Sigmoid"} if several else {"op_type": "Softmax", "axis": 1}
    graph.node.append(helper.make_node(inputs=["logits"], outputs=["probabilities"], name=last["op_type"].lower(), **last))
    del graph.output[:]
    for name, width in (("probabilities", weights.shape[1]), ("embedding", weights.shape[0])):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width]))
    return backbone
