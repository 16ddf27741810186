"""ONNX operations in PyTorch: those that our graphs and timm's exported networks are made of (opsets 13 to 17).

Each function takes a node's inputs in order and its attributes by name, with the defaults of ONNX; a form that it has no
parameter for is one that we do not read. https://onnx.ai/onnx/operators. Shapes, and what is reckoned from them and from
single numbers, are on the host, so that reading them does not wait for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from math import prod

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor
from torch.nn import functional

Operation = Callable[..., "Tensor | tuple[Tensor, ...]"]
Sides = tuple[int, ...]
DTYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.BOOL: torch.bool,
}


def _numbers(values: Tensor) -> list[int]:
    return [int(value) for value in values.flatten().tolist()]


def _together(*parts: Tensor) -> tuple[Tensor, ...]:
    """Where one is on the device, all; but single numbers, which PyTorch takes from anywhere."""
    device = next((part.device for part in parts if part.device.type != "cpu"), None)
    return parts if device is None else tuple(part.to(device) if part.ndim else part for part in parts)


# Convolutions and pooling. Pads are (top, left, bottom, right).


def _conv(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Sides = (1, 1),
    group: int = 1,
    kernel_shape: Sides = (),
    pads: Sides = (0, 0, 0, 0),
    strides: Sides = (1, 1),
) -> Tensor:
    pads = _pads(x, kernel.shape[2:], auto_pad, pads, strides, dilations)
    if pads[:2] != pads[2:]:
        x, pads = _padded(x, pads, 0.0), (0, 0)
    return functional.conv2d(x, kernel, bias, strides, pads[:2], dilations, group)


def _max_pool(
    x: Tensor,
    *,
    kernel_shape: Sides,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: Sides = (1, 1),
    pads: Sides = (0, 0, 0, 0),
    strides: Sides = (1, 1),
) -> Tensor:
    pads = _pads(x, kernel_shape, auto_pad, pads, strides, dilations)
    if pads[:2] != pads[2:]:
        x, pads = _padded(x, pads, float("-inf")), (0, 0)
    return functional.max_pool2d(x, kernel_shape, strides, pads[:2], dilations, bool(ceil_mode))


def _average_pool(
    x: Tensor,
    *,
    kernel_shape: Sides,
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    pads: Sides = (0, 0, 0, 0),
    strides: Sides = (1, 1),
) -> Tensor:
    if pads[:2] != pads[2:]:
        raise ValueError(f"AveragePool with uneven pads {pads}")
    return functional.avg_pool2d(x, kernel_shape, strides, pads[:2], bool(ceil_mode), bool(count_include_pad))


def _pads(x: Tensor, kernel: Sides, auto_pad: str, pads: Sides, strides: Sides, dilations: Sides) -> Sides:
    """(top, left, bottom, right), also where they are given as SAME: so many that the output is the input over the stride."""
    if not auto_pad.startswith("SAME"):
        return pads
    before, after = [], []
    for side, size, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        total = max((-(-side // stride) - 1) * stride + dilation * (size - 1) + 1 - side, 0)
        less, more = total // 2, total - total // 2
        before.append(more if auto_pad == "SAME_LOWER" else less)
        after.append(less if auto_pad == "SAME_LOWER" else more)
    return (*before, *after)


def _padded(x: Tensor, pads: Sides, value: float) -> Tensor:
    top, left, bottom, right = pads
    return functional.pad(x, (left, right, top, bottom), value=value)


def _pad(x: Tensor, pads: Tensor, value: Tensor | None = None, *, mode: str = "constant") -> Tensor:
    sides = _numbers(pads)
    n_axes = len(sides) // 2
    nearest_last = chain.from_iterable((sides[axis], sides[axis + n_axes]) for axis in reversed(range(n_axes)))
    if mode == "constant":
        return functional.pad(x, tuple(nearest_last), value=0.0 if value is None else value.item())
    return functional.pad(x, tuple(nearest_last)[:4], {"edge": "replicate"}.get(mode, mode))


# Linear algebra and normalisation.


def _gemm(
    a: Tensor, b: Tensor, c: Tensor | None = None, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0
) -> Tensor:
    product = alpha * ((a.T if transA else a) @ (b.T if transB else b))
    return product if c is None else product + beta * c


def _batch_norm(
    x: Tensor,
    gain: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> Tensor:
    if training_mode:  # timm standardises the kernels of some convolutions with it
        return functional.batch_norm(x, None, None, gain, bias, training=True, eps=epsilon)
    return functional.batch_norm(x, mean, variance, gain, bias, eps=epsilon)


def _layer_norm(
    x: Tensor, gain: Tensor, bias: Tensor | None = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    return functional.layer_norm(x, x.shape[axis:], gain, bias, epsilon)


def _instance_norm(x: Tensor, gain: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    return functional.instance_norm(x, weight=gain, bias=bias, eps=epsilon)


def _softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return torch.softmax(x, axis)


# Over axes; always summed up in float32, whatever the precision of what is summed.


def _mean(x: Tensor, *, axes: Sides | None = None, keepdims: int = 1) -> Tensor:
    return torch.mean(x, _axes(x, axes), bool(keepdims), dtype=torch.float32)


def _maximum(x: Tensor, *, axes: Sides | None = None, keepdims: int = 1) -> Tensor:
    return torch.amax(x, _axes(x, axes), bool(keepdims))


def _l2_norm(x: Tensor, *, axes: Sides | None = None, keepdims: int = 1) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=_axes(x, axes), keepdim=bool(keepdims), dtype=torch.float32)
    return norm


def _axes(x: Tensor, axes: Sides | None) -> tuple[int, ...]:
    return tuple(range(x.ndim)) if axes is None else axes


def _global_mean(x: Tensor) -> Tensor:
    return torch.mean(x, tuple(range(2, x.ndim)), keepdim=True, dtype=torch.float32)


def _cumulative_sum(x: Tensor, axis: Tensor) -> Tensor:
    return torch.cumsum(x, int(axis))


# Element by element.


def _divide(x: Tensor, y: Tensor) -> Tensor:
    x, y = _together(x, y)
    are_floats = x.is_floating_point() or y.is_floating_point()
    return torch.div(x, y) if are_floats else torch.div(x, y, rounding_mode="trunc")


def _remainder(x: Tensor, y: Tensor, *, fmod: int = 0) -> Tensor:
    x, y = _together(x, y)
    return torch.fmod(x, y) if fmod else torch.remainder(x, y)


def _clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    if low is None and high is None:
        return x
    return torch.clamp(x, None if low is None else low.item(), None if high is None else high.item())


def _hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return torch.clamp(alpha * x + beta, 0, 1)


def _where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    condition, x, y = _together(condition, x, y)
    return torch.where(condition, x, y)


def _of_one(function: Callable[[Tensor], Tensor]) -> Operation:
    def operation(x: Tensor) -> Tensor:
        return function(x)

    return operation


def _of_two(function: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    def operation(x: Tensor, y: Tensor) -> Tensor:
        return function(*_together(x, y))

    return operation


def _cast(x: Tensor, *, to: int) -> Tensor:
    return x.to(DTYPES[to])


# Shapes.


def _constant(*, value: Tensor) -> Tensor:
    return value


def _shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    return torch.tensor(x.shape[start:end], dtype=torch.int64)


def _constant_of_shape(shape: Tensor, *, value: Tensor | None = None) -> Tensor:
    filling = torch.zeros(1) if value is None else value
    return torch.full(_numbers(shape), filling.item(), dtype=filling.dtype)


def _range(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype)


def _reshape(x: Tensor, shape: Tensor, *, allowzero: int = 0) -> Tensor:
    wanted = _numbers(shape)
    return x.reshape(wanted if allowzero else [side or x.shape[axis] for axis, side in enumerate(wanted)])


def _flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    return x.reshape(prod(x.shape[:axis]), -1)


def _expand(x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(np.broadcast_shapes(tuple(x.shape), tuple(_numbers(shape))))


def _tile(x: Tensor, repeats: Tensor) -> Tensor:
    return x.repeat(_numbers(repeats))


def _transpose(x: Tensor, *, perm: Sides | None = None) -> Tensor:
    return x.permute(perm or tuple(reversed(range(x.ndim))))


def _squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(tuple(_numbers(axes)))


def _unsqueeze(x: Tensor, axes: Tensor) -> Tensor:
    places = _numbers(axes)
    for place in sorted(place % (x.ndim + len(places)) for place in places):
        x = x.unsqueeze(place)
    return x


def _concat(*parts: Tensor, axis: int) -> Tensor:
    return torch.cat(_together(*parts), axis)


def _split(x: Tensor, sizes: Tensor, *, axis: int = 0) -> tuple[Tensor, ...]:
    return torch.split(x, _numbers(sizes), axis)


def _gather(x: Tensor, places: Tensor, *, axis: int = 0) -> Tensor:
    if places.ndim == 0:
        return x.select(axis, int(places))
    axis %= x.ndim
    taken = x.index_select(axis, places.flatten().remainder(x.shape[axis]).to(x.device))
    return taken.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


def _slice(x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None) -> Tensor:
    n = starts.numel()
    of_axes = range(n) if axes is None else _numbers(axes)
    of_steps = [1] * n if steps is None else _numbers(steps)
    for axis, start, end, step in zip(of_axes, _numbers(starts), _numbers(ends), of_steps, strict=True):
        places = range(*slice(start, end, step).indices(x.shape[axis]))
        if step < 0:  # which PyTorch's own slices cannot
            x = x.index_select(axis, torch.tensor(places, dtype=torch.int64, device=x.device))
        else:
            x = x[(slice(None),) * (axis % x.ndim) + (slice(places.start, places.stop, step),)]
    return x


OPERATIONS: dict[str, Operation] = {
    "Add": _of_two(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Ceil": _of_one(torch.ceil),
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Conv": _conv,
    "Cos": _of_one(torch.cos),
    "CumSum": _cumulative_sum,
    "Div": _divide,
    "Equal": _of_two(torch.eq),
    "Erf": _of_one(torch.erf),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_mean,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _of_one(functional.hardswish),
    "Identity": _of_one(lambda x: x),
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "MatMul": _of_two(torch.matmul),
    "MaxPool": _max_pool,
    "Mod": _remainder,
    "Mul": _of_two(torch.mul),
    "Neg": _of_one(torch.neg),
    "Not": _of_one(torch.logical_not),
    "Pad": _pad,
    "Range": _range,
    "ReduceL2": _l2_norm,
    "ReduceMax": _maximum,
    "ReduceMean": _mean,
    "Relu": _of_one(torch.relu),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": _of_one(torch.sigmoid),
    "Sin": _of_one(torch.sin),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Sqrt": _of_one(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _of_two(torch.sub),
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
