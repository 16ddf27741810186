from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tellapart.errors import BundleError, MissingExtraError
from tellapart.images import Fit
from tellapart.inference import Classifier, runtimes
from tellapart.inference.features import embed
from tellapart.inference.runtimes import BATCH, embedding_library, load_embedder, load_runtime
from tellapart.inference.streaming import run_pictures
from tellapart.sources import read
from tellapart.training import Recipe
from tellapart.training.backbones import get_backbone

torch = pytest.importorskip("torch")

from tellapart.inference.torch_operations import OPERATIONS  # noqa: E402
from tellapart.inference.torch_runtime import Network, TorchRuntime, cuda_problem  # noqa: E402

SIDE_PX = 64
PARITY = 1e-4  # of the largest feature, in float32
BF16_ROUNDING = 0.05
NETWORKS = [("resnet18", 64), ("mobilenetv3_small_100", 64), ("convnext_atto", 64), ("vit_tiny_patch16_224", 224)]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU that PyTorch can use")


def model(nodes: list[Any], outputs: list[str], *, side_px: int = 9, opset: int = 17, **weights: np.ndarray) -> bytes:
    """A graph from `pixels`, of these nodes."""
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", side_px, side_px, 3])
    ports = [onnx_port(name) for name in outputs]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "drawn", [pixels], ports, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9).SerializeToString()


def onnx_port(name: str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3])


FLOAT = helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT)
MEANS = [FLOAT, helper.make_node("ReduceMean", ["floats"], ["features"], axes=[1, 2], keepdims=0)]


def means() -> bytes:
    """The features of a picture are the means of its colours."""
    return model(MEANS, ["features"])


def grey(value: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (9, 9), (value, value, value)).save(file, "PNG")
    return file.getvalue()


def some_pixels(side_px: int, n: int = BATCH) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, side_px, side_px, 3), np.uint8)


