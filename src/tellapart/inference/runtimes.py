"""Running an ONNX graph: OpenVINO where it is installed, else ONNX Runtime; many pictures at once in PyTorch on a GPU.

$TELLAPART_RUNTIME names one of them for everything.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from glob import glob
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tellapart.errors import BundleError, MissingExtraError, unknown_name
from tellapart.threads import chosen_threads

if TYPE_CHECKING:
    import onnxruntime
    import openvino

Outputs = dict[str, np.ndarray]
# Would tell OpenVINO's maker of every import, and keep a count in the home folder. It forks to do so, and where another thread
# multiplies matrices just then, both wait for ever.
TELEMETRY = "openvino_telemetry"
_IMPORTING = Lock()
BATCH = 4  # measured: small static batches are the fastest in OpenVINO on 2 cores (360 pictures/s; 16: 285)
GPU_SIGNS = ("/dev/nvidia[0-9]*", "/proc/driver/nvidia/gpus/*", "/dev/dxg", "C:/Windows/System32/nvcuda.dll")  # dxg: WSL


class Runtime(Protocol):
    """A compiled graph that takes batches of exactly `BATCH` pictures."""

    @property
    def name(self) -> str:
        """Library, version and precision: what decides the last digits of a result."""

    @property
    def widths(self) -> dict[str, int]:
        """The side of the input `pixels` in px, and the width of each output."""

    @property
    def n_channels(self) -> int:
        """How many channels the input `pixels` has."""

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Outputs]:
        """The outputs of each (BATCH, side, side, C) uint8 batch by name, in order, some batches running ahead."""

    def compute(self, batch: np.ndarray) -> Outputs:
        """The outputs of one such batch, for a thread that waits for them: of many threads each computes its own."""


def runtime_library() -> str:
    """What predicts and serves: $TELLAPART_RUNTIME, else the first of `LIBRARIES` that is installed."""
    return os.environ.get("TELLAPART_RUNTIME") or next(name for name in LIBRARIES if find_spec(name))


def embedding_library() -> str:
    """What embeds many pictures: "torch" where it and a GPU seem to be at hand, else `runtime_library()`.

    Looks without importing anything, so that the GPU may prove unusable.
    """
    is_open = not os.environ.get("TELLAPART_RUNTIME") and os.environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1")
    has_gpu = is_open and any(map(glob, GPU_SIGNS)) and find_spec("torch") is not None
    return "torch" if has_gpu else runtime_library()


def load_runtime(model: Path | bytes, *, library: str | None = None) -> Runtime:
    """The graph in `library`, else in `runtime_library()`.

    Raises CallError for an unknown library, MissingExtraError for "torch" without it, and BundleError for what is no graph.
    """
    chosen = library or runtime_library()
    if chosen not in RUNTIMES:
        raise unknown_name("runtime", chosen, RUNTIMES)
    try:
        return RUNTIMES[chosen](model if isinstance(model, bytes) else model.read_bytes())
    except (OSError, RuntimeError, ValueError) as error:
        raise BundleError(f"{chosen} cannot load the network: {str(error).splitlines()[0]}") from error


def import_library(name: str) -> None:
    """Import what `load_runtime` would, ahead of it. Raises ImportError."""
    if name == "openvino":
        import_openvino()
    else:
        import_module(name)


def load_embedder(model: Path) -> tuple[Runtime, str]:
    """The graph in `embedding_library()`, and a remark where the GPU that it is for cannot be used and another does the work.

    Raises like `load_runtime`.
    """
    if os.environ.get("TELLAPART_RUNTIME") or embedding_library() != "torch":
        return load_runtime(model), ""
    from tellapart.inference.torch_runtime import cuda_problem  # imports torch: some seconds

    if not (problem := cuda_problem()):
        try:
            return load_runtime(model, library="torch"), ""
        except BundleError as error:
            problem = str(error)
    runtime = load_runtime(model)
    return runtime, f"the GPU is not used, but {runtime.name} ({problem}); with CUDA_VISIBLE_DEVICES= it is not looked for"


class OpenVino:
    """OpenVINO on the CPU, in bf16 where the processor multiplies it; two streams keep two cores busy."""

    def __init__(self, model: bytes | Path | openvino.Model, *, batch: int = BATCH) -> None:
        """Of an ONNX file's content, the path of a file that OpenVINO reads, its own .xml among them, or another's graph."""
        self.core = _openvino_core()
        self.has_bf16 = "BF16" in self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.graph = self.core.read_model(model) if isinstance(model, bytes | Path) else model.clone()
        self.graph.reshape({port.any_name: [batch, *list(port.partial_shape)[1:]] for port in self.graph.inputs})
        self._spare = deque[_Request]()  # that are not running: a server computes many short streams, in several threads

    @cached_property
    def compiled(self) -> openvino.CompiledModel:
        """Compiled when first used: with all features in the cache a backbone is never run."""
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": self.precision, "PERFORMANCE_HINT": "THROUGHPUT"}
        if threads := chosen_threads():
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            return self.core.compile_model(self.graph, "CPU", settings)
        except RuntimeError as error:
            remedy = "TELLAPART_RUNTIME=onnxruntime may get round it"
            raise BundleError(f"OpenVINO cannot compile the network: {str(error).splitlines()[0]}; {remedy}") from error

    @cached_property
    def widths(self) -> dict[str, int]:
        return {port.any_name: port.partial_shape[1].get_length() for port in (*self.graph.inputs, *self.graph.outputs)}

    @cached_property
    def n_channels(self) -> int:
        return int(self.graph.inputs[0].partial_shape[3].get_length())

    @property
    def precision(self) -> str:
        return "bf16" if self.has_bf16 else "f32"

    @cached_property
    def name(self) -> str:
        return f"OpenVINO {version('openvino')} {self.precision}"

    def of_one(self) -> OpenVino:
        """The same network for batches of one picture."""
        return OpenVino(self.graph, batch=1)

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Outputs]:
        running = deque[_Request]()
        try:
            for batch in batches:
                running.append(self._request())
                running[-1].start(batch)
                if len(running) == self._n_requests:
                    yield running[0].result()
                    self._spare.append(running.popleft())
            while running:
                yield running[0].result()
                self._spare.append(running.popleft())
        finally:
            for request in running:  # the caller stopped early: nothing may still write when it goes on
                request.cancel()

    def compute(self, batch: np.ndarray) -> Outputs:
        request = self._request()
        outputs = request.compute(batch)
        self._spare.append(request)
        return outputs

    def _request(self) -> _Request:
        try:
            return self._spare.pop()
        except IndexError:
            # Named by the graph as it was read: compiling may give an output the name of a node that it folded into it.
            names = [port.any_name for port in self.graph.outputs]
            return _Request(self.compiled.create_infer_request(), names)

    @cached_property
    def _n_requests(self) -> int:
        return int(self.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) + 1  # one waits, its input ready


class _Request:
    """One computation at a time, in places of its own: looked up by name each time, they would take 0.3 ms of a picture's 5."""

    def __init__(self, request: openvino.InferRequest, names: Iterable[str]) -> None:
        self._request = request
        self._pixels: np.ndarray = request.get_input_tensor().data
        self._outputs = {name: request.get_output_tensor(place).data for place, name in enumerate(names)}

    def start(self, batch: np.ndarray) -> None:
        """Let another thread compute it."""
        self._take(batch)
        self._request.start_async()

    def result(self) -> Outputs:
        """The outputs, waited for."""
        self._request.wait()
        return self._copied()

    def compute(self, batch: np.ndarray) -> Outputs:
        self._take(batch)
        self._request.infer(share_outputs=True)
        return self._copied()

    def _take(self, batch: np.ndarray) -> None:
        if batch.shape != self._pixels.shape:  # which would be spread over the places
            raise ValueError(f"the network takes pixels of shape {self._pixels.shape}, not {batch.shape}")
        self._pixels[...] = batch

    def _copied(self) -> Outputs:
        return {name: values.copy() for name, values in self._outputs.items()}

    def cancel(self) -> None:
        self._request.cancel()


