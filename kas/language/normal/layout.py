"""How axes lie in memory: the one thing that is left of a shape once views are forgotten.

A tensor is a matrix `[side 0, side 1]`; `group`, `ungroup` and the names of axes only say how a side is divided. A *cut* of a
side is a tuple of `(dim, flag)` in memory order whose dims multiply to the side; neighbours with one flag are one piece. The
flag says whether the piece is weighted, reduced, normalised, rolled, or present in a broadcast operand. A *layout* is a cut
for each side; `None` stands for the layout in which everything is flagged.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from functools import lru_cache

from kas.language.dims import ONE, Dim
from kas.language.shapes import Shape

__all__ = [
    "Cut",
    "Layout",
    "cut",
    "drop",
    "flagged",
    "flip",
    "layout_of",
    "nest",
    "or_full",
    "overlap",
    "refine",
    "union",
]

Cut = tuple[tuple[Dim, bool], ...]
Layout = tuple[Cut, Cut]


def cut(pieces: Iterable[tuple[Dim, bool]]) -> Cut:
    """Pieces without empty ones, neighbours of one flag joined."""
    result: list[tuple[Dim, bool]] = []
    for dim, flag in pieces:
        if dim is ONE:
            continue
        if result and result[-1][1] == flag:
            result[-1] = (result[-1][0] * dim, flag)
        else:
            result.append((dim, flag))
    return tuple(result)


@lru_cache(maxsize=4096)
def layout_of(shape: Shape, axes: tuple[str, ...]) -> Layout:
    """The layout that flags the named axes of a shape."""
    first, second = shape
    return (
        cut((dim, f"0.{name}" in axes) for name, dim in first.axes()),
        cut((dim, f"1.{name}" in axes) for name, dim in second.axes()),
    )


def flip(layout: Layout | None) -> Layout | None:
    """The layout of the transposed matrix."""
    return None if layout is None else (layout[1], layout[0])


def or_full(layout: Layout) -> Layout | None:
    """None for a layout in which everything is flagged."""
    return layout if any(not flag for side in layout for _, flag in side) else None


def flagged(side: Cut) -> Dim:
    """The product of the flagged pieces."""
    total = ONE
    for dim, flag in side:
        if flag:
            total = total * dim
    return total


Pieces = tuple[tuple[Dim, bool, bool], ...]


def refine(a: Cut, b: Cut, known: Container[Dim]) -> Pieces | None:
    """The common refinement of two cuts of a side; None if they cut through one another.

    A piece is divided only where the quotient is an integer at every target: it has no denominator (`G` divides `C`), or is
    one of the `known` dims of the kernel.
    """
    pieces, settled = _refined(a, b)
    return pieces if settled else _divided(a, b, known)


@lru_cache(maxsize=2**14)
def _refined(a: Cut, b: Cut) -> tuple[Pieces | None, bool]:
    """The refinement as far as it needs no dims of a kernel, and whether they could not change it."""
    asked = _Asked()
    pieces = _divided(a, b, asked)
    return pieces, pieces is not None or not asked.anything


class _Asked:
    """No dims; remembers whether it was asked for any."""

    def __init__(self) -> None:
        self.anything = False

    def __contains__(self, dim: object) -> bool:
        self.anything = True
        return False


def _divided(a: Cut, b: Cut, known: Container[Dim]) -> Pieces | None:
    ours, theirs = list(a[::-1]), list(b[::-1])
    result = []
    while ours and theirs:
        (da, fa), (db, fb) = ours.pop(), theirs.pop()
        if da is db:
            result.append((da, fa, fb))
        elif _integer(rest := da / db, known):
            result.append((db, fa, fb))
            ours.append((rest, fa))
        elif _integer(rest := db / da, known):
            result.append((da, fa, fb))
            theirs.append((rest, fb))
        else:
            return None
    return None if ours or theirs else tuple(result)


def _integer(dim: Dim, known: Container[Dim]) -> bool:
    return not dim.fault and (dim.denominator == 1 or dim in known)


def overlap(a: Layout, b: Layout, known: Container[Dim]) -> bool:
    """Whether some piece is flagged in both, or the cuts cannot be compared."""
    for one, two in zip(a, b, strict=True):
        pieces = refine(one, two, known)
        if pieces is None or any(fa and fb for _, fa, fb in pieces):
            return True
    return False


def drop(a: Layout, b: Layout, known: Container[Dim]) -> Layout | None:
    """Layout `a` without the pieces that `b` flags; None if the cuts cannot be compared."""
    sides = []
    for one, two in zip(a, b, strict=True):
        pieces = refine(one, two, known)
        if pieces is None:
            return None
        sides.append(cut((dim, fa) for dim, fa, fb in pieces if not fb))
    return sides[0], sides[1]


def union(a: Layout, b: Layout, known: Container[Dim]) -> Layout | None:
    """The layout that flags what either flags; None if the cuts cannot be compared."""
    sides = []
    for one, two in zip(a, b, strict=True):
        pieces = refine(one, two, known)
        if pieces is None:
            return None
        sides.append(cut((dim, fa or fb) for dim, fa, fb in pieces))
    return sides[0], sides[1]


def nest(outer: Layout | None, inner: Layout | None, known: Container[Dim]) -> tuple[bool, Layout | None]:
    """The layout in the result of an operand's operand: `inner` is broadcast to the flagged pieces of `outer`.

    Returns whether it could be found, and the layout (None: full).
    """
    if outer is None or inner is None:
        return True, inner if outer is None else outer
    sides = []
    for out, own in zip(outer, inner, strict=True):
        pieces = refine(tuple(piece for piece in out if piece[1]), own, known)
        if pieces is None:
            return False, None
        sides.append(cut(_fill(out, pieces)))
    return True, or_full((sides[0], sides[1]))


def _fill(out: Cut, pieces: Pieces) -> Iterable[tuple[Dim, bool]]:
    rest = iter(pieces)
    for dim, flag in out:
        if not flag:
            yield dim, False
            continue
        done = ONE
        while done is not dim:
            piece, _, fine = next(rest)
            yield piece, fine
            done = done * piece
