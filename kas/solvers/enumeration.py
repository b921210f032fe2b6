"""The exact way to fill a budget: every combination of counts, where they are few; a wide sample of them where not."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from kas.solvers.filling import largest
from kas.solvers.places import Powers, evaluate
from kas.solvers.sites import Block, Site

__all__ = ["CANDIDATES", "Best", "Question", "assess", "best_of_all", "best_of_many", "bound", "few"]

CANDIDATES = 100_000  # combinations that are few enough to try them all
_STATES, _OPTIONS, _NEAR = 1500, 150, 5000  # else: partial sums kept, combinations tried and looked at for one target

Array = Any  # numpy arrays; their types would say nothing about shapes


class Question(NamedTuple):
    """What is asked of the counts.

    totals, reals, minima: for each limit on the network, the most, the same as a real number, and the least.
    peak: whether memory is limited: its real limit (0 for none), and the least peak.
    replaced: for each limit on the network, what the layer costs that each target replaces.
    """

    sites: Sequence[Site]
    totals: Sequence[int]
    reals: Sequence[float]
    minima: Sequence[int]
    peak: tuple[float, int]
    replaced: Sequence[Sequence[int]]


class Best(NamedTuple):
    """Counts of each target, and how good they are: uses in falling order, then imbalance (less is better)."""

    uses: tuple[float, ...]
    imbalance: float
    counts: dict[int, Powers]
    met: bool  # whether the least costs are met

    def over(self, other: Best | None) -> bool:
        """Whether this is better: least costs met, the tighter limit used more, then the others, then better balanced."""
        return other is None or (self.met, *self.uses, -self.imbalance) > (other.met, *other.uses, -other.imbalance)


def assess(question: Question, blocks: Sequence[Block], *, balance: bool = True) -> Best:
    """How good some blocks are. Without `balance` the imbalance is left at 0: it matters only beside other answers."""
    counts: dict[int, Powers] = {}
    totals, peak, imbalance = [0] * len(question.totals), 0, 0.0
    for block in blocks:
        members = block.members
        for k, cost in enumerate(block.costs):
            totals[k] += len(members) * cost
            if balance:
                of = question.replaced[k]
                imbalance += sum([(cost / of[member]) ** 2 for member in members])
        if any(question.peak):
            peak = max(peak, block.site.peak(block.counts))
        counts.update(dict.fromkeys(members, block.counts))
    uses = [total / real for total, real in zip(totals, question.reals)]  # noqa: B905 - the hot path
    if question.peak[0]:
        uses.append(peak / question.peak[0])
    met = peak >= question.peak[1] and all(t >= least for t, least in zip(totals, question.minima, strict=True))
    uses.sort(reverse=True)
    return Best(tuple(uses), imbalance, counts, met)


def few(question: Question, allowed: int = CANDIDATES) -> int | None:
    """How many combinations of counts there are, None if more than `allowed`."""
    total = 1
    for site, spans in zip(question.sites, _spans(question), strict=True):
        total *= prod(len(steps) for steps in spans) ** len(site.members)
        if total > allowed:
            return None
    return total


def best_of_all(question: Question) -> Best | None:
    """The best of all combinations; the caller has seen that they are few. None if none keeps to all limits."""
    options = [list(product(*spans)) for spans in _spans(question)]
    return _combine(question, options, None)


def best_of_many(question: Question, near: Best) -> Best | None:
    """The best of a wide sample of combinations around counts already found."""
    for spans in (_spans(question), _spans(question, fine=True)):
        options = [_nearest(near.counts[s.members[0]], own) for s, own in zip(question.sites, spans, strict=True)]
        best = _combine(question, options, _STATES)
        if best is not None:
            return best
    return None


def _nearest(centre: Powers, spans: Sequence[Sequence[int]]) -> list[Powers]:
    """The combinations of one target's counts that are nearest to those found."""
    width = max(2, int(_NEAR ** (1 / len(centre))))
    around = [_around(steps, count, width) for steps, count in zip(spans, centre, strict=True)]
    far = [(sum(abs(a / b - 1) for a, b in zip(counts, centre, strict=True)), counts) for counts in product(*around)]
    return [counts for _, counts in sorted(far)[:_OPTIONS]]


def bound(question: Question) -> float:
    """What the use of the tighter limit cannot exceed: 1, or less where limits on each target hold the network back."""
    if any(not site.own for site in question.sites):
        return 1.0
    uses = [_bound(question, k) / real for k, real in enumerate(question.reals)]
    if question.peak[0]:
        if any(len(site.place.lows) > 1 for site in question.sites):
            return 1.0
        uses.append(max(site.peak(_top(site)) for site in question.sites) / question.peak[0])
    return min(1.0, max(uses))


def _bound(question: Question, k: int) -> float:
    total = 0.0
    for site in question.sites:
        most = min((limit for polynomial, limit in site.own if polynomial is site.costs[k]), default=float("inf"))
        if len(site.place.lows) == 1:
            most = evaluate(site.costs[k], _top(site))
        total += len(site.members) * most
    return total


