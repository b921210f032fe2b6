"""Names that say what a tensor is, for the lines of a forward whose names are only numbers.

A name follows from the expression that makes the value and from what reads it: `queries`, `keys`, `attention`, `gate`, `taps`.
Each is unique, except that a value takes the name of one of the same role that it replaces: `hidden = F.relu(hidden)`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["named"]

Line = tuple[str, str, str]  # name ("" of a statement, "return" of the last one), expression, comment

_CALLS = {
    "F.unfold": "taps", "F.pad": "padded", "F.scaled_dot_product_attention": "attended", "torch.softmax": "shares",
    "torch.roll": "shifted", "F.layer_norm": "standardized", "torch.sigmoid": "gate", "F.avg_pool2d": "pooled",
    "F.avg_pool1d": "pooled", "F.max_pool2d": "pooled", "F.max_pool1d": "pooled", "torch.maximum": "larger",
    "torch.minimum": "smaller", "torch.where": "ratio", "F.fold": "summed", "torch.cat": "shifted",
    "torch.einsum": "recombined", "torch.rsqrt": "inverse_norms",
}  # fmt: skip
_METHODS = {
    "mean": "averaged", "amax": "peaks", "logsumexp": "shares", "chunk": "parts", "unbind": "parts", "narrow": "hidden",
    "repeat_interleave": "repeated",
}  # fmt: skip
_OPERATORS = {ast.Add: "summed", ast.Sub: "difference", ast.Mult: "product", ast.Div: "ratio"}
_KEEPING = {"F.relu", "F.gelu", "torch.tanh", "torch.sin"}  # of what they replace, the name stays
_VIEWS = {"reshape", "transpose", "permute", "squeeze", "unsqueeze", "contiguous", "expand"}
_LARGE = {"taps", "padded", "attention"}  # larger than the input, as a rule: let go as soon as nothing reads them


@dataclass
class _Value:
    """One value of the forward: which line makes it, with which role, and which lines read it."""

    line: int
    role: str = "hidden"
    readers: list[int] = field(default_factory=list)
    name: str = ""


def named(lines: Iterable[Line]) -> list[Line]:
    """The same lines with other names, parsed and written again, so that needless parentheses go."""
    rows = list(lines)
    bodies = [ast.parse(expression) for _, expression, _ in rows]
    values, reads = _values(rows, bodies)
    for value in values[1:]:
        value.role = _role(bodies[value.line], reads[value.line], rows[value.line][2])
    _by_their_readers(rows, bodies, values, reads)
    return _renamed(rows, bodies, values, reads)


def _values(rows: list[Line], bodies: list[ast.Module]) -> tuple[list[_Value], list[dict[str, _Value]]]:
    """All values, the input first, and for each line the values that its names stand for."""
    current = {"x": _Value(-1, "x", name="x")}
    values, reads = [current["x"]], []
    for number, ((name, _, _), body) in enumerate(zip(rows, bodies, strict=True)):
        seen = dict.fromkeys(node.id for node in ast.walk(body) if isinstance(node, ast.Name))
        read = {one: current[one] for one in seen if one in current}
        for value in read.values():
            value.readers.append(number)
        reads.append(read)
        if name not in ("", "return"):
            current[name] = _Value(number)
            values.append(current[name])
    return values, reads


def _core(node: ast.expr) -> ast.expr:
    """What makes a value, without the views around it and the constant that it is divided by."""
    while True:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _VIEWS:
            node = node.func.value
        elif isinstance(node, ast.Attribute) and node.attr == "mT":
            node = node.value
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and not _tensors(node.right):
            node = node.left
        else:
            return node


def _tensors(node: ast.AST) -> bool:
    """Whether an expression reads a tensor: a variable that is no size."""
    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return bool(names - {"n", "c", "h", "w", "self", "torch", "F"}) or "self.w" in ast.unparse(node)


def _role(body: ast.Module, read: dict[str, _Value], shape: str) -> str:
    """The role of a value by the expression that makes it, and by its shape as the line's comment has it."""
    statement = body.body[0]
    assert isinstance(statement, ast.Expr)
    node = _core(statement.value)
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called in _CALLS:
            product = re.search(r"torch\.(bmm|baddbmm|matmul)\(", ast.unparse(node))
            return "attention" if called == "torch.softmax" and product else _CALLS[called]
        if called in ("torch.bmm", "torch.baddbmm", "torch.matmul", "F.linear", "F.conv1d", "F.conv2d"):
            return _product_role(called, node, read, shape)
        method = called.rpartition(".")[2]
        if method in _METHODS:
            return _METHODS[method]
        if called == "torch.addcmul":
            return "scaled" if "self.w" in ast.unparse(node.args[0]) else "summed"
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _operator_role(node, read)
    single = next(iter(read.values())) if len(read) == 1 else None
    if single is not None and single.role == "x" and isinstance(node, ast.Name):
        return "pixels"
    return single.role if single is not None and single.role != "x" else "hidden"


