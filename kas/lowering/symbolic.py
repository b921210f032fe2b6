"""A forward whose sizes are expressions in the constructor's arguments: one file for all channels, groups and widths.

The lowerings ask `Code` for the numbers that they write. Here a number is an `Amount`: it knows its dim, is written as an
expression, and is compared exactly (two amounts are equal if they are so at all sizes). It is no `int`: what would turn it into
a literal number raises TypeError instead of writing a file that is wrong at other sizes. Where a lowering has to choose a form
by size, it is told the size that the file is written for; its forms are right at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kas.language.dims import ONE, SYMBOLS, Dim
from kas.language.kernel import Kernel
from kas.lowering.code import Check, Code

__all__ = ["Amount", "SymbolicCode", "argument_names", "expression"]

_POSITIONS = {"H": "h", "W": "w"}


def argument_names(kernel: Kernel) -> dict[str, str]:
    """The constructor's argument for each symbol that is one: `{"C": "channels", "G": "groups", "x0": "width"}`."""
    names = {"C": "channels"}
    if kernel.uses_groups:
        names["G"] = "groups"
    free = kernel.variables
    return names | {symbol: "width" if len(free) == 1 else f"width{symbol[1:]}" for symbol in free}


def expression(dim: Dim, names: Mapping[str, str]) -> str:
    """A dim as a Python expression of integers: `channels // 4`, `9 * width`. Exact wherever the dim is an integer."""
    above = [str(dim.numerator)] * (dim.numerator != 1)
    below = [str(dim.denominator)] * (dim.denominator != 1)
    for symbol, power in zip(SYMBOLS, dim.powers, strict=True):
        if power:
            (above if power > 0 else below).extend([names[symbol]] * abs(power))
    if not below:
        return " * ".join(above or ["1"])
    divisor = below[0] if len(below) == 1 else f"({' * '.join(below)})"
    return f"{' * '.join(above or ['1'])} // {divisor}"


