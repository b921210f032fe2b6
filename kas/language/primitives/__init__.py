"""The primitives: a family a file, and the one table that names them all.

`filter` has `axis` (one of `c`, `h`, `w` with its side, as `0.c`), odd `k` > 1 and `d` (default 1): one filter of `k` weights slides
along the axis of any tensor, zero padded, the same for everything else: `y[i] = sum_j w[j] x[i + (j - (k-1)/2)*d]`; k parameters,
k times the product of the tensor in MACs, per sample.

Windows and products, none of which has parameters; all but `bmm` need `[channel | spatial]`, and `over` is `h`, `w` or `hw`:

| op | attributes | result | MACs, per sample |
|---|---|---|---|
| `window` | `over`, `size` > 1, `grid` (default false) | position `q*size + r` becomes tap `r` of `q` (`kh = size`, `h = h/size`); with `grid` tap `q` of `r` (`kh = h/size`, `h = size`) | 0 |
| `unwindow` | `over`, `grid` | its inverse: `h = h*kh`, `kh` empty | 0 |
| `subpixel` | `over`, `k` > 1 | `c = c/k` for each axis, `kh`, `kw` of `k`, which come last | 0 |
| `pool` | `over`, `k` > 1, `how` `mean`/`max` | `h = h/k`, without overlap | 0 |
| `upsample` | `over`, `k` > 1 | `h = h*k`, nearest | 0 |
| `col2im` | `over`, `d` (default 1) | adds taps where they fall, the adjoint of `unfold`; `kh` odd, then empty | 0 |
| `spatial_shift` | `by`: pairs `[dh, dw]`, at least two; `pad` `zero`/`edge`/`roll` | each of `len(by)` equal parts of `c` shifted by its own pair; g, kh, kw empty | 0 |
| `bmm` | `batch`: of `g, kh, kw, h, w`; `t`, `softmax` as of `matmul` | `matmul` for each index of the batch, which both operands have | batch · rows · contracted · columns |
| `reassemble` | | `[g, c, kh, kw]` by `[g or none, kh*kw, kh', kw']`, at each position: `[g, c, kh', kw']` | result · kh·kw |
"""  # noqa: E501

from __future__ import annotations

from kas.language.primitives import binary, linear, matmul, pointwise, products, reductions, scaling, spatial, views, windows
from kas.language.primitives._base import Outcome, Step, product

__all__ = ["FAMILIES", "OPS", "Outcome", "Step", "product"]

# The families, and the primitives of each. A new primitive is one class in its family's file and one word here.
FAMILIES: dict[str, tuple[type[Step], ...]] = {
    "views": (views.Group, views.Ungroup, views.Transpose),
    "spatial": (spatial.Shift, spatial.Unfold),
    "reductions": (reductions.Fold, reductions.Softmax, reductions.Normalize),
    "linear": (linear.Fc, linear.Conv, linear.Mix, linear.Filter),
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
