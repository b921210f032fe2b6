"""What a network costs at chosen values, and the answer that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import mul
from typing import NamedTuple

from kas.language.dims import Dim
from kas.solvers.enumeration import Best, Question
from kas.solvers.limits import Limit
from kas.solvers.places import Powers
from kas.solvers.plans import Plan, Terms
from kas.solvers.questions import Network, terms_of
from kas.solvers.sizes import Sizes
from kas.solvers.tables import Table

__all__ = [
    "Answer",
    "Columns",
    "Part",
    "answer",
    "own_limits_hold",
    "parts_in_columns",
    "parts_of",
    "reached",
    "sum_in_columns",
    "sum_of",
    "within",
]


class Part(NamedTuple):
    """Targets of one kind with the same values: the kind, their numbers, the value of each variable by its number."""

    kind: int
    members: list[int]
    values: Mapping[int, int]


Columns = dict[int, list[int]]  # the value of each variable, by its number, at each kind of target


def parts_of(question: Question, best: Best) -> list[Part]:
    """The members of each site by the counts that were found for them."""
    parts = []
    for site in question.sites:
        alike: dict[Powers, list[int]] = {}
        for member in site.members:
            alike.setdefault(best.counts[member], []).append(member)
        place = site.place
        for counts, members in alike.items():
            values = {n: u * c for n, u, c in zip(place.plan.numbers, place.units, counts)}  # noqa: B905 - the hot path
            parts.append(Part(place.kind, members, values))
    return parts


def parts_in_columns(network: Network, columns: Columns) -> list[Part]:
    """A part for each kind of target, where the values of each variable are given for all kinds."""
    pairs = columns.items()
    return [
        Part(kind, members, {number: column[kind] for number, column in pairs})
        for kind, (_, members) in enumerate(network.kinds)
    ]


def sum_of(terms: Terms, table: Table, templates: Sequence[int], parts: Sequence[Part]) -> int:
    """A cost of all templates of the network, without the adapters."""
    total = 0
    for count, dim in terms:
        factors, values, whole, *_ = table[dim]
        if factors:
            whole = 0
            for kind, members, of in parts:
                value = len(members) * templates[kind] * values[kind]
                for number in factors:
                    value *= of[number]
                whole += value
        total += count * whole
    return int(total)  # a Fraction where a coefficient was one


def sum_in_columns(terms: Terms, table: Table, columns: Columns) -> int:
    """As `sum_of`, where all targets of a kind have the same values."""
    total = 0
    for count, dim in terms:
        factors, _, whole, _, loads = table[dim]
        if factors:
            for number in factors:
                loads = [*map(mul, loads, columns[number])]
            whole = sum(loads)
        total += count * whole
    return int(total)


def peaks(plan: Plan, table: Table, parts: Sequence[Part]) -> list[int]:
    """The most elements that are alive at once while one template runs, for each part."""
    columns = [_column(table, dim, parts) for dim in plan.sizes]
    rows = [[*map(sum, zip(*[columns[i] for i in row], strict=True))] for row in plan.rows]
    return [*map(max, *rows)] if len(rows) > 1 else rows[0]


def _column(table: Table, dim: Dim, parts: Sequence[Part]) -> Sequence[int]:
    factors, values, *_ = table[dim]
    if not factors and len(parts) == len(values):
        return values  # one part for each kind
    column = []
    for kind, _, of in parts:
        value = values[kind]
        for number in factors:
            value *= of[number]
        column.append(int(value))
    return column


def _bytes(network: Network, plan: Plan, table: Table, parts: Sequence[Part]) -> list[int]:
    """Peak bytes of the targets of each part."""
    kinds = [network.kinds[part.kind][0] for part in parts]
    return [max(kind.floor, kind.held + 4 * peak) for kind, peak in zip(kinds, peaks(plan, table, parts), strict=True)]


def memory_of(network: Network, plan: Plan, table: Table, parts: Sequence[Part]) -> int:
    """Peak bytes, of the target where they are highest."""
    return max(_bytes(network, plan, table, parts))


def reached(
    network: Network, plan: Plan, table: Table, parts: Sequence[Part], known: Mapping[str, int] | None = None
) -> dict[str, int]:
    """MACs and parameters of the network, and the work (twice, to be an integer) and the memory where they are limited.

    `known`: some of them.
    """
    costs = dict(known) if known else {}
    for key in ("macs", "params", "work"):
        if key not in costs and (key != "work" or key in network.by_key):
            costs[key] = sum_of(terms_of(plan, key), table, network.templates, parts) + network.fixed_costs[key]
    if "memory" in network.by_key:
        costs["memory"] = memory_of(network, plan, table, parts)
    return costs


def use_of(limit: Limit, cost: int) -> float:
    """How much of a limit is used; of a least cost, how near it is from above."""
    if limit.real:
        return min(1.0, cost / limit.real)
    return min(1.0, limit.minimum / cost)


def within(network: Network, costs: Mapping[str, int]) -> bool:
    """Whether the limits on the network hold, upper and lower."""
    for limit in network.limits:
        cost = costs[limit.key]
        if cost < limit.minimum or (limit.total is not None and cost > limit.total):
            return False
    return True


def own_limits_hold(network: Network, plan: Plan, table: Table, parts: Sequence[Part]) -> bool:
    """Whether the limits on each target by itself hold."""
    for limit in network.limits:
        if limit.each is None:
            continue
        if limit.key == "memory":
            costs = _bytes(network, plan, table, parts)
        else:
            terms, constants = terms_of(plan, limit.key), network.constants[limit.key]
            columns = [[count * value for value in _column(table, dim, parts)] for count, dim in terms]
            sums = [*map(sum, zip(*columns, strict=True))] if columns else [0] * len(parts)
            costs = [network.templates[part.kind] * cost + constants[part.kind] for part, cost in zip(parts, sums, strict=True)]
        if any(cost > limit.each[part.members[0]] for cost, part in zip(costs, parts, strict=True)):
            return False
    return True


class Answer:
    """What sizes are made of; what of them is seldom asked for is worked out when it is.

    Attributes:
        found: the parts of the network, or where all targets of a kind have the same values these in columns.
    """

    __slots__ = ("found", "free", "kernel", "network", "table")

    def __init__(self, network: Network, plan: Plan, table: Table, found: Sequence[Part] | Columns):
        self.network, self.kernel, self.free, self.table = network, plan.kernel, plan.free, table
        self.found = found

    @property
    def parts(self) -> Sequence[Part]:
        """Targets with the same values."""
        return parts_in_columns(self.network, self.found) if isinstance(self.found, dict) else self.found

    def memory(self) -> int:
        """Peak bytes, of the target where they are highest."""
        return memory_of(self.network, Plan(self.kernel), self.table, self.parts)

    def work(self) -> float:
        """Of the network."""
        twice = sum_of(terms_of(Plan(self.kernel), "work"), self.table, self.network.templates, self.parts)
        return (twice + self.network.fixed_costs["work"]) / 2

    def values(self) -> dict[str, dict[str, int]]:
        """The free variables of each target, by its name."""
        targets, names, numbers, parts = self.network.targets, self.free.variables, self.free.numbers, self.found
        found: dict[str, dict[str, int]] = {target.name: {} for target in targets}
        if not numbers:
            return found
        if isinstance(parts, dict):
            members = [own for _, own in self.network.kinds]
            rows = [*zip(*[parts[number] for number in numbers], strict=True)]
        else:
            members = [part.members for part in parts]
            rows = [tuple([part.values[number] for number in numbers]) for part in parts]
        for own, row in zip(members, rows, strict=True):
            for member in own:
                found[targets[member].name] = dict(zip(names, row, strict=True))
        return found


def answer(
    network: Network,
    plan: Plan,
    table: Table,
    found: Sequence[Part] | Columns,
    costs: Mapping[str, int],
    exact: bool,
    bound: float,
) -> Sizes:
    """The sizes, with the costs that they reach. `bound` is what the use of the tighter limit cannot exceed."""
    return Sizes.late(
        Answer(network, plan, table, found),
        groups=table.groups,
        macs=costs["macs"],
        params=costs["params"],
        use={limit.key: use_of(limit, costs[limit.key]) for limit in network.limits},
        exact=exact,
        gap=0.0 if exact else max(0.0, bound - max([costs[key] / real for key, real in network.reals])),
    )
