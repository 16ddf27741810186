from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tellapart.errors import BundleError, CallError
from tellapart.inference.runtimes import BATCH, LIBRARIES, load_runtime

BF16_ROUNDING = 0.05  # of a probability, as at export


@pytest.fixture
def model(run_folder: Path) -> Path:
    return run_folder / "bundle" / "model.onnx"


def batches(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (BATCH, 96, 96, 3), np.uint8) for _ in range(n)]


def test_the_runtimes_agree(model: Path) -> None:
    given = batches(6)
    first, second = ([*load_runtime(model, library=library).stream(given)] for library in LIBRARIES)
    assert len(first) == len(second) == 6
    for one, other in zip(first, second, strict=True):
        assert {name: values.shape for name, values in one.items()} == {"probabilities": (BATCH, 3), "embedding": (BATCH, 3136)}
        assert one["probabilities"].sum(1) == pytest.approx(np.ones(BATCH), abs=1e-3)
        assert np.abs(one["probabilities"] - other["probabilities"]).max() < BF16_ROUNDING


@pytest.mark.parametrize("library", LIBRARIES)
def test_outputs_come_in_order_and_stay_as_they_are(model: Path, library: str) -> None:
    """A later batch must not overwrite what an earlier one returned."""
    runtime, given = load_runtime(model, library=library), batches(12)
    alone = [next(iter(runtime.stream([batch])))["embedding"] for batch in given]
    together = [outputs["embedding"] for outputs in runtime.stream(given)]
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


@pytest.mark.parametrize("library", LIBRARIES)
def test_threads_share_a_runtime(model: Path, library: str) -> None:
    """Each computes its own, as in the server."""
    runtime, given = load_runtime(model, library=library), batches(40)
    alone = [outputs["embedding"] for outputs in runtime.stream(given)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda batch: runtime.compute(batch)["embedding"], given))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_pixels_of_another_shape_are_not_spread_over_the_places(model: Path) -> None:
    runtime = load_runtime(model, library="openvino")
    for wrong in (np.zeros((1, 96, 96, 3), np.uint8), np.zeros((BATCH, 96, 96, 1), np.uint8)):
        with pytest.raises(ValueError, match=r"the network takes pixels of shape \(4, 96, 96, 3\), not"):
            runtime.compute(wrong)
        with pytest.raises(ValueError, match="the network takes pixels of shape"):
            list(runtime.stream([wrong]))


def test_a_runtime_let_go_by_another_thread_leaves_signals_alone(model: Path) -> None:
    """OpenVINO's plugin gives the thread that made it a stack for signals, where the processor has AMX."""
    code = f"""
import gc, os, signal, threading
from pathlib import Path
import numpy as np
from tellapart.inference.runtimes import BATCH, load_runtime
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
held = [load_runtime(Path({str(model)!r}), library="openvino")]
list(held[0].stream([np.zeros((BATCH, 96, 96, 3), np.uint8)]))
def let_go():
    held.clear()
    gc.collect()
    import tellapart.memory
    tellapart.memory.give_back()
thread = threading.Thread(target=let_go)
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_batch_gives_no_output(model: Path, library: str) -> None:
    assert list(load_runtime(model, library=library).stream([])) == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_name_says_library_version_and_precision(model: Path, library: str) -> None:
    assert load_runtime(model, library=library).name.endswith((" bf16", " f32"))


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_output_keeps_its_name_where_its_node_is_folded_away(library: str) -> None:
    """As of timm's networks without a map, whose one part is concatenated with nothing."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["a_mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Concat", ["a_mean"], ["features"], axis=1),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", 96, 96, 3])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph(nodes, "means", [pixels], [features])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    (outputs,) = load_runtime(content, library=library).stream(batches(1))
    assert {name: values.shape for name, values in outputs.items()} == {"features": (BATCH, 3)}


def test_an_unknown_runtime_suggests_the_nearest(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CallError, match=r"unknown runtime 'openvina'; did you mean 'openvino'?"):
        load_runtime(model, library="openvina")
    monkeypatch.setenv("TELLAPART_RUNTIME", "tpu")
    with pytest.raises(CallError, match="unknown runtime 'tpu'; known: openvino, onnxruntime"):
        load_runtime(model)


def test_the_environment_chooses_the_runtime(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELLAPART_RUNTIME", "onnxruntime")
    assert load_runtime(model).name.startswith("ONNX Runtime ")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("content", [b"", b"no network", bytes(range(256)), b"\x08\x09" * 50])
def test_what_is_no_network_is_refused(library: str, content: bytes) -> None:
    with pytest.raises(BundleError, match=f"{library} cannot load the network: ."):
        load_runtime(content, library=library)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_network_that_broke_off_is_refused(model: Path, library: str) -> None:
    with pytest.raises(BundleError, match=f"{library} cannot load the network"):
        load_runtime(model.read_bytes()[:100_000], library=library)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot load the network: .*model\.onnx"):
        load_runtime(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "use",
    [
        "from tellapart.inference.runtimes import load_runtime; load_runtime(pathlib.Path(sys.argv[1]), library='openvino')",
        "from tellapart.runs.training import _import_quietly; _import_quietly([])",  # beside other work of a training
    ],
)
def test_openvino_tells_nobody_that_it_is_used(model: Path, tmp_path: Path, use: str) -> None:
    """Its telemetry would send an event a use and keep a count in the home folder; another program may still import it."""
    pytest.importorskip("openvino_telemetry")
    lines = (
        "import pathlib, sys",
        use,
        "assert not any(name.startswith('openvino_telemetry') for name in sys.modules)",
        "import openvino_telemetry",
    )
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", "\n".join(lines), str(model)], env=environment, check=True)
    assert not any(tmp_path.iterdir())
