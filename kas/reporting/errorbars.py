"""Error bars of a few repeated trainings: mean, standard deviation, and the interval of a paired difference."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CONFIDENCE", "Difference", "mean_and_sd", "paired_difference"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """A mean difference; it lies within `low` to `high` with the probability CONFIDENCE. None for a single pair."""

    mean: float
    low: float | None = None
    high: float | None = None


def mean_and_sd(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The mean, and the standard deviation of a sample (n - 1 below the line); None where there are too few values.

    >>> mean_and_sd([0.9, 0.92, 0.94])
    (0.92, 0.02)
    """
    mean = round(statistics.fmean(values), 12) if values else None
    return mean, round(statistics.stdev(values), 12) if len(values) > 1 else None


def paired_difference(pairs: Sequence[tuple[float, float]]) -> Difference | None:
    """The mean of `first - second` over pairs, with its interval by Student's t; None without a pair.

    Pairs share what varies otherwise (here: the seed), so that only their differences spread. See any textbook on the
    paired t-test; the interval is mean ± t(n - 1) · sd / √n.
    """
    differences = [first - second for first, second in pairs]
    mean, sd = mean_and_sd(differences)
    if mean is None:
        return None
    if sd is None:
        return Difference(mean)
    from scipy import stats

    count = len(differences)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1)) * sd / count**0.5
    return Difference(mean, mean - half, mean + half)
