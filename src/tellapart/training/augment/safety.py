"""Whether a picture's label survives a transform: a 6 turned upside down is a 9, a left shoe mirrored is a right one.

The training pictures are transformed and judged by the frozen backbone and its head. What tells a changed label from a network
that is merely less sure is the comparison with crops, which change no label, and that the answer is another class by more than
half. No PyTorch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tellapart.training.augment.policies import Policy

N_PICTURES = 200  # with ten views of each some 6 s on two cores
MIN_EXCESS = 0.25  # of a class's views, beyond those that crops change: a changed label shows in most; chosen on drawn pictures
MAX_P = 0.01  # of the sign test, times the classes that were looked at
MOST = 0.5  # of a class's pictures, from which on the test may be that of all classes together: few of each are looked at
DEGREES = 10.0  # of "rotate": as far as the default policy goes
CROP = 0.9  # part of the side: as near as it zooms

Judge = Callable[[np.ndarray], np.ndarray]  # (n, side, side, 3) uint8 -> probabilities (n, K)
Change = Callable[[np.ndarray], np.ndarray]  # one picture (side, side, 3) uint8 -> the same


def turned(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """The picture turned counter-clockwise, its corners filled with the picture's mirrored continuation."""
    side = pixels.shape[0]
    margin = side // 4  # a circle through the corners needs .21 of the side
    wide = Image.fromarray(np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric"))
    whole = wide.rotate(degrees, Image.Resampling.BILINEAR)
    return np.asarray(whole.crop((margin, margin, margin + side, margin + side)))


def cropped(pixels: np.ndarray, place_y: float, place_x: float) -> np.ndarray:
    """A part of the picture as large as the whole; places from 0 (top, left) to 1."""
    side = pixels.shape[0]
    left, top, inner = place_x * side * (1 - CROP), place_y * side * (1 - CROP), side * CROP
    box = (left, top, left + inner, top + inner)
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR, box=box))


CROPS: tuple[Change, ...] = (lambda one: cropped(one, 0, 0), lambda one: cropped(one, 0.5, 1), lambda one: cropped(one, 1, 0.5))
CHANGES: dict[str, tuple[Change, ...]] = {
    "flip": (lambda one: one[:, ::-1],),
    "rotate": (lambda one: turned(one, DEGREES), lambda one: turned(one, -DEGREES)),
    "turn": (lambda one: np.rot90(one), lambda one: np.rot90(one, 2), lambda one: np.rot90(one, 3)),
}
WORDS = {"flip": "mirroring", "rotate": f"turning by {DEGREES:.0f} degrees", "turn": "turning by any angle"}


@dataclass(frozen=True)
class Survival:
    """How the head's answers bear one transform, over `n` views of pictures that it had right as they were.

    `kept` is the share with the same answer, `kept_by_crops` that of crops of the same pictures. `worst_class` is where most
    answers became another class by more than half, beyond those that crops changed: `became`, of `n_worst` views `n_changed`,
    while crops changed the part `changed_by_crops`.
    """

    transform: str
    n: int
    kept: float
    kept_by_crops: float
    worst_class: str
    became: str
    n_worst: int
    n_changed: int
    changed_by_crops: float
    p_value: float  # of the worst class, times the number of classes
    is_safe: bool

    def sentence(self) -> str:
        """What a person is told."""
        what = WORDS[self.transform]
        if not self.n:
            return f"whether {what} keeps the labels is not known: the head has no training picture right"
        if self.is_safe:
            return f"{what} keeps the labels: {self.kept:.0%} of answers stay, {self.kept_by_crops:.0%} of crops'"
        seen = f"{self.n_changed} of {self.n_worst} views"
        crops = f"crops: {self.changed_by_crops:.0%}"
        return f"{what} is left out: it makes {self.worst_class!r} look like {self.became!r} ({seen}; {crops})"