def _top(site: Site) -> Powers:
    """The largest count of the one variable within the limits on a target by itself."""
    return (site.place.rounded(0, largest(site.own, tuple(site.place.lows), 0)),)


def _spans(question: Question, *, fine: bool = False) -> list[list[Sequence[int]]]:
    """For each site the counts to try of each variable: those that fit while all else is least; `fine`: no multiples."""
    lows = [tuple(site.place.lows) for site in question.sites]
    least = [
        sum(len(site.members) * evaluate(site.costs[k], low) for site, low in zip(question.sites, lows, strict=True))
        for k in range(len(question.totals))
    ]
    found = []
    for site, low in zip(question.sites, lows, strict=True):
        ceilings = [
            (polynomial, total - rest + evaluate(polynomial, low))
            for polynomial, total, rest in zip(site.costs, question.totals, least, strict=True)
        ] + site.own
        tops = [largest(ceilings, low, i) for i in range(len(low))]
        coarse = [1] * len(low) if fine else site.place.coarse
        found.append([_steps(*bounds) for bounds in zip(low, tops, coarse, strict=True)])
    return found


def _around(steps: Sequence[int], count: int, width: int) -> Sequence[int]:
    start = max(0, bisect(steps, count) - (width + 1) // 2)
    return steps[start : start + width]


def _steps(low: int, top: int, coarse: int) -> Sequence[int]:
    """The multiples of `coarse` from `low` to `top`; every count where there is room for none of them."""
    first = -(-low // coarse) * coarse
    return range(first, top + 1, coarse) if first <= top else range(low, top + 1)


class _Options(NamedTuple):
    """The counts of one target, and their costs `[n, limits]`, peaks and imbalances `[n]`."""

    counts: list[Powers]
    costs: Array
    peaks: Array
    imbalance: Array


def _options(question: Question, site: Site, member: int, counts: list[Powers]) -> _Options:
    counts = [c for c in counts if site.fits(c)]
    costs = np.array([[evaluate(polynomial, c) for polynomial in site.costs] for c in counts], dtype=np.int64)
    costs = costs.reshape(len(counts), len(question.totals))
    replaced = np.array([row[member] for row in question.replaced], dtype=float)
    peaks = [site.peak(c) for c in counts] if any(question.peak) else [0] * len(counts)
    return _Options(counts, costs, np.array(peaks, dtype=np.int64), ((costs / replaced) ** 2).sum(1))


def _combine(question: Question, options: list[list[Powers]], width: int | None) -> Best | None:
    """The best combination of one option for each target, by partial sums; at most `width` of them are kept."""
    order = [
        (member, _options(question, site, member, counts))
        for site, counts in zip(question.sites, options, strict=True)
        for member in site.members
    ]
    if any(not option.counts for _, option in order):
        return None
    order.sort(key=lambda pair: -int(pair[1].costs.sum()))  # the dearest targets first: cheap ones fill what is left
    limit = np.array(question.totals, dtype=np.int64)
    later = np.sum([o.costs.min(0) for _, o in order], 0, dtype=np.int64)
    costs, peaks, imbalance = np.zeros((1, len(limit)), np.int64), np.zeros(1, np.int64), np.zeros(1)
    chosen: list[tuple[Array, Array]] = []
    for _, option in order:
        later = later - option.costs.min(0)
        sums = costs[:, None] + option.costs[None]
        before, which = np.nonzero((sums + later <= limit).all(2))
        if width is not None and len(before) > width:
            along = np.argsort((sums[before, which] / limit).max(1), kind="stable")
            kept = along[np.linspace(0, len(along) - 1, width).round().astype(int)]
            before, which = before[kept], which[kept]
        costs = sums[before, which]
        peaks = np.maximum(peaks[before], option.peaks[which])
        imbalance = imbalance[before] + option.imbalance[which]
        chosen.append((before, which))
    return _pick(question, order, costs, peaks, imbalance, chosen)


def _pick(
    question: Question,
    order: list[tuple[int, _Options]],
    costs: Array,
    peaks: Array,
    imbalance: Array,
    chosen: list[tuple[Array, Array]],
) -> Best | None:
    met = (costs >= np.array(question.minima)).all(1) & (peaks >= question.peak[1])
    rows = np.nonzero(met)[0]
    if not len(rows):
        return None
    uses = costs[rows] / np.array(question.reals, dtype=float)
    if question.peak[0]:
        uses = np.concatenate([uses, peaks[rows, None] / question.peak[0]], 1)
    uses = -np.sort(-uses, 1)
    best = np.lexsort((imbalance[rows], *(-uses[:, k] for k in reversed(range(uses.shape[1])))))[0]
    row, counts = int(rows[best]), {}
    for (member, option), (before, which) in zip(reversed(order), reversed(chosen), strict=True):
        counts[member] = option.counts[int(which[row])]
        row = int(before[row])
    return Best(tuple(float(use) for use in uses[best]), float(imbalance[rows[best]]), counts, True)
