"""Parting pictures of several labels each so that every part has its share of every label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

Sizes = Mapping[int, Sequence[tuple[int, int]]]


def stratified(
    sizes: Sizes, order: Sequence[int], wanted: np.ndarray, have: np.ndarray, *, kept_in: int | None
) -> dict[int, int]:
    """A part for each unit of `sizes`, what must not be parted: unit -> [(label, rows), ...].

    `wanted` and `have` (P, K) are the rows of each label that each part is to have in the end and has already; `order` decides
    among equals. Iterative stratification (Sechidis et al. 2011): the label with the fewest units left comes first, and its
    units go where it is missing most; but a part without the label goes before the others, so that a label of as many units
    as there are parts comes into all of them, as far as its units' other labels let it. With `kept_in` the last unit of a
    label that this part lacks goes there.
    """
    missing, is_lacking = wanted - have, have == 0
    left = Counter(label for labels in sizes.values() for label, _ in labels)
    part_of: dict[int, int] = {}
    for unit, label in _rarest_first(sizes, order, left):
        labels = [other for other, _ in sizes[unit]]
        is_last = kept_in is not None and any(is_lacking[kept_in, other] and left[other] == 1 for other in labels)
        needs = zip(is_lacking[:, label], missing[:, label], missing.sum(1), strict=True)
        ranked = [(*map(float, need), -part) for part, need in enumerate(needs)]
        part = kept_in if is_last and kept_in is not None else -int(max(ranked)[-1])
        part_of[unit] = part
        for other, n_rows in sizes[unit]:
            missing[part, other] -= n_rows
            is_lacking[part, other] = False
            left[other] -= 1
    return part_of


def _rarest_first(sizes: Sizes, order: Sequence[int], left: Counter[int]) -> Iterator[tuple[int, int]]:
    """(unit, label): each unit once, with the label that has the fewest units left; `left` is counted down meanwhile."""
    units_of: dict[int, list[int]] = {}
    for unit in order:
        for label, _ in sizes[unit]:
            units_of.setdefault(label, []).append(unit)
    done: set[int] = set()
    while units_of:
        label = min(units_of, key=lambda one: (left[one], one))
        for unit in units_of.pop(label):
            if unit not in done:
                done.add(unit)
                yield unit, label
