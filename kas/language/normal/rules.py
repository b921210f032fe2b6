"""The one table of rewrite rules: for each op of the graph, in the order in which they are tried.

Each rule is a small function whose docstring is its reason; it gives an equal tensor (equal functions, the same weights up to a
view and a constant factor) or None. Sums, products, extremes (`arithmetic`) and chains of matrix products (`maps.chain`) are
flat and unordered by construction. Rewriting ends: a rule removes a node or moves one in its one direction (numbers, rolls,
shuffles, taps, and what is constant along the axes outwards; folds inwards).
"""

from __future__ import annotations

from kas.language.normal.folds import PEAK
from kas.language.normal.functions import FUNCTIONS
from kas.language.normal.graph import Rule
from kas.language.normal.maps import LIN, MIX
from kas.language.normal.means import MEAN
from kas.language.normal.moves import PERM, ROLL, UNF

__all__ = ["RULES"]

RULES: dict[str, tuple[Rule, ...]] = {
    "roll": ROLL,
    "perm": PERM,
    "unf": UNF,
    "mean": MEAN,
    "peak": PEAK,
    "lin": LIN,
    "mix": MIX,
    **FUNCTIONS,
}
