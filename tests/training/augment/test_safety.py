from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from tellapart.inference.runtimes import BATCH, load_runtime
from tellapart.training.augment.policies import POLICIES
from tellapart.training.augment.safety import Judge, Survival, label_safety, safe_policy, sample_evenly, turned
from tellapart.training.backbones import get_backbone
from tellapart.training.head import fit_head
from tellapart.training.recipe import Recipe

SIDE = 96
N_EACH = 15
Draw = Callable[[np.random.Generator], Image.Image]


def paper(rng: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), tuple(rng.integers(180, 256, 3).tolist()))


def digit(text: str) -> Draw:
    def draw(rng: np.random.Generator) -> Image.Image:
        image, font = paper(rng), ImageFont.load_default(int(rng.integers(55, 75)))
        place, ink = (SIDE / 2 + rng.integers(-10, 10, 2)).tolist(), tuple(rng.integers(0, 100, 3).tolist())
        ImageDraw.Draw(image).text(place, text, font=font, fill=ink, anchor="mm")
        return image

    return draw


def left_shoe(rng: np.random.Generator) -> Image.Image:
    image, (x, y) = paper(rng), rng.integers(-8, 8, 2).tolist()
    outline = [(20 + x, 25 + y), (42 + x, 25 + y), (46 + x, 48 + y), (78 + x, 58 + y), (82 + x, 70 + y), (20 + x, 70 + y)]
    ImageDraw.Draw(image).polygon(outline, fill=tuple(rng.integers(0, 140, 3).tolist()))
    return image


