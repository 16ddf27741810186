"""Where one picture lies in another, as a crop or its mirror image would: looked for among windows, then drawn to fit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from tellapart.checks.hashes import grey
from tellapart.progress import Progress, silent

MIN_SIDE = 0.8  # of the other picture's side: the smallest crop that is looked for
STEP = 1 / 15  # of a side, between windows: 10 places and sizes each way; with 1/10 captioned flowers fell to 0.48 from 0.55
CELLS = 12  # a side, of the view on which windows are compared; with 16 crops and others came no further apart
CHUNK = 64  # pictures whose windows are held at a time: 8 MB, which a processor keeps at hand

SPREAD_PX = 5.0  # of the neighbourhood that a pixel is compared with; a guess, about a tenth of the thumbnail
FAINT = 6.0  # grey levels of contrast that count half: noise of JPEG and sensors; a guess

FINE_CELLS = 24  # a side, of the view that is drawn to fit
N_PULLS = 5  # from 4 to 8 nothing changed but the time
MAX_PULL = 0.06  # of a side, in one go
ODD = 0.7  # deviation from which a pixel pulls less: captions pull nowhere
STIFFNESS = 10.0  # against pulls that the picture does not ask for (of 576 pixels of variance 1)
SLACK = 0.03  # of a side, beyond the other picture's edge: rounded crops


@dataclass(frozen=True)
class Placements:
    """For each of M pairs: the `inner` picture, perhaps mirrored, fills the window of the `outer` one."""

    outer: np.ndarray  # (M,) rows
    inner: np.ndarray  # (M,) rows
    is_mirrored: np.ndarray  # (M,) bool
    windows: np.ndarray  # (M, 4) float32: left, right, top, bottom as parts of the outer picture's sides
    correlations: np.ndarray  # (M,) -1..1, of local contrasts on the coarse view

    def take(self, rows: np.ndarray) -> Placements:
        """Some of them: indices or a mask."""
        parts = (self.outer, self.inner, self.is_mirrored, self.windows, self.correlations)
        return Placements(*(part[rows] for part in parts))


def place(thumbnails: np.ndarray, pairs: np.ndarray, *, progress: Progress = silent) -> Placements:
    """The best window for each pair (M, 2) of rows of the (N, S, S, 3) thumbnails: either may be the crop, either way round."""
    rows, pairs_in = np.unique(pairs, return_inverse=True)
    pairs_in = pairs_in.reshape(-1, 2)
    both_ways = np.concatenate([pairs_in, pairs_in[:, ::-1]])  # (2M, 2): outer, inner
    values, choices = _best_windows(thumbnails, rows, both_ways, progress)
    way = values.reshape(2, -1).argmax(0)  # (M,) 0 where the first of the pair is the outer picture
    best = way * len(pairs) + np.arange(len(pairs))
    window, mirrored = np.divmod(choices[best], 2)
    down, across = np.divmod(window, len(_spans()))
    return Placements(
        outer=rows[both_ways[best, 0]],
        inner=rows[both_ways[best, 1]],
        is_mirrored=mirrored == 1,
        windows=np.concatenate([_spans()[across], _spans()[down]], 1).astype(np.float32),
        correlations=values[best],
    )


def local_contrast(pictures: np.ndarray) -> np.ndarray:
    """(P, S, S) float32: how much lighter than its neighbourhood each pixel is, in deviations of that neighbourhood.

    Brightness, contrast and slow shades drop out; a caption disturbs its surroundings alone.
    """
    blur = _blur(pictures.shape[1], SPREAD_PX)
    differences = pictures - blur @ pictures @ blur.T
    deviations = np.sqrt(np.maximum(blur @ (differences * differences) @ blur.T, 0))
    contrasts: np.ndarray = differences / (deviations + FAINT)
    return contrasts


def turned(pictures: np.ndarray, is_mirrored: np.ndarray) -> np.ndarray:
    """(P, S, S) pictures, those that are mirrored turned back."""
    back: np.ndarray = np.where(is_mirrored[:, None, None], pictures[:, :, ::-1], pictures)
    return back


def seen_through(pictures: np.ndarray, windows: np.ndarray, n_cells: int) -> np.ndarray:
    """(P, n_cells, n_cells): what each of the (P, S, S) pictures shows in its window (P, 4)."""
    across, down = (_weights(places, pictures.shape[1]) for places in _places(windows, n_cells, pictures.shape[1]))
    seen: np.ndarray = down @ pictures @ across.transpose(0, 2, 1)
    return seen


def drawn_to_fit(outer: np.ndarray, inner: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """The windows (P, 4) after a few pulls at their edges, such that the outer local contrasts (P, S, S) match the inner ones.

    Gauss-Newton steps on the squared differences, odd pixels weighted down (Lucas and Kanade 1981; Baker and Matthews 2004).
    """
    side = outer.shape[1]
    shrink, blur = _shrink(0, 1, FINE_CELLS, side), _blur(side, 0.4 * side / FINE_CELLS)
    wanted, outer = shrink @ inner @ shrink.T, blur @ outer @ blur.T
    for _ in range(N_PULLS):
        seen, slopes = _slopes(outer, windows)
        misses = (wanted - seen).reshape(len(windows), FINE_CELLS**2)
        weighted = slopes / (1 + (misses / ODD) ** 2)[:, None]
        pulls = np.linalg.solve(
            weighted @ slopes.transpose(0, 2, 1) + STIFFNESS * np.eye(4, dtype=np.float32), weighted @ misses[:, :, None]
        )
        windows = np.clip(windows + np.clip(pulls[:, :, 0], -MAX_PULL, MAX_PULL), -SLACK, 1 + SLACK)
    return windows


def _slopes(outer: np.ndarray, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is seen through the windows (P, n, n), and how it changes (P, 4, n * n) as each edge moves by a whole side."""
    side, part = outer.shape[1], _middles(FINE_CELLS)
    places = _places(windows, FINE_CELLS, side)
    across, down = (_weights(each, side) for each in places)
    across_slope, down_slope = ((_weights(each + 1, side) - _weights(each - 1, side)) * (side / 2) for each in places)
    band = outer @ across.transpose(0, 2, 1)
    by_x = down @ outer @ across_slope.transpose(0, 2, 1)
    by_y = down_slope @ band
    slopes = np.stack([by_x * (1 - part), by_x * part, by_y * (1 - part)[:, None], by_y * part[:, None]], 1)
    return down @ band, slopes.reshape(len(windows), 4, FINE_CELLS**2)


