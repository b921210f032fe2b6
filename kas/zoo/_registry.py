"""The table of known kernels: a function each, found by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from kas.language import KasError, Kernel
from kas.language.kernel import FORMAT

__all__ = ["UNSAID", "Known", "entry", "get", "known", "names", "program"]


@dataclass(frozen=True)
class Known:
    """A known kernel: how to make it, where it comes from, and what of the original is not in it.

    Attributes:
        make: returns the kernel.
        year: of the publication.
        reference: who, where, and which part of it.
        left_out: what could be said but was not (norms, biases), or is a constant factor that weights absorb.
        needs: what the language would have to offer for the rest; "" where nothing is missing.
    """

    make: Callable[[], Kernel]
    year: int
    reference: str
    left_out: str = ""
    needs: str = ""


_KNOWN: dict[str, Known] = {}

# Known operators that no program of the language is, not even roughly, and what would be needed.
UNSAID: dict[str, str] = {
    "grid_attention": "Tu et al., MaxViT (arXiv 2204.01697): attention among 7x7 positions spread over the whole image. Needs "
    "windows by their number, whose size follows from H and W; `window` has a size, as `patchwise_attention` shows",
}


def known(
    year: int, reference: str, left_out: str = "", needs: str = ""
) -> Callable[[Callable[[], Kernel]], Callable[[], Kernel]]:
    """Enter a function into the table under its name."""

    def enter(make: Callable[[], Kernel]) -> Callable[[], Kernel]:
        _KNOWN[make.__name__] = Known(make, year, reference, left_out, needs)
        return make

    return enter


def program(*steps: dict[str, Any], rank: int = 2) -> Kernel:
    """A kernel from steps as JSON objects; a step without `ins` reads the tensor before it."""
    full = [{"ins": [i], **step} for i, step in enumerate(steps)]
    return Kernel.from_dict({"format": FORMAT, "rank": rank, "steps": full})


def names(rank: int | None = None) -> list[str]:
    """The names of the known kernels, of one rank if asked.

    >>> "involution" in names(rank=2)
    True
    """
    return [name for name in _KNOWN if rank is None or get(name).rank == rank]


def entry(name: str) -> Known:
    """Reference and year of a known kernel. Raises KasError with the nearest name for an unknown one."""
    if name not in _KNOWN:
        if name in UNSAID:
            raise KasError(f"{name!r} is known, but no program of the language: {UNSAID[name]}")
        near = difflib.get_close_matches(str(name), _KNOWN, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(_KNOWN)}"
        raise KasError(f"there is no known kernel {name!r}; {hint}")
    return _KNOWN[name]


def get(name: str) -> Kernel:
    """A known kernel by name. Raises KasError with the nearest name for an unknown one.

    >>> get("depthwise_separable").rank
    2
    """
    entry(name)
    return _made(name)


@cache
def _made(name: str) -> Kernel:
    """Kernels do not change: one object for each name."""
    return _KNOWN[name].make()