def label_safety(
    judge: Judge, pictures: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, transforms: Sequence[str] = tuple(CHANGES)
) -> tuple[Survival, ...]:
    """How the answers on `pictures` (n, side, side, 3) uint8, of `labels` (n,) in 0..K-1, bear each transform.

    Only pictures that are judged right as they are say anything. `sample_evenly` says which to give.
    """
    right = np.flatnonzero(judge(pictures).argmax(1) == labels)
    pictures, labels = pictures[right], labels[right]
    if not len(right):
        return tuple(Survival(name, 0, 1.0, 1.0, "", "", 0, 0, 0.0, 1.0, True) for name in transforms)
    crops = _answers(judge, pictures, CROPS)
    return tuple(_survival(name, _answers(judge, pictures, CHANGES[name]), crops, labels, classes) for name in transforms)


def sample_evenly(labels: np.ndarray, rng: np.random.Generator, n: int = N_PICTURES) -> np.ndarray:
    """Up to `n` places in `labels` (N,), in order: a picture of every class, then a second of each, and so on."""
    shuffled = rng.permutation(len(labels))
    seen = Counter[int]()
    turns = np.empty(len(labels), int)
    for place in shuffled:
        turns[place] = seen[labels[place]]
        seen[labels[place]] += 1
    return np.sort(shuffled[np.argsort(turns[shuffled], kind="stable")][:n])


def safe_policy(policy: Policy, survivals: Sequence[Survival]) -> tuple[Policy, tuple[str, ...]]:
    """The policy without what changes labels, and a sentence for each thing that was left out."""
    unsafe = [one for one in survivals if not one.is_safe and policy.without([one.transform]) != policy]
    return policy.without(one.transform for one in unsafe), tuple(one.sentence() for one in unsafe)


@dataclass(frozen=True)
class _Answers:
    """Of each picture's views (n, V): the class, and whether it is another one by more than half is asked of `sure`."""

    classes: np.ndarray
    sure: np.ndarray


def _answers(judge: Judge, pictures: np.ndarray, changes: Sequence[Change]) -> _Answers:
    found = [judge(np.stack([change(one) for one in pictures])) for change in changes]
    return _Answers(np.stack([one.argmax(1) for one in found], 1), np.stack([one.max(1) > 0.5 for one in found], 1))


def _survival(name: str, answers: _Answers, crops: _Answers, labels: np.ndarray, classes: Sequence[str]) -> Survival:
    changed, by_crops = (one.sure & (one.classes != labels[:, None]) for one in (answers, crops))  # (n, V)
    present = np.unique(labels)
    excess = [changed[labels == k].mean() - by_crops[labels == k].mean() for k in present]
    p_of = [_sign_test(changed[labels == k], by_crops[labels == k]) * len(present) for k in present]
    is_more = _sign_test(changed, by_crops) <= MAX_P
    certain = [p <= MAX_P or (is_more and more >= MOST) for p, more in zip(p_of, excess, strict=True)]
    unsafe = [place for place in range(len(present)) if excess[place] >= MIN_EXCESS and certain[place]]
    worst = max(unsafe or range(len(present)), key=excess.__getitem__)
    of_worst = labels == present[worst]
    others = Counter(answers.classes[of_worst][changed[of_worst]].tolist()).most_common(1)
    return Survival(
        transform=name,
        n=changed.size,
        kept=float((answers.classes == labels[:, None]).mean()),
        kept_by_crops=float((crops.classes == labels[:, None]).mean()),
        worst_class=classes[int(present[worst])],
        became=classes[others[0][0]] if others else "",
        n_worst=int(of_worst.sum()) * changed.shape[1],
        n_changed=int(changed[of_worst].sum()),
        changed_by_crops=float(by_crops[of_worst].mean()),
        p_value=min(1.0, p_of[worst]),
        is_safe=not unsafe,
    )


def _sign_test(changed: np.ndarray, by_crops: np.ndarray) -> float:
    """The probability of so many pictures changed more often by the transform than by crops, if both changed alike.

    One-sided; a picture counts once, however many views (n, V) it has.
    """
    difference = changed.mean(1) - by_crops.mean(1)
    n_more, n = int((difference > 0).sum()), int((difference != 0).sum())
    return math.fsum(math.comb(n, k) for k in range(n_more, n + 1)) / 2.0**n
