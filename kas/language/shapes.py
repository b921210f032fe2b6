"""Shapes: a tensor is a batch of matrices `[N, side 0, side 1]`, each side a product of named axes.

Sides and shapes are interned, as dims are: equal ones are one object, so `==` is identity and what is derived from them is
computed once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from kas.language.dims import ONE, Dim
from kas.language.errors import InvalidKernel

__all__ = ["BATCHED", "CHANNEL", "MAX_AXES", "SPATIAL", "Shape", "Side", "input_shape"]

CHANNEL = "channel"
SPATIAL = "spatial"
BATCHED = "batched"  # positions of each of several groups or windows, which only products batched over these make
MAX_AXES = 7
_NAMES = {CHANNEL: ("g", "c", "kh", "kw"), SPATIAL: ("h", "w"), BATCHED: ("g", "kh", "kw", "h", "w")}

Axes = tuple[tuple[str, Dim], ...]


class Side:
    """One side of a tensor.

    Attributes:
        kind: CHANNEL, SPATIAL or BATCHED.
        dims: of its axes (`g, c, kh, kw`, `h, w` or `g, kh, kw, h, w`), ONE where an axis is empty.
        names: of its axes.
        product: of its dims.
    """

    __slots__ = ("_axes", "dims", "kind", "names", "product")

    kind: str
    dims: tuple[Dim, ...]
    names: tuple[str, ...]
    product: Dim
    _axes: Axes

    def __new__(cls, kind: str, dims: tuple[Dim, ...]) -> Side:
        """The one side with these axes."""
        known = _SIDES.get((kind, dims))
        if known is None:
            known = object.__new__(cls)
            known.kind, known.dims, known.names = kind, dims, _NAMES[kind]
            known._axes = tuple((name, dim) for name, dim in zip(known.names, dims, strict=True) if dim is not ONE)
            known.product = ONE
            for dim in dims:
                known.product = known.product * dim
            known = _SIDES.setdefault((kind, dims), known)
        return known

    def dim(self, name: str) -> Dim:
        """The dim of the axis with that name, ONE if it is empty."""
        return self.dims[self.names.index(name)]

    def axes(self) -> Axes:
        """Name and dim of each non-empty axis, in memory order."""
        return self._axes

    def with_axes(self, **dims: Dim) -> Side:
        """This side with some axes changed; names that it does not have are ignored."""
        names, changed = self.names, list(self.dims)
        for name, dim in dims.items():
            if name in names:
                changed[names.index(name)] = dim
        return Side(self.kind, tuple(changed))

    def __str__(self) -> str:
        return ", ".join(f"{name}={dim}" for name, dim in self._axes) or "·"

    def __repr__(self) -> str:
        return f"Side({self.kind!r}, {self.dims!r})"

    def __reduce__(self) -> tuple[object, tuple[str, tuple[Dim, ...]]]:
        return Side, (self.kind, self.dims)


class Shape:
    """The shape of a tensor, the batch not counted: two sides, and the product of all dims."""

    __slots__ = ("_axes", "first", "product", "second", "sides")

    first: Side
    second: Side
    sides: tuple[Side, Side]
    product: Dim
    _axes: Axes

    def __new__(cls, first: Side, second: Side) -> Shape:
        """The one shape with these sides."""
        known = _SHAPES.get((first, second))
        if known is None:
            known = object.__new__(cls)
            known.first, known.second, known.sides = first, second, (first, second)
            known.product = first.product * second.product
            known._axes = tuple((f"{number}.{name}", dim) for number in (0, 1) for name, dim in known.sides[number].axes())
            known = _SHAPES.setdefault((first, second), known)
        return known

    def __iter__(self) -> Iterator[Side]:
        return iter(self.sides)

    def axes(self) -> Axes:
        """Full name (`"0.c"`) and dim of each non-empty axis, in memory order."""
        return self._axes

    def axis(self, name: str) -> Dim:
        """The dim of an axis by its full name; ONE if it is empty. Raises InvalidKernel if no such axis can exist."""
        for known, dim in self._axes:
            if known == name:
                return dim
        number, _, short = name.partition(".")
        if number in ("0", "1") and short in self.sides[int(number)].names:
            return ONE
        raise InvalidKernel(f"there is no axis {name!r}; the tensor is {self}")

    def with_side(self, number: int, side: Side) -> Shape:
        """This shape with another side."""
        return Shape(side, self.second) if number == 0 else Shape(self.first, side)

    def with_axis(self, name: str, dim: Dim) -> Shape:
        """This shape with one axis changed; `name` must be an axis of it."""
        number = int(name[0])
        return self.with_side(number, self.sides[number].with_axes(**{name[2:]: dim}))

    def __str__(self) -> str:
        return f"[{self.first} | {self.second}]"

    def __repr__(self) -> str:
        return f"Shape({self.first!r}, {self.second!r})"

    def __reduce__(self) -> tuple[object, tuple[Side, Side]]:
        return Shape, (self.first, self.second)


_SIDES: dict[tuple[str, tuple[Dim, ...]], Side] = {}
_SHAPES: dict[tuple[Side, Side], Shape] = {}


@lru_cache(maxsize=3)
def input_shape(rank: int) -> Shape:
    """The shape of a kernel's input: `[C | H, W]`, `[C | H]` or `[C | ]`."""
    spatial = tuple(Dim.of(s) if i < rank else ONE for i, s in enumerate("HW"))
    return Shape(Side(CHANNEL, (ONE, Dim.of("C"), ONE, ONE)), Side(SPATIAL, spatial))
