"""Targets that are alike with a kernel put in, and counts for them with their cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kas.solvers.places import Place, Polynomial, Powers, evaluate

__all__ = ["Block", "Site", "block", "least_fits", "left_over"]


@dataclass(slots=True)
class Site:
    """Targets that are alike, with a kernel put in.

    members: numbers of the targets. costs: of one target, for each limit on the network, the adapter included.
    own: limits on each target by itself. held, floor: bytes that the adapter adds to the kernel's, and takes at least.
    """

    place: Place
    members: tuple[int, ...]
    costs: Sequence[Polynomial]
    own: list[tuple[Polynomial, int]]
    held: int
    floor: int

    def fits(self, counts: Powers) -> bool:
        """Whether the limits on one target hold."""
        return all(evaluate(polynomial, counts) <= limit for polynomial, limit in self.own)

    def peak(self, counts: Powers) -> int:
        """Peak bytes of one target."""
        return max(self.floor, self.held + max([evaluate(row, counts) for row in self.place.memory]))


@dataclass(slots=True)
class Block:
    """Some members of a site with the same counts, and what one of them costs."""

    site: Site
    members: tuple[int, ...]
    counts: Powers
    costs: list[int]


def block(site: Site, counts: Powers) -> Block:
    """All members of a site, with their costs."""
    return Block(site, site.members, counts, [evaluate(polynomial, counts) for polynomial in site.costs])


def left_over(blocks: Sequence[Block], totals: Sequence[int]) -> list[int]:
    """What blocks leave of each limit."""
    left = list(totals)
    for one in blocks:
        number = len(one.members)
        for k, cost in enumerate(one.costs):
            left[k] -= number * cost
    return left


def least_fits(sites: Sequence[Site], totals: Sequence[int]) -> bool:
    """Whether the least counts keep to all limits: then, and only then, some counts do."""
    blocks = [block(site, tuple(site.place.lows)) for site in sites]
    if any(not one.site.fits(one.counts) for one in blocks):
        return False
    return min(left_over(blocks, totals), default=0) >= 0
