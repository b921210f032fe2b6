"""From a kernel and targets to polynomials and limits: targets that are alike become one site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd, prod
from typing import Any, NamedTuple

from kas.language.errors import KasError
from kas.solvers.enumeration import Question
from kas.solvers.limits import Limit, parse_budget, resolve
from kas.solvers.places import Place, Plan, Polynomial, Powers, evaluate
from kas.solvers.sites import Site
from kas.solvers.targets import Adapter, Target

__all__ = ["DEFAULT", "Network", "cost_of", "total_costs"]

DEFAULT = {"macs": 1.0, "params": 1.0}  # for a kernel with free variables and no budget
_UNBOUNDED = 1 << 61  # stands for no limit on a key that only has a minimum


@dataclass(frozen=True)
class _Kind:
    """What makes targets alike: the same template, adapter and own limits."""

    channels: int
    size: tuple[int, ...]
    adapter: Adapter
    floor: int
    each: tuple[tuple[int, ...], ...]


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
        self.channels = gcd(*(target.channels for target in self.targets))
        kinds: dict[_Kind, list[int]] = {}
        for number, target in enumerate(self.targets):
            kinds.setdefault(self._kind(number, target), []).append(number)
        self.kinds = list(kinds.items())

    def _bounded(self) -> list[_Sum]:
        """The limits on sums for a kernel with free variables; where nothing bounds them, MACs and parameters do."""
        sums = {limit.key: limit for limit in self.sums}
        if all(limit.total is None for limit in self.limits):
            for limit in resolve(parse_budget(DEFAULT), self.targets):
                least = sums[limit.key].minimum if limit.key in sums else 0
                most = max(limit.total or 0, least)
                sums[limit.key] = _Sum(limit.key, most, float(most), least, limit.replaced)
        if not sums:  # memory alone: the sums carry no limit
            macs = tuple(target.macs for target in self.targets)
            sums["macs"] = _Sum("macs", _UNBOUNDED, float("inf"), 0, macs)
        return list(sums.values())

    def _kind(self, number: int, target: Target) -> _Kind:
        window = prod(target.strides)
        floor = 4 * target.in_channels * target.positions * (window + 1) if window > 1 else 0
        if target.adapter.kind == "projection":
            floor = max(floor, 4 * (target.in_channels + target.out_channels) * target.positions)
        each = tuple((limit.each[number],) for limit in self.limits if limit.each is not None)
        return _Kind(target.channels, target.size, target.adapter, floor, each)

    def places(self, plan: Plan, groups: int) -> list[Place]:
        """The kernel at each kind of target."""
        return [Place(plan, kind.channels, kind.size, groups, self.multiple_of) for kind, _ in self.kinds]

    def question(self, places: Sequence[Place]) -> Question:
        """What to ask about a kernel at these places."""
        sums = self.free_sums if places[0].plan.variables else self.sums
        sites = [self._site(place, kind, members, sums) for place, (kind, members) in zip(places, self.kinds, strict=True)]
        memory = self.by_key.get("memory")
        return Question(
            sites,
            [limit.total for limit in sums],
            [limit.real for limit in sums],
            [limit.minimum for limit in sums],
            (memory.real, memory.minimum) if memory else (0.0, 0),
            [limit.replaced for limit in sums],
        )

    def _site(self, place: Place, kind: _Kind, members: list[int], sums: list[_Sum]) -> Site:
        costs = {limit.key: cost_of(place, kind.adapter, limit.key) for limit in sums}
        held = 4 * (kind.adapter.templates - 1) * kind.channels * prod(kind.size)
        own: list[tuple[Polynomial, int]] = []
        for limit in self.limits:
            if limit.key == "memory" and limit.total is not None:
                most = min(limit.total, limit.each[members[0]] if limit.each else limit.total)
                own += [*((row, most - held) for row in place.memory), ([((0,) * len(place.units), kind.floor)], most)]
            elif limit.each is not None:
                own.append((costs[limit.key], limit.each[members[0]]))
        return Site(place, tuple(members), tuple(costs.values()), own, held, kind.floor)


def cost_of(place: Place, adapter: Adapter, key: str) -> Polynomial:
    """MACs, parameters or twice the work of one target, the adapter included."""
    if key == "params":
        return _plus(place.params, adapter.templates, adapter.params, place)
    if key == "macs":
        return _plus(place.macs, adapter.templates, adapter.macs, place)
    total = dict(_plus(place.macs, 2 * adapter.templates, 2 * adapter.macs + adapter.elementwise, place))
    for powers, coefficient in place.elementwise:
        total[powers] = total.get(powers, 0) + adapter.templates * coefficient
    return list(total.items())


def total_costs(place: Place, adapter: Adapter, counts: Powers) -> tuple[int, int, int]:
    """MACs, parameters and twice the work of one target, the adapter included."""
    macs = adapter.templates * evaluate(place.macs, counts) + adapter.macs
    params = adapter.templates * evaluate(place.params, counts) + adapter.params
    elementwise = adapter.templates * evaluate(place.elementwise, counts) + adapter.elementwise
    return macs, params, 2 * macs + elementwise


def _plus(polynomial: Polynomial, times: int, constant: int, place: Place) -> Polynomial:
    """`times * polynomial + constant`."""
    if times == 1 and not constant:
        return polynomial
    total = {powers: times * coefficient for powers, coefficient in polynomial}
    none = (0,) * len(place.units)
    total[none] = total.get(none, 0) + constant
    return list(total.items())
