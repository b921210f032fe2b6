"""Writing the nodes of a plan as lines of Python: values with the form that they happen to have, and short-lived names."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

from kas.language.dims import ONE, Dim
from kas.lowering.code import Code, Form, form_of
from kas.lowering.graph import Node

__all__ = ["Emit", "Emitter", "Value", "chunks", "runs"]


# What makes a new tensor, and for its own gradient needs at most its operands: torch keeps the result of the others.
_NEEDED_BY_NO_GRADIENT = frozenset(
    (
        *("convolve", "project", "fc", "mix", "filter", "local"),
        *("add", "sub", "mul", "neg", "scale", "bias", "affine", "gelu", "sin", "abs", "sqr"),
    )
)


@dataclass(frozen=True)
class Value:
    """A variable and its form: the dims of its torch axes after the batch, whose product is that of the node's shape."""

    name: str
    form: Form


Emit = Callable[["Emitter", Node], tuple[str, Form]]


def chunks(form: Form, parts: Iterable[Dim]) -> list[range] | None:
    """The positions in `form` of each of the consecutive parts; None if a part starts or ends within an axis."""
    found, at = [], 0
    for part in parts:
        start, total = at, ONE
        while total is not part and at < len(form):
            total = total * form[at]
            at += 1
        if total is not part:
            return None
        found.append(range(start, at))
    return found if at == len(form) else None


def runs(marked: Iterable[tuple[Dim, bool]]) -> list[tuple[Dim, bool]]:
    """Neighbours with the same mark joined into one; empty axes left out."""
    found: list[tuple[Dim, bool]] = []
    for dim, mark in marked:
        if dim is ONE:
            continue
        if found and found[-1][1] == mark:
            found[-1] = (found[-1][0] * dim, mark)
        else:
            found.append((dim, mark))
    return found


class Emitter:
    """The values of the nodes so far, and the names that are free again."""

    def __init__(self, code: Code, readers: Mapping[Node, int], matrices: Mapping[Node, Form], later: Mapping[Node, Node]):
        """`matrices`: the values that are kept as matrices; `later`: who divides the products that leave their division."""
        self.code = code
        self.values: dict[Node, Value] = {}
        self._readers = dict(readers)
        self._owner: dict[str, int] = {}  # how many reads of a name are still to come
        self._free: list[str] = []
        self._temporary: list[str] = []
        self._count = 0
        self._prefix = "t"
        self.pads: dict[Node, str] = {}  # of the shifted images of a loop: the padded image
        self._shapes = code.weights()
        self._matrices, self._later = matrices, later
        self._left: dict[Node, list[str]] = {}

    def start(self, node: Node, value: Value) -> None:
        """Enter a value: the input, one just assigned, or another view of a variable."""
        self.values[node] = value
        self._owner[value.name] = self._owner.get(value.name, 0) + self._readers[node]

    def write(self, node: Node, expression: str, form: Form, reads: Iterable[Node] | None = None) -> None:
        """Enter the value of a node; a line for it, unless it is a variable already. The names of dead values go first.

        `reads`: what the expression reads, where that is not what the node does.
        """
        wanted = self.wanted(node, form)
        if wanted != form and isinstance(ast.parse(expression, mode="eval").body, ast.Call | ast.Attribute):
            expression, form = self.code.reshape(expression, wanted), wanted
        alias = expression.isidentifier() and (expression in self._owner or expression in self._temporary)
        if alias:
            self._temporary = [name for name in self._temporary if name != expression]
            self.start(node, Value(expression, form))
        for read in node.ins if reads is None else reads:
            name = self.values[read].name
            self._owner[name] -= 1
            if not self._owner[name]:
                del self._owner[name]
                self._free.append(name)
        self._free += self._temporary
        self._temporary = []
        if not alias:
            name = self._name()
            self.code.add(name, expression, str(node.shape))
            self.start(node, Value(name, form))

    def wanted(self, node: Node, form: Form) -> Form:
        """The form in which a value is kept that was made in another one."""
        return self._matrices.get(node, form)

    def only_reader(self, node: Node) -> bool:
        """Whether this node has one reader in all, so that no gradient of another one needs its value."""
        return self._readers[node] == 1

    def spare(self, node: Node) -> bool:
        """Whether the memory of a value may be written over: it is new, nothing else reads it, and no gradient needs it."""
        while node.op in ("view", "image") and self.only_reader(node):
            node = node.ins[0]
        new = node.op in _NEEDED_BY_NO_GRADIENT or (node.op in ("matmul", "bmm") and not getattr(node.step, "softmax", True))
        return new and self.only_reader(node)

    def variable(self, expression: str) -> str:
        """A name for an expression that is needed more than once while a node is written."""
        if expression.isidentifier():
            return expression
        name = self._name()
        self._temporary.append(name)
        self.code.add(name, expression, "")
        return name

    @contextmanager
    def scope(self, readers: Mapping[Node, int]) -> Iterator[list[tuple[str, str, str]]]:
        """The body of a loop: its lines go to the list, its names (`s1`, `s2`) are used nowhere else."""
        kept = self.code.lines, self._temporary, self._free, self._count, self._prefix, dict(self._owner)
        self.code.lines, self._temporary, self._free, self._count, self._prefix = [], [], [], 0, "s"
        self._readers.update(readers)
        try:
            yield self.code.lines
        finally:
            self.code.lines, self._temporary, self._free, self._count, self._prefix, self._owner = kept

    def _name(self) -> str:
        if self._free:
            return self._free.pop()
        self._count += 1
        return f"{self._prefix}{self._count}"

    def divisor(self, node: Node, root: str = "") -> str:
        """What a node is to be divided by: its own root and those left to it; empty where there are none, or others do it."""
        roots = [*self._left.pop(node, ()), *([root] if root else [])]
        if node in self._later:
            self._left.setdefault(self._later[node], []).extend(roots)
            return ""
        return roots[0] if len(roots) == 1 else f"({' * '.join(roots)})" if roots else ""

    def reshaped(self, node: Node, form: Form) -> str:
        """The expression of a node in a given form."""
        value = self.values[node]
        return self.code.view(value.name, value.form, form)

    def split(self, node: Node, marked: Iterable[tuple[Dim, bool]]) -> tuple[str, Form, list[int]]:
        """A node in a form that no run of marked axes shares with others: expression, form, positions of the marked axes.

        `marked` has dim and mark of all axes of the node's shape; the form that the value has is kept if it will do.
        """
        marked = list(marked)
        parts = runs(marked)
        value = self.values[node]
        found = chunks(value.form, (dim for dim, _ in parts))
        if found is None:
            form = tuple(dim for dim, _ in marked if dim is not ONE)
            at = [i for i, mark in enumerate(mark for dim, mark in marked if dim is not ONE) if mark]
            return self.reshaped(node, form), form, at
        return value.name, value.form, [i for part, (_, mark) in zip(found, parts, strict=True) if mark for i in part]

    def axes(self, node: Node) -> str:
        """A node with one torch axis for each non-empty axis."""
        return self.reshaped(node, form_of(node.shape))

    def parameter(self, number: int, shape: Iterable[int]) -> str:
        """The parameter of a step in a given shape."""
        name, wanted = f"w{number}", tuple(shape)
        assert prod(wanted) == prod(self._shapes[name])
        return f"self.{name}" if self._shapes[name] == wanted else f"self.{name}.reshape({', '.join(map(str, wanted))})"

    def raw(self, number: int) -> tuple[str, tuple[int, ...]]:
        """The parameter of a step as it is stored, and its shape."""
        return f"self.w{number}", self._shapes[f"w{number}"]
