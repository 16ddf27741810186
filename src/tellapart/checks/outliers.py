"""Pictures that do not belong: far from all others in the space of a network that has seen a bit of everything."""

from __future__ import annotations

from collections import Counter

import numpy as np

from tellapart.checks.evidence import Evidence
from tellapart.checks.findings import Finding, short_name
from tellapart.data.edits import Proposal

# Chosen on flowers and coins with 1 to 3 % of other pictures mixed in (docs/findings/off_topic.md).
N_NEIGHBOURS = 20
FAR_SPREADS = 2.6  # from the median distance, in spreads
FAR_AT_LEAST = 0.42  # cosine distance; coins in the strangest light reach 0.38, other things among coins begin at 0.54
SPREAD_QUANTILE, SPREAD_NORMAL = 0.85, 1.0364  # one spread: from the median to this quantile, over what a normal one has there
MIN_PICTURES = 60  # a guess: below, twenty neighbours are not a neighbourhood
MAX_REFERENCES = 5_000  # pictures that neighbours are sought among: the time grows with it, and what is found hardly (a guess)
MIN_NEIGHBOURS = 5  # a guess: fewer are chance
CHUNK = 1024
MIN_DISTANCE = 1e-3  # cosine distance; float16 features are no more exact


def find_off_topic(evidence: Evidence) -> list[Finding]:
    """Pictures whose nearest neighbours are all far away, the farthest first.

    A class with no more pictures than the neighbourhood has is passed over: it may be far from all others and belong.
    """
    first_rows = np.unique(evidence.table.sha256, return_index=True)[1]  # a copy would be its own neighbour
    if len(first_rows) < MIN_PICTURES:
        return []
    distances = neighbour_distances(evidence.features[first_rows, : evidence.n_embedding])
    spreads = spreads_from_median(distances)
    n_alike = Counter(evidence.table.labels)
    large = np.array([n_alike[evidence.table.labels[row]] > N_NEIGHBOURS for row in first_rows])
    far = np.flatnonzero((spreads > FAR_SPREADS) & (distances > FAR_AT_LEAST) & large)
    typical = float(np.median(distances))
    order = far[np.argsort(-spreads[far], kind="stable")]
    return [_off_topic(evidence, first_rows[place], float(distances[place]), float(spreads[place]), typical) for place in order]


def neighbour_distances(embeddings: np.ndarray) -> np.ndarray:
    """(N,) mean cosine distance, 0 to 2, of each picture to its nearest neighbours; embeddings are (N, D)."""
    unit = embeddings.astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-6)
    step = -(-len(unit) // MAX_REFERENCES)
    references = unit[::step]
    n_neighbours = min(max(N_NEIGHBOURS // step, MIN_NEIGHBOURS), len(references) - 1)  # as many as lie in the same reach
    distances = np.empty(len(unit), np.float32)
    for first in range(0, len(unit), CHUNK):
        cosines = unit[first : first + CHUNK] @ references.T
        rows = np.arange(first, first + len(cosines))
        itself = rows % step == 0
        cosines[itself, rows[itself] // step] = -1.0  # a picture is no neighbour of its own
        nearest = np.partition(cosines, -n_neighbours, axis=1)[:, -n_neighbours:]
        distances[first : first + CHUNK] = 1 - nearest.mean(1)
    return distances


def spreads_from_median(values: np.ndarray) -> np.ndarray:
    """(N,) how many spreads each value lies above the median; the outliers themselves hardly move either."""
    median, upper = np.quantile(values, (0.5, SPREAD_QUANTILE))
    spread = max(float(upper - median) / SPREAD_NORMAL, MIN_DISTANCE)
    far: np.ndarray = (values - median) / spread
    return far


def _off_topic(evidence: Evidence, row: np.intp, distance: float, spreads: float, typical: float) -> Finding:
    path = evidence.table.paths[row]
    text = (
        f"{short_name(path)} is like none of the others: the nearest lie {distance:.2f} away, "
        f"{typical:.2f} is usual here ({spreads:.1f} spreads)."
    )
    drop = Proposal(path, evidence.table.sha256[row], "drop")
    score = 1 - 0.5 * FAR_SPREADS / spreads
    return Finding("off_topic", (path,), score, text, "Look at it; drop it if it shows none of the classes.", (drop,))
