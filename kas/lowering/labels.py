"""The words of a drawing: steps, shapes and costs, short enough for a box."""

from __future__ import annotations

from typing import Any

from kas.language.dims import ONE, SYMBOLS, Dim
from kas.language.primitives import FAMILIES, Outcome, Step
from kas.language.shapes import Shape, Side
from kas.lowering.parameters import weight_dims

__all__ = ["COLOURS", "FAMILY_OF", "cost_text", "dim_text", "shape_text", "step_text", "weight_text"]

FAMILY_OF = {primitive.op: family for family, primitives in FAMILIES.items() for primitive in primitives}

# Fill and outline of a drawing's boxes, by family.
COLOURS = {
    "views": ("#eceff1", "#90a4ae"),
    "spatial": ("#e0f2f1", "#26a69a"),
    "reductions": ("#fff3e0", "#fb8c00"),
    "linear": ("#e3f2fd", "#1e88e5"),
    "scaling": ("#ede7f6", "#7e57c2"),
    "pointwise": ("#f1f8e9", "#7cb342"),
    "binary": ("#fce4ec", "#d81b60"),
    "matmul": ("#fffde7", "#c0a000"),
    "windows": ("#efebe9", "#8d6e63"),
    "products": ("#fbe9e7", "#e64a19"),
    "": ("#37474f", "#37474f"),  # input and output
}

_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def dim_text(dim: Dim) -> str:
    """A dim for reading: `9·C²·H·W/4`."""
    above = [str(dim.numerator)] * (dim.numerator != 1)
    below = [str(dim.denominator)] * (dim.denominator != 1)
    for symbol, power in zip(SYMBOLS, dim.powers, strict=True):
        if power:
            text = symbol if abs(power) == 1 else symbol + str(abs(power)).translate(_RAISED)
            (above if power > 0 else below).append(text)
    return "·".join(above or ["1"]) + "".join(f"/{factor}" for factor in below)


def shape_text(shape: Shape) -> str:
    """A shape for an edge: `G, C/G | H, W`; only axes of another kind than their place says are named, as `kh=3`."""
    return f"{_side_text(shape.first)} | {_side_text(shape.second)}"


def _side_text(side: Side) -> str:
    clear = [name == "c" or dim.text == name.upper() for name, dim in side.axes()]
    named = [f"{name}=" * (not own) + dim_text(dim) for own, (name, dim) in zip(clear, side.axes(), strict=True)]
    return ", ".join(named) or "·"


def weight_text(step: Step, shape: Shape) -> str:
    """The shape of a weight: `C/4×C`; `shape` is that of the step's input. Axes of one only of maps."""
    dims = weight_dims(step, shape)
    if step.op in ("scale", "bias", "filter"):
        dims = tuple(dim for dim in dims if dim is not ONE)
    return "×".join(map(dim_text, dims)) or "1"


def cost_text(step: Step, outcome: Outcome, shape: Shape) -> str:
    """Weight and MACs of a step that reads a tensor of `shape`: `C/4×C weights, C²·H·W/4 MACs`; empty if it has neither."""
    words = []
    if outcome.weight is not None:
        words.append(f"{weight_text(step, shape)} weights")
    if outcome.macs is not None:
        words.append(f"{dim_text(outcome.macs)} MACs")
    return ", ".join(words)


def step_text(step: Step) -> str:
    """The op and what its attributes say, defaults left out: `unfold hw 3`, `fc → C/4`."""
    words: list[str] = [step.op]
    for name, (codec, default) in step.codecs().items():
        value = getattr(step, name)
        if name in ("op", "ins") or value is None or (value == default and name != "t"):
            continue
        words.append(_attribute_text(name, codec.kind, value))
    return " ".join(word for word in words if word)


def _attribute_text(name: str, kind: str, value: Any) -> str:
    if kind == "axes":
        return " ".join(value)
    if kind == "flag":
        return name
    if name == "t":
        return {(False, False): "l·r", (True, False): "lᵀ·r", (False, True): "l·rᵀ", (True, True): "lᵀ·rᵀ"}[tuple(value)]
    if kind == "names":
        return "of " + " ".join(value)
    if kind == "pairs":
        return "by " + " ".join(f"{h:+d},{w:+d}" for h, w in value) if len(value) < 5 else f"by {len(value)} shifts"
    if kind == "dims":
        return "→ " + ", ".join(dim_text(dim) for dim in value)
    if kind == "dim":
        return ("→ " if name == "to" else "by ") + dim_text(value)
    if kind == "pair":
        return ("d=" if name == "d" else "") + "×".join(map(str, value))
    if name == "by":
        return f"by {value:+d}"
    if name == "side":
        return f"side {value}"
    return f"d={value}" if name == "d" else str(value)
