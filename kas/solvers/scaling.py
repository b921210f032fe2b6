"""The first step of filling a budget: one common scale for all variables of all targets, rounded down to counts.

Every variable is put to `s` times the axis that it stands for, so that each limit is one polynomial in `s`; its root keeps to
the limit. Widths stay proportional to the targets' channels.
"""

from __future__ import annotations

from collections.abc import Sequence

from kas.solvers.places import Powers
from kas.solvers.sites import Block, Site, block, left_over

__all__ = ["rounded", "scales", "shrunk"]

_BISECTIONS = 24


def scales(sites: Sequence[Site], totals: Sequence[int]) -> list[float]:
    """The scale of each site: one for all, but for sites that a limit of their own holds back."""
    caps = [_own_root(site) if site.own else float("inf") for site in sites]
    held: set[int] = set()
    while True:
        scale = _common_root(sites, totals, caps, held)
        more = {i for i, cap in enumerate(caps) if cap < scale} - held
        if not more:
            return [caps[i] if i in held else scale for i in range(len(sites))]
        held |= more


def _common_root(sites: Sequence[Site], totals: Sequence[int], caps: Sequence[float], held: set[int]) -> float:
    best = float("inf")
    for k, total in enumerate(totals):
        coefficients: dict[int, float] = {}
        for i, site in enumerate(sites):
            number, scales = len(site.members), site.place.scales
            for powers, coefficient in site.costs[k]:
                value, degree = float(number * coefficient), 0
                for power, scale in zip(powers, scales):  # noqa: B905 - the hot loop
                    if power:
                        value *= float(scale**power)
                        degree += power
                if i in held:
                    value *= caps[i] ** degree
                    degree = 0
                coefficients[degree] = coefficients.get(degree, 0.0) + value
        best = min(best, _root(coefficients, total))
    return best


def _own_root(site: Site) -> float:
    best = float("inf")
    for polynomial, limit in site.own:
        coefficients: dict[int, float] = {}
        for powers, coefficient in polynomial:
            value = float(coefficient)
            for power, scale in zip(powers, site.place.scales, strict=True):
                value *= float(scale**power)
            coefficients[sum(powers)] = coefficients.get(sum(powers), 0.0) + value
        best = min(best, _root(coefficients, limit))
    return best


def _root(coefficients: dict[int, float], limit: float) -> float:
    """The largest s with p(s) <= limit, for a polynomial without negative coefficients; 0 if there is none."""
    rest = limit - coefficients.get(0, 0.0)
    if rest <= 0:
        return 0.0
    terms = [(degree, c) for degree, c in coefficients.items() if c and degree]
    if not terms:
        return float("inf")
    s: float = min((rest / c) ** (1 / degree) for degree, c in terms)
    if len(terms) == 1:
        return s
    for _ in range(60):  # Newton's steps fall to the root from above, as p is convex
        value = sum(c * s**degree for degree, c in terms) - rest
        slope = sum(degree * c * s ** (degree - 1) for degree, c in terms)
        step = value / slope
        s -= step
        if step <= 1e-12 * s:
            break
    return s


def _counts(site: Site, scale: float) -> Powers:
    place = site.place
    return tuple(
        [
            max(low, place.rounded(i, int(scale * size)))
            for i, (low, size) in enumerate(zip(place.lows, place.scales, strict=True))
        ]
    )


def rounded(sites: Sequence[Site], scales: Sequence[float], factor: float) -> list[Block]:
    """Counts at a fraction of the scales, rounded down, less where a limit of the site itself asks for it."""
    blocks = []
    for site, scale in zip(sites, scales, strict=True):
        scale = min(scale, 1e12) * factor  # an infinite scale belongs to a site without variables
        counts = _counts(site, scale)
        if site.own and not site.fits(counts):
            low, high = 0.0, scale
            for _ in range(_BISECTIONS):
                middle = (low + high) / 2
                low, high = (middle, high) if site.fits(_counts(site, middle)) else (low, middle)
            counts = _counts(site, low)
        blocks.append(block(site, len(site.members), counts))
    return blocks


def shrunk(sites: Sequence[Site], scales: Sequence[float], totals: Sequence[int]) -> list[Block]:
    """The largest fraction of the scales that fits, where least counts cost more than the scale gives."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        fits = min(left_over(rounded(sites, scales, middle), totals)) >= 0
        low, high = (middle, high) if fits else (low, middle)
    return rounded(sites, scales, low)
