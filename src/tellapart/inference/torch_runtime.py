"""Running an ONNX graph in PyTorch, to embed many pictures on a GPU. Imported only where that is wanted."""

from __future__ import annotations

import inspect
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property, partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from tellapart.errors import BundleError
from tellapart.inference.torch_operations import OPERATIONS

OPSETS = range(13, 18)  # before it the axes of some operations were attributes, after it those of others are inputs
WAY_ROUND = "TELLAPART_RUNTIME=onnxruntime gets round it"
PRECISIONS = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
JOINED = 32  # batches at 224 px, 128 pictures: 4 leave a GPU idle. A guess: not measured on one
RUNNING = 2  # joined batches on the device at once: one is computed while the other's results are taken


class Network:
    """An ONNX graph as a function of its `pixels`, with its weights on a device.

    Raises BundleError for an operation that we have not, and what PyTorch, onnx or we find wrong with it for what is no network.
    """

    def __init__(self, model: bytes, device: torch.device) -> None:
        graph = _read(model)
        self.outputs = tuple(port.name for port in graph.output)
        self.widths = {port.name: _width(port) for port in (*graph.input, *graph.output)}
        self.n_channels = int(graph.input[0].type.tensor_type.shape.dim[3].dim_value)
        self._known: dict[str, Tensor | None] = {"": None, **_weights(graph, device)}  # "" is an input left out
        self._steps = list[_Step]()
        with torch.inference_mode():
            self._take([_step(node) for node in graph.node], device)
        last_use = {name: number for number, step in enumerate(self._steps) for name in step.inputs if name not in self.outputs}
        self._spent = [[name for name in set(step.inputs) if last_use.get(name) == n] for n, step in enumerate(self._steps)]
        self._known = {name: value for name, value in self._known.items() if name in last_use or name in self.outputs}

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """The outputs by name, (N, width) each, of (N, side, side, C) uint8 on the device."""
        values = {**self._known, "pixels": pixels}
        for step, spent in zip(self._steps, self._spent, strict=True):
            values.update(step.results(values))
            for name in spent:
                del values[name]
        return {name: value for name in self.outputs if (value := values[name]) is not None}

    def _take(self, steps: Sequence[_Step], device: torch.device) -> None:
        """Compute now what depends on weights alone; the rest is left for every batch."""
        for step in steps:
            if all(name in self._known for name in step.inputs):
                made = step.results(self._known)
                self._known |= {name: value.to(device) if _is_array(value) else value for name, value in made.items()}
                continue
            self._steps.append(step)
            kernel = self._known.get(step.inputs[1]) if step.kind == "Conv" else None
            if kernel is not None and kernel.ndim == 4:  # as the pixels come: their channels stand together in memory
                self._known[step.inputs[1]] = kernel.contiguous(memory_format=torch.channels_last)


def _is_array(value: Tensor) -> bool:
    """Whether it is made to meet pictures; a list of one number may be part of a shape's reckoning."""
    return value.is_floating_point() and value.numel() > 1


