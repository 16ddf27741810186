"""Whether one classifier is better than another or only luckier: plain functions of counts, in numpy alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tellapart.evaluation.metrics import wilson_interval

MAX_P = 0.05  # of a difference that is called more than noise; the convention that goes with 95 % intervals
N_RESAMPLES = 10_000  # of the bootstrap: leaves its bounds about a hundredth of the interval's width unsure


@dataclass(frozen=True)
class Difference:
    """How much more often one classifier is right than another: its accuracy less the other's, -1 to 1.

    With `is_paired` both answered the same `n` pictures, of which `n_gained` only the one had right and `n_lost` only the other;
    else `n` are the pictures of both together and these are 0. `p_value` is the probability of a difference at least as
    large where there is none; `interval` holds the true difference in 95 of 100 cases. Without pictures nothing is known: the
    interval is (-1, 1) and p is 1.
    """

    value: float
    interval: tuple[float, float]
    p_value: float
    n: int
    n_gained: int = 0
    n_lost: int = 0
    is_paired: bool = True

    @property
    def is_noise(self) -> bool:
        """Whether chance explains it; where several are compared at once, ask `holm` for the p-values first."""
        return self.p_value > MAX_P

    @property
    def verdict(self) -> str:
        """The difference in words, such as "-1.3 points (-2.9 to +0.2): could be noise, p = 0.12"."""
        lo, hi = self.interval
        points = f"{100 * self.value:+.1f} points ({100 * lo:+.1f} to {100 * hi:+.1f})"
        return f"{points}: {'could be noise' if self.is_noise else 'more than noise'}, p = {self.p_value:.2g}"


def paired_difference(n_gained: int, n_lost: int, n: int, *, seed: int = 0) -> Difference:
    """Of `n` pictures that both classifiers answered, `n_gained` only the one had right and `n_lost` only the other.

    The p-value is McNemar's, exact; the interval is the paired bootstrap's.
    """
    if min(n_gained, n_lost) < 0 or n_gained + n_lost > n:
        raise ValueError(f"{n_gained} gained and {n_lost} lost cannot be parts of {n} pictures")
    value = (n_gained - n_lost) / n if n else 0.0
    interval = bootstrap_interval(n_gained, n_lost, n, seed=seed)
    return Difference(value, interval, mcnemar_p(n_gained, n_lost), n, n_gained, n_lost)


def unpaired_difference(n_right: int, n: int, n_right_other: int, n_other: int) -> Difference:
    """The difference of two classifiers that answered different pictures: a coarser comparison.

    The interval is Newcombe's (1998, method 10: from the two Wilson intervals), the p-value that of the pooled z-test.
    """
    total = n + n_other
    if not n or not n_other:
        return Difference(0.0, (-1.0, 1.0), 1.0, total, is_paired=False)
    share, share_other = n_right / n, n_right_other / n_other
    (lo, hi), (lo_other, hi_other) = wilson_interval(n_right, n), wilson_interval(n_right_other, n_other)
    value = share - share_other
    below = math.hypot(share - lo, hi_other - share_other)
    above = math.hypot(hi - share, share_other - lo_other)
    pooled = (n_right + n_right_other) / total
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / n_other))
    p_value = math.erfc(abs(value) / spread / math.sqrt(2)) if spread else 1.0
    return Difference(value, (value - below, value + above), p_value, total, is_paired=False)


def mcnemar_p(n_gained: int, n_lost: int) -> float:
    """The probability, 0 to 1, of so uneven a parting of the pictures on which two equally good classifiers disagree.

    McNemar 1947, exact: two-sided, from the binomial distribution with 1/2.
    """
    n, fewer = n_gained + n_lost, min(n_gained, n_lost)
    logs = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2) for k in range(fewer + 1))
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def bootstrap_interval(n_gained: int, n_lost: int, n: int, *, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the paired difference when the pictures are drawn anew, with replacement; (-1, 1) for no pictures.

    Only three things happen on a picture (gained, lost, neither), so that a resample is one draw from a multinomial
    distribution. Efron & Tibshirani 1993, the percentile interval. Half a picture is added to each of the four ways in which two
    answers may fall out (Agresti & Min 2005): where they never disagreed the plain bootstrap would be sure that they never will.
    """
    if not n:
        return -1.0, 1.0
    gained, lost, neither = n_gained + 0.5, n_lost + 0.5, n - n_gained - n_lost + 1.0  # both right, both wrong
    total = gained + lost + neither
    drawn = np.random.default_rng(seed).multinomial(n, [gained / total, lost / total, neither / total], N_RESAMPLES)  # (R, 3)
    lo, hi = np.quantile((drawn[:, 0] - drawn[:, 1]) / n, [0.025, 0.975])
    return float(lo), float(hi)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p-values of several comparisons, each raised for the others: among twenty, one below 0.05 is no surprise. Holm 1979."""
    raised, largest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        raised[place] = largest
    return tuple(raised)
