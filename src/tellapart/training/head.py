"""The head: a logistic regression on frozen features, its penalty chosen by cross-validation.

It is multinomial, or where a picture may have several labels a question of its own for each of them, all fitted together.

All folds and a fit on everything descend together: one product with the features serves them all. The head is the mean of
these fits, which steadies it (docs/features.md) and stays a linear layer. The descent is Nesterov's
accelerated gradient with restarts (O'Donoghue & Candès 2015) on a majoriser: the softmax Hessian never exceeds half the
features' second moment, the sigmoid's a quarter (Böhning 1992), whose leading directions a randomised factorisation finds
(Halko et al. 2011). No line search, no Hessian, and a second or two for some thousand pictures of 3,136 features.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

PENALTIES = (1e-3, 1e-4, 3e-5, 1e-5)  # strong to weak, each starting from the one before
RANK = 128  # leading directions that are preconditioned; 64 to 512 take as long and reach the same loss (docs/features.md)
OVERSAMPLING = 16
TOLERANCE = 1.5e-2  # of the step in the majoriser's norm; tighter ones are slower and no more accurate (docs/features.md)
MAX_STEPS = 300
MAX_LOGITS = 100_000_000  # folds descend together up to this many float32 values (400 MB), else one by one
MAX_PRODUCTS = 1_000_000_000  # multiply-adds of one fit's logits; above (100 classes of 35), features are reduced
REDUCED_RANK = 512  # keeps nine tenths of the variance of what was tried; a guess at where speed and accuracy meet
THREADED_ROWS = 512  # fits x classes; below, products are so flat that BLAS threads gain little, and lose 10 x on a busy machine
PATIENCE = 2  # the path ends once this many weaker penalties were no better


@dataclass(frozen=True)
class Head:
    """A linear layer on raw features whose softmax, or with `several` labels a picture whose sigmoid, is calibrated.

    `weights` (D, K) and `bias` (K,) float32 hold the features' centring and scaling and the temperature.
    `fold_probabilities` (N, K): for each training picture, from the fit that had not seen its fold.
    """

    weights: np.ndarray
    bias: np.ndarray
    penalty: float
    temperature: float
    fold_probabilities: np.ndarray
    several: bool = False

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """(N, K) float32 from raw features (N, D); rows sum to 1, unless a picture may have several labels."""
        return probabilities_of(self.logits(features), several=self.several)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(N, K) float32 from raw features (N, D)."""
        found: np.ndarray = features @ self.weights + self.bias
        return found


