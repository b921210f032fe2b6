"""The kernel language: dims, shapes, primitives, programs, their normal form and cost. Needs no torch."""

from kas.language.costs import Cost, cost, environment
from kas.language.dims import Dim
from kas.language.errors import Infeasible, InvalidKernel, KasError
from kas.language.kernel import Kernel
from kas.language.primitives import FAMILIES, OPS, Outcome, Step
from kas.language.shapes import Shape, Side

__all__ = [
    "FAMILIES",
    "OPS",
    "Cost",
    "Dim",
    "Infeasible",
    "InvalidKernel",
    "KasError",
    "Kernel",
    "Outcome",
    "Shape",
    "Side",
    "Step",
    "cost",
    "environment",
]
