"""The primitives: a family a file, and the one table that names them all."""

from __future__ import annotations

from kas.language.primitives import binary, linear, matmul, pointwise, products, reductions, scaling, spatial, views, windows
from kas.language.primitives._base import Outcome, Step, product

__all__ = ["FAMILIES", "OPS", "Outcome", "Step", "product"]

# The families, and the primitives of each. A new primitive is one class in its family's file and one word here.
FAMILIES: dict[str, tuple[type[Step], ...]] = {
    "views": (views.Group, views.Ungroup, views.Transpose),
    "spatial": (spatial.Shift, spatial.Unfold),
    "reductions": (reductions.Fold, reductions.Softmax, reductions.Normalize),
    "linear": (linear.Fc, linear.Conv, linear.Mix),
    "scaling": (scaling.Scale, scaling.Bias),
    "pointwise": (
        pointwise.Gelu,
        pointwise.Relu,
        pointwise.Sigmoid,
        pointwise.Tanh,
        pointwise.Abs,
        pointwise.Exp,
        pointwise.Neg,
        pointwise.Sin,
        pointwise.Sqrt,
        pointwise.Sqr,
    ),
    "binary": (binary.Add, binary.Sub, binary.Mul, binary.Div, binary.Max, binary.Min),
    "matmul": (matmul.Matmul,),
    "windows": (
        windows.Window,
        windows.Unwindow,
        windows.Subpixel,
        windows.Pool,
        windows.Upsample,
        windows.Col2im,
        windows.SpatialShift,
    ),
    "products": (products.Bmm, products.Reassemble),
}

OPS: dict[str, type[Step]] = {primitive.op: primitive for family in FAMILIES.values() for primitive in family}
