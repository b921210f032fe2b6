"""The fast way to fill a budget: a common scale, rounded down, then what rounding left, target by target.

What is left goes to one variable after another, large steps first. At first that may widen a variable only by a quarter,
so that the targets stay balanced; only if the budget is then not filled, by as much as there is.
"""

from __future__ import annotations

from collections.abc import Sequence

from kas.solvers.places import Polynomial, Powers, evaluate
from kas.solvers.scaling import rounded, scales, shrunk
from kas.solvers.sites import Block, Site, least_fits, left_over

__all__ = ["ENOUGH", "FULL", "GROWTH", "fill", "largest"]

ENOUGH = 0.95  # the same for a quick answer
FULL = 0.99  # use of the tighter limit at which a filling is good enough
GROWTH = 1.25  # how much the last step may widen a variable at first


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
    linear = [all(_is_linear(p, i) for p in sites[0].costs) for i in range(len(blocks[0].counts))]
    for growth, split in ((GROWTH, False), (GROWTH, True), (0.0, True)):
        if split and max([1 - rest / total for rest, total in zip(left, totals, strict=True)]) >= FULL:
            break
        blocks = _grow(blocks, left, totals, linear, growth, split)
    return blocks


def _grow(
    blocks: list[Block], left: list[int], totals: Sequence[int], linear: Sequence[bool], growth: float, split: bool
) -> list[Block]:
    """Give what is left to one variable after another, the dearest step first; updates `left`. 0 growth is no bound."""
    uses = [1 - rest / total for rest, total in zip(left, totals)]  # noqa: B905 - the hot path
    tight = uses.index(max(uses))
    moves = [(one, i, _more(one, i, 1)) for one in blocks for i in range(len(one.counts))]
    moves.sort(key=lambda move: -move[2][tight])
    for one, i, step in moves:
        if len(one.counts) > 1:
            step = _more(one, i, 1)  # another variable may have grown
        _raise(one, i, step, left, linear[i], growth)
        if split and len(one.members) > 1:
            part = _part(one, i, left)
            if part is not None:
                blocks = [*blocks, part]
    return blocks


def _with(counts: Powers, i: int, value: int) -> Powers:
    return (*counts[:i], value, *counts[i + 1 :])


def _more(one: Block, i: int, more: int) -> list[int]:
    """What more of variable `i` adds to each cost of a block's member."""
    after = _with(one.counts, i, one.counts[i] + more)
    return [evaluate(polynomial, after) - cost for polynomial, cost in zip(one.site.costs, one.costs)]  # noqa: B905 - hot


def _raise(one: Block, i: int, step: Sequence[int], left: list[int], linear: bool, growth: float) -> None:
    """The largest count of one variable that the rest of the budget allows; `step` is what one more costs."""
    members, site = len(one.members), one.site
    now, place = one.counts[i], site.place
    more = min([rest // (members * s) for rest, s in zip(left, step) if s], default=0)  # noqa: B905 - the hot path
    if more <= 0:
        return
    top = now + more
    if growth:
        coarse = place.coarse[i]
        top = min(top, max(int(now * growth), now + (coarse if now >= coarse else 1)))
    if site.own:
        top = min(top, largest(site.own, one.counts, i))
    if not linear and top > now + 1:  # the steps grow with the count
        ceilings = [(p, c + rest // members) for p, c, rest in zip(site.costs, one.costs, left, strict=True)]
        top = min(top, largest(ceilings, one.counts, i))
    if not place.free:
        top = place.rounded(i, top)
    if top <= now:
        return
    added = [(top - now) * s for s in step] if linear else _more(one, i, top - now)
    one.counts = _with(one.counts, i, top)
    for k, cost in enumerate(added):
        one.costs[k] += cost
        left[k] -= members * cost


def _is_linear(polynomial: Polynomial, i: int) -> bool:
    return all(factors.count(i) <= 1 for factors, _ in polynomial)


def largest(ceilings: Sequence[tuple[Polynomial, int]], counts: Powers, i: int) -> int:
    """The largest count of variable `i`, the others as they are, at which no polynomial is over its limit.

    `counts` must fit. A count that nothing bounds stays as it is.
    """
    now = counts[i]
    after = _with(counts, i, now + 1)
    reach, bent = [], []
    for polynomial, limit in ceilings:
        cost = evaluate(polynomial, counts)
        step = evaluate(polynomial, after) - cost
        if step:
            reach.append((limit - cost) // step)
            if not _is_linear(polynomial, i):
                bent.append((polynomial, limit))
    top = now + min(reach, default=0)  # steps grow with the count: no count over it fits
    for polynomial, limit in bent:  # Newton from above, with whole steps: as they shrink with the count, none goes too far
        while top > now:
            cost = evaluate(polynomial, _with(counts, i, top))
            if cost <= limit:
                break
            step = cost - evaluate(polynomial, _with(counts, i, top - 1))
            top -= -((limit - cost) // step)
    return max(top, now)


def _part(one: Block, i: int, left: list[int]) -> Block | None:
    """Widen a variable by one step in as many members as the budget allows; they become a block of their own."""
    coarse = one.site.place.coarse[i]
    more = coarse if one.counts[i] >= coarse else 1
    wider, added = _with(one.counts, i, one.counts[i] + more), _more(one, i, more)
    number = min((rest // cost for rest, cost in zip(left, added, strict=True) if cost), default=0)
    if not 0 < number < len(one.members) or not one.site.fits(wider):
        return None
    part, one.members = one.members[-number:], one.members[:-number]
    for k, cost in enumerate(added):
        left[k] -= number * cost
    return Block(one.site, part, wider, [old + cost for old, cost in zip(one.costs, added, strict=True)])
