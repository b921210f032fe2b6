"""Drawing several kernels side by side, a stage for all of them before the next: grow, fit, judge, hash.

The code and the tables of one stage stay in the caches of the processor that way. What a draw finds depends on its own random
sequence alone, whatever is drawn beside it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from kas.generation.choice import Random
from kas.generation.fitting import Drawn, Fitting
from kas.generation.grow import Grammar
from kas.generation.growth import Growth

__all__ = ["ATTEMPTS", "Draw", "Drawing", "Program"]

Program = tuple[object, ...]  # the moves of a program and what they read

ATTEMPTS = 200  # for one kernel; 1.2 are usual
_PATIENCE = 6  # programs in a row that cannot use the budget with drawn steps; then the best of them is taken


class Draw:
    """The search for one kernel with a random sequence of its own.

    Attributes:
        found: the kernel; None while it is searched for, and where no attempt finds one.
        attempts: programs grown. low: those that fit, but do not use the budget with the steps that were drawn.
        growth, program, drawn: of the present attempt.
    """

    __slots__ = ("attempts", "drawn", "found", "growth", "low", "program", "rng")

    def __init__(self, rng: Random):
        self.rng = rng
        self.growth: Growth | None = None
        self.program: Program = ()
        self.drawn: Drawn | None = None
        self.restart()

    def restart(self) -> None:
        """Forget what was found, and search for another."""
        self.found: Drawn | None = None
        self.attempts = 0
        self.low: list[Drawn] = []


class Drawing:
    """The stages of drawing, for a grammar and what its programs must fit."""

    def __init__(self, grammar: Grammar, fitting: Fitting):
        self._grammar, self._fitting = grammar, fitting

    def complete(self, draws: Sequence[Draw], known: Container[Program] = ()) -> list[Program]:
        """Go on with draws until each has found a kernel or given up.

        Returns the programs that came to the same end whatever the random sequence, found or refused. Once their kernels are
        had, they are not worth fitting again: then they are among the `known`.
        """
        ended: list[Program] = []
        todo = list(draws)
        while todo:
            todo = [draw for draw in todo if self._grows(draw, known)]
            good = [draw for draw in [draw for draw in todo if self._fits(draw)] if self._is_good(draw)]
            for draw in good:
                if draw.drawn is not None and self._fitting.starts_sanely(draw.drawn):
                    draw.found = draw.drawn
            ended += [draw.program for draw in todo if draw.program]
            todo = [draw for draw in todo if draw.found is None]
        return ended

    def _grows(self, draw: Draw, known: Container[Program]) -> bool:
        """Grow a program that is worth fitting. Says whether there is one; if not, the draw has ended."""
        while draw.attempts < ATTEMPTS:
            if len(draw.low) == _PATIENCE and self._takes_low(draw):
                return False
            draw.attempts += 1
            growth = self._grammar.grow(draw.rng)
            if growth is None:
                continue
            program = (*growth.made, *[step.ins for step in growth.steps])
            if program not in known:
                draw.growth, draw.program = growth, program
                return True
        self._takes_low(draw)
        return False

    def _takes_low(self, draw: Draw) -> bool:
        """Take the low kernel that uses the budget best and starts sanely; says whether there is one."""
        draw.low.sort(key=self._fitting.use, reverse=True)
        draw.found = next((low for low in draw.low if self._fitting.starts_sanely(low)), None)
        draw.low.clear()
        return draw.found is not None

    def _fits(self, draw: Draw) -> bool:
        """Whether the program fits, or one like it that uses the budget better."""
        growth, fitting = draw.growth, self._fitting
        drawn = None if growth is None else fitting.fitted(growth)
        if growth is not None and drawn is not None and not fitting.is_used(drawn):
            draw.program = ()  # what comes of it depends on the random sequence
            drawn = fitting.improved(drawn, growth, draw.rng)
        draw.drawn = drawn
        return drawn is not None

    def _is_good(self, draw: Draw) -> bool:
        """Whether the kernel uses the budget, and does so with the steps that were drawn; if not, it is a low one."""
        drawn = draw.drawn
        if drawn is None or self._fitting.is_good(drawn):
            return drawn is not None
        draw.program = ()
        draw.low.append(drawn)
        return False
