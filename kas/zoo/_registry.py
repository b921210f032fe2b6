"""The table of known kernels: a function each, found by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kas.language import KasError, Kernel
from kas.language.kernel import FORMAT

__all__ = ["Known", "entry", "get", "known", "names", "program"]


@dataclass(frozen=True)
class Known:
    """A known kernel: how to make it, where it comes from, and what of the original was left out."""

    make: Callable[[], Kernel]
    year: int
    reference: str
    left_out: str = ""


_KNOWN: dict[str, Known] = {}


def known(year: int, reference: str, left_out: str = "") -> Callable[[Callable[[], Kernel]], Callable[[], Kernel]]:
    """Enter a function into the table under its name."""

    def enter(make: Callable[[], Kernel]) -> Callable[[], Kernel]:
        _KNOWN[make.__name__] = Known(make, year, reference, left_out)
        return make

    return enter


def program(*steps: dict[str, Any], rank: int = 2) -> Kernel:
    """A kernel from steps as JSON objects; a step without `ins` reads the tensor before it."""
    full = [{"ins": [i], **step} for i, step in enumerate(steps)]
    return Kernel.from_dict({"format": FORMAT, "rank": rank, "steps": full})


def names(rank: int | None = None) -> list[str]:
    """The names of the known kernels, of one rank if asked."""
    return [name for name in _KNOWN if rank is None or get(name).rank == rank]


def entry(name: str) -> Known:
    """Reference and year of a known kernel. Raises KasError with the nearest name for an unknown one."""
    if name not in _KNOWN:
        near = difflib.get_close_matches(str(name), _KNOWN, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise KasError(f"there is no known kernel {name!r}; {hint}known are: {', '.join(_KNOWN)}")
    return _KNOWN[name]


def get(name: str) -> Kernel:
    """A known kernel by name. Raises KasError with the nearest name for an unknown one."""
    return entry(name).make()
