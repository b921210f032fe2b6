"""How much of a cost each step of a solved kernel carries."""

from __future__ import annotations

from collections.abc import Sequence

from kas.language.errors import KasError
from kas.language.kernel import Kernel
from kas.solvers.costing import Answer, Part, sum_in_columns, sum_of
from kas.solvers.plans import Terms
from kas.solvers.questions import Network
from kas.solvers.sizes import Sizes
from kas.solvers.tables import Facts, facts_of

__all__ = ["part_of", "shares_of"]

_KEYS = ("macs", "params", "work")


def shares_of(network: Network, kernel: Kernel, sizes: Sizes, key: str | None) -> list[float]:
    """The share of each step in a cost of the network; what is missing to 1 are the adapters."""
    if key is None:
        key = _tightest(network, sizes)
    elif key not in _KEYS:
        raise KasError(f"{key!r} is no cost that adds up over steps; these are {', '.join(_KEYS)}")
    table, parts = network.table(sizes.groups), _parts(network, sizes)
    rows = [_terms(fact, key) for fact in facts_of(kernel.outcomes)]
    costs = [sum_of(terms, table, network.templates, parts) if terms else 0 for terms in rows]
    total = sum(costs) + network.fixed_costs[key]
    return [cost / total for cost in costs] if total else [0.0] * len(costs)


def part_of(network: Network, kernel: Kernel, sizes: Sizes, steps: Sequence[int]) -> float:
    """The part that some steps (by their index) carry of what all steps cost, for the limit that is used most."""
    key = _tightest(network, sizes)
    table = network.table(sizes.groups)
    terms = [term for fact in facts_of([kernel.outcomes[i] for i in steps]) for term in _terms(fact, key)]
    total = {"macs": sizes.macs, "params": sizes.params}[key] if key != "work" else round(2 * sizes.work)
    total -= network.fixed_costs[key]
    if not total:
        return 0.0
    rest = sizes.rest
    if isinstance(rest, Answer) and rest.network is network and isinstance(rest.found, dict):
        return sum_in_columns(terms, table, rest.found) / total
    return sum_of(terms, table, network.templates, _parts(network, sizes)) / total


def _tightest(network: Network, sizes: Sizes) -> str:
    """The limit on a sum that is used most."""
    uses = {limit.key: sizes.use.get(limit.key, 0.0) for limit in network.free_sums if limit.key in _KEYS}
    return max(uses, key=uses.__getitem__)


def _terms(fact: Facts, key: str) -> Terms:
    if key == "params":
        return [] if fact.params is None else [fact.params]
    if key == "macs":
        return [] if fact.macs is None else [fact.macs]
    terms = [] if fact.macs is None else [(2, fact.macs[1])]
    return terms if fact.elementwise is None else [*terms, fact.elementwise]


def _parts(network: Network, sizes: Sizes) -> Sequence[Part]:
    """The members of each kind of target, by their values."""
    if isinstance(sizes.rest, Answer) and sizes.rest.network is network:
        return sizes.rest.parts
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