def _best_windows(
    thumbnails: np.ndarray, rows: np.ndarray, ways: np.ndarray, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """For each way (W, 2) of an outer and an inner place in `rows`: the highest correlation, and of which window and turn."""
    views = np.concatenate(
        [_whole_views(_contrasts(thumbnails, rows[start : start + CHUNK])) for start in range(0, len(rows), CHUNK)]
    )  # (R, 2, cells): as it is, and mirrored
    ways_of = np.argsort(ways[:, 0], kind="stable")
    edges = np.searchsorted(ways[ways_of, 0], np.arange(len(rows) + 1))
    values, choices = np.empty(len(ways), np.float32), np.empty(len(ways), np.int64)
    for start in range(0, len(rows), CHUNK):
        windows = _window_views(_contrasts(thumbnails, rows[start : start + CHUNK]))  # (chunk, n_windows, cells)
        for place, views_within in enumerate(windows, start):
            those = ways_of[edges[place] : edges[place + 1]]
            found = views[ways[those, 1]] @ views_within.T  # (w, 2, n_windows)
            found = found.transpose(0, 2, 1).reshape(len(those), -1)
            choices[those], values[those] = found.argmax(1), found.max(1, initial=-1)
        progress("comparing", int(edges[min(start + CHUNK, len(rows))]) // 2, len(ways) // 2)  # pairs
    return values, choices


def _contrasts(thumbnails: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return local_contrast(grey(thumbnails[rows]))


def _whole_views(contrasts: np.ndarray) -> np.ndarray:
    shrink = _shrink(0, 1, CELLS, contrasts.shape[1])
    views = shrink @ contrasts @ shrink.T
    return _normal(np.stack([views, views[:, :, ::-1]], 1))


def _window_views(contrasts: np.ndarray) -> np.ndarray:
    """(P, n_windows, cells), by the span down and then across."""
    side, spans = contrasts.shape[1], _spans()
    shrinks = np.stack([_shrink(start, end, CELLS, side) for start, end in spans])  # (spans, CELLS, side)
    across = (contrasts.reshape(-1, side) @ shrinks.reshape(-1, side).T).reshape(len(contrasts), side, -1)
    # One span after the other: products this small BLAS makes on one core, and waits for no other.
    views = (shrinks[:, None] @ across).reshape(len(spans), len(contrasts), CELLS, len(spans), CELLS)
    return _normal(views.transpose(1, 0, 3, 2, 4).reshape(len(contrasts), -1, CELLS, CELLS))


def _normal(views: np.ndarray) -> np.ndarray:
    """(..., cells * cells) of mean 0 and length 1; 0 where nothing is to be seen."""
    flat = views.reshape(*views.shape[:-2], -1)
    flat = flat - flat.mean(-1, keepdims=True)
    normal: np.ndarray = flat / (np.linalg.norm(flat, axis=-1, keepdims=True) + 1e-3)
    return normal


@cache
def _spans() -> np.ndarray:
    """(n, 2) starts and ends along one side: the whole, and everything down to `MIN_SIDE` in steps."""
    n_steps = round((1 - MIN_SIDE) / STEP)
    return np.array([(at * STEP, 1 - (less - at) * STEP) for less in range(n_steps + 1) for at in range(less + 1)])


def _shrink(start: float, end: float, n_cells: int, side: int) -> np.ndarray:
    """(n_cells, side) weights of the pixels in equal cells from `start` to `end`, by area."""
    edges = np.linspace(start, end, n_cells + 1) * side
    pixels = np.arange(side)
    shares = np.maximum(0, np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels))
    weights: np.ndarray = (shares / shares.sum(1, keepdims=True)).astype(np.float32)
    return weights


def _blur(side: int, spread_px: float) -> np.ndarray:
    """(side, side) of a Gaussian, cut off at the edges."""
    pixels = np.arange(side)
    bell = np.exp(-0.5 * ((pixels[:, None] - pixels) / spread_px) ** 2)
    weights: np.ndarray = (bell / bell.sum(1, keepdims=True)).astype(np.float32)
    return weights


def _middles(n_cells: int) -> np.ndarray:
    return ((np.arange(n_cells) + 0.5) / n_cells).astype(np.float32)


def _places(windows: np.ndarray, n_cells: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(P, n_cells) across and down: the middles of a window's cells, in pixels."""
    part = _middles(n_cells)
    across = windows[:, :1] * (1 - part) + windows[:, 1:2] * part
    down = windows[:, 2:3] * (1 - part) + windows[:, 3:] * part
    return across * side - 0.5, down * side - 0.5


def _weights(places: np.ndarray, side: int) -> np.ndarray:
    """(P, n_cells, side) of the two pixels next to each place; beyond the edge, of the last."""
    distances = np.clip(places, 0, side - 1)[:, :, None] - np.arange(side, dtype=np.float32)
    weights: np.ndarray = np.maximum(0, 1 - np.abs(distances))
    return weights
