from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tellapart.errors import BundleError, CallError
from tellapart.inference.runtimes import BATCH, load_runtime
from tellapart.training import Recipe
from tellapart.training.backbones import get_backbone

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the hub has it: made here, since tests do not download."""
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    torch.manual_seed(1)
    from safetensors.torch import save_file

    save_file(timm.create_model("resnet18").state_dict(), path)
    return path


def features_of(recipe: Recipe, pixels: np.ndarray) -> np.ndarray:
    runtime = load_runtime(get_backbone(recipe).path, library="onnxruntime")
    return next(iter(runtime.stream([pixels])))["features"]


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (BATCH, 64, 64, 3), np.uint8)


def test_random_weights_follow_the_seed(pixels: np.ndarray) -> None:
    recipes = [Recipe("resnet18", "none", 64, seed=seed) for seed in (0, 1)]
    first, second = (features_of(recipe, pixels) for recipe in recipes)
    backbone = get_backbone(recipes[0])
    assert first.shape == (BATCH, 1024)
    assert backbone.blocks == (512, 512)  # mean and maximum
    assert backbone.weights == "random"
    assert not np.allclose(first, second)


def test_a_file_of_weights_is_what_is_computed(weights: Path, pixels: np.ndarray) -> None:
    recipe = Recipe("resnet18", str(weights), 64)
    found = features_of(recipe, pixels)
    torch.manual_seed(1)
    model = timm.create_model("resnet18").eval()
    config = timm.data.resolve_data_config({}, model=model)
    with torch.inference_mode():
        x = (torch.tensor(pixels).permute(0, 3, 1, 2) / 255 - torch.tensor(config["mean"])[:, None, None]) / torch.tensor(
            config["std"]
        )[:, None, None]
        maps = model.forward_features(x)
        expected = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1).numpy()
    assert get_backbone(recipe).weights == "model.safetensors"
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


def test_weights_that_do_not_fit_are_refused(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no weights")
    with pytest.raises(
        BundleError, match=r"model\.safetensors does not fit: \d+ of \d+ tensors are missing or of another shape, such as"
    ):
        get_backbone(Recipe("resnet34", str(weights), 64))
    with pytest.raises(BundleError, match=r"notes\.txt is not a safetensors file"):
        get_backbone(Recipe("resnet18", str(tmp_path / "notes.txt"), 64))
    with pytest.raises(CallError, match=r"no weights at .*absent; give a \.safetensors file, a name, 'auto' or 'none'"):
        get_backbone(Recipe("resnet18", str(tmp_path / "absent"), 64))


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(CallError, match=r"unknown backbone 'resnet43'; did you mean 'resnet\d+.*'\?"):
        get_backbone(Recipe("resnet43", "none", 64))


def test_a_hub_out_of_reach_says_how_to_get_the_file(tellapart, clean_sample, tmp_path: Path) -> None:
    env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    done = tellapart("train", clean_sample.root, "--out", tmp_path / "run", "--arch", "resnet18", env=env)
    assert done.returncode == 1
    assert "the weights of 'resnet18' cannot be had from the hub" in done.stderr
    assert "give it with --weights FILE" in done.stderr


def test_a_size_that_the_network_cannot_take_is_no_traceback(tellapart, clean_sample, tmp_path: Path) -> None:
    """Vision transformers take the one size that they were made for."""
    words = ("--arch", "vit_tiny_patch16_224", "--weights", "none", "--size", "96")
    done = tellapart("train", clean_sample.root, "--out", tmp_path / "run", *words)
    assert done.returncode in (1, 2)
    assert "224" in done.stderr
