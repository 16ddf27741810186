from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest

from tellapart.inference.runtimes import BATCH, load_runtime
from tellapart.training.backbones import LITE0_FILE, LITE0_PACKAGE, LITE0_SHA256
from tellapart.training.checkpoints import read_checkpoint
from tellapart.training.lite0 import MIDDLE_STAGE, lite0_blocks, lite0_graph

SIDE_PX = 160  # maps of 5 x 5 at the end
INNER = slice(1, 4)
PARITY = 1e-4


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    spec = find_spec(LITE0_PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return read_checkpoint(Path(spec.origin).parent / LITE0_FILE, sha256=LITE0_SHA256)


@pytest.mark.parametrize("side_px", [8, 97, 224])
def test_the_graph_is_valid_at_any_side(weights: dict[str, np.ndarray], side_px: int) -> None:
    graph = lite0_graph(weights, side_px)
    onnx.checker.check_model(graph, full_check=True)
    assert lite0_blocks(weights) == (1280, 1280, 192, 192, 192)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_features_are_those_of_timm(weights: dict[str, np.ndarray]) -> None:
    """The peer's weights are filled in its own order: names differ, order and shapes do not."""
    torch, timm = pytest.importorskip("torch"), pytest.importorskip("timm")
    model = timm.create_model("tf_efficientnet_lite0").eval()
    own = model.state_dict()
    assert len(own) == len(weights)
    model.load_state_dict({name: torch.tensor(np.array(tensor)) for name, tensor in zip(own, weights.values(), strict=True)})
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE_PX, SIDE_PX, 3), np.uint8)

    runtime = load_runtime(lite0_graph(weights, SIDE_PX).SerializeToString(), library="onnxruntime")
    found = next(iter(runtime.stream([pixels])))["features"]
    with torch.inference_mode():
        x = (torch.tensor(pixels).permute(0, 3, 1, 2).float() - 127.5) / 127.5
        last = model.forward_features(x)
        middle = model.blocks[: MIDDLE_STAGE + 1](model.bn1(model.conv_stem(x)))
        inner = middle[:, :, INNER, INNER]
        parts = [last.mean((2, 3)), last.amax((2, 3)), middle.mean((2, 3)), middle.std((2, 3), correction=0), inner.mean((2, 3))]
        expected = torch.cat(parts, 1).numpy()
    assert found.shape == (BATCH, 3136)
    assert np.abs(found - expected).max() < PARITY * np.abs(expected).max()