def error_of(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def features_of(runtime: runtimes.Runtime, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(runtime.compute(pixels)["features"])


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other make these small pictures sixty times slower where other processes work beside."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def lite0(cache: Path) -> bytes:
    return get_backbone(Recipe(size=SIDE_PX)).path.read_bytes()


# Each operation against ONNX Runtime. "x" is (4, 3, 9, 9) float32 made from the pixels, "shape" its shape.

RNG = np.random.default_rng(0)
KERNEL, BIAS = RNG.normal(size=(6, 3, 3, 3)).astype(np.float32), RNG.normal(size=6).astype(np.float32)
DEPTHWISE = RNG.normal(size=(3, 1, 4, 4)).astype(np.float32)
PER_CHANNEL = [RNG.uniform(0.5, 2, 3).astype(np.float32) for _ in range(4)]
LAST = [RNG.uniform(0.5, 2, 9).astype(np.float32) for _ in range(2)]
SQUARE = RNG.normal(size=(9, 9)).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


CASES: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("Add", ["x", floats(1, 2, 3)[:, None, None]], {}),
    ("AveragePool", ["x"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "count_include_pad": 1}),
    ("AveragePool", ["x"], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    ("BatchNormalization", ["x", *PER_CHANNEL], {"epsilon": 1e-3}),
    ("BatchNormalization", ["x", *PER_CHANNEL], {"training_mode": 1}),
    ("Cast", ["shape"], {"to": TensorProto.FLOAT}),
    ("Ceil", [floats(-1.5, 0.2, 2)], {}),
    ("Clip", ["x", np.float32(0.2), np.float32(0.5)], {}),
    ("Clip", ["x", None, floats(0.5)], {}),
    ("Clip", ["x"], {}),
    ("Concat", ["x", "x"], {"axis": -1}),
    ("Constant", [], {"value": numpy_helper.from_array(floats(1, 2))}),
    ("ConstantOfShape", ["shape"], {"value": numpy_helper.from_array(floats(7))}),
    ("ConstantOfShape", ["shape"], {}),
    ("Conv", ["x", KERNEL, BIAS], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Conv", ["x", DEPTHWISE], {"auto_pad": "SAME_UPPER", "group": 3}),
    ("Conv", ["x", DEPTHWISE], {"auto_pad": "SAME_LOWER", "group": 3, "kernel_shape": [4, 4]}),
    ("Conv", ["x", KERNEL, BIAS], {"pads": [0, 1, 2, 3], "dilations": [2, 1]}),
    ("Cos", ["x"], {}),
    ("CumSum", ["x", np.array(1)], {}),
    ("Div", ["x", floats(3)], {}),
    ("Div", [ints(7, -7), ints(2, 2)], {}),
    ("Equal", [ints(1, 2), ints(1, 3)], {}),
    ("Erf", ["x"], {}),
    ("Expand", [floats(1, 2, 3)[:, None], ints(4, 1, 5)], {}),
    ("Expand", ["x", ints(1, 1)], {}),
    ("Flatten", ["x"], {"axis": 2}),
    ("Gather", ["x", np.array(-1)], {"axis": 1}),
    ("Gather", ["x", ints(2, -1, 0, 0).reshape(2, 2)], {"axis": -2}),
    ("Gemm", [SQUARE, SQUARE, LAST[0]], {"alpha": 0.5, "beta": 2.0, "transB": 1}),
    ("Gemm", [SQUARE, SQUARE], {"transA": 1}),
    ("GlobalAveragePool", ["x"], {}),
    ("HardSigmoid", ["x"], {"alpha": 0.3}),
    ("HardSwish", ["x"], {}),
    ("Identity", ["x"], {}),
    ("InstanceNormalization", ["x", *PER_CHANNEL[:2]], {"epsilon": 1e-3}),
    ("LayerNormalization", ["x", *LAST], {"axis": -1, "epsilon": 1e-3}),
    ("MatMul", ["x", SQUARE], {}),
    ("MaxPool", ["x"], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ("MaxPool", ["x"], {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Mod", [ints(7, -7), ints(3, 3)], {}),
    ("Mod", [floats(7, -7), floats(3, 3)], {"fmod": 1}),
    ("Mul", ["x", np.float32(2)], {}),
    ("Neg", ["x"], {}),
    ("Not", [np.array([True, False])], {}),
    ("Pad", ["x", ints(0, 0, 1, 2, 0, 0, 3, 4), np.float32(5)], {}),
    ("Pad", ["x", ints(0, 0, 1, 2, 0, 0, 3, 4)], {"mode": "reflect"}),
    ("Pad", ["x", ints(0, 0, 1, 2, 0, 0, 3, 4)], {"mode": "edge"}),
    ("Range", [np.array(2), np.array(9), np.array(3)], {}),
    ("ReduceL2", ["x"], {"axes": [-1]}),
    ("ReduceMax", ["x"], {"axes": [2, 3], "keepdims": 0}),
    ("ReduceMean", ["x"], {"axes": [2, 3], "keepdims": 0}),
    ("ReduceMean", ["x"], {}),
    ("Relu", [floats(-1, 1)], {}),
    ("Reshape", ["x", ints(0, -1, 3)], {}),
    ("Reshape", [np.zeros((0, 3), np.float32), ints(3, 0)], {"allowzero": 1}),
    ("Shape", ["x"], {"start": 1, "end": -1}),
    ("Sigmoid", ["x"], {}),
    ("Sin", ["x"], {}),
    ("Slice", ["x", ints(1, -3), ints(2**62, -1), ints(3, -2), ints(2, 1)], {}),
    ("Slice", ["x", ints(-1), ints(-(2**62)), ints(3), ints(-2)], {}),
    ("Slice", ["x", ints(1), ints(3)], {}),
    ("Softmax", ["x"], {"axis": 1}),
    ("Split", ["x", ints(4, 5)], {"axis": -1}),
    ("Sqrt", ["x"], {}),
    ("Squeeze", [np.zeros((1, 2, 1, 3), np.float32), ints(0, -2)], {}),
    ("Squeeze", [np.zeros((1, 2, 1, 3), np.float32)], {}),
    ("Sub", ["x", "x"], {}),
    ("Tile", ["x", ints(1, 2, 1, 2)], {}),
    ("Transpose", ["x"], {"perm": [0, 2, 3, 1]}),
    ("Transpose", ["x"], {}),
    ("Unsqueeze", ["x", ints(-1, 0)], {}),
    ("Where", [np.array([True, False, True])[:, None, None], "x", np.float32(3)], {}),
]


def one_node(kind: str, inputs: list[Any], attributes: dict[str, Any]) -> bytes:
    given_ = {f"input_{place}": value for place, value in enumerate(inputs) if not isinstance(value, str | None)}
    names = [value if isinstance(value, str) else "" if value is None else f"input_{n}" for n, value in enumerate(inputs)]
    n_outputs = 3 if attributes.get("training_mode") else 2 if kind == "Split" else 1
    nodes = [
        FLOAT,
        helper.make_node("Transpose", ["floats"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["turned", "white"], ["x"]),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node(kind, names, ["y", "second", "third"][:n_outputs], **attributes),
    ]
    return model(nodes, [], white=np.float32(255), **given_)


def with_outputs(content: bytes, *names: str) -> bytes:
    """The graph with these outputs, of whatever type and shape ONNX says that they have."""
    loaded = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
    known = {info.name: info for info in (*loaded.graph.value_info, *loaded.graph.output)}
    loaded.graph.output.extend(known[name] for name in names)
    return loaded.SerializeToString()


@pytest.mark.parametrize(("kind", "inputs", "attributes"), CASES, ids=[f"{kind}-{n}" for n, (kind, *_) in enumerate(CASES)])
def test_an_operation_is_that_of_onnx_runtime(kind: str, inputs: list[Any], attributes: dict[str, Any]) -> None:
    names = ("y", "second") if kind == "Split" else ("y",)
    content, pixels = with_outputs(one_node(kind, inputs, attributes), *names), some_pixels(9)
    expected = onnxruntime.InferenceSession(content).run(list(names), {"pixels": pixels})
    with torch.inference_mode():
        found = Network(content, torch.device("cpu"))(torch.tensor(pixels))
    for name, values in zip(names, expected, strict=True):
        assert found[name].numpy().dtype == values.dtype
        assert found[name].shape == values.shape
        np.testing.assert_allclose(found[name].numpy(), values, rtol=1e-5, atol=1e-5)


def test_every_operation_is_compared() -> None:
    assert {kind for kind, *_ in CASES} == OPERATIONS.keys()


# Whole networks.


def test_the_bundled_backbone_is_that_of_onnx_runtime(lite0: bytes) -> None:
    pixels = some_pixels(SIDE_PX)
    expected = features_of(load_runtime(lite0, library="onnxruntime"), pixels)
    runtime = load_runtime(lite0, library="torch")
    assert runtime.widths == {"pixels": SIDE_PX, "features": 3136}
    assert error_of(features_of(runtime, pixels), expected) < PARITY


def test_low_precision_is_rounding(lite0: bytes) -> None:
    pixels = some_pixels(SIDE_PX)
    expected = features_of(load_runtime(lite0, library="onnxruntime"), pixels)
    runtime = TorchRuntime(lite0, device="cpu", precision="bf16")
    assert runtime.name == f"PyTorch {torch.__version__} CPU bf16"
    assert 1e-4 < error_of(features_of(runtime, pixels), expected) < BF16_ROUNDING


def test_a_classifier_says_the_same(run_folder: Path, pictures: list[str]) -> None:
    first, second = (Classifier.load(run_folder, library=library) for library in ("torch", "onnxruntime"))
    for one, other in zip(first.predict_many(pictures), second.predict_many(pictures), strict=True):
        assert one.label == other.label
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)
        assert one.familiarity == pytest.approx(other.familiarity, abs=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("arch", "side_px"), NETWORKS)
def test_networks_of_timm_are_those_of_the_other_runtimes(arch: str, side_px: int) -> None:
    pytest.importorskip("timm")
    content, pixels = get_backbone(Recipe(arch, "none", side_px)).path.read_bytes(), some_pixels(side_px)
    expected = features_of(load_runtime(content, library="onnxruntime"), pixels)
    assert error_of(features_of(load_runtime(content, library="torch"), pixels), expected) < PARITY
    assert error_of(features_of(TorchRuntime(content, precision="bf16"), pixels), expected) < BF16_ROUNDING
    assert error_of(features_of(load_runtime(content, library="openvino"), pixels), expected) < BF16_ROUNDING
    assert_waits_for_nothing(content, side_px)


@pytest.mark.slow
def test_nothing_is_read_back_from_the_device_on_the_way(lite0: bytes) -> None:
    assert_waits_for_nothing(lite0, SIDE_PX)


def assert_waits_for_nothing(content: bytes, side_px: int) -> None:
    """On a device that has no values to read, and whose tensors do not mix with the host's."""
    pixels = torch.zeros((BATCH, side_px, side_px, 3), dtype=torch.uint8, device="meta")
    with torch.inference_mode():
        features = Network(content, pixels.device)(pixels)["features"]
    assert features.device.type == "meta"
    assert len(features) == BATCH


# The stream.


@pytest.mark.parametrize("n_joined", [1, 5, 32])
@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 130])
def test_results_come_in_order(n: int, n_joined: int) -> None:
    runtime = TorchRuntime(means(), device="cpu", n_joined=n_joined)
    results = list(run_pictures(runtime, (grey(value) for value in range(n)), Fit(9)))
    assert [result.outputs["features"].tolist() for result in results] == [[value] * 3 for value in range(n)]


def test_company_changes_nothing(lite0: bytes) -> None:
    runtime = TorchRuntime(lite0, device="cpu", n_joined=3)
    pixels = some_pixels(SIDE_PX, 4 * BATCH)
    together = [outputs["features"] for outputs in runtime.stream(np.split(pixels, 4))]
    assert [len(one) for one in together] == [BATCH] * 4
    alone = [features_of(runtime, batch) for batch in np.split(pixels, 4)]
    assert np.array_equal(np.stack(together)[[0, 3]], np.stack(alone)[[0, 3]])  # the first of a group, as when alone


def test_only_a_bounded_number_of_batches_is_taken_and_no_more_after_an_early_stop() -> None:
    n_taken = 0

    def batches() -> Iterator[np.ndarray]:
        nonlocal n_taken
        while n_taken < 1000:
            n_taken += 1
            yield some_pixels(9)

    results = TorchRuntime(means(), device="cpu", n_joined=5).stream(batches())
    assert n_taken == 0
    for n_given in range(1, 40):
        next(results)
        assert n_taken <= n_given + 2 * 5
    results.close()
    assert n_taken <= 50


def test_an_error_of_the_source_reaches_the_caller() -> None:
    def batches() -> Iterator[np.ndarray]:
        yield some_pixels(9)
        raise ValueError("the caller's own")

    with pytest.raises(ValueError, match="the caller's own"):
        list(TorchRuntime(means(), device="cpu").stream(batches()))


# What cannot be run.


def test_an_unknown_operation_is_named_with_the_way_round() -> None:
    content = model([FLOAT, helper.make_node("Tan", ["floats"], ["features"])], ["features"])
    with pytest.raises(BundleError, match=r"no operation 'Tan' is known here\. TELLAPART_RUNTIME=onnxruntime gets round it"):
        load_runtime(content, library="torch")


def test_an_unknown_form_of_an_operation_is_named() -> None:
    nodes = [FLOAT, helper.make_node("Split", ["floats"], ["features", "rest"], axis=-1)]
    with pytest.raises(BundleError, match=r"this form of 'Split' is not known here \(missing a required argument: 'sizes'\)"):
        load_runtime(model(nodes, ["features"]), library="torch")


def test_another_opset_is_refused() -> None:
    with pytest.raises(BundleError, match="torch cannot load the network: opset 12; 13 to 17 are read"):
        load_runtime(model(MEANS, ["features"], opset=12), library="torch")


def test_other_inputs_are_refused() -> None:
    with pytest.raises(BundleError, match=r"its inputs are \{'pixels': \[0, 0, 3\]\}, not pixels of \(N, side, side, channels\)"):
        load_runtime(model(MEANS, ["features"], side_px=0), library="torch")


@pytest.mark.parametrize("content", [b"", b"no network", bytes(range(256)), b"\x08\x09" * 50])
def test_what_is_no_network_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"torch cannot load the network: ."):
        load_runtime(content, library="torch")


def test_what_fails_on_the_way_names_its_operation() -> None:
    nodes = [FLOAT, helper.make_node("Add", ["floats", "weight"], ["features"])]
    runtime = load_runtime(model(nodes, ["features"], weight=floats(1, 2)), library="torch")
    with pytest.raises(BundleError, match="PyTorch cannot run the network on cpu: Add: The size of tensor a"):
        features_of(runtime, some_pixels(9))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_network_runs_or_is_refused(data: st.DataObject) -> None:
    content = bytearray(means())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    try:
        list(load_runtime(bytes(content), library="torch").stream([some_pixels(9)]))
    except BundleError:
        pass  # any other error is a failure


# The choice.


@pytest.fixture
def gpu_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that looks as if it had a GPU."""
    (tmp_path / "nvidia0").touch()
    monkeypatch.setattr(runtimes, "GPU_SIGNS", (str(tmp_path / "nvidia[0-9]*"),))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("gpu_signs")
def test_a_gpu_embeds_and_does_not_predict(monkeypatch: pytest.MonkeyPatch) -> None:
    assert embedding_library() == "torch"
    assert runtimes.runtime_library() == "openvino"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert embedding_library() == "openvino"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("TELLAPART_RUNTIME", "onnxruntime")
    assert embedding_library() == "onnxruntime"


def test_without_a_gpu_the_processor_embeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "GPU_SIGNS", (str(tmp_path / "nvidia[0-9]*"),))
    assert embedding_library() == runtimes.runtime_library() == "openvino"


@without_cuda
@pytest.mark.usefixtures("gpu_signs")
def test_a_gpu_that_cannot_be_used_is_a_remark(clean_sample, tmp_path: Path) -> None:
    table, backbone = read(clean_sample.root), get_backbone(Recipe(size=SIDE_PX))
    features = embed(table, backbone, cache_folder=tmp_path)
    assert features.runtime.startswith("OpenVINO ")
    way_round = "with CUDA_VISIBLE_DEVICES= it is not looked for"
    assert features.warning == f"the GPU is not used, but {features.runtime} ({cuda_problem()}); {way_round}"
    assert cuda_problem()


def test_the_environment_chooses_it(lite0: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backbone.onnx").write_bytes(lite0)
    monkeypatch.setenv("TELLAPART_RUNTIME", "torch")
    runtime, remark = load_embedder(tmp_path / "backbone.onnx")
    assert runtime.name.startswith(f"PyTorch {torch.__version__} ")
    assert remark == ""


def test_without_pytorch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"the runtime 'torch' needs: pip install 'tellapart\[train\]'"):
        load_runtime(means(), library="torch")


# On a GPU.


@needs_cuda
def test_a_gpu_computes_the_same(lite0: bytes) -> None:
    pixels = some_pixels(SIDE_PX, 37 * BATCH)
    runtime = TorchRuntime(lite0)
    assert runtime.name.endswith((" bf16", " f16"))
    expected = [outputs["features"] for outputs in load_runtime(lite0, library="onnxruntime").stream(np.split(pixels, 37))]
    found = [outputs["features"] for outputs in runtime.stream(np.split(pixels, 37))]
    assert error_of(np.concatenate(found), np.concatenate(expected)) < BF16_ROUNDING
    assert np.array_equal(found[0], features_of(runtime, pixels[:BATCH]))
    assert np.array_equal(found[32], features_of(runtime, pixels[32 * BATCH : 33 * BATCH]))  # the first of the next group


@needs_cuda
@pytest.mark.usefixtures("gpu_signs")
def test_a_gpu_is_chosen_to_embed(clean_sample, tmp_path: Path) -> None:
    features = embed(read(clean_sample.root), get_backbone(Recipe(size=SIDE_PX)), cache_folder=tmp_path)
    assert features.runtime.startswith(f"PyTorch {torch.__version__} {torch.cuda.get_device_name()}")
    assert features.warning == ""
