"""How many steps two kernels differ in: an edit distance of programs as graphs."""

from __future__ import annotations

from typing import NamedTuple

from kas.language import Kernel
from kas.language.primitives import Step
from kas.language.primitives.binary import Binary

__all__ = ["Distance", "edit_distance", "measured_distance"]

_PATIENCE = 20_000  # assignments that are tried before the best so far is given as a bound


class Distance(NamedTuple):
    """A number of edits, and whether it is the smallest (otherwise an upper bound)."""

    steps: int
    exact: bool


def edit_distance(kernel: Kernel, other: Kernel) -> int:
    """The fewest steps to insert, delete and change to make one kernel of the other; see `measured_distance`."""
    return measured_distance(kernel, other).steps


def measured_distance(kernel: Kernel, other: Kernel, patience: int = _PATIENCE) -> Distance:
    """The fewest edits that make one program of the other, and whether that is certain.

    An edit inserts a step, deletes one (what read it then reads one of its inputs) or changes one in any way: its op, its
    attributes, what it reads. With n and m steps the distance is `max(n, m)` less the most steps that can be kept: pairs of
    steps with the same op and attributes that read, edited steps aside, kept pairs again (or the input). A free variable
    counts as equal to any width, a number of groups as equal to G, and the operands of a commutative step in either order.
    Kernels of equal hash are at distance 0. Exact, unless more than `patience` assignments would have to be tried.
    """
    most = max(len(kernel.steps), len(other.steps))
    if kernel.hash == other.hash:
        return Distance(0, True)
    search = _Search(kernel, other, patience)
    search.run(1, 0)
    exact = search.patience > 0 or search.best == min(len(kernel.steps), len(other.steps))
    return Distance(most - search.best, exact)


class _Search:
    """Branch and bound over which steps of the one program are kept as which of the other, in the order of the first."""

    def __init__(self, kernel: Kernel, other: Kernel, patience: int):
        self.ours, self.theirs = kernel.steps, other.steps
        self.patience, self.best = patience, 0
        self.alike = [
            [j for j, theirs in enumerate(self.theirs, 1) if _alike(ours, theirs)] for ours in self.ours
        ]  # by step: the steps of the other program that it can be kept as
        self.kept: dict[int, int] = {0: 0}
        self.back: dict[int, int] = {0: 0}

    def run(self, number: int, count: int) -> None:
        """Decide about our steps from `number` on; `count` are kept so far."""
        self.patience -= 1
        if count > self.best:
            self.best = count
        if number > len(self.ours) or self.patience <= 0 or count + self._room(number) <= self.best:
            return
        for theirs in self.alike[number - 1]:
            if theirs not in self.back:
                self.kept[number], self.back[theirs] = theirs, number
                if self._consistent():
                    self.run(number + 1, count + 1)
                del self.kept[number], self.back[theirs]
        self.run(number + 1, count)

    def _room(self, number: int) -> int:
        """At most so many of our steps from `number` on can be kept."""
        open_ = [[j for j in self.alike[i] if j not in self.back] for i in range(number - 1, len(self.ours))]
        return min(sum(map(bool, open_)), len({j for options in open_ for j in options}))

    def _consistent(self) -> bool:
        """Whether all kept pairs read kept pairs, counting what is undecided as edited (which a later pair can only spoil)."""
        return all(self._reads_alike(i, j) for i, j in self.kept.items() if i)

    def _reads_alike(self, ours: int, theirs: int) -> bool:
        step = self.ours[ours - 1]
        mine = [{self.kept[i] for i in _nearest(self.ours, source, self.kept)} for source in step.ins]
        other = [_nearest(self.theirs, source, self.back) for source in self.theirs[theirs - 1].ins]
        if all(a & b for a, b in zip(mine, other, strict=True)):
            return True
        turned = isinstance(step, Binary) and step.commutative
        return turned and all(a & b for a, b in zip(mine, reversed(other), strict=True))


def _nearest(steps: tuple[Step, ...], tensor: int, kept: dict[int, int]) -> set[int]:
    """The kept tensors from which a tensor comes, through steps that are not kept."""
    if tensor in kept:
        return {tensor}
    return {found for source in steps[tensor - 1].ins for found in _nearest(steps, source, kept)}


def _alike(ours: Step, theirs: Step) -> bool:
    """The same op with the same attributes, where a free variable is any width and a number of groups may be G."""
    if ours.op != theirs.op:
        return False
    for name, (codec, _) in ours.codecs().items():
        mine, other = getattr(ours, name), getattr(theirs, name)
        if codec.kind not in ("dim", "dims"):
            if mine != other:
                return False
            continue
        pairs = list(zip(*([value] if codec.kind == "dim" else value for value in (mine, other)), strict=False))
        for a, b in pairs:
            counts = ours.op == "group" and {"G"} & {a.text, b.text} and (a.text.isdigit() or b.text.isdigit())
            if a is not b and not a.variables and not b.variables and not counts:
                return False
    return True
