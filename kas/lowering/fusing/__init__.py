"""The inference form of kernels: linear sub-graphs between non-linearities become one convolution where that is cheaper.

read (steps -> affine maps of channels at neighbouring positions, in float64) -> search (which to merge) -> write (a program
again, in the same language, with merged weights) -> build -> check.
"""

from kas.lowering.fusing.convolutions import AffineMap, convolution, linear_price, map_of, price_of_map
from kas.lowering.fusing.kernels import fuse_kernel, fuse_kernel_before
from kas.lowering.fusing.report import Fused, fused_parts

__all__ = [
    "AffineMap",
    "Fused",
    "convolution",
    "fuse_kernel",
    "fuse_kernel_before",
    "fused_parts",
    "linear_price",
    "map_of",
    "price_of_map",
]