def fit_head(
    features: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    *,
    n_classes: int,
    blocks: Sequence[int],
    balance: float = 0.0,
    sample_weights: np.ndarray | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Head:
    """The head for `features` (N, D) of any float kind and `labels`: (N,) in 0..K-1, or (N, K) bool, several a picture.

    `folds` (N,) numbers each picture's cross-validation fold. Each of the `blocks` of features gets the same total variance.
    `balance` weighs a class by (mean count / its count) to this power: 0 not at all, 1 as if all classes were equally frequent;
    of several labels a picture each is a question of its own, and it must be 0.
    `sample_weights` (N,), above 0, say how much each picture counts among the others.
    With `overwrite` no copy is made of float32 features, which are then worth nothing afterwards.
    """
    n_rows = (len(np.unique(folds)) + 1) * n_classes
    with threadpool_limits(1 if n_rows < THREADED_ROWS else None, user_api="blas"):
        x = np.array(features, np.float32, copy=None if overwrite else True)
        return _fit(x, labels, folds, _row_weights(labels, n_classes, balance, sample_weights), n_classes, blocks, seed)


def _fit(
    x: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    row_weights: np.ndarray,
    n_classes: int,
    blocks: Sequence[int],
    seed: int,
) -> Head:
    rng = np.random.default_rng(seed)
    centre = x.mean(0)
    x -= centre
    scale = _block_scales(x, blocks)
    x *= scale
    x, directions = _reduced(x, n_classes, rng)  # (N, D), or (N, R) along R directions
    shares = _shares(folds, row_weights)  # (F + 1, N); the last row is the fit on everything
    penalty, final, logits = _best_penalty(x, labels, folds, shares, _Majoriser.of(x, RANK, rng), n_classes)
    several, temperature = labels.ndim == 2, fit_temperature(logits, labels)
    weights = final.weights[0] if directions is None else final.weights[0] @ directions
    weights = (weights * scale / temperature).T  # (D, K)
    bias = final.bias[0, :, 0] / temperature - centre @ weights
    held_out = probabilities_of(logits / temperature, several=several)
    return Head(
        np.ascontiguousarray(weights, np.float32), bias.astype(np.float32), penalty, temperature, held_out, several=several
    )


def probabilities_of(logits: np.ndarray, *, several: bool) -> np.ndarray:
    """(N, K) -> (N, K): the softmax of each row, or with `several` labels the sigmoid of each value."""
    return sigmoid(logits) if several else softmax(logits)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Of any shape, each value for itself, without overflow."""
    small = np.exp(-np.abs(logits))
    probabilities: np.ndarray = np.where(logits >= 0, 1, small) / (1 + small)
    return probabilities


def softmax(logits: np.ndarray) -> np.ndarray:
    """(N, K) -> (N, K), rows sum to 1."""
    shifted: np.ndarray = np.exp(logits - logits.max(1, keepdims=True))
    shifted /= shifted.sum(1, keepdims=True)
    return shifted


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-probability of the labels (N,); of several, (N, K) bool, the mean of all the answers' yes and no."""
    if labels.ndim == 2:
        return float(np.mean(np.logaddexp(0, np.where(labels, -logits, logits))))
    top = logits.max(1)
    return float(np.mean(top + np.log(np.exp(logits - top[:, None]).sum(1)) - logits[np.arange(len(labels)), labels]))


def share_right(logits: np.ndarray, labels: np.ndarray) -> float:
    """The accuracy for labels (N,); of several, (N, K) bool, the share of right yes and no, with a threshold of 0.5."""
    return float(((logits > 0) == labels).mean() if labels.ndim == 2 else (logits.argmax(1) == labels).mean())


def scores(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """`share_right` and negative loss: of two networks the better one has the greater pair."""
    return share_right(logits, labels), -log_loss(logits, labels)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T that makes the labels likeliest by logits / T (Guo et al. 2017), by golden section over 1/8..8."""
    low, high, ratio = np.log(1 / 8), np.log(8.0), (np.sqrt(5) - 1) / 2
    while high - low > 1e-3:
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if log_loss(logits / np.exp(a), labels) < log_loss(logits / np.exp(b), labels):
            high = b
        else:
            low = a
    return float(np.exp((low + high) / 2))


@dataclass(frozen=True)
class _State:
    """The linear layers of several fits at once."""

    weights: np.ndarray  # (F, K, D)
    bias: np.ndarray  # (F, K, 1)

    def of_fit(self, fit: slice) -> _State:
        return _State(self.weights[fit], self.bias[fit])


@dataclass(frozen=True)
class _Majoriser:
    """The features' second moment (D, D), as leading directions and a bound on all the others."""

    eigenvalues: np.ndarray  # (R,) descending
    directions: np.ndarray  # (R, D) orthonormal rows

    @classmethod
    def of(cls, x: np.ndarray, rank: int, rng: np.random.Generator) -> _Majoriser:
        n_columns = min(rank + OVERSAMPLING, *x.shape)
        basis, _ = np.linalg.qr(x @ rng.standard_normal((x.shape[1], n_columns), dtype=np.float32))
        basis, _ = np.linalg.qr(x @ (x.T @ basis))  # one power iteration sharpens the leading directions
        inner = basis.T @ x  # (n_columns, D)
        values, vectors = np.linalg.eigh(inner @ inner.T)
        kept = slice(None, -1 - min(rank, n_columns), -1)
        values, vectors = np.maximum(values[kept], 1e-9 * max(values[-1], 1e-9)), vectors[:, kept]
        return cls(values / len(x), (vectors / np.sqrt(values)).T @ inner)

    def step(self, gradient: np.ndarray, scale: float, penalty: float) -> np.ndarray:
        """(scale * moment + penalty)^-1 times the gradient (F, K, D)."""
        rest = 1 / (scale * self.eigenvalues[-1] + penalty)
        gains = 1 / (scale * self.eigenvalues + penalty) - rest  # (R,)
        flat = gradient.reshape(-1, gradient.shape[-1])
        step: np.ndarray = rest * flat + ((flat @ self.directions.T) * gains.astype(np.float32)) @ self.directions
        return step.reshape(gradient.shape).astype(np.float32, copy=False)


def _reduced(x: np.ndarray, n_classes: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """Pictures (N, D) as they are or, where the work of a step asks for it, along their leading directions (R, D)."""
    if n_classes * x.size <= MAX_PRODUCTS or min(x.shape) <= REDUCED_RANK:
        return x, None
    directions = _Majoriser.of(x, REDUCED_RANK, rng).directions
    return x @ directions.T, directions


def _block_scales(centred: np.ndarray, blocks: Sequence[int]) -> np.ndarray:
    """(D,) factors that give each block of centred features (N, D) a total variance of 1."""
    variance = np.einsum("nd,nd->d", centred, centred) / len(centred)
    ends = np.cumsum(blocks)
    totals = [variance[end - width : end].sum() for end, width in zip(ends, blocks, strict=True)]
    scales: np.ndarray = np.repeat([1 / np.sqrt(max(total, 1e-12)) for total in totals], blocks)
    return scales.astype(np.float32)


def _row_weights(labels: np.ndarray, n_classes: int, balance: float, sample_weights: np.ndarray | None) -> np.ndarray:
    """(N,) how much each picture counts, by its class and by itself."""
    if labels.ndim == 2:
        return np.ones(len(labels)) if sample_weights is None else sample_weights
    counts = np.bincount(labels, minlength=n_classes)
    weights: np.ndarray = ((len(labels) / n_classes / np.maximum(counts, 1)) ** balance)[labels]
    return weights if sample_weights is None else weights * sample_weights


def _shares(folds: np.ndarray, row_weights: np.ndarray) -> np.ndarray:
    """(F + 1, N) part of each picture in each fit's loss: 0 where its fold is held out; rows sum to 1."""
    held_in = np.concatenate([folds[None] != np.unique(folds)[:, None], np.ones((1, len(folds)), bool)])
    shares: np.ndarray = np.where(held_in, row_weights, 0).astype(np.float32)
    shares /= shares.sum(1, keepdims=True)
    return shares


def _best_penalty(
    x: np.ndarray, labels: np.ndarray, folds: np.ndarray, shares: np.ndarray, majoriser: _Majoriser, n_classes: int
) -> tuple[float, _State, np.ndarray]:
    """The penalty with the least log-loss on held-out folds, the mean of all fits there, and the held-out logits (N, K)."""
    n_fits, (_, n_features) = len(shares), x.shape
    state = _State(np.zeros((n_fits, n_classes, n_features), np.float32), np.zeros((n_fits, n_classes, 1), np.float32))
    place = np.searchsorted(np.unique(folds), folds)
    best_loss, since_best = np.inf, 0
    best = PENALTIES[0], state, np.zeros((len(x), n_classes), np.float32)
    for penalty in PENALTIES:
        state = _descend(x, labels, shares, penalty, majoriser, state)
        logits = _held_out_logits(x, place, state)
        loss = log_loss(logits, labels)
        if loss < best_loss:
            best_loss, since_best = loss, 0
            best = penalty, _averaged(state), logits
        elif (since_best := since_best + 1) == PATIENCE:
            break
    return best


def _averaged(fits: _State) -> _State:
    return _State(fits.weights.mean(0, keepdims=True), fits.bias.mean(0, keepdims=True))


def _held_out_logits(x: np.ndarray, place: np.ndarray, state: _State) -> np.ndarray:
    logits = np.empty((len(x), state.weights.shape[1]), np.float32)
    for fold in np.unique(place):
        rows = place == fold
        logits[rows] = x[rows] @ state.weights[fold].T + state.bias[fold, :, 0]
    return logits


def _descend(
    x: np.ndarray, labels: np.ndarray, shares: np.ndarray, penalty: float, majoriser: _Majoriser, start: _State
) -> _State:
    """Minimise each fit's cross-entropy + penalty / 2 * |weights|², together or, where memory asks for it, one by one."""
    n_fits, n_classes, _ = start.weights.shape
    together = max(1, min(MAX_LOGITS // (n_classes * len(x)), -(-n_fits // 2)))
    parts = [slice(first, first + together) for first in range(0, n_fits, together)]
    with ThreadPoolExecutor(2) as pool:
        solved = list(pool.map(lambda part: _accelerate(x, labels, shares[part], penalty, majoriser, start.of_fit(part)), parts))
    return _State(np.concatenate([s.weights for s in solved]), np.concatenate([s.bias for s in solved]))


def _accelerate(
    x: np.ndarray, labels: np.ndarray, shares: np.ndarray, penalty: float, majoriser: _Majoriser, start: _State
) -> _State:
    bound = 0.25 if labels.ndim == 2 else 0.5  # Böhning's, of a sigmoid and of a softmax
    scale = bound * len(x) * float(shares.max())  # shares may weigh some pictures above 1 / N
    here, ahead, momentum_age = start, start, 1.0
    for _ in range(MAX_STEPS):
        slope = _gradient(x, labels, shares, penalty, ahead)
        step = majoriser.step(slope.weights, scale, penalty)
        there = _State(ahead.weights - step, ahead.bias - slope.bias / bound)  # shares sum to 1
        if np.vdot(slope.weights, step) < TOLERANCE**2 * len(shares):
            return there
        moved, moved_bias = there.weights - here.weights, there.bias - here.bias
        if np.vdot(slope.weights, moved) + np.vdot(slope.bias, moved_bias) > 0:  # uphill: start the momentum afresh
            momentum, momentum_age = 0.0, 1.0
        else:
            older = (1 + np.sqrt(1 + 4 * momentum_age**2)) / 2
            momentum, momentum_age = (momentum_age - 1) / older, float(older)
        ahead = _State(there.weights + np.float32(momentum) * moved, there.bias + np.float32(momentum) * moved_bias)
        here = there
    return here


def _gradient(x: np.ndarray, labels: np.ndarray, shares: np.ndarray, penalty: float, at: _State) -> _State:
    n_fits, n_classes, n_features = at.weights.shape
    p = (at.weights.reshape(-1, n_features) @ x.T).reshape(n_fits, n_classes, -1)  # (F, K, N) logits, then probabilities
    p += at.bias
    if labels.ndim == 2:
        p = sigmoid(p)
        p -= labels.T
    else:
        p -= p.max(1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(1, keepdims=True)
        p[:, labels, np.arange(len(labels))] -= 1
    p *= shares[:, None]
    weights = (p.reshape(-1, len(x)) @ x).reshape(at.weights.shape) + np.float32(penalty) * at.weights
    return _State(weights, p.sum(2, keepdims=True))
