"""All pairs: compared with looking at each, and with what must not explode."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tellapart.checks import pairs as module
from tellapart.checks.neighbours import approximate_pairs
from tellapart.checks.pairs import hamming_pairs, nearest_hamming_pairs, similar_pairs
from tellapart.errors import CallError

HASHES = st.integers(0, 2**64 - 1)


def near_by_looking(hashes: list[int], radius: int) -> set[tuple[int, int]]:
    first = {value: row for row, value in reversed(list(enumerate(hashes)))}
    distinct = combinations(sorted(first.values()), 2)
    near = {pair for pair in distinct if (hashes[pair[0]] ^ hashes[pair[1]]).bit_count() <= radius}
    return near | {(first[value], row) for row, value in enumerate(hashes) if first[value] != row}


def as_set(found: np.ndarray) -> set[tuple[int, int]]:
    assert (found[:, 0] < found[:, 1]).all()
    listed = [(int(first), int(second)) for first, second in found]
    assert listed == sorted(set(listed)), "sorted, each once"
    return set(listed)


@settings(deadline=None)
@given(
    seeds=st.lists(HASHES, max_size=6),
    changed=st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 63), max_size=8)), max_size=12),
    radius=st.integers(0, 6),
)
def test_hamming_pairs_are_those_found_by_looking(seeds: list[int], changed: list[tuple[int, list[int]]], radius: int) -> None:
    hashes = list(seeds)
    for number, bits in changed if seeds else []:
        value = seeds[number % len(seeds)]
        for bit in bits:
            value ^= 1 << bit
        hashes.append(value)
    assert as_set(hamming_pairs(np.array(hashes, np.uint64), radius=radius)) == near_by_looking(hashes, radius)


def test_every_way_to_differ_in_6_bits_is_found() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        bits = rng.choice(64, 7, replace=False)
        near = sum(1 << int(bit) for bit in bits[:6])
        far = near | 1 << int(bits[6])
        assert as_set(hamming_pairs(np.array([0, near], np.uint64), radius=6)) == {(0, 1)}
        assert as_set(hamming_pairs(np.array([0, far], np.uint64), radius=6)) == set()


def test_equal_hashes_are_linked_to_their_first() -> None:
    found = hamming_pairs(np.zeros(100_000, np.uint64), radius=6)
    assert found.shape == (99_999, 2)
    assert (found[:, 0] == 0).all()


@pytest.mark.parametrize("radius", [-1, 7])
def test_other_radii_are_refused(radius: int) -> None:
    with pytest.raises(CallError, match=f"radius {radius}: hashes are compared within 0 to 6 bits"):
        hamming_pairs(np.zeros(2, np.uint64), radius=radius)
    with pytest.raises(CallError, match=f"radius {radius}: hashes are compared within 0 to 6 bits"):
        nearest_hamming_pairs(np.zeros((2, 1), np.uint64), radius=radius, max_neighbours=1)


@settings(deadline=None)
@given(
    seeds=st.lists(HASHES, min_size=1, max_size=4),
    changed=st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 63), max_size=8)), max_size=16),
    max_neighbours=st.integers(1, 20),
)
def test_the_nearest_hashes_are_those_found_by_looking(
    seeds: list[int], changed: list[tuple[int, list[int]]], max_neighbours: int
) -> None:
    hashes = list(seeds)
    for number, bits in changed:
        value = seeds[number % len(seeds)]
        for bit in bits:
            value ^= 1 << bit
        hashes.append(value)
    hashes = list(dict.fromkeys(hashes))
    near = near_by_looking(hashes, 6)
    apart = {pair: (hashes[pair[0]] ^ hashes[pair[1]]).bit_count() for pair in near}
    found = as_set(nearest_hamming_pairs(np.array(hashes, np.uint64)[:, None], radius=6, max_neighbours=max_neighbours))
    assert found <= near
    assert len(found) <= max_neighbours * len(hashes)
    for row in range(len(hashes)):
        own = sorted(bits for pair, bits in apart.items() if row in pair)
        kept = sorted(apart[pair] for pair in found if row in pair)
        assert kept[:max_neighbours] == own[:max_neighbours]


def test_a_view_of_one_near_a_view_of_the_other_is_enough() -> None:
    hashes = np.array([[1, 2**40], [2**50 - 1, 3], [2**64 - 1, 2**63 - 2**20], [1, 2**40]], np.uint64)
    assert as_set(nearest_hamming_pairs(hashes, radius=6, max_neighbours=4)) == {(0, 1), (0, 3)}
    assert nearest_hamming_pairs(np.empty((0, 2), np.uint64), radius=6, max_neighbours=4).shape == (0, 2)


def test_crowded_hashes_make_few_pairs() -> None:
    """Each of 3,000 has 2 bits or so: 1,096,858 pairs are near."""
    bits = np.random.default_rng(0).random((3000, 64)) < 0.03
    hashes = np.packbits(bits, axis=1).view(np.uint64)
    found = nearest_hamming_pairs(hashes, radius=6, max_neighbours=8)
    assert len(found) <= 8 * 3000
    apart = np.bitwise_count(hashes[found[:, 0], 0] ^ hashes[found[:, 1], 0])
    assert apart.mean() < 2.5


def clustered(n: int, width: int, *, seed: int = 0) -> np.ndarray:
    """(n, width) float16 around a tenth as many centres, of a spectrum that falls, as embeddings have."""
    rng = np.random.default_rng(seed)
    scale = 1 / np.arange(1, width + 1) ** 0.7
    centres = rng.standard_normal((max(n // 10, 1), width)) * scale + 0.3 * scale
    return (centres[rng.integers(0, len(centres), n)] + rng.standard_normal((n, width)) * scale * 0.4).astype(np.float16)


def cosines_of(embeddings: np.ndarray) -> np.ndarray:
    vectors = embeddings.astype(np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors @ vectors.T


@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("max_neighbours", [None, 3])
def test_similar_pairs_are_those_found_by_looking(
    monkeypatch: pytest.MonkeyPatch, projected: bool, max_neighbours: int | None
) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", 128)
    if projected:
        monkeypatch.setattr(module, "PROJECT_ABOVE", 100)
        monkeypatch.setattr(module, "N_AXES", (16,))
        monkeypatch.setattr(module, "COST_OF_ONE", 0)  # so that it is always worth it
    embeddings = clustered(700, 64)
    cosines = cosines_of(embeddings)
    np.fill_diagonal(cosines, -1)
    is_near = cosines >= 0.8
    if max_neighbours is not None:
        is_nearest = cosines >= np.sort(cosines, 1)[:, [-max_neighbours]]
        is_near &= is_nearest | is_nearest.T
    expected = {(int(i), int(j)) for i, j in np.argwhere(np.triu(is_near))}
    assert len(expected) > 500
    assert as_set(similar_pairs(embeddings, min_cosine=0.8, max_neighbours=max_neighbours)) == expected


def test_a_row_of_zeros_is_near_to_nothing() -> None:
    embeddings = np.array([[0, 0], [1, 0], [0, 0], [2, 0]], np.float16)
    assert as_set(similar_pairs(embeddings, min_cosine=0.5)) == {(1, 3)}


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_for_a_pair(n: int) -> None:
    assert similar_pairs(np.ones((n, 4), np.float16), min_cosine=0.5, max_neighbours=2).shape == (0, 2)
    assert hamming_pairs(np.zeros(n, np.uint64), radius=6).shape == (0, 2)


def test_the_approximate_search_finds_nearly_all() -> None:
    pytest.importorskip("usearch")
    embeddings = clustered(1500, 64)
    exact = as_set(similar_pairs(embeddings, min_cosine=0.8, max_neighbours=4))
    found = as_set(approximate_pairs(embeddings, min_cosine=0.8, max_neighbours=4))
    assert len(found & exact) >= 0.95 * len(exact)
    assert len(found - exact) <= 0.02 * len(exact)  # half precision decides differently near the threshold
