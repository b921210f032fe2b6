"""An independent reading of the normal form: its graph as numbers, to compare with the plain lowering of the program."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod, sqrt
from typing import Any

import op_reference
import torch
from torch import Tensor

from kas.language import Dim, Kernel
from kas.language.dims import ONE
from kas.language.normal.form import Form
from kas.language.normal.layout import cut
from kas.language.primitives.linear import Filter, Mix

_PLAIN = {
    "gelu": torch.nn.functional.gelu,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "abs": torch.abs,
    "exp": lambda x: torch.exp(x.clamp(max=10)),
    "sin": lambda x: torch.sin(torch.pi * x / 2),
    "sqrt": lambda x: torch.sqrt(x.abs().clamp(min=1e-6)),
    "recip": lambda x: torch.where(x < 0, -1.0, 1.0).to(x) / x.abs().clamp(min=1e-3),
}


class Unsupported(Exception):
    """A view of a weight, or a step that no rule reads, that this reading does not follow."""


class Evaluator:
    """Values of the nodes of a form, for `x` of shape [N, C, H*W] and a weight for each token, in the layout of its step."""

    def __init__(self, kernel: Kernel, form: Form, env: Mapping[str, int], x: Tensor, weights: Mapping[int, Tensor]):
        self.kernel, self.graph, self.env, self.x, self.weights = kernel, form.graph, env, x, weights
        self.values: dict[int, Tensor] = {}

    def size(self, dim: Dim) -> int:
        return dim.value(self.env)

    def edge(self, edge: int) -> Tensor:
        """[N, side 0, side 1]."""
        number = edge >> 1
        if number not in self.values:
            self.values[number] = self.node(number)
        value = self.values[number]
        return value.transpose(1, 2) if edge & 1 else value

    def node(self, number: int) -> Tensor:
        node = self.graph.nodes[number]
        if node.op == "in":
            return self.x
        if node.op == "fixed":
            raise Unsupported("a step that no rule reads")
        if node.op in ("add", "mul", "max", "min"):
            return self.terms(node)
        if node.op == "mm":
            value = self.edge(node.ins[0])
            for edge in node.ins[1:]:
                value = value @ self.edge(edge) / sqrt(value.shape[2])
            return value
        if node.op == "fixed":
            return self.fixed(node)
        x = self.edge(node.ins[0])
        if node.op in _PLAIN:
            return _PLAIN[node.op](x)
        return getattr(self, node.op)(x, node)

    def fixed(self, node: Any) -> Tensor:
        """Windows and products, by their definitions; an edge is `[N, side 0, side 1]`."""
        op, attributes, shapes = node.attrs
        values = [self.edge(edge) for edge in node.ins]
        sizes = [[[self.size(dim) for dim in side] for side in shape] for shape in shapes]
        result = [self.size(dim) for dim in node.shape]
        if op == "bmm":
            return self.product(attributes, values, shapes, sizes).reshape(-1, *result)
        images = []
        for value, (first, second) in zip(values, sizes, strict=True):
            images.append(value.reshape(value.shape[0], *([1] * (4 - len(first))), *first, *second))
        return getattr(op_reference, op)(*images, *attributes).reshape(-1, *result)

    def product(self, attributes: Any, values: list[Tensor], shapes: Any, sizes: Any) -> Tensor:
        batch, t, softmax = attributes
        names = {2: ("h", "w"), 4: ("g", "c", "kh", "kw"), 5: ("g", "kh", "kw", "h", "w")}
        operands = []
        for value, shape, lengths in zip(values, shapes, sizes, strict=True):
            full = [(f"{n}.{name}", dim, size) for n, side in enumerate(shape)
                    for name, dim, size in zip(names[len(side)], side, lengths[n], strict=True) if dim is not ONE]  # fmt: skip
            operands.append(([name for name, _, _ in full], value.reshape(value.shape[0], *(size for _, _, size in full))))
        made, y = op_reference.bmm(*operands, list(batch), list(t), softmax)
        homes = dict.fromkeys(batch, 1)
        left, right = operands[0][0], operands[1][0]
        for name in batch:
            stays_left = f"{1 if t[0] else 0}.{name}" in left
            homes[name] = 0 if stays_left or f"{0 if t[1] else 1}.{name}" not in right else 1
        order = ("g", "c", "kh", "kw", "h", "w")
        wanted = sorted(
            (f"{homes[name]}.{name}" if name in homes else name for name in made), key=lambda n: (n[0], order.index(n[2:]))
        )
        place = [made.index(name if name in made else name[2:]) for name in wanted]
        return y.permute(0, *(1 + i for i in place))

    def pieces(self, layout: Any) -> tuple[list[int], list[int]]:
        """Sizes of the pieces of both sides, and the places of the flagged ones in [N, *pieces]."""
        flat = [piece for side in layout for piece in side]
        return [self.size(dim) for dim, _ in flat], [i + 1 for i, (_, flag) in enumerate(flat) if flag]

    def terms(self, node: Any) -> Tensor:
        shape = [self.size(dim) for dim in node.shape]
        total = None
        for number, layout, edge in node.ins:
            if layout is None:
                layout = tuple(cut([(dim, True)]) for dim in node.shape)
            sizes, flagged = self.pieces(layout)
            visible = [size if i + 1 in flagged else 1 for i, size in enumerate(sizes)]
            below = self.graph.nodes[edge >> 1]
            if below.op == "w":
                weight = self.weights[below.token]
                if edge & 1:
                    first = prod(self.size(dim) for dim, flag in layout[0] if flag)
                    weight = weight.reshape(-1, first).T
                value = weight.reshape(1, *visible)
            else:
                value = self.edge(edge).reshape(-1, *visible)
            value = value.expand(self.x.shape[0], *sizes).reshape(-1, *shape)
            number = float(number)
            if node.op == "add":
                total = number * value if total is None else total + number * value
            elif node.op == "mul":
                total = value**number if total is None else total * value**number
            else:
                total = value if total is None else (torch.maximum if node.op == "max" else torch.minimum)(total, value)
        return torch.zeros(self.x.shape[0], *shape).to(self.x) if total is None else total

    def roll(self, x: Tensor, node: Any) -> Tensor:
        sizes, flagged = self.pieces(node.attrs[0])
        return torch.roll(x.reshape(-1, *sizes), [node.attrs[1]] * len(flagged), flagged).reshape(x.shape)

    def perm(self, x: Tensor, node: Any) -> Tensor:
        for side, sizes in enumerate(node.attrs[0]):
            if sizes is not None:
                a, b, post = (self.size(dim) for dim in sizes)
                y = x if side == 0 else x.transpose(1, 2)
                y = y.reshape(y.shape[0], a, b, post, -1).transpose(1, 2).reshape(y.shape)
                x = y if side == 0 else y.transpose(1, 2)
        return x

    def taps(self, x: Tensor, taps: Any) -> Tensor:
        """[N, P, Q] to [N, P, K, Q]."""
        value = x.unsqueeze(2)
        for where, k, d in taps:
            sizes = [self.size(dim) for dim, _ in where]
            axis = 3 + [flag for _, flag in where].index(True)
            y = value.reshape(*value.shape[:3], *sizes)
            rows = []
            for j in range(k):
                by = (j - (k - 1) // 2) * d
                moved = torch.zeros_like(y)
                length = y.shape[axis]
                if abs(by) < length:
                    source = y.narrow(axis, max(by, 0), length - abs(by))
                    moved.narrow(axis, max(-by, 0), length - abs(by)).copy_(source)
                rows.append(moved)
            value = torch.stack(rows, 3).reshape(x.shape[0], x.shape[1], -1, x.shape[2])
        return value

    def unf(self, x: Tensor, node: Any) -> Tensor:
        side, taps, suffix = node.attrs
        y = x if side == 0 else x.transpose(1, 2)
        after = self.size(suffix)
        value = self.taps(y, taps)
        n, p, k, q = value.shape
        value = value.reshape(n, p // after, after, k, q).transpose(2, 3).reshape(n, p * k, q)
        return value if side == 0 else value.transpose(1, 2)

    def folded(self, x: Tensor, node: Any) -> tuple[Tensor, list[int], list[int]]:
        sizes, flagged = self.pieces(node.attrs[0])
        return x.reshape(-1, *sizes), flagged, [self.size(dim) for dim in node.shape]

    def mean(self, x: Tensor, node: Any) -> Tensor:
        y, flagged, shape = self.folded(x, node)
        return y.mean(flagged).reshape(-1, *shape)

    def peak(self, x: Tensor, node: Any) -> Tensor:
        y, flagged, shape = self.folded(x, node)
        return y.amax(flagged).reshape(-1, *shape)

    def softmax(self, x: Tensor, node: Any) -> Tensor:
        y, flagged, shape = self.folded(x, node)
        y = torch.exp(y - y.amax(flagged, keepdim=True))
        return (y / y.sum(flagged, keepdim=True)).reshape(-1, *shape)

    def l2(self, x: Tensor, node: Any) -> Tensor:
        y, flagged, shape = self.folded(x, node)
        return (y / torch.sqrt((y * y).sum(flagged, keepdim=True) + 1e-6)).reshape(-1, *shape)

    def standard(self, x: Tensor, node: Any) -> Tensor:
        y, flagged, shape = self.folded(x, node)
        y = y - y.mean(flagged, keepdim=True)
        return (y / torch.sqrt((y * y).mean(flagged, keepdim=True) + 1e-6)).reshape(-1, *shape)

    def matrix(self, token: int) -> Tensor:
        """The weight of a map, axes in memory order."""
        step, weight = self.kernel.steps[token - 1], self.weights[token]
        if isinstance(step, Mix):
            shape = self.kernel.shapes[step.ins[0]]
            order = [name for name, _ in shape.axes() if name in step.axes]
            places = [step.axes.index(name) for name in order]
            new = dict(zip(step.axes, step.to, strict=True))
            sizes = [self.size(new[name]) for name in step.axes] + [self.size(shape.axis(name)) for name in step.axes]
            weight = weight.reshape(sizes).permute(*places, *[p + len(places) for p in places])
        return weight

    def mixed(self, token: int) -> bool:
        return isinstance(self.kernel.steps[token - 1], Mix | Filter)

    def lin(self, x: Tensor, node: Any) -> Tensor:
        side, groups, _, to, taps = node.attrs
        g, out = self.size(groups), self.size(to)
        weight = self.matrix(node.token).reshape(g, out // g, -1)
        if getattr(self.kernel.steps[node.token - 1], "to", None) not in (to, (to,)) and not self.mixed(
            node.token
        ):  # mean of a scale
            weight = weight / weight.shape[2]
        y = x if side == 0 else x.transpose(1, 2)
        value = self.taps(y, taps)
        value = torch.einsum("goi,ngiq->ngoq", weight, value.reshape(value.shape[0], g, -1, value.shape[3]))
        value = value.reshape(value.shape[0], out, -1)
        return value if side == 0 else value.transpose(1, 2)

    def slide(self, x: Tensor, node: Any) -> Tensor:
        layout, k, d = node.attrs
        sizes, (axis,) = self.pieces(layout)
        y, weight = x.reshape(-1, *sizes), self.weights[node.token].reshape(-1)
        total = torch.zeros_like(y)
        for j in range(k):
            for to in range(y.shape[axis]):
                source = to + (j - (k - 1) // 2) * d
                if 0 <= source < y.shape[axis]:
                    total.select(axis, to).add_(weight[j] * y.select(axis, source))
        return total.reshape(x.shape)

    def mix(self, x: Tensor, node: Any) -> Tensor:
        flat = [piece for side in node.attrs[0] for piece in side]
        if all(any(new is not None for _, new in side) for side in node.attrs[0]):
            step = self.kernel.steps[node.token - 1]
            first = [axis for axis in step.axes if axis[0] == "0"]
            if not first or len({a[0] for a in step.axes}) != 2:
                raise Unsupported
        old = [self.size(dim) for dim, new in flat if new is not None]
        new_sizes = [self.size(new) for _, new in flat if new is not None]
        weight = self.matrix(node.token).reshape(*new_sizes, *old)
        letters = "abcdefghijklm"
        ins, outs, weight_out, weight_in = "", "", "", ""
        for i, (_, new) in enumerate(flat):
            ins += letters[i]
            outs += letters[i] if new is None else letters[i].upper()
            if new is not None:
                weight_out += letters[i].upper()
                weight_in += letters[i]
        sizes = [self.size(dim) for dim, _ in flat]
        value = torch.einsum(f"{weight_out}{weight_in},n{ins}->n{outs}", weight, x.reshape(-1, *sizes))
        return value.reshape(-1, *[self.size(dim) for dim in node.shape])