@cache
def _openvino_core() -> openvino.Core:
    """The one of this process. Its CPU plugin gives the thread that first asks it a stack for signals, for those with AMX; let go
    of by another thread, it would leave that one with freed memory, and the next signal would end the process.
    """
    return import_openvino().Core()


def import_openvino() -> Any:
    """The module, without its telemetry."""
    with _IMPORTING:
        silenced = {} if TELEMETRY in sys.modules else {TELEMETRY: None}  # as if it were not installed
        sys.modules.update(silenced)  # type: ignore[arg-type]
        try:
            return import_module("openvino")
        finally:
            for name in silenced:
                del sys.modules[name]


class OnnxRuntime:
    """ONNX Runtime in float32; on CUDA where `onnxruntime-gpu` takes the place of `onnxruntime` (not tested)."""

    def __init__(self, model: bytes) -> None:
        import onnxruntime

        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = chosen_threads() or 0  # 0: as many as there are cores
        try:
            self.session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(model, options, providers=providers)
        except Exception as error:  # its own exception classes share no public base
            raise ValueError(str(error)) from error
        self.names = [port.name for port in self.session.get_outputs()]
        self.widths = {port.name: port.shape[1] for port in (*self.session.get_inputs(), *self.session.get_outputs())}

    @cached_property
    def name(self) -> str:
        device = "CUDA" if "CUDAExecutionProvider" in self.session.get_providers() else "CPU"
        import onnxruntime

        return f"ONNX Runtime {onnxruntime.__version__} {device} f32"

    @property
    def n_channels(self) -> int:
        return int(self.session.get_inputs()[0].shape[3])

    def of_one(self) -> OnnxRuntime:
        """Itself: it takes batches of any size."""
        return self

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Outputs]:
        return map(self.compute, batches)

    def compute(self, batch: np.ndarray) -> Outputs:
        return dict(zip(self.names, self.session.run(None, {"pixels": batch}), strict=True))


def _torch(model: bytes) -> Runtime:
    if find_spec("torch") is None:
        raise MissingExtraError("the runtime 'torch'", "train")
    from tellapart.inference.torch_runtime import TorchRuntime

    return TorchRuntime(model)


LIBRARIES: dict[str, Callable[[bytes], Runtime]] = {"openvino": OpenVino, "onnxruntime": OnnxRuntime}  # the fastest first
RUNTIMES = {**LIBRARIES, "torch": _torch}  # of these only by name, or to embed on a GPU
