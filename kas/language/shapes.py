"""Shapes: a tensor is a batch of matrices `[N, side 0, side 1]`, each side a product of named axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kas.language.dims import ONE, Dim
from kas.language.errors import InvalidKernel

__all__ = ["CHANNEL", "MAX_AXES", "SPATIAL", "Shape", "Side", "input_shape"]

CHANNEL = "channel"
SPATIAL = "spatial"
MAX_AXES = 7
_NAMES = {CHANNEL: ("g", "c", "kh", "kw"), SPATIAL: ("h", "w")}


class Side(NamedTuple):
    """One side of a tensor: its kind and the dims of its axes (`g, c, kh, kw` or `h, w`), ONE where an axis is empty."""

    kind: str
    dims: tuple[Dim, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return _NAMES[self.kind]

    @property
    def product(self) -> Dim:
        total = ONE
        for dim in self.dims:
            total = total * dim
        return total

    def dim(self, name: str) -> Dim:
        """The dim of the axis with that name, ONE if it is empty."""
        return self.dims[self.names.index(name)]

    def axes(self) -> list[tuple[str, Dim]]:
        """Name and dim of each non-empty axis, in memory order."""
        return [(name, dim) for name, dim in zip(self.names, self.dims, strict=True) if dim is not ONE]

    def with_axes(self, **dims: Dim) -> Side:
        """This side with some axes changed."""
        return Side(self.kind, tuple(dims.get(name, old) for name, old in zip(self.names, self.dims, strict=True)))

    def __str__(self) -> str:
        return ", ".join(f"{name}={dim}" for name, dim in self.axes()) or "·"


class Shape(NamedTuple):
    """The shape of a tensor, the batch not counted."""

    first: Side
    second: Side

    @property
    def sides(self) -> tuple[Side, Side]:
        return (self.first, self.second)

    @property
    def product(self) -> Dim:
        return self.first.product * self.second.product

    def axes(self) -> Iterator[tuple[str, Dim]]:
        """Full name (`"0.c"`) and dim of each non-empty axis, in memory order."""
        for number, side in enumerate(self.sides):
            for name, dim in side.axes():
                yield f"{number}.{name}", dim

    def axis(self, name: str) -> Dim:
        """The dim of an axis by its full name; ONE if it is empty. Raises InvalidKernel if no such axis can exist."""
        number, _, short = name.partition(".")
        if number in ("0", "1") and short in self.sides[int(number)].names:
            return self.sides[int(number)].dim(short)
        raise InvalidKernel(f"there is no axis {name!r}; the tensor is {self}")

    def with_side(self, number: int, side: Side) -> Shape:
        return Shape(side, self.second) if number == 0 else Shape(self.first, side)

    def with_axis(self, name: str, dim: Dim) -> Shape:
        """This shape with one axis changed; `name` must be an axis of it."""
        number = int(name[0])
        return self.with_side(number, self.sides[number].with_axes(**{name[2:]: dim}))

    def __str__(self) -> str:
        return f"[{self.first} | {self.second}]"


def input_shape(rank: int) -> Shape:
    """The shape of a kernel's input: `[C | H, W]`, `[C | H]` or `[C | ]`."""
    spatial = tuple(Dim.of(s) if i < rank else ONE for i, s in enumerate("HW"))
    return Shape(Side(CHANNEL, (ONE, Dim.of("C"), ONE, ONE)), Side(SPATIAL, spatial))
