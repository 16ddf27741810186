"""All pairs that are near: hashes by their differing bits, embeddings by their cosine. Both exact, neither looks at all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np

from tellapart.errors import CallError

MAX_RADIUS = 6  # bits; beyond it the keys get so short that nearly every pair is compared
MAX_RUN = 64  # hashes after it in a run of equal keys (in fog: all) that one is compared with for its nearest; a guess
INTACT = 3  # parts of a hash that are a key; two took as long on random hashes (8 s for 9), but make longer runs of crowded ones

PROJECT_ABOVE = 10_000  # rows; below, the product of whole vectors takes less time than the projection
N_AXES = (96, 192, 384, 768)  # of the projection, to choose from
SAMPLE_ROWS = 8192  # from which the axes are found
FEW_ROWS = 1024  # of those, from which their number is chosen
COST_OF_ONE = 60_000  # multiplications in a product of blocks, in the time of comparing one pair by itself: 1 us at 60 G/s
BLOCK_ROWS = 2048  # at most; a block of cosines takes 17 MB
MIN_BLOCKS = 8  # so that few rows take little memory
CROWDED = 0.01  # share of a block's pairs above which the product of whole vectors is quicker than one by one
PAIRS_AT_ONCE = 8192  # whole vectors compared at a time: 84 MB for vectors of 1,280
ROUNDING = 1e-5  # of float32 over a thousand products, so that a bound does not fall below its cosine


def hamming_pairs(hashes: np.ndarray, *, radius: int) -> np.ndarray:
    """(M, 2) rows of (N,) uint64 `hashes` that differ in at most `radius` bits, first < second, sorted. Exact, for radii 0..6.

    Equal hashes are one: each is paired with the first row that has it and no further, so that n blank pictures make
    n - 1 pairs. Raises CallError for other radii.
    """
    _refuse_radius(radius)
    hashes = np.ascontiguousarray(hashes, np.uint64)
    distinct, first, back = np.unique(hashes, return_index=True, return_inverse=True)
    rows = np.arange(len(hashes))
    later = rows[first[back] != rows]
    found = [np.stack([first[back[later]], later], 1)]
    if radius:
        found += [np.sort(first[pairs], 1) for pairs, _ in _near_distinct(distinct, radius)]
    return sorted_pairs(np.concatenate(found))


def nearest_hamming_pairs(hashes: np.ndarray, *, radius: int, max_neighbours: int) -> np.ndarray:
    """(M, 2) rows of (N, V) uint64 `hashes`, V views of each, that differ in at most `radius` bits in any view; sorted.

    Of `hamming_pairs` those of which one row is among the `max_neighbours` nearest of the other: at most N times as many,
    also where all hashes are alike (fog, a camera at night). There a hash is compared only with `MAX_RUN` others of a run, so
    that some of its nearest may be missed; elsewhere all are found. Memory grows with N alone. Raises CallError for other radii.
    """
    _refuse_radius(radius)
    n_rows = len(hashes)
    distinct, first, back = np.unique(hashes.T.ravel(), return_index=True, return_inverse=True)
    rows = np.arange(hashes.size)
    later = rows[first[back] != rows]
    nearest = _Nearest(n_rows, max_neighbours)
    nearest.add(np.stack([first[back[later]], later], 1) % max(n_rows, 1), np.zeros(len(later), np.uint8))
    for pairs, bits in _near_distinct(distinct, radius, max_run=MAX_RUN) if radius else ():
        nearest.add(first[pairs] % n_rows, bits)
    return nearest.pairs()


class _Nearest:
    """The nearest pairs of rows among those added, by the bits in which they differ."""

    def __init__(self, n_rows: int, max_neighbours: int) -> None:
        self._max_neighbours = max_neighbours
        self._limit = n_rows * max_neighbours  # pairs held beyond those kept, so that pruning takes a constant time a pair
        self._found = [(np.empty((0, 2), np.int64), np.empty(0, np.uint8))]
        self._n_new = 0

    def add(self, pairs: np.ndarray, bits: np.ndarray) -> None:
        """Take in pairs (m, 2) of rows that differ in so many bits (m,); a row and itself are no pair."""
        apart = pairs[:, 0] != pairs[:, 1]
        self._found.append((np.sort(pairs[apart], 1), bits[apart]))
        self._n_new += int(apart.sum())
        if self._n_new > self._limit:
            self._prune()

    def pairs(self) -> np.ndarray:
        """(M, 2), sorted."""
        self._prune()
        return self._found[0][0]

    def _prune(self) -> None:
        pairs = np.concatenate([pairs for pairs, _ in self._found])
        bits = np.concatenate([bits for _, bits in self._found])
        order = np.lexsort((bits, pairs[:, 1], pairs[:, 0]))
        pairs, bits = pairs[order], bits[order]
        is_new = np.ones(len(pairs), bool)  # of a pair that was added several times the nearest stays
        is_new[1:] = (pairs[1:] != pairs[:-1]).any(1)
        pairs, bits = pairs[is_new], bits[is_new]
        kept = (_ranks(pairs, bits) < self._max_neighbours).any(0)
        self._found, self._n_new = [(pairs[kept], bits[kept])], 0


def _ranks(pairs: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """(2, M): of pairs (M, 2), how many are nearer to the first row, and how many to the second; equals by their order."""
    rows = pairs.T.ravel()  # each pair once for either row
    order = np.lexsort((np.tile(distances, 2), rows))
    ranks = np.empty(len(rows), np.int64)
    ranks[order] = np.arange(len(rows)) - np.searchsorted(rows[order], rows[order])
    return ranks.reshape(2, -1)


def _refuse_radius(radius: int) -> None:
    if not 0 <= radius <= MAX_RADIUS:
        raise CallError(f"radius {radius}: hashes are compared within 0 to {MAX_RADIUS} bits")


def _near_distinct(hashes: np.ndarray, radius: int, *, max_run: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs (m, 2) of sorted distinct hashes, each once, and the bits (m,) in which they differ.

    Of radius + INTACT parts at least INTACT are equal in any pair within the radius, so that the pairs are found among
    the hashes that share some INTACT parts (the pigeonhole principle; Norouzi et al. 2012, "Fast search in Hamming space").
    """
    masks = [np.bitwise_or.reduce(parts) for parts in combinations(_parts(radius + INTACT), INTACT)]
    for number, mask in enumerate(masks):
        ordered = np.argsort(hashes & mask, kind="stable")  # within a run by what else they are, so that alike ones are close
        for places, bits in _sharing_key(hashes[ordered], mask, radius, masks[:number], max_run or len(hashes)):
            yield ordered[places], bits


