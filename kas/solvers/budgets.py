"""The budget solver: integers for every free variable of every target, and one G, that use a budget as fully as possible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kas.language.errors import Infeasible
from kas.language.kernel import Kernel
from kas.solvers.costing import answer, own_limits_hold, parts_in_columns, parts_of, reached, within
from kas.solvers.enumeration import CANDIDATES, Best, Question, assess, best_of_all, best_of_many, bound, few
from kas.solvers.filling import ENOUGH, FULL, fill
from kas.solvers.fixed import solve_fixed
from kas.solvers.places import Place
from kas.solvers.plans import Plan
from kas.solvers.questions import DEFAULT, Network
from kas.solvers.quick import fill_sums
from kas.solvers.refusals import refuse_dims, refuse_limits, refuse_minimum, refuse_rank
from kas.solvers.repeats import Repeats
from kas.solvers.shares import part_of, shares_of
from kas.solvers.sites import Block, block, least_fits
from kas.solvers.sizes import Sizes
from kas.solvers.targets import Target

__all__ = ["Solver", "solve"]


def solve(
    kernel: Kernel,
    targets: Sequence[Target],
    budget: Mapping[str, Any] | None = None,
    *,
    multiple_of: int = 1,
    thorough: bool = True,
) -> Sizes:
    """Integers for a kernel at targets: no limit is exceeded, and the budget is used as fully as possible.

    The tighter limit is used as far as possible first, then the others; of equal uses the more balanced one over the
    targets is taken. The answer is exact where at most 100,000 combinations are possible; otherwise `gap` bounds what
    is missing (it is at most 0.01 unless the dims are too coarse for that). G is a divisor of every target's channels:
    where G alone decides, the one with the most use; where several fill the budget, the one nearest to 8, 1 last.

    budget: for `macs`, `params`, `memory` (peak bytes) and `work` (macs + elementwise/2) the most that the new layers
        may cost in all, as a ratio to the replaced ones (`work` to their MACs), or
        `{"max", "min", "each", "absolute"}`: the most and the least for the network, the most for each target, and
        whether these are numbers of MACs, parameters or bytes. None sets no limit; a kernel with free variables then
        gets the MACs and the parameters of what it replaces.
    multiple_of: free variables become multiples of this where there is room for at least one of it.
    thorough: False skips the exact and the wide search, and every further G, where the fast one fills the budget to 95 %.

    Raises Infeasible that names the limit, the target and the smallest value that would do, or the dim that is no
    integer; KasError for an unknown key or a number that is not over 0.

    >>> from kas import zoo
    >>> target = Target("conv", in_channels=16, out_channels=16, size=(8, 8))
    >>> sizes = solve(zoo.get("bottleneck"), [target], {"macs": 0.5})
    >>> sizes.values, sizes.macs, target.macs
    ({'conv': {'x0': 9}}, 65088, 147456)
    """
    return Solver(targets, budget, multiple_of=multiple_of).solve(kernel, thorough=thorough)


class Solver:
    """The budget solver for fixed targets and budget: `solve` for many kernels, without reading those again.

    Raises KasError as `solve` does.
    """

    def __init__(self, targets: Sequence[Target], budget: Mapping[str, Any] | None = None, *, multiple_of: int = 1):
        self._free = Network(targets, DEFAULT if budget is None else budget, multiple_of)
        self._fixed = Network(targets, {}, multiple_of) if budget is None else self._free
        self.targets = self._free.targets
        self._repeats = Repeats(self._free)
        self._ranks = {target.rank for target in self.targets}

    def solve(self, kernel: Kernel, *, thorough: bool = True) -> Sizes:
        """The sizes of a kernel. Raises Infeasible."""
        rank = kernel.rank
        if rank not in self._ranks or len(self._ranks) > 1:
            raise refuse_rank(self.targets, rank)
        plan = Plan(kernel)
        key = None if thorough else self._repeats.key(plan)
        found = self._repeats.get(key, plan)
        if found is None:
            found = self._solve(plan, thorough)
            self._repeats.put(key, found)
        return found

    def _solve(self, plan: Plan, thorough: bool) -> Sizes:
        if not plan.numbers:
            found = solve_fixed(self._fixed, plan, self._fixed.groups(plan))
        else:
            found = None if thorough else _solve_quickly(self._free, plan)
        return found or _solve(self._free if plan.numbers else self._fixed, plan, thorough)

    def shares(self, kernel: Kernel, sizes: Sizes, key: str | None = None) -> list[float]:
        """The share of each step in a cost of the network at solved sizes, all templates included.

        key: `macs`, `params` or `work`; None takes the limit that is used most. What is missing to 1 are the adapters.
        Raises KasError for any other key.
        """
        return shares_of(self._free, kernel, sizes, key)

    def part(self, kernel: Kernel, sizes: Sizes, steps: Sequence[int]) -> float:
        """The part that some steps (by their index) carry of what all of them cost, for the limit that is used most."""
        return part_of(self._free, kernel, sizes, steps)


def _solve(network: Network, plan: Plan, thorough: bool) -> Sizes:
    """The sizes of a kernel with free variables; for any other the reason why there are none."""
    found = _search(_Questions(network, plan), thorough)
    if found is None or not found.best.met:
        raise refuse_minimum(network, found.best if found else None, found.question if found else None)
    parts = parts_of(found.question, found.best)
    table = network.table(found.groups)
    return answer(network, plan, table, parts, reached(network, plan, table, parts), found.exact, found.bound)


def _solve_quickly(network: Network, plan: Plan) -> Sizes | None:
    """The sizes with the first G, if the limits on sums can be filled with it and all others then hold.

    None leaves it to the whole search.
    """
    table = network.table(network.groups(plan)[0])
    if not network.bounded or plan.hindered(table):
        return None
    filled = fill_sums(network, plan, table)
    if filled is None:
        return None
    if not network.limits_targets and "macs" in filled.costs and "params" in filled.costs:
        return answer(network, plan, table, filled.values, filled.costs, False, 1.0)
    parts = parts_in_columns(network, filled.values)
    costs = reached(network, plan, table, parts, filled.costs)
    if network.limits_targets and not (within(network, costs) and own_limits_hold(network, plan, table, parts)):
        return None
    return answer(network, plan, table, parts, costs, False, 1.0)


class _Questions:
    """What to ask for each G at which the kernel exists, and why not for the others."""

    def __init__(self, network: Network, plan: Plan):
        self.network, self.plan = network, plan
        self._over: list[Question] = []
        self._faults: list[tuple[int, list[Place], int]] = []

    def __iter__(self) -> Iterator[tuple[int, Question]]:
        for groups in self.network.groups(self.plan):
            places = self.network.places(self.plan, groups)
            fault = next((i for i, place in enumerate(places) if place.fault), None)
            if fault is not None:
                self._faults.append((groups, places, fault))
                continue
            yield groups, self.network.question(places)

    def refuse(self, question: Question) -> None:
        """Note that not even the least counts keep to the limits."""
        self._over.append(question)

    def refusal(self) -> Infeasible:
        """Why no G will do."""
        if self._over:
            return refuse_limits(self.network, self._over)
        return refuse_dims(self.network, self.plan.kernel, self._faults)


class _Found(NamedTuple):
    """G, the best counts, whether no others can be better, the question that they answer, and what bounds the use."""

    groups: int
    best: Best
    exact: bool
    question: Question
    bound: float = 1.0


def _search(asked: _Questions, thorough: bool) -> _Found | None:
    """The best over all G. None if a least cost cannot be reached. Raises Infeasible if no G will do."""
    found: list[_Found] = []
    full = FULL if thorough else ENOUGH
    for groups, question in asked:
        blocks = _blocks(question, bool(asked.plan.numbers))
        if blocks is None:
            asked.refuse(question)
            continue
        best = assess(question, blocks)
        found.append(_Found(groups, best, not asked.plan.numbers, question))
        filled = asked.plan.numbers and best.met and best.uses[0] >= full
        if filled and not (thorough and _may_be_few(question, best)):
            return found[-1] if len(found) == 1 else _first_best(found)
    if not found:
        raise asked.refusal()
    if not asked.plan.numbers:
        return _first_best(found)
    filled = any(one.best.met and one.best.uses[0] >= full for one in found)
    if thorough or not filled:
        exact = _exact(found)
        if exact:
            return _first_best(exact)
    if thorough and not filled:
        wide = [(one, best_of_many(one.question, one.best)) for one in found]
        found += [one._replace(best=best) for one, best in wide if best is not None]
    most = max(bound(one.question) for one in found)
    return _first_best([one._replace(bound=most) for one in found])


def _blocks(question: Question, free: bool) -> list[Block] | None:
    """Counts that keep to the limits; None if there are none."""
    if free:
        return fill(question.sites, question.totals)
    if not least_fits(question.sites, question.totals):
        return None
    return [block(site, ()) for site in question.sites]


def _may_be_few(question: Question, best: Best) -> bool:
    """Whether all combinations may be few enough to try: at least those below the counts found are possible each alone."""
    number = 1
    for site in question.sites:
        for member in site.members:
            for count, low, coarse in zip(best.counts[member], site.place.lows, site.place.coarse, strict=True):
                number *= (count - low) // coarse + 1
        if number > CANDIDATES:
            return False
    return few(question) is not None


def _exact(found: Sequence[_Found]) -> list[_Found] | None:
    """The best counts for each G, by trying all; None if they are too many, empty if none keeps to all limits."""
    left = CANDIDATES
    for one in found:
        number = few(one.question, left)
        if number is None:
            return None
        left -= number
    tried = [(one, best_of_all(one.question)) for one in found]
    return [one._replace(best=best, exact=True) for one, best in tried if best is not None]


def _first_best(found: Sequence[_Found]) -> _Found | None:
    chosen: _Found | None = None
    for one in found:
        if chosen is None or one.best.over(chosen.best):
            chosen = one
    return chosen
