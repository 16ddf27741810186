"""Several processes that learn as one would: what looks at a whole batch looks at the rows of all of them.

Gradients add up whatever the processes do; but batch-norm normalises by the batch, and dropout draws for it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from tellapart.training.loop.dropping import quick_dropout
from tellapart.training.loop.processes import n_processes, rank, summed

DROPPING = (functional.dropout, functional.dropout2d, quick_dropout)


def as_one() -> AbstractContextManager[Any]:
    """A network that is called inside in training normalises and drops out as if the batch's rows were in one process."""
    return _AsOne() if n_processes() > 1 else nullcontext()


class _AsOne(TorchFunctionMode):
    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is functional.batch_norm:
            return _normalised(*args, **kwargs)
        if function in DROPPING:
            return _dropped(function, *args, **kwargs)
        return function(*args, **kwargs)


class _Summed(torch.autograd.Function):
    """The sum over the processes; so are the gradients, since each process's loss depends on it."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        distributed.all_reduce(total)
        return total


def _normalised(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`functional.batch_norm`, whose arguments these are, with mean and variance of the rows of all processes."""
    if not training:
        return functional.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1, *[1] * (x.ndim - 2)]
    values = x.float()
    n_here = torch.full((1,), float(x.numel() // x.shape[1]), device=x.device)
    sums: Tensor = _Summed.apply(torch.cat([values.sum(axes), n_here]))
    n = sums[-1].detach()
    mean = sums[:-1] / n
    centred = values - mean.view(shape)
    variance: Tensor = _Summed.apply(centred.square().sum(axes)) / n
    with torch.no_grad():
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * (n / (n - 1)), momentum)
    factor = torch.rsqrt(variance + eps) * (1.0 if weight is None else weight)
    normalised = centred * factor.view(shape)
    return (normalised if bias is None else normalised + bias.view(shape)).to(x.dtype)


def _dropped(function: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`x` with this process's rows of what `function` draws for the whole batch, which every process draws alike."""
    n = round(summed([len(x)], x.device)[0])
    shape = [n, *x.shape[1:]]
    strides = x.stride()
    outer_first = sorted(range(x.ndim), key=lambda axis: -strides[axis])  # numbers are drawn in the order of the memory
    dense = torch.ones([shape[axis] for axis in outer_first], dtype=x.dtype, device=x.device)
    ones = dense.permute([outer_first.index(axis) for axis in range(x.ndim)])
    return x * function(ones, *args, **kwargs)[rank() :: n_processes()]