def _parts(n_parts: int) -> list[np.uint64]:
    """Masks of `n_parts` runs of bits, together all 64."""
    edges = np.linspace(0, 64, n_parts + 1).round().astype(int)
    return [np.uint64((1 << int(end)) - (1 << int(start))) for start, end in pairwise(edges)]


def _sharing_key(
    hashes: np.ndarray, mask: np.uint64, radius: int, earlier: list[np.uint64], max_run: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Near pairs (m, 2) of places among `hashes`, ordered by what the mask leaves of them, and in how many bits they differ.

    Not those of `earlier` masks, nor those with `max_run` places or more between them.
    """
    keys = hashes & mask
    places = np.arange(len(hashes))
    for shift in range(1, min(len(hashes), max_run + 1)):
        places = places[: np.searchsorted(places, len(hashes) - shift)]
        places = places[keys[places] == keys[places + shift]]
        if not places.size:
            return
        bits = hashes[places] ^ hashes[places + shift]
        n_bits = np.bitwise_count(bits)
        near = np.flatnonzero(n_bits <= radius)
        for mask_before in earlier:
            near = near[(bits[near] & mask_before) != 0]
        if near.size:
            yield np.stack([places[near], places[near] + shift], 1), n_bits[near]


def similar_pairs(embeddings: np.ndarray, *, min_cosine: float, max_neighbours: int | None = None) -> np.ndarray:
    """(M, 2) rows of (N, D) `embeddings` whose cosine is at least `min_cosine`, first < second, sorted. Exact, in float32.

    With `max_neighbours` only the pairs of which one row is among that many nearest of the other. A row of zeros is near to
    nothing. Beyond 10,000 rows most pairs are ruled out on a projection to fewer axes: by Cauchy and Schwarz a cosine is at
    most the product of the projections plus that of the lengths of what they leave.
    """
    search = _Search(embeddings, min_cosine, max_neighbours)
    for other in range(search.n_blocks):  # raises the floors of all rows
        search.look(0, other)
    bounds = _bounds(search) if len(embeddings) > PROJECT_ABOVE else None
    for block in range(1, search.n_blocks):
        for other in range(block, search.n_blocks):
            search.look(block, other, bounds)
    return search.pairs()


def _bounds(search: _Search) -> np.ndarray | None:
    """(N, n_axes + 1) float32: the product of two rows is at least their embeddings' cosine. None where that saves no time."""
    n_rows = len(search.floors)
    sampled = np.linspace(0, n_rows - 1, SAMPLE_ROWS).astype(int)
    sample = search.unit(sampled)
    axes = np.linalg.eigh(sample.T @ sample)[1][:, ::-1]  # (D, D), those that hold most first
    few = slice(None, None, SAMPLE_ROWS // FEW_ROWS)
    floors = search.floors[sampled[few]]
    costs = {n_axes: n_axes + COST_OF_ONE * _reaching(sample[few] @ axes[:, :n_axes], floors) for n_axes in N_AXES}
    n_axes = min(costs, key=costs.__getitem__)
    if costs[n_axes] >= axes.shape[1]:
        return None
    blocks = (search.unit(slice(start, start + BLOCK_ROWS)) @ axes[:, :n_axes] for start in range(0, n_rows, BLOCK_ROWS))
    return np.concatenate([_with_rests(block) for block in blocks])


def _with_rests(projections: np.ndarray) -> np.ndarray:
    """(n, n_axes + 1): the projections of vectors of length 1 and, last, the length of what each leaves."""
    rests = 1 - np.einsum("nd,nd->n", projections, projections)
    return np.column_stack([projections, np.sqrt(np.maximum(rests, 0) + ROUNDING)])


def _reaching(projections: np.ndarray, floors: np.ndarray) -> float:
    """The share of pairs that the projections do not rule out."""
    bounds = _with_rests(projections)
    return float((bounds @ bounds.T >= np.minimum(floors[:, None], floors)).mean())


class _Search:
    """The near pairs found so far, and for each row the cosine below which a pair no longer matters to it."""

    def __init__(self, embeddings: np.ndarray, min_cosine: float, max_neighbours: int | None) -> None:
        self.n_blocks = max(-(-len(embeddings) // BLOCK_ROWS), min(MIN_BLOCKS, len(embeddings)))
        self._embeddings = embeddings
        self._lengths = _lengths(embeddings)
        self._max_neighbours = max_neighbours
        self.floors = np.full(len(embeddings), min_cosine, np.float32)
        self._pairs = np.empty((0, 2), np.int64)
        self._cosines = np.empty(0, np.float32)
        self._new: list[tuple[np.ndarray, np.ndarray]] = []
        self._n_new = 0
        self._block = -1, np.empty((0, 0), np.float32)  # the last block of vectors

    def unit(self, rows: slice | np.ndarray) -> np.ndarray:
        """(n, D) float32 of these rows, of length 1."""
        found: np.ndarray = self._embeddings[rows].astype(np.float32) / self._lengths[rows, None]
        return found

    def look(self, block: int, other: int, bounds: np.ndarray | None = None) -> None:
        """Find the near pairs between two blocks, or within one; a block is every `n_blocks`-th row, as the whole."""
        rows, other_rows = slice(block, None, self.n_blocks), slice(other, None, self.n_blocks)
        if bounds is not None:
            reaching = self._reaching(bounds[rows] @ bounds[other_rows].T, rows, other_rows)
            if len(reaching) <= CROWDED * BLOCK_ROWS**2:
                self._keep(reaching * self.n_blocks + (block, other), self._cosines_of(reaching, block, other))
                return
        cosines = self._vectors(block) @ self.unit(other_rows).T
        reaching = self._reaching(cosines, rows, other_rows)
        self._keep(reaching * self.n_blocks + (block, other), cosines[reaching[:, 0], reaching[:, 1]])

    def pairs(self) -> np.ndarray:
        """What was found, sorted."""
        self._prune()
        return sorted_pairs(np.sort(self._pairs, 1))

    def _reaching(self, values: np.ndarray, rows: slice, other_rows: slice) -> np.ndarray:
        """(m, 2) places in the block of values that reach the floor of either row; within one block each pair once."""
        reaches = values >= self.floors[rows, None]
        if self._max_neighbours is not None:
            reaches |= values >= self.floors[other_rows]
        found = np.stack(np.divmod(np.flatnonzero(reaches), values.shape[1]), 1)
        return found[found[:, 0] < found[:, 1]] if rows == other_rows else found

    def _vectors(self, block: int) -> np.ndarray:
        """(n, D) of a block that is looked at many times over: from half precision they take as long as a product."""
        if self._block[0] != block:
            self._block = block, self.unit(slice(block, None, self.n_blocks))
        return self._block[1]

    def _cosines_of(self, reaching: np.ndarray, block: int, other: int) -> np.ndarray:
        """(m,) of the pairs at these places (m, 2) of two blocks."""
        if not len(reaching):
            return np.empty(0, np.float32)
        vectors, other_vectors = self._vectors(block), self.unit(slice(other, None, self.n_blocks))
        parts = (reaching[start : start + PAIRS_AT_ONCE] for start in range(0, len(reaching), PAIRS_AT_ONCE))
        return np.concatenate([np.einsum("nd,nd->n", vectors[part[:, 0]], other_vectors[part[:, 1]]) for part in parts])

    def _keep(self, places: np.ndarray, cosines: np.ndarray) -> None:
        near = np.flatnonzero(cosines >= np.minimum(self.floors[places[:, 0]], self.floors[places[:, 1]]))
        self._new.append((places[near], cosines[near]))
        self._n_new += len(near)
        if self._n_new > max(len(self._cosines), len(self.floors)):  # so that pruning takes a constant time a pair
            self._prune()

    def _prune(self) -> None:
        """Leave the pairs that are among the nearest of one of their rows; raise the floors to those."""
        self._pairs = np.concatenate([self._pairs, *(places for places, _ in self._new)])
        self._cosines = np.concatenate([self._cosines, *(cosines for _, cosines in self._new)])
        self._new, self._n_new = [], 0
        if self._max_neighbours is None:
            return
        ranks = _ranks(self._pairs, -self._cosines)
        for rows, ranks_of in zip(self._pairs.T, ranks, strict=True):
            last = ranks_of == self._max_neighbours - 1
            self.floors[rows[last]] = self._cosines[last]
        kept = (ranks < self._max_neighbours).any(0)
        self._pairs, self._cosines = self._pairs[kept], self._cosines[kept]


def _lengths(embeddings: np.ndarray) -> np.ndarray:
    """(N,) float32; 1 where all is 0."""
    lengths = np.empty(len(embeddings), np.float32)
    for start in range(0, len(embeddings), BLOCK_ROWS):
        block = embeddings[start : start + BLOCK_ROWS].astype(np.float32)
        lengths[start : start + BLOCK_ROWS] = np.sqrt(np.einsum("nd,nd->n", block, block))
    return np.where(lengths > 0, lengths, np.float32(1))


def sorted_pairs(pairs: np.ndarray) -> np.ndarray:
    """(M, 2) by the first and then the second column."""
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
