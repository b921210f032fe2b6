"""The fast way to fill a budget: one common scale for all variables of all targets, then rounding, then what is left.

Every variable is put to `s` times the axis that it stands for. Each limit is then one polynomial in `s`; its root, rounded
down, keeps to the limits, and what rounding left is given out target by target, large steps first. Widths stay
proportional to the targets' channels: the last step may widen a variable only by a quarter while that fills the budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

from kas.solvers.places import Place, Polynomial, Powers, evaluate

__all__ = ["FULL", "Block", "Site", "block", "fill", "largest", "least_fits"]

FULL = 0.99  # use of the tighter limit at which a filling is good enough
_GROWTH = 1.25  # how much the last step may widen a variable at first, so that targets stay balanced
_BISECTIONS = 24


@dataclass
class Site:
    """Targets that are alike, with a kernel put in.

    members: numbers of the targets. costs: of one target, for each limit on the network, the adapter included.
    own: limits on each target by itself. held, floor: bytes that the adapter adds to the kernel's, and takes at least.
    """

    place: Place
    members: tuple[int, ...]
    costs: tuple[Polynomial, ...]
    own: list[tuple[Polynomial, int]]
    held: int
    floor: int

    def fits(self, counts: Powers) -> bool:
        """Whether the limits on one target hold."""
        return all(evaluate(polynomial, counts) <= limit for polynomial, limit in self.own)

    def peak(self, counts: Powers) -> int:
        """Peak bytes of one target."""
        return max(self.floor, self.held + max([evaluate(row, counts) for row in self.place.memory]))


@dataclass
class Block:
    """Some members of a site with the same counts, and what one of them costs."""

    site: Site
    members: int
    counts: Powers
    costs: list[int]


def block(site: Site, members: int, counts: Powers) -> Block:
    """A block, with its costs."""
    return Block(site, members, counts, [evaluate(polynomial, counts) for polynomial in site.costs])


def left_over(blocks: Sequence[Block], totals: Sequence[int]) -> list[int]:
    """What blocks leave of each limit."""
    left = list(totals)
    for one in blocks:
        for k, cost in enumerate(one.costs):
            left[k] -= one.members * cost
    return left


def least_fits(sites: Sequence[Site], totals: Sequence[int]) -> bool:
    """Whether the least counts keep to all limits: then, and only then, some counts do."""
    blocks = [block(site, len(site.members), tuple(site.place.lows)) for site in sites]
    if any(not one.site.fits(one.counts) for one in blocks):
        return False
    return all(rest >= 0 for rest in left_over(blocks, totals))


def fill(sites: Sequence[Site], totals: Sequence[int]) -> list[Block] | None:
    """Counts for every site that keep within `totals` (at least one) and use them as far as they go.

    None if not even the least counts fit. Sites are split where not all members can grow.
    """
    scales = _scales(sites, totals)
    blocks = _rounded(sites, scales, 1.0)
    left = left_over(blocks, totals)
    if min(left) < 0 or any(one.site.own and not one.site.fits(one.counts) for one in blocks):
        if not least_fits(sites, totals):
            return None
        blocks = _shrunk(sites, scales, totals)
        left = left_over(blocks, totals)
    for growth, split in ((_GROWTH, False), (_GROWTH, True), (0.0, True)):
        if split and max([1 - rest / total for rest, total in zip(left, totals, strict=True)]) >= FULL:
            break
        blocks = _grow(blocks, left, totals, growth, split)
    return blocks


def _scales(sites: Sequence[Site], totals: Sequence[int]) -> list[float]:
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


def _rounded(sites: Sequence[Site], scales: Sequence[float], factor: float) -> list[Block]:
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


def _shrunk(sites: Sequence[Site], scales: Sequence[float], totals: Sequence[int]) -> list[Block]:
    """The largest fraction of the scales that fits, where least counts cost more than the scale gives."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        fits = min(left_over(_rounded(sites, scales, middle), totals)) >= 0
        low, high = (middle, high) if fits else (low, middle)
    return _rounded(sites, scales, low)


