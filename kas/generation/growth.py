"""A growing program: its steps so far, which tensors are still open, and what may be added."""

from __future__ import annotations

from operator import add as plus
from operator import ge, gt

from kas.generation.facts import Facts
from kas.generation.filters import is_void
from kas.generation.limits import NOTHING
from kas.generation.moves import Move, Moves, Result
from kas.language import Dim, InvalidKernel, Outcome, Shape, Step
from kas.language.dims import FREE_VARIABLES
from kas.language.rules import check_mean
from kas.language.shapes import input_shape

__all__ = ["CLOSING", "DRAWN", "REPAIR", "Growth"]

DRAWN, CLOSING, REPAIR = "drawn", "closing", "repair"


class Growth:
    """The state of a program while it grows. Tensor 0 is the input.

    Attributes:
        moves: what may be added, and its results. steps, outcomes: of the program.
        shapes: of all tensors. facts: what is where in each.
        open: the tensors that no step reads yet, the oldest first.
        origins: for each step whether it was drawn, closed the program, or was put in to use the budget.
        origin: that of the next step. made: the moves of the steps.
        variables: the free variables in use, one bit for each. spent: the least that the steps cost, for each limit.
        mixes, local: whether a step mixes, or reads neighbours. weighted: how many steps have weights.
        wide: whether the next linear map must go to a free width.
    """

    __slots__ = (
        "facts", "local", "made", "mixes", "moves", "open", "origin", "origins", "outcomes",
        "shapes", "spent", "steps", "variables", "weighted", "wide",
    )  # fmt: skip

    def __init__(self, moves: Moves):
        self.moves = moves
        self.steps: list[Step] = []
        self.made: list[Move] = []
        self.outcomes: list[Outcome] = []
        self.shapes: list[Shape] = [input_shape(moves.rank)]
        self.facts: list[Facts] = [moves.facts(self.shapes[0])]
        self.open: list[int] = [0]
        self.origins: list[str] = []
        self.origin = DRAWN
        self.variables = 0
        self.spent: tuple[float, ...] = (0.0,) * len(moves.limits.ceilings)
        self.mixes = self.local = self.wide = False
        self.weighted = 0

    @property
    def last(self) -> int:
        """The newest open tensor."""
        return self.open[-1]

    @property
    def closed(self) -> bool:
        """Whether the program is complete: one open tensor, of the form of an output, and a step that mixes."""
        return len(self.open) == 1 and self.mixes and self.facts[self.open[0]].output

    @property
    def is_dear(self) -> bool:
        """Whether the steps so far use some limit of the budget as far as it must be used."""
        return any(map(ge, self.spent, self.moves.limits.enough))

    @property
    def needed(self) -> int:
        """How many steps are needed, as a rule, to close the program."""
        return len(self.open) - 1 + self.facts[self.open[-1]].distance

    @property
    def may_branch(self) -> bool:
        """Whether one more tensor than now may be open while steps are drawn."""
        settings = self.moves.settings
        return settings.branch > 0 and len(self.open) < settings.max_width

    def names(self) -> list[str]:
        """The free variables in use."""
        return [name for i, name in enumerate(FREE_VARIABLES) if self.variables >> i & 1]

    def fresh(self) -> Dim | None:
        """A free variable that is not in use, None if all are."""
        for i, name in enumerate(FREE_VARIABLES):
            if not self.variables >> i & 1:
                return Dim.symbol(name)
        return None

    def add(self, move: Move, ins: tuple[int, ...], *, filtered: bool = True) -> bool:
        """Add a step if it is legal, allowed and (if `filtered`) not void. Says whether it was added."""
        shapes, results, spent = self.shapes, move.results, self.spent
        key = shapes[ins[0]] if move.arity == 1 else (shapes[ins[0]], shapes[ins[1]])
        result = results[key] if key in results else self.moves.result(move, key)
        if result is None or (move.distinct and ins[0] == ins[1]):
            return False
        costs = result[2]
        if costs is not NOTHING:
            spent = tuple(map(plus, spent, costs))
            if any(map(gt, spent, self.moves.limits.ceilings)):
                return False
        placed = move.placed
        step = placed[ins] if ins in placed else move.at(ins)
        if filtered and is_void(step, self.steps, shapes):
            return False
        if move.mean and not self._varies(step):
            return False
        self._append(move, step, result)
        self.spent = spent
        return True

    def _append(self, move: Move, step: Step, result: Result) -> None:
        outcome, ins, left = result[0], step.ins, self.open
        self.steps.append(step)
        self.made.append(move)
        self.outcomes.append(outcome)
        self.shapes.append(outcome[0])
        self.facts.append(result[1])
        self.origins.append(self.origin)
        number = len(self.steps)
        if len(left) == 1:
            self.open = [number] if left[0] in ins else [left[0], number]
        else:
            self.open = [*[i for i in left if i not in ins], number]
        if move.variables:
            self.variables |= move.variables
        if move.mixes:
            self.mixes = True
        if move.local:
            self.local = True
        if move.weighted:
            self.weighted += 1

    def _varies(self, step: Step) -> bool:
        """Whether a mean is no constant by the rules of the language."""
        try:
            check_mean(step, self.steps, self.shapes)  # type: ignore[arg-type]
        except InvalidKernel:
            return False
        return True

    def solve_for(self, variable: str, by: Dim) -> bool:
        """Substitute a variable through the program if every invariant holds after it. Says whether it was done."""
        moves = [self.moves.replaced(move, variable, by) for move in self.made]
        return self.rebuild(moves, [step.ins for step in self.steps], list(self.origins))

    def rebuild(self, made: list[Move], ins: list[tuple[int, ...]], origins: list[str]) -> bool:
        """Become the program of these moves, if it is legal and allowed. Says whether it was done."""
        other = Growth(self.moves)
        for move, reads, origin in zip(made, ins, origins, strict=True):
            other.origin = origin
            if not other.add(move, reads, filtered=False):
                return False
        other.origin = self.origin
        self.become(other)
        return True

    def copy(self) -> Growth:
        """An independent copy, to try something."""
        other = Growth.__new__(Growth)
        other.become(self)
        other.steps, other.made, other.outcomes = list(self.steps), list(self.made), list(self.outcomes)
        other.shapes, other.facts, other.open, other.origins = (
            list(self.shapes),
            list(self.facts),
            list(self.open),
            list(self.origins),
        )
        return other

    def become(self, other: Growth) -> None:
        """Take over the state of a copy."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))
