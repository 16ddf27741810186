from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch.nn import functional

from tellapart.data.looks import Looks
from tellapart.errors import CallError
from tellapart.training import Recipe
from tellapart.training.networks import compact
from tellapart.training.networks.compact import Compact, whitening
from tellapart.training.networks.making import fit_of, is_ours, make_network, with_own_settings
from tellapart.training.networks.pictures import PictureNetwork
from tellapart.training.networks.summary import summarize
from tellapart.training.networks.tutorial import TutorialCnn

LEVELS = {n: ([100.0 + 10 * i for i in range(n)], [60.0 - i for i in range(n)]) for n in (1, 2, 3, 8)}
PEER = Path(__file__).parents[3] / "bench" / "peers" / "keras_tutorial.py"


def pictures(n: int, n_channels: int, side_px: int) -> torch.Tensor:
    """Smooth noise: neighbouring pixels are alike, as in photographs."""
    coarse = torch.rand(n, n_channels, side_px // 4, side_px // 4, generator=torch.Generator().manual_seed(0))
    return (functional.interpolate(coarse, size=side_px, mode="bilinear") * 255).to(torch.uint8)


def network(arch: str, *, n_channels: int = 1, side_px: int = 28, dropout: float = 0.5) -> PictureNetwork:
    recipe = Recipe(arch=arch, dropout=dropout)
    return make_network(recipe, pictures(40, n_channels, side_px), n_classes=10, levels=LEVELS[n_channels])


@pytest.mark.parametrize("arch", ["compact", "tutorial_cnn"])
@pytest.mark.parametrize(("n_channels", "side_px"), [(1, 28), (3, 32), (3, 64), (2, 28), (8, 40)])
def test_ours_take_grey_and_coloured_pictures_of_small_sides(arch: str, n_channels: int, side_px: int) -> None:
    one = network(arch, n_channels=n_channels, side_px=side_px).eval()
    logits = one(pictures(3, n_channels, side_px))
    assert logits.shape == (3, 10)
    assert logits.dtype == torch.float32
    assert one.head(one.features(pictures(3, n_channels, side_px))).equal(logits)


def test_the_tutorial_cnn_has_the_parameters_of_the_tutorial() -> None:
    """Of Keras' `model.summary()`: batch-norm 4 (2 of them statistics), 320, 9,248, 102,528 and 1,290."""
    assert sum(parameter.numel() for parameter in network("tutorial_cnn").parameters()) == 2 + 320 + 9_248 + 102_528 + 1_290


@pytest.mark.parametrize("n_channels", [1, 2, 3, 8])
@pytest.mark.parametrize("side_px", [12, 28, 33, 64])
def test_the_tutorial_cnn_has_the_parameters_of_the_peer(n_channels: int, side_px: int) -> None:
    one = network("tutorial_cnn", n_channels=n_channels, side_px=side_px)
    found = [sum(parameter.numel() for parameter in layer.parameters()) for layer in one.children()]
    assert sorted(found) == sorted(peer_counts(n_channels, side_px))


def test_the_tutorial_cnn_leaves_out_as_much_as_the_peer_when_told_to() -> None:
    """With half before the last layer, a quarter after each convolution; left open nothing is left out."""
    parts = [float(argument) for name, argument in peer_layers() if name == "Dropout"]
    given = with_own_settings(Recipe(arch="tutorial_cnn", dropout=0.5)).dropout
    assert parts == [given / 2, given / 2, given] == [0.25, 0.25, 0.5]
    assert with_own_settings(Recipe(arch="tutorial_cnn")).dropout == 0


def peer_layers() -> list[tuple[str, str]]:
    """Name and first argument of each layer of the tutorial, as the benchmark's peer builds it in Keras."""
    return re.findall(r"layers\.(\w+)\(([\d.]*)", PEER.read_text())


def peer_counts(n_channels: int, side_px: int) -> Iterator[int]:
    """How many parameters each of the peer's layers learns, in pictures of this side with so many channels."""
    width, side = n_channels, side_px
    for name, argument in peer_layers():
        match name:
            case "BatchNormalization":
                yield 2 * width  # its two statistics are not learned
            case "Conv2D":
                yield (9 * width + 1) * int(argument)
                width, side = int(argument), side - 2
            case "MaxPooling2D":
                side //= 2
            case "Flatten":
                width = width * side * side
            case "Dense":
                yield (width + 1) * int(argument)
                width = int(argument)


def test_patches_of_many_channels_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = pictures(60, 8, 28).float()
    monkeypatch.setattr(compact, "PATCH_VALUES", 20 * 8 * 28 * 28 * 16 // 9)
    assert whitening(shown, side=4).equal(whitening(shown[:20], side=4))


def test_the_quick_first_layer_computes_the_plain_one() -> None:
    one = network("tutorial_cnn", dropout=0.0)
    assert isinstance(one, TutorialCnn)
    with torch.no_grad():
        one.norm.weight.fill_(1.7)
        one.norm.bias.fill_(-0.3)
    x = torch.randn(8, 1, 28, 28)
    plain = one.first(one.norm(x))
    assert torch.allclose(one._quick_first(x), plain, atol=1e-5)
    one.norm.momentum = 0.1
    assert one.norm.running_mean is not None
    before = one.norm.running_mean.clone()
    one._quick_first(x + 5)
    assert not one.norm.running_mean.equal(before), "its statistics follow the batches"


def test_the_same_seed_makes_the_same_network() -> None:
    assert all(a.equal(b) for a, b in zip(network("compact").parameters(), network("compact").parameters(), strict=True))


def test_whitened_patches_are_uncorrelated_and_of_one_variance() -> None:
    shown = pictures(60, 1, 28).float()
    shown = (shown - shown.mean()) / shown.std()
    kernel = whitening(shown, side=4)
    answers = functional.conv2d(shown, kernel, stride=3).permute(1, 0, 2, 3).flatten(1)  # the patches that it was made from
    covariance = torch.cov(answers)
    strong = covariance.diag() > 0.9  # directions that are more than noise
    assert strong.sum() >= 8
    assert torch.allclose(covariance[strong][:, strong], torch.eye(int(strong.sum())), atol=0.1)


def test_the_stem_of_the_compact_network_is_no_layer_to_learn() -> None:
    one = network("compact")
    assert isinstance(one, Compact)
    learning = {id(parameter) for layers in one.layer_groups() for layer in layers for parameter in layer.parameters()}
    assert [name for name, parameter in one.named_parameters() if id(parameter) not in learning] == ["stem.weight"]


@pytest.mark.parametrize(("own_px", "side_px"), [(28, 28), (64, 64), (500, 64), (3, 8)])
def test_the_side_of_ours_comes_from_the_pictures(own_px: int, side_px: int) -> None:
    looks = Looks(((own_px, own_px + 9),) * 3, 3)
    assert fit_of(Recipe(arch="compact"), looks).side_px == side_px
    assert fit_of(Recipe(arch="compact", size=48), looks).side_px == 48


def test_the_tutorial_cnn_needs_a_pixel_after_its_second_pooling() -> None:
    assert fit_of(Recipe(arch="tutorial_cnn"), Looks(((8, 8),), 3)).side_px == 10
    assert network("tutorial_cnn", side_px=10).eval()(torch.zeros(1, 1, 10, 10, dtype=torch.uint8)).shape == (1, 10)
    with pytest.raises(CallError, match="'tutorial_cnn' cannot take pictures of 8 px, but of 10 or more: --size 10"):
        Recipe(arch="tutorial_cnn", size=8)


def test_the_wide_one_is_twice_as_wide() -> None:
    shapes = [[stage.refine.conv.weight.shape[0] for stage in network(arch).stages] for arch in ("compact", "compact_wide")]
    assert shapes == [[32, 64, 128], [64, 128, 256]]


@pytest.mark.parametrize("arch", ["compact", "compact_wide", "tutorial_cnn"])
def test_what_is_learned_from_scratch_takes_all_channels(arch: str) -> None:
    assert fit_of(Recipe(arch=arch), Looks(((28, 28),), 8)).n_channels == 8
    assert fit_of(Recipe(arch=arch), Looks(((28, 28),), 3)).n_channels == 3


def test_only_what_a_recipe_leaves_open_is_settled_by_the_network() -> None:
    settled = with_own_settings(Recipe(arch="compact"))
    assert (settled.lr, settled.augment, settled.dropout, settled.optimizer) == (0.006, "light", 0.0, "muon")
    values: dict[str, Any] = {"lr": 0.1, "augment": "default", "dropout": 0.2, "label_smoothing": 0.1, "optimizer": "sgd"}
    given = Recipe(arch="tutorial_cnn", precision="float32", **values)
    assert with_own_settings(given) == given, "what was given is kept, though other networks have it by default"
    other = Recipe(arch="resnet18", size=64, augment="default", dropout=0.2, label_smoothing=0.1, optimizer="adamw")
    assert with_own_settings(Recipe(arch="resnet18", size=64)) == with_own_settings(other) == other


def test_large_pictures_are_learned_from_in_batches_that_a_laptop_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    large, small = Recipe(arch="resnet18"), Recipe(arch="resnet18", size=64)
    assert [with_own_settings(one).batch for one in (large, replace(large, batch=100), small)] == [32, 100, None]


def test_ours_have_no_weights_to_begin_with() -> None:
    with pytest.raises(CallError, match=r"'compact' has no weights 'imagenet'"):
        is_ours(Recipe(arch="compact", weights="imagenet"))


def test_a_summary_counts_parameters_and_operations() -> None:
    summary = summarize(network("tutorial_cnn"), Recipe(arch="tutorial_cnn"), pictures(1, 1, 28))
    assert (summary.n_trainable, summary.n_frozen) == (113_388, 0)
    convolutions = 26 * 26 * 32 * 9 + 11 * 11 * 32 * 32 * 9
    assert summary.n_multiplications == convolutions + 800 * 128 + 128 * 10
    assert [layer.shape for layer in summary.layers] == [(1, 28, 28), (32, 26, 26), (32, 11, 11), (128,), (10,)]
    text = summary.text().splitlines()
    assert text[0].split() == ["layer", "kind", "gives", "trainable", "frozen"]
    assert text[-1] == "113,388 parameters to train, 0 frozen; 1.4 million multiply-adds a picture"
    assert summarize(network("compact"), Recipe(arch="compact"), pictures(1, 1, 28)).n_frozen == 32 * 16
