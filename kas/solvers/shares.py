"""How much of a cost each step of a solved kernel carries."""

from __future__ import annotations

from kas.language.errors import KasError
from kas.language.kernel import Kernel
from kas.solvers.costing import Part, sum_of
from kas.solvers.plans import Terms
from kas.solvers.questions import Network
from kas.solvers.sizes import Sizes
from kas.solvers.tables import Facts, facts

__all__ = ["shares_of"]

_KEYS = ("macs", "params", "work")


def shares_of(network: Network, kernel: Kernel, sizes: Sizes, key: str | None) -> list[float]:
    """The share of each step in a cost of the network; what is missing to 1 are the adapters."""
    if key is None:
        uses = {limit.key: sizes.use.get(limit.key, 0.0) for limit in network.free_sums if limit.key in _KEYS}
        key = max(uses, key=uses.__getitem__)
    elif key not in _KEYS:
        raise KasError(f"{key!r} is no cost that adds up over steps; these are {', '.join(_KEYS)}")
    table, parts = network.table(sizes.groups), _parts(network, sizes)
    rows = [_terms(facts(outcome), key) for outcome in kernel.outcomes]
    costs = [sum_of(terms, table, network.templates, parts) if terms else 0 for terms in rows]
    total = sum(costs) + network.fixed_costs[key]
    return [cost / total for cost in costs] if total else [0.0] * len(costs)


def _terms(fact: Facts, key: str) -> Terms:
    if key == "params":
        return [] if fact.params is None else [(1, fact.params)]
    if key == "macs":
        return [] if fact.macs is None else [(1, fact.macs)]
    terms = [] if fact.macs is None else [(2, fact.macs)]
    return terms if fact.elementwise is None else [*terms, fact.elementwise]


def _parts(network: Network, sizes: Sizes) -> list[Part]:
    """The members of each kind of target, by their values."""
    parts: list[Part] = []
    for kind, (_, members) in enumerate(network.kinds):
        alike: dict[tuple[int, ...], Part] = {}
        for member in members:
            values = sizes.values[network.targets[member].name]
            part = alike.get(tuple(values.values()))
            if part is None:
                numbered = {int(name[1:]): value for name, value in values.items()}
                alike[tuple(values.values())] = Part(kind, [member], numbered)
            else:
                part.members.append(member)
        parts += alike.values()
    return parts
