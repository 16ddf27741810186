"""The least that a pass over the pictures can cost here; prints one JSON object.

    python bench/floor.py MODEL.onnx PICTURES

The operations of one view of one picture, times the pictures, over the best bf16 matrix rate that this
machine shows now, plus decoding all pictures on all cores. Nothing overlaps, nothing else is counted.
"""

from __future__ import annotations

import functools
import json
import math
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
from openvino import opset13 as ops

from setting import picture_paths
from tellapart.images import Fit

SIDES = (1024, 2048, 4096)  # small ones are held back by the call, large ones by memory: the best counts
CHAINED = 4  # multiplications a call, so that converting the input to bf16 weighs little
TRIES = 5


def operations_per_picture(model: onnx.ModelProto) -> int:
    """Additions and multiplications of one view of one picture in all convolutions and matrix products.

    A weight counts once, however many views of a picture the graph runs through it.
    """
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {value.name: _shape(value) for value in (*graph.value_info, *graph.input, *graph.output)}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    counted = {}
    for node in graph.node:
        if node.op_type == "Conv":
            positions = math.prod(shapes[node.output[0]][2:])  # the weight is applied at each of H * W
            counted[node.input[1]] = 2 * math.prod(shapes[node.input[1]]) * positions
            if positions == 0:
                raise SystemExit(f"the size of {node.output[0]} is not known from {node.input}: its operations cannot be counted")
        elif node.op_type in ("Gemm", "MatMul") and len(shapes.get(node.input[1], ())) == 2:
            counted[node.input[1]] = 2 * math.prod(shapes[node.input[1]])
    return sum(counted.values())


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)  # 0 where symbolic: the batch


def matrix_rate() -> tuple[float, str]:
    """The best bf16 matrix rate, operations/s, and who reached it: OpenVINO, or torch where it is installed."""
    rates = [(_best_rate(make(side), side), f"{make.__name__} {side}") for make in _products() for side in SIDES]
    return max(rates)


def _products() -> tuple[Callable[[int], Callable[[], object]], ...]:
    try:
        import torch  # noqa: F401
    except ImportError:
        return (by_openvino,)
    return (by_openvino, by_torch)


def by_openvino(side: int) -> Callable[[], object]:
    """A call that multiplies (side, side) matrices CHAINED times in bf16."""
    random = np.random.default_rng(0)
    left = product = ops.parameter([side, side], np.float32)
    for _ in range(CHAINED):
        weight = random.standard_normal((side, side), np.float32) / np.float32(math.sqrt(side))  # keeps the scale
        product = ops.matmul(product, ops.constant(weight), transpose_a=False, transpose_b=False)
    compiled = ov.Core().compile_model(ov.Model([product], [left]), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(random.standard_normal((side, side), np.float32)))
    return lambda: request.infer()


def by_torch(side: int) -> Callable[[], object]:
    """The same in torch."""
    import torch

    left = torch.randn(side, side).bfloat16()
    weights = [(torch.randn(side, side) / math.sqrt(side)).bfloat16() for _ in range(CHAINED)]
    return lambda: functools.reduce(torch.matmul, weights, left)


def _best_rate(multiply: Callable[[], object], side: int) -> float:
    multiply()  # the first call compiles
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - start)
    return CHAINED * 2 * side**3 / min(seconds)


def decoding_seconds(paths: list[Path], n_threads: int) -> float:
    """Open and fit every picture, as training does, and keep none."""
    start = time.perf_counter()
    with ThreadPoolExecutor(n_threads) as pool:
        for _ in pool.map(Fit().read, paths):
            pass
    return time.perf_counter() - start


def main(model_path: str, folder: str) -> None:
    paths, n_cores = picture_paths(Path(folder)), len(os.sched_getaffinity(0))
    operations, (rate, who) = operations_per_picture(onnx.load(model_path)), matrix_rate()
    compute_s, decode_s = operations * len(paths) / rate, decoding_seconds(paths, n_cores)
    floor = {"floor_s": compute_s + decode_s, "compute_s": compute_s, "decode_s": decode_s, "n_pictures": len(paths)}
    print(json.dumps({**floor, "operations_per_picture": operations, "operations_per_s": rate, "rate_by": who}))


if __name__ == "__main__":
    main(*sys.argv[1:])
