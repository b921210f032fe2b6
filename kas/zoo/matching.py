"""Which known kernel a program is: by canonical hash, whatever its inner widths and its number of groups."""

from __future__ import annotations

from functools import cache

from kas.language import Kernel
from kas.zoo._registry import get, names
from kas.zoo.variants import variants

__all__ = ["known_as", "known_hashes"]


def known_as(kernel: Kernel) -> str | None:
    """The name of the known kernel that this one equals, None if it is none of them.

    Equal means an equal canonical hash, where a free variable stands for any inner width of the known kernel (and usual
    multiples of C for its free variables), and a usual number for G. A look-up; the first that is no known kernel to the
    letter takes the time to make the table (`known_hashes`).
    """
    return _exact().get(kernel.hash) or known_hashes().get(kernel.hash)


@cache
def known_hashes() -> dict[str, str]:
    """The names of known kernels by hash, variants included. Where two share a variant, the one with fewer steps has it."""
    table = dict(_exact())
    for name in sorted(names(), key=lambda name: len(get(name).steps)):
        for variant in variants(get(name)):
            table.setdefault(variant.hash, name)
    return table


@cache
def _exact() -> dict[str, str]:
    return {get(name).hash: name for name in names()}