def _grow(blocks: list[Block], left: list[int], totals: Sequence[int], growth: float, split: bool) -> list[Block]:
    """Give what is left to one variable after another, the dearest step first; updates `left`. 0 growth is no bound."""
    tight = max(range(len(totals)), key=lambda k: 1 - left[k] / totals[k])
    moves = [(one, i, _next(one, i, 1)) for one in blocks for i in range(len(one.counts))]
    moves.sort(key=lambda move: -move[2][tight])
    for one, i, step in moves:
        if len(one.counts) > 1:
            step = _next(one, i, 1)  # another variable may have grown
        _raise(one, i, step, left, growth)
        if split and one.members > 1:
            part = _part(one, i, left)
            if part is not None:
                blocks = [*blocks, part]
    return blocks


def _with(counts: Powers, i: int, value: int) -> Powers:
    return (*counts[:i], value, *counts[i + 1 :])


def _next(one: Block, i: int, more: int) -> list[int]:
    """What more of variable `i` adds to each cost of a block's member."""
    after = _with(one.counts, i, one.counts[i] + more)
    return [evaluate(polynomial, after) - cost for polynomial, cost in zip(one.site.costs, one.costs)]  # noqa: B905 - hot


def _raise(one: Block, i: int, step: Sequence[int], left: list[int], growth: float) -> None:
    """The largest count of one variable that the rest of the budget allows."""
    counts, members, site = one.counts, one.members, one.site
    now, place = counts[i], site.place
    top = now + min([rest // (members * s) for rest, s in zip(left, step) if s], default=0)  # noqa: B905 - hot
    if growth:
        coarse = place.coarse[i]
        top = min(top, max(int(now * growth), now + (coarse if now >= coarse else 1)))
    if top > now and site.own:
        top = min(top, largest(site.own, counts, i))
    top = place.rounded(i, top)
    if top > now + 1 and not all(map(_is_linear, site.costs, repeat(i))):  # the steps grow with the count
        ceilings = [(p, c + rest // members) for p, c, rest in zip(site.costs, one.costs, left, strict=True)]
        top = place.rounded(i, min(top, largest(ceilings, counts, i)))
    if top <= now:
        return
    added = _next(one, i, top - now)
    one.counts = _with(counts, i, top)
    for k, cost in enumerate(added):
        one.costs[k] += cost
        left[k] -= members * cost


def _is_linear(polynomial: Polynomial, i: int) -> bool:
    return all(powers[i] <= 1 for powers, _ in polynomial)


def largest(ceilings: Sequence[tuple[Polynomial, int]], counts: Powers, i: int) -> int:
    """The largest count of variable `i`, the others as they are, at which no polynomial is over its limit.

    `counts` must fit. A count that nothing bounds stays as it is.
    """
    after, bounds = _with(counts, i, counts[i] + 1), []
    for polynomial, limit in ceilings:
        cost = evaluate(polynomial, counts)
        step = evaluate(polynomial, after) - cost
        if step:
            bounds.append((limit - cost) // step)
    low, high = counts[i], counts[i] + min(bounds, default=0)  # steps grow with the count: no count over `high` fits
    if all(_is_linear(polynomial, i) for polynomial, _ in ceilings):
        return high
    while low < high:
        middle = (low + high + 1) // 2
        trial = _with(counts, i, middle)
        if all(evaluate(polynomial, trial) <= limit for polynomial, limit in ceilings):
            low = middle
        else:
            high = middle - 1
    return low


def _part(one: Block, i: int, left: list[int]) -> Block | None:
    """Widen a variable by one step in as many members as the budget allows; they become a block of their own."""
    coarse = one.site.place.coarse[i]
    more = coarse if one.counts[i] >= coarse else 1
    wider, added = _with(one.counts, i, one.counts[i] + more), _next(one, i, more)
    number = min((rest // cost for rest, cost in zip(left, added, strict=True) if cost), default=0)
    if not 0 < number < one.members or not one.site.fits(wider):
        return None
    one.members -= number
    for k, cost in enumerate(added):
        left[k] -= number * cost
    return Block(one.site, number, wider, [old + cost for old, cost in zip(one.costs, added, strict=True)])