def right_shoe(rng: np.random.Generator) -> Image.Image:
    return left_shoe(rng).transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def ring(width: int) -> Draw:
    def draw(rng: np.random.Generator) -> Image.Image:
        image, radius, (x, y) = paper(rng), int(rng.integers(22, 34)), (SIDE // 2 + rng.integers(-8, 8, 2)).tolist()
        box = [x - radius, y - radius, x + radius, y + radius]
        ImageDraw.Draw(image).ellipse(box, outline=tuple(rng.integers(0, 140, 3).tolist()), width=width)
        return image

    return draw


@pytest.fixture(scope="module")
def embed() -> Callable[[np.ndarray], np.ndarray]:
    """The bundled backbone's features of pixels."""
    runtime = load_runtime(get_backbone(Recipe(size=SIDE)).path)

    def features(pixels: np.ndarray) -> np.ndarray:
        whole = np.concatenate([pixels, np.zeros((-len(pixels) % BATCH, *pixels.shape[1:]), np.uint8)])
        outputs = runtime.stream(whole[start : start + BATCH] for start in range(0, len(whole), BATCH))
        return np.concatenate([one["features"] for one in outputs])[: len(pixels)]

    return features


def survivals(embed: Callable[[np.ndarray], np.ndarray], makers: dict[str, Draw]) -> dict[str, Survival]:
    rng = np.random.default_rng(0)
    pictures = np.stack([np.asarray(draw(rng)) for draw in makers.values() for _ in range(N_EACH)])
    labels = np.repeat(np.arange(len(makers)), N_EACH)
    features = embed(pictures)
    folds, blocks = np.arange(len(labels)) % 3, get_backbone(Recipe(size=SIDE)).blocks
    head = fit_head(features, labels, folds, n_classes=len(makers), blocks=blocks)
    found = label_safety(lambda pixels: head.probabilities(embed(pixels)), pictures, labels, list(makers))
    return {one.transform: one for one in found}


def test_a_six_that_is_turned_is_a_nine(embed: Callable[[np.ndarray], np.ndarray]) -> None:
    found = survivals(embed, {text: digit(text) for text in "1469"})
    assert {name: one.is_safe for name, one in found.items()} == {"flip": True, "rotate": True, "turn": False}
    assert {found["turn"].worst_class, found["turn"].became} == {"6", "9"}
    assert f"turning by any angle is left out: it makes '{found['turn'].worst_class}' look" in found["turn"].sentence()
    assert safe_policy(POLICIES["default"], list(found.values())) == (POLICIES["default"], ())  # 10 degrees make no 9
    strong, said = safe_policy(POLICIES["strong"], list(found.values()))
    assert not strong.trivial
    assert said == (found["turn"].sentence(),)


def test_a_left_shoe_that_is_mirrored_is_a_right_one(embed: Callable[[np.ndarray], np.ndarray]) -> None:
    found = survivals(embed, {"left": left_shoe, "right": right_shoe, "ring": ring(6)})
    flip = found["flip"]
    assert not flip.is_safe
    assert {flip.worst_class, flip.became} == {"left", "right"}
    assert flip.n_changed > 0.6 * flip.n_worst
    policy, said = safe_policy(POLICIES["default"], [flip])
    assert policy == POLICIES["default"].without(["flip"])
    assert said == (flip.sentence(),)
    seen = f"({flip.n_changed} of {flip.n_worst} views; crops: {flip.changed_by_crops:.0%})"
    assert flip.sentence() == f"mirroring is left out: it makes '{flip.worst_class}' look like '{flip.became}' {seen}"


def test_rings_bear_everything(embed: Callable[[np.ndarray], np.ndarray]) -> None:
    found = survivals(embed, {"thin": ring(3), "thick": ring(14)})
    assert all(one.is_safe for one in found.values())
    assert found["turn"].sentence().startswith("turning by any angle keeps the labels: ")


def judging(answer: Callable[[np.ndarray], float], *, n_classes: int = 2) -> Judge:
    """A judge that is sure: of each picture the class that `answer` names."""

    def judge(pictures: np.ndarray) -> np.ndarray:
        return np.eye(n_classes)[[int(answer(one)) for one in pictures]]

    return judge


def test_few_pictures_of_a_class_prove_nothing() -> None:
    """A mirrored picture is always another class, but of two pictures that may be chance."""
    pictures = np.zeros((20, 8, 8, 3), np.uint8)
    pictures[10:, :, 4:] = 255
    judge, labels = judging(lambda one: one[0, 7, 0] > 0), np.repeat([0, 1], 10)

    def flip(rows: list[int]) -> Survival:
        return label_safety(judge, pictures[rows], labels[rows], ["dark", "bright"], transforms=["flip"])[0]

    assert flip([0, 1, 10, 11]).is_safe
    assert flip([0, 1, 10, 11]).kept == 0.5
    assert not flip([*range(20)]).is_safe
    assert flip([*range(20)]).n_changed == 10


def test_a_network_that_crops_unsettle_as_well_says_nothing() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (40, 8, 8, 3), np.uint8)
    judge = judging(lambda one: one[0, 0, 0] % 2)  # any change of the picture draws its answer anew
    labels = judge(pictures).argmax(1)
    assert all(one.is_safe for one in label_safety(judge, pictures, labels, ["even", "odd"], transforms=["flip"]))


def test_a_head_that_has_nothing_right_says_so() -> None:
    judge, pictures = judging(lambda one: 1), np.zeros((3, 8, 8, 3), np.uint8)
    (flip,) = label_safety(judge, pictures, np.zeros(3, int), ["a", "b"], transforms=["flip"])
    assert flip.is_safe
    assert flip.sentence() == "whether mirroring keeps the labels is not known: the head has no training picture right"


def test_the_sample_has_every_class() -> None:
    labels = np.array([0] * 500 + [1] * 7 + [2] * 90)
    rows = sample_evenly(labels, np.random.default_rng(0), 60)
    assert np.bincount(labels[rows]).tolist() == [27, 7, 26] or np.bincount(labels[rows]).tolist() == [26, 7, 27]
    assert len(set(rows.tolist())) == 60
    assert (np.diff(rows) > 0).all()
    assert sample_evenly(labels[:5], np.random.default_rng(0), 60).tolist() == [0, 1, 2, 3, 4]


def test_turning_leaves_no_black_corners() -> None:
    white = np.full((40, 40, 3), 255, np.uint8)
    for degrees in (10, 45, 90):
        assert (turned(white, degrees) == 255).all()
