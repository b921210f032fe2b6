"""What a primitive is: a frozen dataclass with its attributes, and one rule that says shape, weight and cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, NamedTuple

from kas.language.attributes import Codec
from kas.language.dims import ONE, Dim
from kas.language.errors import InvalidKernel, shown
from kas.language.shapes import CHANNEL, MAX_AXES, SPATIAL, Shape, Side

__all__ = ["Outcome", "Step", "channel_side", "check_dim", "check_image", "named_axes", "product"]


class Outcome(NamedTuple):
    """What a step makes of its inputs.

    Attributes:
        shape: of the result.
        weight: the dims of its weight tensor, None if it has none. Their product is the number of parameters.
        macs: multiply-accumulates per sample that FlopCounterMode sees (half its FLOPs), None for none.
        elementwise: (n, dim): n*dim multiply-adds per sample of element-wise work.
        quotients: further monomials that must be integers of at least 1 at every target.
    """

    shape: Shape
    weight: tuple[Dim, ...] | None = None
    macs: Dim | None = None
    elementwise: tuple[int, Dim] | None = None
    quotients: tuple[Dim, ...] = ()

    @property
    def params(self) -> Dim | None:
        """The number of parameters as a monomial, None for none."""
        return None if self.weight is None else product(self.weight)


@dataclass(frozen=True, slots=True)
class Step:
    """One primitive of a program; `ins` are the numbers of the tensors that it reads."""

    ins: tuple[int, ...]
    op: ClassVar[str]
    arity: ClassVar[int] = 1
    mixes: ClassVar[bool] = False  # moves information between positions or channels: a kernel needs one such step

    def apply(self, *shapes: Shape) -> Outcome:
        """The rule of the primitive. Raises InvalidKernel, without naming the step, if it does not fit."""
        raise NotImplementedError

    def reaches(self) -> list[tuple[str, int]]:
        """Axes of the operand that must be longer than the absolute value of a number at every target."""
        return []

    @classmethod
    def codecs(cls) -> dict[str, tuple[Codec, Any]]:
        """Codec and default (MISSING if required) of each attribute, in canonical order."""
        known = _CODECS.get(cls)
        if known is None:
            known = _CODECS[cls] = {f.name: (f.metadata["codec"], f.default) for f in fields(cls) if f.name != "ins"}
        return known

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> Step:
        """Read a step from its JSON object, whose `op` is this primitive's. Raises InvalidKernel."""
        codecs = cls.codecs()
        unknown = [key for key in entry if key not in codecs and key not in ("op", "ins")]
        if unknown:
            known = ", ".join(["op", "ins", *codecs])
            raise InvalidKernel(f"{cls.op} has no attribute {shown(unknown[0])}; its keys are {known}")
        if "ins" not in entry:
            raise InvalidKernel("the key 'ins' is missing: the numbers of the tensors that the step reads")
        ins = entry["ins"]
        if not isinstance(ins, list | tuple) or any(isinstance(i, bool) or not isinstance(i, int) for i in ins):
            raise InvalidKernel(f"'ins' must be a list of tensor numbers, not {shown(ins)}")
        if len(ins) != cls.arity:
            raise InvalidKernel(f"{cls.op} reads {cls.arity} tensor{'s' * (cls.arity > 1)}, but 'ins' names {len(ins)}")
        values: dict[str, Any] = {}
        for name, (codec, default) in codecs.items():
            if name not in entry:
                if default is MISSING:
                    raise InvalidKernel(f"{cls.op} needs the attribute {name!r}")
                continue
            try:
                values[name] = codec.read(entry[name])
            except InvalidKernel as error:
                raise InvalidKernel(f"{name!r} {error}") from None
        return cls(tuple(ins), **values)

    def to_dict(self) -> dict[str, Any]:
        """The canonical JSON object: op, ins, then the attributes; a side of None is left out."""
        entry: dict[str, Any] = {"op": self.op, "ins": list(self.ins)}
        for name, (codec, _) in self.codecs().items():
            value = getattr(self, name)
            if value is not None:
                entry[name] = codec.write(value)
        return entry

    def dims(self) -> list[tuple[str, Dim]]:
        """Every dim among the attributes, with the attribute's name."""
        found: list[tuple[str, Dim]] = []
        for name, (codec, _) in self.codecs().items():
            if codec.kind == "dim":
                found.append((name, getattr(self, name)))
            elif codec.kind == "dims":
                found.extend((name, dim) for dim in getattr(self, name))
        return found

    def map_dims(self, change: Callable[[Dim], Dim]) -> dict[str, Any]:
        """The attributes that change when every dim in them is changed."""
        changed: dict[str, Any] = {}
        for name, (codec, _) in self.codecs().items():
            value = getattr(self, name)
            if codec.kind == "dim":
                new: Any = change(value)
            elif codec.kind == "dims":
                new = tuple(change(d) for d in value)
            else:
                continue
            if new != value:
                changed[name] = new
        return changed


_CODECS: dict[type[Step], dict[str, tuple[Codec, Any]]] = {}


def product(dims: Iterable[Dim]) -> Dim:
    """The product of dims, ONE of none."""
    total = ONE
    for dim in dims:
        total = total * dim
    return total


def check_dim(dim: Dim, what: str) -> Dim:
    """A dim or quotient that a rule makes, if it keeps the invariants of the language; InvalidKernel otherwise."""
    if dim.fault:
        raise InvalidKernel(f"{what} would be {dim.text}, which {dim.fault}")
    return dim


def channel_side(shape: Shape, side: int | None) -> int:
    """The number of the side that a channel primitive works on."""
    if side is None:
        for number, candidate in enumerate(shape.sides):
            if candidate.kind == CHANNEL:
                return number
        raise InvalidKernel(f"needs a channel side; the tensor is {shape}")
    if shape.sides[side].kind != CHANNEL:
        raise InvalidKernel(f"side {side} is not a channel side; the tensor is {shape}")
    return side


def check_image(shape: Shape) -> tuple[Side, Side]:
    """Both sides of a `[channel | spatial]` tensor."""
    if shape.first.kind != CHANNEL or shape.second.kind != SPATIAL:
        kinds = f"[{shape.first.kind} | {shape.second.kind}]"
        raise InvalidKernel(f"needs a tensor [channel | spatial], not {kinds}: {shape}")
    return shape.first, shape.second


def named_axes(shape: Shape, axes: tuple[str, ...], *, one_side: bool = False, ordered: bool = True) -> tuple[Dim, ...]:
    """The dims of named axes. Raises InvalidKernel if one is empty or missing, out of order, or on another side."""
    dims = []
    for name in axes:
        dim = shape.axis(name)
        if dim is ONE:
            raise InvalidKernel(f"the axis {name!r} is empty; the tensor is {shape}")
        dims.append(dim)
    if one_side and len({name[0] for name in axes}) > 1:
        raise InvalidKernel(f"the axes must be of one side, not {list(axes)}")
    if ordered:
        order = [name for name, _ in shape.axes() if name in axes]
        if list(axes) != order:
            raise InvalidKernel(f"the axes must be in memory order, {order}, not {list(axes)}")
    return tuple(dims)


def check_axes(shape: Shape) -> Shape:
    """A result shape, if it has at most MAX_AXES axes."""
    if len(shape.axes()) > MAX_AXES:
        raise InvalidKernel(f"the result {shape} has {len(shape.axes())} axes; at most {MAX_AXES} are possible")
    return shape