class Amount:
    """An integer size of a module that is yet to be built; `value` is that of the sizes that its file is written for."""

    def __init__(self, code: SymbolicCode, dim: Dim):
        self._code, self.dim = code, dim

    @property
    def value(self) -> int:
        return self.dim.value(self._code.env)

    def __repr__(self) -> str:
        text = self._code.written(self.dim)
        return f"({text})" if " " in text else text

    def __hash__(self) -> int:
        return hash(self.dim)

    def __eq__(self, other: object) -> bool:
        return self.dim is _dim(other)

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < _value(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= _value(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > _value(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= _value(other))

    def __mod__(self, other: Any) -> int:
        return int(self.value % _value(other))

    def __mul__(self, other: Any) -> int:
        dim = _dim(other)
        return NotImplemented if dim is None else self._code.amount(self.dim * dim)

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> int:
        dim = _dim(other)
        return NotImplemented if dim is None else self._code.amount(self.dim / dim)

    def __rfloordiv__(self, other: Any) -> int:
        dim = _dim(other)
        return NotImplemented if dim is None else self._code.amount(dim / self.dim)

    def __truediv__(self, other: Any) -> _Real:
        return _Real(f"{self!r} / {other!r}")

    def __rtruediv__(self, other: Any) -> _Real:
        return _Real(f"{other!r} / {self!r}")

    def __pow__(self, other: float) -> _Real:
        return _Real(f"{self!r} ** {other!r}")

    def __int__(self) -> int:
        raise TypeError(f"the size {self.dim} would become a literal number")

    __index__ = __int__


class _Real:
    """A number with a fraction, written as an expression."""

    def __init__(self, text: str):
        self._text = text

    def __repr__(self) -> str:
        return f"({self._text})"


def _dim(value: object) -> Dim | None:
    if isinstance(value, Amount):
        return value.dim
    return Dim.of(value) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _value(other: Any) -> Any:
    return other.value if isinstance(other, Amount) else other


class SymbolicCode(Code):
    """`Code` that writes sizes as expressions: channels as the input's `c`, groups and widths as attributes of the module."""

    def __init__(self, kernel: Kernel, env: Mapping[str, int]):
        super().__init__(kernel, env)
        self.arguments = argument_names(kernel)
        self.divided: dict[Dim, None] = {}  # every dim with a denominator that was written

    def amount(self, dim: Dim) -> int:
        """An amount, which stands where an int is expected; a plain int where no argument is in it."""
        fixed = dim.denominator == 1 and not any(dim.powers)
        return dim.numerator if fixed else Amount(self, dim)  # type: ignore[return-value]

    def number(self, dim: Dim) -> int:
        return self.amount(dim)

    def size(self, dim: Dim) -> str:
        return str(self.amount(dim))

    def root(self, dim: Dim) -> str:
        return "" if dim is ONE else f"{self.amount(dim)!r} ** 0.5"

    def written(self, dim: Dim) -> str:
        """A dim in the forward."""
        if dim.denominator != 1 or any(power < 0 for power in dim.powers):
            self.divided[dim] = None
        names = {symbol: f"self.{name}" for symbol, name in self.arguments.items()} | _POSITIONS | {"C": "c"}
        if self.kernel.fixed_size:
            names |= {"H": "self.size[0]", "W": "self.size[1]"}
        for symbol, name in names.items():
            if dim.power_of(symbol) and len(name) == 1:
                self.names.add(name)
        return expression(dim, names)

    def checks(self) -> list[Check]:
        """What must hold of the positions of an input, as of `Code.checks`."""
        if self.kernel.fixed_size:
            names = "hw"[: self.kernel.rank]
            self.names.update(names)
            message = "this kernel has weights over positions and was built for {symbol} = {{}}, not {{}}"
            return [
                (f"{name} == self.size[{i}]", message.format(symbol=name.upper()), (f"self.size[{i}]", name))
                for i, name in enumerate(names)
            ]
        found: dict[str, Check] = {}
        for where, dim in self._whole():
            if not self.constant(dim):
                remainder = self._remainder(dim, self.written(dim))
                self._check(f"{remainder} == 0", f"{where}the dim {dim} is no integer at", self._names_of(dim), found)
        for number, step in enumerate(self.kernel.steps, 1):
            for name, by in step.reaches():
                dim = self.kernel.shapes[step.ins[0]].axis(name)
                if not self.constant(dim):
                    message = f"{self._where(number)}: the axis of {dim} is not longer than the shift by {by} at"
                    self._check(f"{self.written(dim)} > {abs(by)}", message, self._names_of(dim), found)
        return list(found.values())

    def construction_checks(self) -> list[tuple[str, str]]:
        """What must hold of the constructor's arguments."""
        rows: dict[str, str] = {}
        for where, dim in self._whole():
            if self.constant(dim):
                text = expression(dim, self.constructor_names)
                values = ", ".join(f"{name} = {{{name}}}" for name in self._arguments_of(dim))
                rows.setdefault(self._remainder(dim, text), f"{where}{dim} is no integer at {values}")
        return list(rows.items())

    @property
    def constructor_names(self) -> dict[str, str]:
        """What stands for each symbol within the constructor."""
        return self.arguments | ({"H": "size[0]", "W": "size[1]"} if self.kernel.fixed_size else {})

    def _whole(self) -> list[tuple[str, Dim]]:
        """The dims that are integers at some sizes only, and where."""
        rows = {dim: f"step {number} ({self.kernel.steps[number - 1].op}): " for number, dim in reversed(self.kernel.dims)}
        rows = dict(reversed(rows.items())) | {dim: "" for dim in self.divided if dim not in rows}
        return [(where, dim) for dim, where in rows.items() if dim.denominator != 1 or any(power < 0 for power in dim.powers)]

    @staticmethod
    def _remainder(dim: Dim, text: str) -> str:
        above, _, below = text.partition(" // ")
        return f"({above}) % {below}" if " " in above else f"{above} % {below}"

    def _arguments_of(self, dim: Dim) -> list[str]:
        names = [name.partition("[")[0] for symbol, name in self.constructor_names.items() if dim.power_of(symbol)]
        return list(dict.fromkeys(names))

    @staticmethod
    def _names_of(dim: Dim) -> list[str]:
        return [name for symbol, name in _POSITIONS.items() if dim.power_of(symbol)]