def _product_role(called: str, node: ast.Call, read: dict[str, _Value], shape: str) -> str:
    """A linear map by its weight, or the product of two activations."""
    text = ast.unparse(node)
    if "self.w" not in text:
        if len(read) == 1:
            return "gram"
        attends = any(value.role == "attention" for value in read.values())
        return "attended" if attends else "scores"
    if called.startswith("F.conv"):
        return "filtered"
    return "mixed" if re.search(r"\bc=C( |\])", shape) else "hidden"


def _operator_role(node: ast.BinOp, read: dict[str, _Value]) -> str:
    text = ast.unparse(node)
    if "rsqrt" in text:
        return "normalized"
    if "torch.where" in text:
        return "ratio"
    if re.search(r"self\.w\d", ast.unparse(node.right)):
        return "scaled" if isinstance(node.op, ast.Mult) else "biased"
    if isinstance(node.op, ast.Sub) and ".mean(" in text:
        return "centred"
    if isinstance(node.op, ast.Mult) and any(value.role == "gate" for value in read.values()):
        return "gated"
    return _OPERATORS[type(node.op)]


def _by_their_readers(rows: list[Line], bodies: list[ast.Module], values: list[_Value], reads: list[dict[str, _Value]]) -> None:
    """The operands of an attention are its queries, keys and values, those of a loop over taps its filters and their sum.

    `qkv` is what has queries, keys and values as its parts.
    """
    made = {value.line: value for value in values}
    for number, body in enumerate(bodies):
        if isinstance(body.body[0], ast.For):
            for node in ast.walk(body):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in reads[number]:
                    reads[number][node.id].role = "summed"
                inner = node.value if isinstance(node, ast.Subscript) else None
                if isinstance(inner, ast.Name) and inner.id in reads[number] and reads[number][inner.id].role != "padded":
                    reads[number][inner.id].role = "filters"
            continue
        text = rows[number][1]
        value = made.get(number)
        softmax = value is not None and value.role == "attention"
        attended = "scaled_dot_product_attention" in text or (value is not None and value.role == "attended")
        if not softmax and not attended:
            continue
        order = sorted((node for node in ast.walk(body) if isinstance(node, ast.Name)), key=lambda node: node.col_offset)
        operands = list(dict.fromkeys(node.id for node in order if node.id in reads[number]))
        words = ["queries", "keys", "values"]
        if len(operands) < 3 and not softmax:
            operands = [name for name in operands if reads[number][name].role != "attention"]
            words = ["qkv" if "scaled_dot_product_attention(*" in text else "values"]
        for name, word in zip(operands, words, strict=False):
            operand = reads[number][name]
            if operand.role in ("mixed", "filtered", "hidden"):
                operand.role = word
                before = reads[operand.line] if operand.line >= 0 else {}
                for source, seen in before.items():  # of which it is a view
                    if seen.readers == [operand.line] and rows[operand.line][1].startswith(f"{source}.reshape("):
                        seen.role = word if seen.role == "hidden" else seen.role


def _renamed(rows: list[Line], bodies: list[ast.Module], values: list[_Value], reads: list[dict[str, _Value]]) -> list[Line]:
    made = {value.line: value for value in values}
    used: set[str] = {"x", "n", "c", "h", "w", "i", "j", "self", "torch", "F", "tap"}
    result: list[Line] = []
    gone: set[str] = set()
    for number, ((name, _, comment), body) in enumerate(zip(rows, bodies, strict=True)):
        names = {old: value.name for old, value in reads[number].items()}
        for node in ast.walk(body):
            if isinstance(node, ast.Name):
                node.id = names.get(node.id, node.id)
        dying = [value for value in reads[number].values() if value.readers[-1] == number and value.line >= 0]
        text = ast.unparse(body)
        if name in ("", "return"):
            result.append((name, text, comment))
        else:
            value = made[number]
            heir = next((one for one in dying if one.role == value.role or _keeps(text, one.name, value.role)), None)
            value.name = _unique(value.role, used) if heir is None else heir.name
            if heir is not None:
                dying.remove(heir)
                value.role = heir.role
            result.append((value.name, text, comment))
        gone = {value.name for value in dying if value.role in _LARGE}
        if gone and name != "return" and number + 2 < len(rows):
            result.append(("", f"del {', '.join(sorted(gone))}", ""))
    return result


def _keeps(text: str, name: str, role: str) -> bool:
    """Whether a line only applies a function to the value of that name."""
    return role not in ("filters", "parts") and text.startswith(
        (*(f"{function}({name}" for function in _KEEPING), f"{name}.reshape(")
    )


def _unique(role: str, used: set[str]) -> str:
    name, count = role, 1
    while name in used:
        count += 1
        name = f"{role}{count}"
    used.add(name)
    return name
