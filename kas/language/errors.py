"""The errors of kas: one base, and one subclass for each thing that a caller may want to tell apart."""

from __future__ import annotations

import reprlib

__all__ = ["Infeasible", "InvalidKernel", "KasError", "shown"]

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 80, 80, 40


def shown(value: object) -> str:
    """A value in a message: short, however long or deep it is."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # a number of more digits than Python writes
        return f"a very large {type(value).__name__}"


class KasError(Exception):
    """Base of every error that kas raises on purpose: what was wrong, where, and what would be right.

    exit_code: of a command that it ends; 2 for bad input.

    >>> issubclass(InvalidKernel, KasError) and issubclass(Infeasible, KasError)
    True
    """

    exit_code = 2


class InvalidKernel(KasError):
    """A program that is not a legal kernel. The message names the step and the broken rule.

    >>> import kas
    >>> kas.Kernel.from_json('{"format": "kas.kernel/1", "rank": 2, "steps": [{"op": "relu", "ins": [1]}]}')
    Traceback (most recent call last):
    kas.language.errors.InvalidKernel: ...
    """


class Infeasible(KasError):
    """Sizes that do not exist: a dim that is no positive integer at a target, or a budget that nothing satisfies.

    >>> import kas
    >>> kas.cost(kas.zoo.get("involution"), channels=15, size=(8, 8))
    Traceback (most recent call last):
    kas.language.errors.Infeasible: ...
    """
