"""The first step of filling a budget: one common scale for all variables of all targets, rounded down to counts.

Every variable is put to `s` times the axis that it stands for, so that each limit is one polynomial in `s`; its root keeps to
the limit. Widths stay proportional to the targets' channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, sqrt

from kas.solvers.places import Polynomial, Powers
from kas.solvers.sites import Block, Site, block, left_over

__all__ = ["root", "rounded", "scales", "shrunk"]

_BISECTIONS = 24


def scales(sites: Sequence[Site], totals: Sequence[int]) -> list[float]:
    """The scale of each site: one for all, but for sites that a limit of their own holds back."""
    scale = _common_root(sites, totals)
    if not any(site.own for site in sites):
        return [scale] * len(sites)
    caps = [_own_root(site) for site in sites]
    held: set[int] = set()
    while True:
        more = {i for i, cap in enumerate(caps) if cap < scale} - held
        if not more:
            return [caps[i] if i in held else scale for i in range(len(sites))]
        held |= more
        scale = _common_root(sites, totals, {i: caps[i] for i in held})


def _common_root(sites: Sequence[Site], totals: Sequence[int], held: dict[int, float] | None = None) -> float:
    best = inf
    for k, total in enumerate(totals):
        coefficients = [0.0] * 4
        for i, site in enumerate(sites):
            _add(coefficients, site.costs[k], len(site.members), site.place.scales, held.get(i) if held else None)
        best = root(coefficients, total, best)
    return best


def _own_root(site: Site) -> float:
    best = inf
    for polynomial, limit in site.own:
        coefficients = [0.0] * 4
        _add(coefficients, polynomial, 1, site.place.scales)
        best = root(coefficients, limit, best)
    return best


def _add(
    coefficients: list[float], polynomial: Polynomial, times: int, scales: Sequence[float], held: float | None = None
) -> None:
    """Add `times` a polynomial in `s`, or its value where the scale is held at a number."""
    for factors, coefficient in polynomial:
        value: float = times * coefficient
        for i in factors:
            value *= scales[i]
        degree = len(factors)
        if held is not None:
            value *= held**degree
            degree = 0
        elif degree >= len(coefficients):
            coefficients += [0.0] * (degree + 1 - len(coefficients))
        coefficients[degree] += value


def root(coefficients: Sequence[float], limit: float, most: float) -> float:
    """The largest s up to `most` with p(s) <= limit, for a polynomial without negative coefficients; 0 if there is none."""
    rest = limit - coefficients[0]
    if rest <= 0:
        return 0.0
    linear, square = coefficients[1], coefficients[2]
    if not any(coefficients[3:]):
        below = linear + sqrt(linear * linear + 4 * square * rest)
        return min(most, 2 * rest / below) if below else most
    terms = [(degree, c) for degree, c in enumerate(coefficients) if c and degree]
    s: float = min(most, *((rest / c) ** (1 / degree) for degree, c in terms))
    for _ in range(60):  # Newton's steps fall to the root from above, as p is convex
        value = sum([c * s**degree for degree, c in terms]) - rest
        if value <= 0:
            break
        step = value / sum([degree * c * s ** (degree - 1) for degree, c in terms])
        s -= step
        if step <= 1e-12 * s:
            break
    return s


def _counts(site: Site, scale: float) -> Powers:
    place = site.place
    if place.free:
        return tuple([int(scale * size) or 1 for size in place.scales])
    wanted = [place.rounded(i, int(scale * size)) for i, size in enumerate(place.scales)]
    return tuple(map(max, place.lows, wanted))


def rounded(sites: Sequence[Site], scales: Sequence[float], factor: float) -> list[Block]:
    """Counts at a fraction of the scales, rounded down, less where a limit of the site itself asks for it."""
    blocks = []
    for site, scale in zip(sites, scales):  # noqa: B905 - the hot path
        scale = min(scale, 1e12) * factor  # an infinite scale belongs to a site without variables
        counts = _counts(site, scale)
        if site.own and not site.fits(counts):
            low, high = 0.0, scale
            for _ in range(_BISECTIONS):
                middle = (low + high) / 2
                low, high = (middle, high) if site.fits(_counts(site, middle)) else (low, middle)
            counts = _counts(site, low)
        blocks.append(block(site, counts))
    return blocks


def shrunk(sites: Sequence[Site], scales: Sequence[float], totals: Sequence[int]) -> list[Block]:
    """The largest fraction of the scales that fits, where least counts cost more than the scale gives."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        fits = min(left_over(rounded(sites, scales, middle), totals)) >= 0
        low, high = (middle, high) if fits else (low, middle)
    return rounded(sites, scales, low)
