"""Writing the body of a forward: sizes as Python expressions, the checks that they need, and lines with comments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction

from kas.language.dims import Dim
from kas.language.kernel import Kernel
from kas.language.shapes import Shape
from kas.lowering.parameters import weight_dims

__all__ = ["Check", "Code", "axis_position", "form_of", "reshaped"]

_RESHAPED = re.compile(r"(?<=\w)\.reshape\([^()]*\)$")  # of a variable: any other may be part of a longer expression

Form = tuple[Dim, ...]
Check = tuple[str, str, tuple[str, ...]]  # a condition, what is wrong where it does not hold, the sizes for the `{}` in that


def form_of(shape: Shape) -> Form:
    """The dims of a tensor that has one torch axis for each non-empty axis, the batch not counted."""
    return tuple(dim for _, dim in shape.axes())


def reshaped(tensor: str, sizes: str) -> str:
    """A tensor reshaped to sizes; what it was reshaped to before does not matter."""
    return f"{_RESHAPED.sub('', tensor)}.reshape({sizes})"


def axis_position(shape: Shape, name: str) -> int:
    """The torch axis (the batch is 0) of a named axis in that form."""
    return 1 + [axis for axis, _ in shape.axes()].index(name)


class Code:
    """The lines of a forward under construction, for a kernel at given sizes.

    Sizes that depend on the positions are read from the input's shape as `h` and `w`, unless the kernel is tied to one size;
    the batch is `n`. All others are written as numbers.
    """

    def __init__(self, kernel: Kernel, env: Mapping[str, int]):
        self.kernel = kernel
        self.env = env
        self.lines: list[tuple[str, str, str]] = []
        self.names: set[str] = set()  # which of n, h, w are read
        self.channel_check = True  # whether nothing else would notice an input of other channels
        self.symbolic = "" if kernel.fixed_size else "HW"[: kernel.rank]
        self.channels_last: set[str] = set()  # the parameters that are stored with their channels last in memory

    def number(self, dim: Dim) -> int:
        """The value of a dim at the sizes that the module is built for."""
        return dim.value(self.env)

    def constant(self, dim: Dim) -> bool:
        """Whether the value of a dim does not depend on the input."""
        return not any(dim.power_of(symbol) for symbol in self.symbolic)

    def weights(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, by its name."""
        steps = zip(self.kernel.steps, self.kernel.outcomes, strict=True)
        weighted = [(number, step) for number, (step, outcome) in enumerate(steps, 1) if outcome.weight is not None]
        dims = {f"w{number}": weight_dims(step, self.kernel.shapes[step.ins[0]]) for number, step in weighted}
        return {name: tuple(map(self.number, layout)) for name, layout in dims.items()}

    def weight_with_channels_last(self, weight: str) -> str:
        """The weight of a convolution with its channels last in memory: stored so, or brought so where it is computed."""
        name = weight.removeprefix("self.")
        if not name.isidentifier():
            return f"channels_last({weight})"
        self.channels_last.add(name)
        return weight

    def empty(self, name: str, shape: str) -> str:
        """The parameter of that name and shape, in the memory format of the convolution that reads it."""
        memory_format = ", memory_format=torch.channels_last" if name in self.channels_last else ""
        return f"self.{name} = nn.Parameter(torch.empty({shape}{memory_format}))"

    def size(self, dim: Dim) -> str:
        """A dim as a Python expression."""
        if self.constant(dim):
            return str(self.number(dim))
        factor, names = self._split(dim)
        self.names.update(names)
        above = " * ".join([str(factor.numerator)] * (factor.numerator != 1) + names)
        return above if factor.denominator == 1 else f"{above} // {factor.denominator}"

    def _split(self, dim: Dim) -> tuple[Fraction, list[str]]:
        """The constant factor of a dim, and the names of the positions that it is multiplied by."""
        names = []
        for symbol in self.symbolic:
            for _ in range(dim.power_of(symbol)):
                names.append(symbol.lower())
                dim = dim / Dim.symbol(symbol)
        return dim.rational(self.env), names

    def sizes(self, dims: Iterable[Dim]) -> str:
        """The batch and dims as arguments of `reshape`."""
        self.names.add("n")
        return ", ".join(["n", *(self.size(dim) for dim in dims)])

    def reshape(self, tensor: str, form: Form) -> str:
        """A tensor of any form in a given one."""
        return reshaped(tensor, self.sizes(form))

    def view(self, tensor: str, old: Form, new: Form) -> str:
        """A tensor of one form in another form with the same elements in the same order."""
        return tensor if old == new else self.reshape(tensor, new)

    def root(self, dim: Dim) -> str:
        """The square root of a dim; empty where it is 1."""
        if self.constant(dim):
            value = self.number(dim)
            return "" if value == 1 else repr(value**0.5)
        return f"({self.size(dim)}) ** 0.5"

    def add(self, name: str, expression: str, comment: str) -> None:
        """One more line: `name = expression  # comment`."""
        self.lines.append((name, expression, comment))

    def checks(self) -> list[Check]:
        """What must hold of an input, beyond what was checked when the module was built."""
        if self.kernel.fixed_size:
            return self._size_checks()
        found: dict[str, Check] = {}
        if self.symbolic:
            names = [symbol.lower() for symbol in self.symbolic]
            self._check(f"{' * '.join(names)} > 0", "an image without positions:", names, found)
        for number, dim in self.kernel.dims:
            factor, names = self._split(dim)
            if factor.denominator != 1:
                above = " * ".join([str(factor.numerator)] * (factor.numerator != 1) + names)
                remainder = f"({above}) % {factor.denominator}" if " " in above else f"{above} % {factor.denominator}"
                self._check(f"{remainder} == 0", f"{self._where(number)}: the dim {dim} is no integer at", names, found)
        for number, step in enumerate(self.kernel.steps, 1):
            for name, by in step.reaches():
                dim = self.kernel.shapes[step.ins[0]].axis(name)
                if not self.constant(dim):
                    message = f"{self._where(number)}: the axis of {dim} is not longer than the shift by {by} at"
                    self._check(f"{self.size(dim)} > {abs(by)}", message, self._split(dim)[1], found)
        return list(found.values())

    def _check(self, condition: str, message: str, names: Iterable[str], found: dict[str, Check]) -> None:
        """One more check, whose message ends with the positions of those names."""
        names = tuple(dict.fromkeys(names))
        self.names.update(names)
        sizes = ", ".join(f"{name.upper()} = {{}}" for name in names)
        found.setdefault(condition, (condition, f"{message} {sizes}", names))

    def _size_checks(self) -> list[Check]:
        names = ("h", "w")[: self.kernel.rank]
        self.names.update(names)
        size = tuple(self.env[name.upper()] for name in names)
        found = "({}, {})" if len(names) == 2 else "({},)"
        message = f"this kernel has weights over positions and was built for the size {size}, not {found}"
        return [(f"{name} == {value}", message, names) for name, value in zip(names, size, strict=True)]

    def _where(self, number: int) -> str:
        return f"step {number} ({self.kernel.steps[number - 1].op})"
