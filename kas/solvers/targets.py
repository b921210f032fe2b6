"""What is replaced: a layer or a block of a network as a target for kernels, and what must stand around a kernel there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from math import prod
from typing import Any, Literal, cast, get_args

from kas.language.errors import KasError

__all__ = ["Adapter", "NormKind", "Preference", "Rounding", "Target"]

AdapterKind = Literal["same", "copies", "splits", "projection"]
Preference = Literal["copies", "projection"]
NormKind = Literal["batch", "layer", "none"]
Rounding = Literal["up", "down"]
# Parameters per channel, and element-wise multiply-adds per element: a scale and a bias, and for `layer` the
# normalisation itself, which for `batch` is part of the scale and the bias in inference.
_NORM_COSTS: dict[str, tuple[int, int]] = {"batch": (2, 2), "layer": (2, 6), "none": (0, 0)}


@dataclass(frozen=True)
class Adapter:
    """What turns templates `[C_t, *size] → [C_t, *size]` into one layer `[C_in, …] → [C_out, *size]`.

    The whole layer costs `templates` times the kernel plus the numbers here (per sample, as FlopCounterMode counts).

    kind: `same` (C_in = C_out), `copies` (C_out = m·C_in: m templates on the same input, concatenated), `splits`
        (C_in = m·C_out: one template per chunk of the input, summed), else `projection` (1x1 to C_out, one template).
    templates: how many templates run, m or 1.
    macs: of the projection, at the output size; 0 for the other kinds.
    params: of the projection and the norm, plus C_out where the replaced layer had a bias.
    elementwise: element-wise multiply-adds: the average pooling of a stride, the sum of splits, the bias, the norm.
    """

    kind: AdapterKind
    templates: int
    macs: int
    params: int
    elementwise: int


@dataclass(frozen=True, repr=False)
class Target:
    """A layer or a block that a kernel may replace. An instance is hashable and equal to any other with the same fields.

    name: qualified name of the module in its network.
    in_channels, out_channels: C_in and C_out of the layer.
    size: spatial size of the layer's *output*, where the template runs: `(h, w)`, `(n,)`, or `()` for a linear layer.
    stride, dilation: one number, or one per axis (kept as one number where all are equal).
    kernel_size: one number per axis; the default is 3 on each axis; `()` for a linear layer.
    groups, bias: as in `torch.nn.Conv2d`.
    prefer: what stands around the template where C_out or C_in is a multiple of the other: `copies` (or splits) of it, or
        one template behind a 1x1 `projection`.

    A block, which is any module that maps one tensor to one tensor, has besides:
    block: the name of its class; "" for a layer. Its kernel_size is 1.
    block_macs, block_params: the multiply-adds of one sample and the parameters, of all that is in it.
    rounding: whether its output size is that of its input over the stride, rounded `up` or `down`.
    tokens: its tensors have the channels last, `[N, L, C]` or `[N, h, w, C]`.
    norm: what stands behind the templates: a `batch` norm, a `layer` norm of the channels, or `none`.

    Raises KasError for a field that no layer can have.

    >>> target = Target("layer1.0.conv1", in_channels=64, out_channels=64, size=(32, 32))
    >>> target
    Target('layer1.0.conv1', 64, 64, (32, 32))
    >>> target.macs, target.params
    (37748736, 36864)
    """

    name: str
    in_channels: int
    out_channels: int
    size: tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    kernel_size: tuple[int, ...] = (3, 3)
    groups: int = 1
    dilation: int | tuple[int, ...] = 1
    bias: bool = False
    prefer: Preference = "copies"
    block: str = ""
    block_macs: int = 0
    block_params: int = 0
    rounding: Rounding = "up"
    tokens: bool = False
    norm: NormKind = "none"

    def __post_init__(self) -> None:
        size = self._tuple("size", self.size)
        if len(size) > 2:
            raise KasError(f"target {self.name!r}: size {size} has {len(size)} axes; kernels have at most 2")
        object.__setattr__(self, "size", size)
        if self.kernel_size == (3, 3):
            object.__setattr__(self, "kernel_size", (1 if self.block else 3,) * len(size))
        object.__setattr__(self, "kernel_size", self._per_axis("kernel_size"))
        for field in ("stride", "dilation"):
            values = self._per_axis(field)
            object.__setattr__(self, field, 1 if not values else values[0] if len(set(values)) == 1 else values)
        for field in ("in_channels", "out_channels", "groups"):
            self._positive(field, getattr(self, field))
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise KasError(
                f"target {self.name!r}: groups={self.groups} must divide in_channels={self.in_channels} "
                f"and out_channels={self.out_channels}"
            )
        for field, choices in (("prefer", Preference), ("rounding", Rounding), ("norm", NormKind)):
            if getattr(self, field) not in get_args(choices):
                words = " or ".join(get_args(choices))
                raise KasError(f"target {self.name!r}: {field}={getattr(self, field)!r}; expected {words}")
        if self.block:
            self._positive("block_macs", self.block_macs)

    def __repr__(self) -> str:
        """Name, channels and size, and of the other fields those that are not as usual."""
        own = ", ".join(map(repr, (self.name, self.in_channels, self.out_channels, self.size)))
        usual = type(self)(self.name, self.in_channels, self.out_channels, self.size)
        others = [field.name for field in fields(self) if getattr(self, field.name) != getattr(usual, field.name)]
        return f"Target({', '.join([own, *(f'{name}={getattr(self, name)!r}' for name in others)])})"

    @property
    def rank(self) -> int:
        """Number of spatial axes: 2, 1, or 0 (a linear layer)."""
        return len(self.size)

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride, one number per axis."""
        return self._per_axis("stride")

    @property
    def dilations(self) -> tuple[int, ...]:
        """The dilation, one number per axis."""
        return self._per_axis("dilation")

    @property
    def positions(self) -> int:
        """Positions of the output, h·w."""
        return prod(self.size)

    @property
    def params(self) -> int:
        """Entries of the replaced layer's weight alone (no bias); all parameters of a block."""
        if self.block:
            return self.block_params
        return self.out_channels * (self.in_channels // self.groups) * prod(self.kernel_size)

    @property
    def macs(self) -> int:
        """Multiply-adds of the replaced layer or block for one sample, without biases."""
        return self.block_macs if self.block else self.positions * self.params

    @property
    def memory(self) -> int:
        """Bytes (float32, one sample) of the replaced layer's input and output together."""
        inputs = self.in_channels * self.positions * prod(self.strides)
        return 4 * (inputs + self.out_channels * self.positions)

    @property
    def channels(self) -> int:
        """C_t, the channels that a template runs at: C_out, or C_in for copies."""
        return self.in_channels if self.adapter.kind == "copies" else self.out_channels

    @cached_property
    def adapter(self) -> Adapter:
        """What must stand around the templates here, and its cost."""
        c_in, c_out, window = self.in_channels, self.out_channels, prod(self.strides)
        per_channel, per_element = _NORM_COSTS[self.norm]
        params = c_out * (self.bias + per_channel)
        elementwise = ((window * c_in if window > 1 else 0) + c_out * (self.bias + per_element)) * self.positions
        if c_in == c_out:
            return Adapter("same", 1, 0, params, elementwise)
        if c_out % c_in == 0 and self.prefer == "copies":
            return Adapter("copies", c_out // c_in, 0, params, elementwise)
        if c_in % c_out == 0 and self.prefer == "copies":
            sums = (c_in // c_out - 1) * c_out * self.positions
            return Adapter("splits", c_in // c_out, 0, params, elementwise + sums)
        return Adapter("projection", 1, c_in * c_out * self.positions, c_in * c_out + params, elementwise)

    @property
    def has_choice(self) -> bool:
        """Whether `prefer` makes a difference: the channels differ, by a whole factor."""
        c_in, c_out = self.in_channels, self.out_channels
        return c_in != c_out and max(c_in, c_out) % min(c_in, c_out) == 0

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types; `from_dict` gives an equal target."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Target:
        """The target that `to_dict` wrote. Raises KasError for unknown or missing keys."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise KasError(f"target: unknown keys {unknown}; the fields are {sorted(known)}")
        if missing := sorted({"name", "in_channels", "out_channels", "size"} - set(data)):
            raise KasError(f"target: missing keys {missing}")
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        return cls(**cast("dict[str, Any]", values))

    def _per_axis(self, field: str) -> tuple[int, ...]:
        """A field as one number per axis."""
        value = getattr(self, field)
        if isinstance(value, int):
            self._positive(field, value)
            return (value,) * self.rank
        values = self._tuple(field, value)
        if len(values) != self.rank:
            raise KasError(f"target {self.name!r}: {field}={values} does not fit the axes of size={self.size}")
        return values

    def _tuple(self, field: str, value: object) -> tuple[int, ...]:
        """A checked tuple of integers of at least 1."""
        if not isinstance(value, (tuple, list)):
            raise KasError(f"target {self.name!r}: {field}={value!r}; expected a tuple of integers")
        for number in value:
            self._positive(field, number)
        return tuple(value)

    def _positive(self, field: str, value: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise KasError(f"target {self.name!r}: {field}={value!r}; expected an integer of at least 1")
