"""The two solvers: shapes inside a kernel, and budgets over targets. Needs no torch."""

from kas.solvers.budgets import Solver, solve
from kas.solvers.shapes import factor_solutions, solutions, substitute
from kas.solvers.sizes import Sizes
from kas.solvers.targets import Adapter, Target

__all__ = ["Adapter", "Sizes", "Solver", "Target", "factor_solutions", "solutions", "solve", "substitute"]
