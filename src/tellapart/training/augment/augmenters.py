"""`augmenter`: what varies the pictures of a batch, each in its own way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch

from tellapart.training.augment.erasing import erase
from tellapart.training.augment.geometry import blurred, draw_matrices, flip_and_shift, warp
from tellapart.training.augment.lighting import draw_glares, draw_lights, draw_tints, relight, tinted
from tellapart.training.augment.parts import Part
from tellapart.training.augment.policies import POLICIES, Policy
from tellapart.training.augment.trivial import apply_trivial
from tellapart.training.recipe import Recipe

MID_GREY = 128.0
CHUNK_VALUES = 2**18 + 2**16  # in float32 within a core's cache: 32 pictures of 224 px took 26 ms, at once 76 ms (2 cores)
Step = Callable[[torch.Tensor, torch.Generator, Part], torch.Tensor]


class Augmenter(Protocol):
    """What varies pictures (n, c, h, w) uint8, in the same memory format; see `generator_of`."""

    def __call__(self, pictures: torch.Tensor, generator: torch.Generator, part: Part | None = None) -> torch.Tensor:
        """The pictures, all of a batch or a part of one, which are then varied as in the whole of it."""


def generator_of(seed: int, epoch: int, batch: int) -> torch.Generator:
    """What is drawn for one batch: it depends on these numbers alone, so that a resumed training sees the same pictures."""
    mixed = np.random.SeedSequence([seed, epoch, batch]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed >> np.uint64(1)))  # below 2 ** 63, as torch wants it


def augmenter(recipe: Recipe, mean: Sequence[float] = (), *, policy: Policy | None = None) -> Augmenter:
    """What varies batches as `recipe.augment` and `recipe.erasing` say; `policy` in the place of the former's own.

    `mean` (c,), of 0 to 255, fills what is erased; mid-grey where it is not given. All is drawn from the generator that is
    passed in, on the CPU; the pictures may lie on a GPU.
    """
    chosen = policy or POLICIES[recipe.settled.augment]
    steps = [*_geometry(chosen), *_trivial(chosen), *_erasing(recipe.erasing, mean)]

    def augment(pictures: torch.Tensor, generator: torch.Generator, part: Part | None = None) -> torch.Tensor:
        for step in steps:
            pictures = step(pictures, generator, part or Part.whole(pictures))
        return pictures

    return augment


def _geometry(policy: Policy) -> list[Step]:
    """Whole pixels where that is enough; else all of it, sharpness and light, in one pass over float32."""
    is_exact = replace(policy, flip=0.0, shift=0.0, trivial=False).is_none
    if is_exact and (policy.flip or policy.shift):
        return [lambda pictures, generator, part: flip_and_shift(pictures, policy, generator, part)]
    if is_exact:
        return []

    def sampled(pictures: torch.Tensor, generator: torch.Generator, part: Part) -> torch.Tensor:
        height, width = pictures.shape[2:]
        matrices = draw_matrices(policy, part.n, width / height, generator)[part.rows]
        lights = [of_all[part.rows] for of_all in draw_lights(policy.light, part.n, generator)]
        tints = draw_tints(policy.tint, part.n, pictures.shape[1], generator)[part.rows] if policy.tint else None
        blurs = torch.rand(part.n, generator=generator)[part.rows] < policy.blur if policy.blur else None
        if policy.glare:
            glares = draw_glares(policy.glare, part.n, generator)[part.rows]
            tints = glares if tints is None else tints * glares
        varied = torch.empty_like(pictures)
        for some in _chunks(pictures):
            chunk = warp(pictures[some].float(), matrices[some])
            if blurs is not None:
                chunk = blurred(chunk, blurs[some])
            if tints is not None:
                chunk = tinted(chunk, tints[some])
            if policy.light:
                chunk = relight(chunk, *(of_all[some] for of_all in lights))
            varied[some] = chunk.round_().clamp_(0, 255).to(torch.uint8)
        return varied

    return [sampled]


def _chunks(pictures: torch.Tensor) -> Iterator[slice]:
    """All of the batch, some pictures at a time where it lies on the CPU."""
    n = len(pictures)
    size = n if pictures.is_cuda else max(1, CHUNK_VALUES // max(1, pictures[:1].numel()))
    return (slice(start, start + size) for start in range(0, n, max(1, size)))


def _trivial(policy: Policy) -> list[Step]:
    return [apply_trivial] if policy.trivial else []


def _erasing(share: float, mean: Sequence[float]) -> list[Step]:
    if not share:
        return []

    def erased(pictures: torch.Tensor, generator: torch.Generator, part: Part) -> torch.Tensor:
        fill = torch.tensor(mean or [MID_GREY] * pictures.shape[1]).round()
        return erase(pictures, share, fill, generator, part)

    return [erased]
