"""The fast way to fill a budget: a common scale, rounded down, then what rounding left, target by target.

What is left goes to one variable after another, large steps first. At first that may widen a variable only by a quarter,
so that the targets stay balanced; only if the budget is then not filled, by as much as there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

from kas.solvers.places import Polynomial, Powers, evaluate
from kas.solvers.scaling import rounded, scales, shrunk
from kas.solvers.sites import Block, Site, least_fits, left_over

__all__ = ["FULL", "fill", "largest"]

FULL = 0.99  # use of the tighter limit at which a filling is good enough
_GROWTH = 1.25  # how much the last step may widen a variable at first


def fill(sites: Sequence[Site], totals: Sequence[int]) -> list[Block] | None:
    """Counts for every site that keep within `totals` (at least one) and use them as far as they go.

    None if not even the least counts fit. Sites are split where not all members can grow.
    """
    common = scales(sites, totals)
    blocks = rounded(sites, common, 1.0)
    left = left_over(blocks, totals)
    if min(left) < 0 or any(one.site.own and not one.site.fits(one.counts) for one in blocks):
        if not least_fits(sites, totals):
            return None
        blocks = shrunk(sites, common, totals)
        left = left_over(blocks, totals)
    for growth, split in ((_GROWTH, False), (_GROWTH, True), (0.0, True)):
        if split and max([1 - rest / total for rest, total in zip(left, totals, strict=True)]) >= FULL:
            break
        blocks = _grow(blocks, left, totals, growth, split)
    return blocks


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
