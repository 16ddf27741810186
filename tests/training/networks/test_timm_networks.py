from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("timm")

import torch

from tellapart.data.looks import Looks
from tellapart.errors import CallError
from tellapart.inference.runtimes import BATCH, load_runtime
from tellapart.training import Recipe
from tellapart.training.backbones import get_backbone
from tellapart.training.networks.making import channels_of, fit_of, make_network
from tellapart.training.networks.pictures import PictureNetwork

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SIDE_PX = 64


def network(recipe: Recipe, *, n_channels: int = 3, side_px: int = SIDE_PX) -> PictureNetwork:
    pictures = torch.randint(0, 256, (4, n_channels, side_px, side_px), dtype=torch.uint8)
    return make_network(recipe, pictures, n_classes=5, levels=([120.0] * n_channels, [60.0] * n_channels))


@pytest.mark.parametrize(("arch", "side_px"), [("resnet18", 64), ("convnext_atto", 64), ("vit_tiny_patch16_224", 224)])
def test_every_parameter_learns_in_one_group(arch: str, side_px: int) -> None:
    one = network(Recipe(arch, "none"), side_px=side_px)
    groups = [[id(p) for layer in layers for p in layer.parameters()] for layers in one.layer_groups()]
    learning = [key for group in groups for key in group]
    assert len(groups) == 5
    assert all(groups)
    assert len(learning) == len(set(learning))
    assert set(learning) == {id(parameter) for parameter in one.parameters()}


def test_a_network_of_timm_takes_grey_pictures_where_it_is_not_pretrained() -> None:
    recipe = Recipe("resnet18", "none", SIDE_PX)
    assert channels_of(recipe) is None
    one = network(recipe, n_channels=1).eval()
    assert not one.pretrained
    assert one(torch.zeros(2, 1, SIDE_PX, SIDE_PX, dtype=torch.uint8)).shape == (2, 5)
    assert fit_of(recipe, Looks(((500, 500),), 3)).crop_frac == 1


def test_the_bundled_network_computes_what_its_backbone_does() -> None:
    """Of the backbone's features the first 1,280 are the means of its last layer."""
    recipe = Recipe(size=SIDE_PX)
    assert channels_of(recipe) == 3
    one = network(recipe).eval()
    assert one.pretrained
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE_PX, SIDE_PX, 3), np.uint8)
    expected = next(iter(load_runtime(get_backbone(recipe).path, library="onnxruntime").stream([pixels])))["features"][:, :1280]
    with torch.inference_mode():
        found = one.features(torch.from_numpy(pixels).permute(0, 3, 1, 2)).numpy()
    assert np.allclose(found, expected, atol=1e-3)
    assert fit_of(recipe, Looks(((500, 500),), 3)).crop_frac == 0.875


def test_an_unknown_network_is_told_from_its_nearest() -> None:
    with pytest.raises(CallError, match="unknown network 'resnet81'; did you mean"):
        network(Recipe("resnet81", "none"))


def test_a_side_that_does_not_suit_is_said() -> None:
    with pytest.raises(CallError, match="'vit_tiny_patch16_224' cannot take pictures of 64 px"):
        network(Recipe("vit_tiny_patch16_224", "none"))
