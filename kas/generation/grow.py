"""Growing one program: draw steps until only as many are left as closing needs, then close."""

from __future__ import annotations

from collections.abc import Callable

from kas.generation.choice import Random, pick
from kas.generation.close import close
from kas.generation.draw import draw_local, draw_unary, draw_wide, operand, takes_local, takes_wide
from kas.generation.growth import CLOSING, Growth
from kas.generation.join import fits_either, join, matrix_product, solve_join
from kas.generation.moves import Move, Moves
from kas.generation.products import batched_product, reassembly
from kas.generation.reach import receptive_field
from kas.generation.settings import GenerationSettings
from kas.generation.steering import Steering
from kas.language import OPS, Dim, Kernel
from kas.language.dims import FREE_VARIABLES

__all__ = ["Draft", "Grammar", "add_step", "finish", "to_kernel"]

_SHORTER = 1.25  # over 1, short programs are likelier: they are the fast ones, and train better; 1 is all lengths alike
_TRIES = 12  # draws for each wanted step; about a third do not fit
_WIDE = 0.97  # share of programs for a budget that are drawn with a free width, without which few use it
_TRIES_AT_ONCE = 3  # for a step that reads neighbours, of which windows may be too large
_LATE = 2  # steps left, with so few of which a free width is due at the latest
_INSIST = 0.9  # chance that a free width that is due is drawn at once; not all tensors can have one


class Grammar:
    """What programs are drawn from: the moves of a rank at its targets, and the weights of the ops."""

    def __init__(self, moves: Moves):
        self.moves, self.settings = moves, moves.settings
        self.steering = Steering(moves.settings)

    def grow(self, rng: Random) -> Growth | None:
        """One closed program from nothing, None where the draws led nowhere."""
        draft = self.begin(rng)
        while draft.advance(rng):
            pass
        return self.end(draft, rng)

    def begin(self, rng: Random) -> Draft:
        """A program without steps, and what it shall come to have."""
        settings = self.settings
        goal = settings.min_steps + int(rng.random() ** _SHORTER * (settings.max_steps - settings.min_steps + 1))
        local = self.moves.rank > 0 and rng.random() < settings.local and self.steering.any_local
        return Draft(self, goal, local, Duties(self, goal, local, rng))

    def end(self, draft: Draft, rng: Random) -> Growth | None:
        """The drawn program, closed; None if that is not possible or it is not what was asked for."""
        growth, settings = draft.growth, self.settings
        if draft.local and not growth.local:
            return None
        drawn = len(growth.steps)
        closed = finish(growth, rng) or _finish_shorter(growth, drawn - 1, rng)
        if not closed or len(growth.steps) < settings.min_steps or (draft.local and not growth.local):
            return None
        return growth if {step.op for step in growth.steps}.issuperset(settings.required) else None


class Draft:
    """A program that is being drawn, a step at a time; a copy of it goes on independently.

    Attributes:
        growth: the steps so far. goal: how many steps it shall have. local: whether one of them must read neighbours.
    """

    __slots__ = ("_duties", "_pending", "_settings", "_steering", "_tries", "goal", "growth", "local")

    def __init__(self, grammar: Grammar, goal: int, local: bool, duties: Duties):
        self._settings, self._steering, self._duties = grammar.settings, grammar.steering, duties
        self.growth, self.goal, self.local = Growth(grammar.moves), goal, local
        self._pending = list(grammar.settings.required)
        self._tries = _TRIES * goal

    def copy(self) -> Draft:
        """An independent copy."""
        other = Draft.__new__(Draft)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other.growth, other._pending = self.growth.copy(), list(self._pending)
        return other

    def advance(self, rng: Random) -> bool:
        """Try once to add a step. Says whether to go on: not if only finishing steps are left, or all tries are used up."""
        growth, goal, pending = self.growth, self.goal, self._pending
        done = len(growth.steps)
        left = goal - done - growth.needed
        if self._tries == 0 or (left <= 0 and not (pending and done < self._settings.max_steps)):
            return False
        self._tries -= 1
        if not self._duties.perform(growth, left, rng):
            op = self._op(left, rng)
            if add_step(growth, op, self._steering.near(left), rng) and op in pending:
                pending.remove(op)
        return True

    def _op(self, left: int, rng: Random) -> str:
        pending = self._pending
        if pending and (left <= len(pending) or rng.random() < 0.5):
            return pick(rng, pending)
        return self._steering.choice(self.growth, self.goal, left).draw(rng)


