"""Which known kernel a program is: by canonical hash, whatever its inner widths and its number of groups."""

from __future__ import annotations

from functools import cache

from kas.language import Kernel
from kas.language.normal.form import normal_form, operands
from kas.zoo._registry import get, names
from kas.zoo.variants import variants

__all__ = ["known_as", "known_hashes", "name_of"]

Kind = tuple[int, tuple[str, ...]]


def known_as(kernel: Kernel) -> str | None:
    """The name of the known kernel that this one equals, None if it is none of them.

    Equal means an equal canonical hash, where a free variable stands for any inner width of the known kernel (and usual
    multiples of C for its free variables), and a usual number for G. The variants of a known kernel are made when the first
    kernel of its kind is looked up.
    """
    exact = _exact().get(kernel.hash)
    if exact is not None:
        return exact
    return next((name for name in _of_kind().get(_kind(kernel), ()) if kernel.hash in _variant_hashes(name)), None)


def name_of(kernel_hash: str) -> str | None:
    """The name of the known kernel with this hash, None if there is none; variants are other kernels, and have none."""
    return _exact().get(kernel_hash)


@cache
def known_hashes() -> dict[str, str]:
    """The names of known kernels by hash, variants included. Where two share a variant, the one with fewer steps has it."""
    table = dict(_exact())
    for name in _shortest_first():
        for found in _variant_hashes(name):
            table.setdefault(found, name)
    return table


@cache
def _variant_hashes(name: str) -> frozenset[str]:
    return frozenset(variant.hash for variant in variants(get(name)))


@cache
def _exact() -> dict[str, str]:
    return {get(name).hash: name for name in names()}


def _shortest_first() -> list[str]:
    return sorted(names(), key=lambda name: len(get(name).steps))


@cache
def _of_kind() -> dict[Kind, list[str]]:
    """The names of the known kernels of each kind, those with fewer steps first."""
    found: dict[Kind, list[str]] = {}
    for name in _shortest_first():
        found.setdefault(_kind(get(name)), []).append(name)
    return found


def _kind(kernel: Kernel) -> Kind:
    """The rank and the ops of the normal form: what all variants of a known kernel have in common."""
    graph, output = normal_form(kernel)
    reached, waiting = set[int](), [output >> 1]
    while waiting:
        number = waiting.pop()
        if number not in reached:
            reached.add(number)
            waiting += [edge >> 1 for edge in operands(graph, number)]
    return kernel.rank, tuple(sorted(graph.nodes[number].op for number in reached))
