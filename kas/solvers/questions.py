"""From a kernel and targets to polynomials and limits: targets that are alike become one site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd, isfinite, log2, prod
from typing import Any, NamedTuple

from kas.language.errors import KasError
from kas.solvers.enumeration import Question
from kas.solvers.limits import Limit, parse_budget, resolve
from kas.solvers.places import Place, Polynomial, at_places, gather
from kas.solvers.plans import Plan, Terms
from kas.solvers.sites import Site
from kas.solvers.tables import Table
from kas.solvers.targets import Adapter, Target

__all__ = ["COSTS", "DEFAULT", "Kind", "Network", "terms_of"]

DEFAULT = {"macs": 1.0, "params": 1.0}  # for a kernel with free variables and no budget
COSTS = ("macs", "params", "elementwise", "work")  # what adds up over targets; work is counted twice, to be an integer
_UNBOUNDED = 1 << 61  # stands for no limit on a key that only has a minimum


@dataclass(frozen=True)
class Kind:
    """What makes targets alike: the same template, adapter and own limits. floor: bytes that the adapter takes at least."""

    channels: int
    size: tuple[int, ...]
    adapter: Adapter
    floor: int
    each: tuple[tuple[int, ...], ...]

    @property
    def held(self) -> int:
        """Bytes that further templates hold while one of them runs."""
        return 4 * (self.adapter.templates - 1) * self.channels * prod(self.size)

    def constant(self, key: str) -> int:
        """What the adapter itself adds to a cost."""
        macs, elementwise = self.adapter.macs, self.adapter.elementwise
        return {"macs": macs, "params": self.adapter.params, "elementwise": elementwise, "work": 2 * macs + elementwise}[key]


class _Sum(NamedTuple):
    """A limit on a sum over the network, in whole units; see `Limit`."""

    key: str
    total: int
    real: float
    minimum: int
    replaced: tuple[int, ...]


def _of_limit(limit: Limit) -> _Sum:
    if limit.total is None:
        return _Sum(limit.key, _UNBOUNDED, float("inf"), limit.minimum, limit.replaced)
    return _Sum(limit.key, limit.total, limit.real, limit.minimum, limit.replaced)


class Network:
    """Targets and the limits of a budget on them, ready to be asked about many kernels.

    Raises KasError for no targets, two of one name, or a budget that is none.
    """

    def __init__(self, targets: Sequence[Target], budget: Mapping[str, Any], multiple_of: int = 1):
        if not targets:
            raise KasError("there are no targets to solve for")
        names = [target.name for target in targets]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise KasError(f"two targets have the name {twice[0]!r}; the values are kept by name")
        if isinstance(multiple_of, bool) or not isinstance(multiple_of, int) or multiple_of < 1:
            raise KasError(f"multiple_of must be an integer of at least 1, not {multiple_of!r}")
        self.targets, self.multiple_of = tuple(targets), multiple_of
        self.limits = resolve(parse_budget(budget), self.targets)
        self.by_key = {limit.key: limit for limit in self.limits}
        self.sums = [_of_limit(limit) for limit in self.limits if limit.key != "memory"]
        self.free_sums = self._bounded()
        self.reals = [(limit.key, limit.real) for limit in self.free_sums]
        if "memory" in self.by_key and self.by_key["memory"].real:
            self.reals.append(("memory", self.by_key["memory"].real))
        self.limits_targets = any(limit.each is not None or limit.key == "memory" for limit in self.limits)
        self.bounded = any(isfinite(limit.real) for limit in self.free_sums)
        self.channels = gcd(*(target.channels for target in self.targets))
        divisors = [g for g in range(1, self.channels + 1) if self.channels % g == 0]
        self._divisors = tuple(sorted(divisors, key=lambda g: (g == 1, abs(log2(g / 8)), g)))
        kinds: dict[Kind, list[int]] = {}
        for number, target in enumerate(self.targets):
            kinds.setdefault(self._kind(number, target), []).append(number)
        self.kinds = list(kinds.items())
        self.members = [len(members) for members in kinds.values()]
        self.widths = [kind.channels for kind in kinds]
        self.heights = [kind.size[0] if kind.size else 1 for kind in kinds]
        self.templates = [kind.adapter.templates for kind in kinds]
        self.constants = {key: [kind.constant(key) for kind in kinds] for key in COSTS}
        self.fixed_costs = {
            key: sum(len(members) * kind.constant(key) for kind, members in self.kinds) for key in COSTS
        }  # of all adapters
        self.no_loads = [0] * len(kinds)
        self.extents = [(kind.channels, kind.size) for kind in kinds]
        self._tables: dict[int, Table] = {}

    def _bounded(self) -> list[_Sum]:
        """The limits on sums for a kernel with free variables; where nothing bounds them, MACs and parameters do."""
        sums = {limit.key: limit for limit in self.sums}
        self.defaults: list[Limit] = []
        if all(limit.total is None for limit in self.limits):
            for limit in resolve(parse_budget(DEFAULT), self.targets):
                least = sums[limit.key].minimum if limit.key in sums else 0
                most = max(limit.total or 0, least)
                self.defaults.append(replace(limit, total=most, real=float(most)))
                sums[limit.key] = _Sum(limit.key, most, float(most), least, limit.replaced)
        if not sums:  # memory alone: the sums carry no limit
            macs = tuple(target.macs for target in self.targets)
            sums["macs"] = _Sum("macs", _UNBOUNDED, float("inf"), 0, macs)
        return list(sums.values())

    def _kind(self, number: int, target: Target) -> Kind:
        window = prod(target.strides)
        floor = 4 * target.in_channels * target.positions * (window + 1) if window > 1 else 0
        if target.adapter.kind == "projection":
            floor = max(floor, 4 * (target.in_channels + target.out_channels) * target.positions)
        each = tuple((limit.each[number],) for limit in self.limits if limit.each is not None)
        return Kind(target.channels, target.size, target.adapter, floor, each)

    def groups(self, plan: Plan) -> tuple[int, ...]:
        """Values of G in the order in which they are tried: the nearest to 8 first, 1 last."""
        return self._divisors if plan.uses_groups else (1,)

    def table(self, groups: int) -> Table:
        """Dims at each kind of target, with one G."""
        table = self._tables.get(groups)
        if table is None:
            times = [kind.adapter.templates * len(members) for kind, members in self.kinds]
            table = self._tables[groups] = Table(self.extents, times, groups)
        return table

    def places(self, plan: Plan, groups: int) -> list[Place]:
        """The kernel at each kind of target."""
        return at_places(plan, self.table(groups), self.extents, self.multiple_of)

    def costs(self, plan: Plan, places: Sequence[Place], key: str) -> list[Polynomial]:
        """MACs, parameters or twice the work at each kind of target, the adapter included."""
        index, constants = plan.index, self.constants[key]
        rows = [
            (factors, tuple([index[number] for number in factors]), row)
            for factors, row in gather(terms_of(plan, key), places[0].table).items()
        ]
        found: list[Polynomial] = []
        for i, (place, times, constant) in enumerate(zip(places, self.templates, constants)):  # noqa: B905 - the hot path
            if place.units_are_one:
                polynomial = [(own, times * row[i]) for _, own, row in rows]
            else:
                polynomial = [place.term(factors, times * row[i]) for factors, _, row in rows]
            if constant:
                polynomial.append(((), constant))
            found.append(polynomial)
        return found

    def question(self, places: Sequence[Place]) -> Question:
        """What to ask about a kernel at these places."""
        plan = places[0].plan
        sums = self.free_sums if plan.numbers else self.sums
        costs = [self.costs(plan, places, limit.key) for limit in sums]
        sites = [
            Site(place, tuple(members), own, [], kind.held, kind.floor)
            for place, (kind, members), *own in zip(places, self.kinds, *costs)  # noqa: B905 - the hot path
        ]
        if self.limits_targets:
            for i, site in enumerate(sites):
                site.own = self._own(i, site, [limit.key for limit in sums])
        memory = self.by_key.get("memory")
        return Question(
            sites,
            [limit.total for limit in sums],
            [limit.real for limit in sums],
            [limit.minimum for limit in sums],
            (memory.real, memory.minimum) if memory else (0.0, 0),
            [limit.replaced for limit in sums],
        )

    def _own(self, i: int, site: Site, keys: Sequence[str]) -> list[tuple[Polynomial, int]]:
        """The limits on each target of a kind by itself."""
        kind, members = self.kinds[i]
        own: list[tuple[Polynomial, int]] = []
        for limit in self.limits:
            if limit.key == "memory" and limit.total is not None:
                most = min(limit.total, limit.each[members[0]] if limit.each else limit.total)
                own += [*((row, most - kind.held) for row in site.place.memory), ([((), kind.floor)], most)]
            elif limit.each is not None:
                own.append((site.costs[keys.index(limit.key)], limit.each[members[0]]))
        return own


def terms_of(plan: Plan, key: str) -> Terms:
    """The monomials that add up to a cost of one template."""
    if key == "work":
        return [(2 * count, dim) for count, dim in plan.macs] + plan.elementwise
    terms: Terms = getattr(plan, key)
    return terms