class _Step(NamedTuple):
    kind: str
    compute: partial[Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def results(self, values: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
        try:
            made = self.compute(*(values[name] for name in self.inputs))
        except Exception as error:  # the graph is from outside: PyTorch answers a wrong one with errors of any kind
            raise ValueError(f"{self.kind}: {error}") from error
        parts = made if isinstance(made, tuple) else (made,)
        return dict(zip(self.outputs, parts, strict=False))  # of a normalisation's outputs nobody uses more than the first


def _read(model: bytes) -> onnx.GraphProto:
    loaded = onnx.load_from_string(model)
    onnx.checker.check_model(loaded)
    versions = {opset.domain: opset.version for opset in loaded.opset_import}
    if versions.get("", 0) not in OPSETS:
        raise ValueError(f"opset {versions.get('')}; {OPSETS[0]} to {OPSETS[-1]} are read")
    shapes = {port.name: [side.dim_value for side in port.type.tensor_type.shape.dim[1:]] for port in loaded.graph.input}
    sides = shapes.get("pixels", [])
    if len(shapes) != 1 or len(sides) != 3 or min(sides) < 1 or sides[0] != sides[1]:
        raise ValueError(f"its inputs are {shapes}, not pixels of (N, side, side, channels)")
    return loaded.graph


def _width(port: onnx.ValueInfoProto) -> int:
    """The second side; 0 where it is left open."""
    return next((side.dim_value for side in port.type.tensor_type.shape.dim[1:]), 0)


def _weights(graph: onnx.GraphProto, device: torch.device) -> dict[str, Tensor]:
    """The weights on the device; integers, single numbers and bounds on the host, see `torch_operations`."""
    bounds = {name for node in graph.node if node.op_type == "Clip" for name in node.input[1:]}
    weights = {tensor.name: _tensor(tensor) for tensor in graph.initializer}
    weights |= {name: weights[name].reshape(()) for name in bounds & weights.keys()}  # we write them as (1,)
    return {name: value.to(device) if value.is_floating_point() and value.ndim else value for name, value in weights.items()}


def _tensor(tensor: onnx.TensorProto) -> Tensor:
    return torch.tensor(numpy_helper.to_array(tensor))


def _step(node: onnx.NodeProto) -> _Step:
    kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    if kind not in OPERATIONS:
        raise BundleError(f"PyTorch cannot run the network: no operation {kind!r} is known here. {WAY_ROUND}")
    attributes = {attribute.name: _value(attribute) for attribute in node.attribute}
    try:
        inspect.signature(OPERATIONS[kind]).bind(*node.input, **attributes)
    except TypeError as error:
        raise BundleError(
            f"PyTorch cannot run the network: this form of {kind!r} is not known here ({error}). {WAY_ROUND}"
        ) from error
    return _Step(kind, partial(OPERATIONS[kind], **attributes), tuple(node.input), tuple(node.output))


def _value(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return _tensor(value)
    return value if isinstance(value, int | float) else tuple(value)


class TorchRuntime:
    """PyTorch on CUDA in bf16 (f16 where the GPU has no bf16), else on the CPU in float32; outputs are float32.

    Incoming batches are joined, since a GPU is idle with few pictures. A group is always full, its places filled up, so that
    a picture's result does not depend on its company. `n_joined` is how many batches, 1 on the CPU.
    """

    def __init__(
        self, model: bytes, *, device: str | None = None, precision: str | None = None, n_joined: int | None = None
    ) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.is_cuda = self.device.type == "cuda"
        self.precision = precision or (self._low_precision() if self.is_cuda else "f32")
        try:
            self.network = Network(model, self.device)
        except BundleError:
            raise
        except Exception as error:  # protobuf's, the checker's and PyTorch's own kinds share no public base
            raise ValueError(str(error) or type(error).__name__) from error
        side_px = self.widths["pixels"]
        self.n_joined = n_joined or (min(JOINED, max(1, JOINED * 224**2 // side_px**2)) if self.is_cuda else 1)

    @property
    def widths(self) -> dict[str, int]:
        return self.network.widths

    @property
    def n_channels(self) -> int:
        return self.network.n_channels

    @cached_property
    def name(self) -> str:
        device = torch.cuda.get_device_name(self.device) if self.is_cuda else "CPU"
        return f"PyTorch {torch.__version__} {device} {self.precision}"

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        rest, running = iter(batches), deque[_Group]()
        while group := list(islice(rest, self.n_joined)):
            running.append(self._started(group))
            if len(running) == RUNNING:
                yield from self._results(running.popleft())
        while running:
            yield from self._results(running.popleft())

    def compute(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        [outputs] = self.stream([batch])
        return outputs

    def _started(self, batches: list[np.ndarray]) -> _Group:
        """The work on these batches, handed to the device; on CUDA this does not wait for it."""
        n, places = sum(map(len, batches)), self.n_joined * len(batches[0])
        with self._errors_named(), torch.inference_mode(), self._in_low_precision():
            host = torch.zeros((places, *batches[0].shape[1:]), dtype=torch.uint8, pin_memory=self.is_cuda)
            np.concatenate(batches, out=host[:n].numpy())
            made = self.network(host.to(self.device, non_blocking=True))
            outputs = {name: values.float().to("cpu", non_blocking=True) for name, values in made.items()}  # pinned, too
            done = torch.cuda.current_stream().record_event() if self.is_cuda else None
        return _Group(tuple(map(len, batches)), outputs, done)

    def _results(self, group: _Group) -> Iterator[dict[str, np.ndarray]]:
        with self._errors_named():
            if group.done is not None:
                group.done.synchronize()
        outputs = {name: values.numpy() for name, values in group.outputs.items()}
        start = 0
        for length in group.lengths:
            yield {name: values[start : start + length] for name, values in outputs.items()}
            start += length

    def _low_precision(self) -> str:
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "f16"

    def _in_low_precision(self) -> AbstractContextManager[Any]:
        """Convolutions and matrix products in the low precision; PyTorch keeps the rest in float32 where that matters."""
        return nullcontext() if self.precision == "f32" else torch.autocast(self.device.type, PRECISIONS[self.precision])

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError) as error:  # out of the GPU's memory, a shape that does not fit
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise BundleError(f"PyTorch cannot run the network on {self.device.type}: {reason}. {WAY_ROUND}") from error


class _Group(NamedTuple):
    """Batches that were joined and are being computed."""

    lengths: tuple[int, ...]
    outputs: dict[str, Tensor]
    done: torch.cuda.Event | None  # until it has come the outputs hold nothing


def cuda_problem() -> str:
    """Why PyTorch cannot compute on this machine's GPU; nothing where it can."""
    with warnings.catch_warnings(record=True) as said:  # it warns of a driver that is too old
        warnings.simplefilter("always")
        try:
            if torch.cuda.is_available():
                torch.ones(1, device="cuda").add(1).item()  # fails on a GPU that this PyTorch has no code for
                return ""
        except RuntimeError as error:
            return str(error).splitlines()[0]
    if torch.version.cuda is None and torch.version.hip is None:
        return f"PyTorch {torch.__version__} is built for the CPU only"
    return str(said[0].message).splitlines()[0] if said else "PyTorch finds no CUDA device"