class Duties:
    """What a program must come to have while it is drawn, and from which step on: neighbours, a free width, a wide view."""

    def __init__(self, grammar: Grammar, goal: int, local: bool, rng: Random):
        self._settings = grammar.settings
        self._local_at = int(rng.random() * max(goal // 2, 1)) if local else goal
        asked = bool(grammar.moves.limits.ceilings) and grammar.steering.any_wide
        self._asks_width = asked and rng.random() < _WIDE
        self._wide_at = int(rng.random() * max(goal - 1, 1)) if self._asks_width else goal
        self._far = self._settings.receptive_field > 1
        self._first = 0 if self._far else min(self._local_at, self._wide_at)

    def perform(self, growth: Growth, left: int, rng: Random) -> bool:
        """Add a step that a duty asks for, if one is due; `left` need not finish the program. Says whether one was added."""
        done, late = len(growth.steps), left <= _LATE
        if done < self._first and not late:
            return False
        due = not growth.variables and (done >= self._wide_at or (late and self._asks_width))
        growth.wide = due and not growth.is_dear
        if (done >= self._local_at and not growth.local) or (self._far and self._short_sighted(growth)):
            i = _newest(growth, takes_local)
            if i is not None:
                return any(_add_unary(growth, draw_local(growth, i, rng), i) for _ in range(_TRIES_AT_ONCE))
        if growth.wide and rng.random() < _INSIST:
            i = _newest(growth, takes_wide)
            return i is not None and _add_unary(growth, draw_wide(growth, i, rng), i)
        return False

    def _short_sighted(self, growth: Growth) -> bool:
        """Whether the newest tensor sees fewer positions than the settings ask for."""
        seen = receptive_field(growth.steps, growth.shapes, growth.last, growth.moves.rank)
        return seen < self._settings.receptive_field


def _newest(growth: Growth, takes: Callable[[Growth, int], bool]) -> int | None:
    """The newest open tensor that a step can read, None if it can read none."""
    for i in reversed(growth.open):
        if takes(growth, i):
            return i
    return None


def _add_unary(growth: Growth, move: Move | None, i: int) -> bool:
    return move is not None and growth.add(move, (i,))


def add_step(growth: Growth, op: str, near: bool, rng: Random) -> bool:
    """Draw a step of a primitive and add it; `near` the end rather of what is open. Says whether one fitted."""
    if op == "reassemble" or (op == "col2im" and not growth.facts[growth.last].taps):
        return reassembly(growth, rng, overlap=op == "col2im")
    if OPS[op].arity == 2:
        return _add_join(growth, op, near, rng)
    i = growth.last if near else operand(growth, rng)
    return _add_unary(growth, draw_unary(op, growth, i, rng), i)


def _add_join(growth: Growth, op: str, near: bool, rng: Random) -> bool:
    """Join the newest open tensor with another: one that is open if there is one, otherwise any."""
    a = growth.last
    others = growth.open[:-1] or list(range(len(growth.shapes)))
    if op == "matmul":
        b = pick(rng, others) if near or rng.random() < 0.7 else operand(growth, rng)
        return matrix_product(growth, a, b, rng, solve=rng.random() < 0.3)
    if op == "bmm":
        return batched_product(growth, a, pick(rng, others), rng)
    fitting = [i for i in others if i != a and fits_either(growth.shapes[i], growth.shapes[a])]
    if fitting and join(growth, op, a, pick(rng, fitting), rng):
        return True
    return rng.random() < 0.4 and solve_join(growth, op, a, pick(rng, others), rng)


def finish(growth: Growth, rng: Random) -> bool:
    """Close a grown program. Says whether it is complete and keeps to the settings."""
    before, growth.origin = growth.origin, CLOSING
    closed = close(growth, rng)
    growth.origin = before
    return closed and keeps(growth)


def _finish_shorter(growth: Growth, steps: int, rng: Random) -> bool:
    """Close a program that could not be closed after its first steps. Says whether this worked."""
    ins = [step.ins for step in growth.steps[:steps]]
    return growth.rebuild(growth.made[:steps], ins, growth.origins[:steps]) and finish(growth, rng)


def keeps(growth: Growth) -> bool:
    """Whether a closed program keeps to the settings that are of whole programs."""
    settings: GenerationSettings = growth.moves.settings
    count = len(growth.steps)
    if count > settings.max_steps or not {step.op for step in growth.steps} <= settings.weights.keys():
        return False
    if not settings.min_weighted * count <= growth.weighted <= settings.max_weighted * count:
        return False
    wanted = settings.receptive_field
    return wanted == 1 or receptive_field(growth.steps, growth.shapes, count, growth.moves.rank) >= wanted


def to_kernel(growth: Growth) -> Kernel | None:
    """The kernel of a closed program, its free variables named in the order in which they occur.

    None if a width has more than one of them only then; solving for widths can lead to that.
    """
    names: dict[str, str] = {}
    for move in growth.made if growth.variables > 1 else ():
        for _, dim in move.step.dims() if move.variables else ():
            for name in dim.variables:
                names.setdefault(name, FREE_VARIABLES[len(names)])
    if all(old == new for old, new in names.items()) or _rename(growth, names):
        return Kernel.of_outcomes(growth.moves.rank, growth.steps, growth.outcomes, growth.shapes)
    return None


def _rename(growth: Growth, names: dict[str, str]) -> bool:
    """Give the free variables other names."""

    def rename(dim: Dim) -> Dim:
        for name in dim.variables:
            return dim / Dim.symbol(name) * Dim.symbol(names[name])
        return dim

    made = [growth.moves.mapped(move, rename) if move.variables else move for move in growth.made]
    return growth.rebuild(made, [step.ins for step in growth.steps], list(growth.origins))
