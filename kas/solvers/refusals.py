"""Why there are no sizes: the errors of the budget solver, with the limit, the target and what would do."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_UP, Context, Decimal

from kas.language.costs import environment
from kas.language.errors import Infeasible
from kas.language.kernel import Kernel
from kas.solvers.costing import parts_of, reached
from kas.solvers.enumeration import Best, Question
from kas.solvers.limits import Limit, most_within
from kas.solvers.places import Place, evaluate
from kas.solvers.questions import Network
from kas.solvers.targets import Target

__all__ = ["refuse_dims", "refuse_limits", "refuse_minimum", "refuse_rank"]

_UNITS = {"macs": "MACs", "params": "parameters", "memory": "bytes at its peak", "work": "units of work"}


def refuse_dims(network: Network, kernel: Kernel, faults: Sequence[tuple[int, Sequence[Place], int]]) -> Infeasible:
    """No G makes every dim an integer: the step and the dim of the first one tried."""
    groups, places, number = faults[0]
    kind, members = network.kinds[number]
    place, reason = places[number], places[number].fault
    try:
        environment(kernel, kind.channels, kind.size, groups, place.values(tuple(place.lows)))
    except Infeasible as error:
        reason = str(error)
    tried = f" with G = {groups}, and no other divisor of all channels does better" if len(faults) > 1 else ""
    target = network.targets[members[0]].name
    return Infeasible(f"target {target!r} (channels {kind.channels}, size {kind.size}): {reason}{tried}")


def refuse_limits(network: Network, questions: Sequence[Question]) -> Infeasible:
    """The least counts are over a limit: each limit that is, with the smallest value that would do, for the best G."""
    reports = [_excesses(network, question) for question in questions]
    best = min(reports, key=lambda report: max(excess for excess, _ in report))
    return Infeasible("the budget cannot be met: " + "; ".join(text for _, text in best))


def _excesses(network: Network, question: Question) -> list[tuple[float, str]]:
    """How many times over each limit the least counts are, and a sentence about it."""
    found = []
    for limit in (*network.limits, *network.defaults):
        costs = _least_costs(network, question, limit.key)
        if limit.each is not None:
            found += _excess_each(network, limit, costs)
        if limit.total is None or (limit.each is not None and found):
            continue
        worst = max(range(len(costs)), key=costs.__getitem__)
        need = costs[worst] if limit.key == "memory" else sum(costs)
        if need > limit.total:
            most = _amount(limit.key, costs[worst])
            share = "" if limit.key == "memory" else f", most of it ({most}) at target {network.targets[worst].name!r}"
            where = f" at target {network.targets[worst].name!r}" if limit.key == "memory" else ""
            text = (
                f"{limit.key} is limited to {_amount(limit.key, limit.total)}, but the smallest sizes take "
                f"{_amount(limit.key, need)}{where}{share}; {_would_do(limit, 'max', need, limit.reference)} would do"
            )
            found.append((need / max(limit.total, 1), text))
    return found


def _excess_each(network: Network, limit: Limit, costs: Sequence[int]) -> list[tuple[float, str]]:
    assert limit.each is not None
    over = [
        (cost / max(most, 1), number) for number, (cost, most) in enumerate(zip(costs, limit.each, strict=True)) if cost > most
    ]
    if not over:
        return []
    factor, number = max(over, key=lambda pair: (pair[0], -pair[1]))
    needs = [(cost, base) for cost, base in zip(costs, limit.replaced, strict=True)]
    worst = max(needs, key=lambda pair: pair[0] if limit.entry.absolute else pair[0] / pair[1])
    text = (
        f"{limit.key} is limited to {_amount(limit.key, limit.each[number])} at target {network.targets[number].name!r}, "
        f"but the smallest sizes take {_amount(limit.key, costs[number])}; {_would_do(limit, 'each', *worst)} would do"
    )
    return [(factor, text)]


def _least_costs(network: Network, question: Question, key: str) -> list[int]:
    costs = [0] * len(network.targets)
    places = [site.place for site in question.sites]
    rows = [] if key == "memory" else network.costs(places[0].plan, places, key)
    for number, site in enumerate(question.sites):
        lows = tuple(site.place.lows)
        cost = site.peak(lows) if key == "memory" else evaluate(rows[number], lows)
        for member in site.members:
            costs[member] = cost
    return costs


def _amount(key: str, number: int) -> str:
    value = f"{number / 2:,.1f}".removesuffix(".0") if key == "work" else f"{number:,}"
    return f"{value} {_UNITS[key]}"


def _would_do(limit: Limit, option: str, need: int, reference: int) -> str:
    """The option of the budget with the smallest value, rounded up to four digits, that allows `need`."""
    scale, absolute, context = 2 if limit.key == "work" else 1, limit.entry.absolute, Context(prec=4, rounding=ROUND_UP)
    exact = Context(prec=30).divide(Decimal(need), Decimal(scale if absolute else scale * reference))
    digits = exact if absolute else context.plus(exact)
    while not absolute and most_within(float(digits), reference, absolute, scale)[0] < need:  # as a float it is less
        digits = digits.next_plus(context)
    name = limit.key if option == "max" and limit.entry.each is None else f"{limit.key}.{option}"
    return f"{name} = {format(digits.normalize(), 'f')}"


def refuse_minimum(network: Network, best: Best | None, question: Question | None) -> Infeasible:
    """The upper limits hold, but a least cost is not reached."""
    asked = [limit for limit in network.limits if limit.minimum]
    texts = [f"at least {_amount(limit.key, limit.minimum)} ({limit.key}.min = {limit.entry.min:g})" for limit in asked]
    found = ""
    if best is not None and question is not None:
        costs = _reached(network, question, best)
        found = "; the largest found has " + " and ".join(_amount(key, value) for key, value in costs.items())
        short = [limit for limit in asked if costs[limit.key] < limit.minimum]
        found += "".join(f"; {_at_most(limit, costs[limit.key])} would do" for limit in short)
    target = max(network.targets, key=lambda t: t.macs).name
    return Infeasible(
        f"the budget asks for {' and '.join(texts)}, which no sizes within its upper limits reach "
        f"(the largest target is {target!r}){found}"
    )


def _reached(network: Network, question: Question, best: Best) -> dict[str, int]:
    place = question.sites[0].place
    costs = reached(network, place.plan, place.table, parts_of(question, best))
    return {limit.key: costs[limit.key] for limit in network.limits if limit.minimum}


def _at_most(limit: Limit, cost: int) -> str:
    base = (2 if limit.key == "work" else 1) * (1 if limit.entry.absolute else limit.reference)
    return f"{limit.key}.min = {int(10000 * cost / base) / 10000:g}"


def refuse_rank(targets: Sequence[Target], rank: int) -> Infeasible:
    """A kernel of this rank fits not all of the targets."""
    target = next(target for target in targets if target.rank != rank)
    return Infeasible(
        f"target {target.name!r} is of rank {target.rank}, the kernel of rank {rank}: "
        f"its size must have {rank} axes, not {target.size}"
    )
