"""Which linear steps of a program to merge: every exact merge that makes the whole cheaper, found by local search.

A plan says for some steps that they are computed as one affine function of earlier tensors. A move writes one step so, or
puts what one of its sources is in that source's place. Steps that nothing reads any more cost nothing. The search takes
the move that saves most; where no single one saves, several at one step may (branches that only pay off together).
"""

from __future__ import annotations

from collections.abc import Iterator

from kas.language.dims import ONE
from kas.lowering.fusing.affine import Affine, Source
from kas.lowering.fusing.pricing import price_of_merged, price_of_step
from kas.lowering.fusing.reading import Program, affine, is_view

__all__ = ["Plan", "Search"]

Plan = dict[int, Affine]  # step -> what it is computed as; the other steps as they are


class Search:
    """The linear steps of a program, each as an affine function, and the plans that merge them."""

    def __init__(self, program: Program):
        self.program = program
        self._known: dict[tuple[int, Source, int], tuple[Affine, Affine, Affine | None]] = {}
        self._prices: dict[tuple[int, int], tuple[Affine, float]] = {}
        read = {i for step in program.kernel.steps for i in step.ins}
        self.output = next(i for i in range(len(program.kernel.steps) + 1) if i not in read)
        self.linear: dict[int, Affine] = {}
        for number in range(1, len(program.kernel.steps) + 1):
            form = affine(program, number)
            if form is not None:
                self.linear[number] = self._looking_through(form)

    def best(self) -> Plan:
        """The cheapest plan that the search finds; empty where nothing is worth merging."""
        plan: Plan = {}
        price = self.price(plan)
        while True:
            steps = sorted(self.needed(plan) & self.linear.keys())
            found = min((entry for step in steps for entry in self._moves(plan, step)), default=None, key=_price)
            if found is None or found[0] >= price:
                found = min((entry for step in steps for entry in self._paths(plan, step)), default=None, key=_price)
            if found is None or found[0] >= price:
                return plan
            price, plan = found

    def price(self, plan: Plan) -> float:
        """Of all linear steps that the output needs; MACs for one sample."""
        return sum(self._price_of(number, plan.get(number)) for number in self.needed(plan) if number in self.linear)

    def needed(self, plan: Plan) -> set[int]:
        """The tensors that the output depends on under a plan, the output included."""
        needed, todo = {self.output}, [self.output]
        while todo:
            number = todo.pop()
            ins = {source.tensor for source in plan[number].terms} if number in plan else set(self._ins(number))
            todo += ins - needed
            needed |= ins
        return needed

    def _ins(self, number: int) -> tuple[int, ...]:
        return self.program.kernel.steps[number - 1].ins if number else ()

    def _looking_through(self, form: Affine) -> Affine:
        """A step's function with views, and what is only unfolded or has unfolded channels, put in place."""
        for source in list(form.terms):
            if source.tensor in self.linear and self._passing(source.tensor):
                inner = self._inlined(form, source, self.linear[source.tensor])
                form = form if inner is None else inner
        return form

    def _passing(self, number: int) -> bool:
        side = self.program.kernel.shapes[number].first
        return is_view(self.program.kernel.steps[number - 1]) or any(side.dim(tap) is not ONE for tap in ("kh", "kw"))

    def _moves(self, plan: Plan, number: int) -> list[tuple[float, Plan]]:
        """All plans one move at a step away, with their prices."""
        form = plan.get(number, self.linear[number])
        forms = [form] if number not in plan else []
        for source in form.terms:
            inner = plan.get(source.tensor, self.linear.get(source.tensor))
            merged = None if inner is None else self._inlined(form, source, inner)
            forms += [] if merged is None else [merged]
        plans = [{**plan, number: one} for one in forms]
        return [(self.price(one), one) for one in plans]

    def _paths(self, plan: Plan, number: int) -> Iterator[tuple[float, Plan]]:
        """The plans on the way to the one that has all sources of a step in place, the cheapest move first."""
        while moves := self._moves(plan, number):
            best = min(moves, key=_price)
            yield best
            plan = best[1]

    def _inlined(self, form: Affine, source: Source, inner: Affine) -> Affine | None:
        """`form.inlined`, remembered (with the functions themselves, so that their identities stay theirs)."""
        key = (id(form), source, id(inner))
        if key not in self._known:
            self._known[key] = (form, inner, form.inlined(source, inner))
        return self._known[key][2]

    def _price_of(self, number: int, form: Affine | None) -> float:
        if form is None:
            return price_of_step(self.program, number, self.linear)
        key = (number, id(form))
        if key not in self._prices:
            self._prices[key] = (form, price_of_merged(self.program, number, form))
        return self._prices[key][1]


def _price(entry: tuple[float, Plan]) -> float:
    return entry[0]
