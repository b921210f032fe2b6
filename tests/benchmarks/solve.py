"""CPU time of the budget solver, and how well it fills budgets: `python tests/benchmarks/solve.py [--kernels N] [--thorough]`.

For each row kernels are sampled with a fixed seed, and every kernel that the sampler puts to its solver is solved again, as the
sampler does (`thorough=False`), with a warm solver. Times are CPU microseconds a call, the least of `--repeats` for each
kernel; `infeasible` counts refusals, which the mean includes. Use is that of the tighter limit, of kernels with free variables;
imbalance is the largest x/C of a variable over the targets by the smallest.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sampling_cases import CASES

from kas.generation.sample import Sampler
from kas.language import Infeasible, Kernel
from kas.solvers import Sizes, Solver, Target

BOTH = {ratio: {"macs": ratio, "params": ratio} for ratio in (1.0, 0.25, 0.05)}
EACH = {key: {"max": 1.0, "each": 1.25} for key in ("macs", "params")}
ROWS: list[tuple[str, dict[str, Any], int]] = [
    ("four", BOTH[1.0], 1),
    ("four", BOTH[0.25], 1),
    ("four", BOTH[0.05], 1),
    ("four", BOTH[1.0], 8),
    ("four", {**BOTH[1.0], "memory": 6.0}, 1),
    ("four", EACH, 1),
    ("four", {"macs": {"max": 1.0, "min": 0.5}, "params": 1.0}, 1),
    ("four", {"work": 1.0, "params": 1.0}, 1),
    ("resnet18", BOTH[1.0], 1),
    ("resnet18", BOTH[0.25], 1),
    ("audio", BOTH[1.0], 1),
    ("mlp", BOTH[1.0], 1),
]
HEAD = ["targets", "budget", "multiple", "calls", "infeasible", "mean us", "median", "p90", "shares us"]
HEAD += ["use", ">0.8", ">0.95", "exact", "gap", "imbalance", "p99"]


class Recorder(Solver):
    """A solver that keeps the kernels that it is asked about."""

    def __init__(self, targets: Sequence[Target], budget: dict[str, Any], multiple_of: int):
        super().__init__(targets, budget, multiple_of=multiple_of)
        self.asked: list[Kernel] = []

    def solve(self, kernel: Kernel, *, thorough: bool = True) -> Sizes:
        """As `Solver.solve`."""
        self.asked.append(kernel)
        return super().solve(kernel, thorough=thorough)


def asked_by_the_sampler(rank: int, targets: Sequence[Target], budget: dict[str, Any], number: int) -> list[Kernel]:
    """The first `number` kernels that sampling with a fixed seed asks about."""
    sampler = Sampler(rank, targets, budget)
    recorder = Recorder(targets, budget, 1)
    sampler.fitting._solver = recorder
    seed = 0
    while len(recorder.asked) < number:
        sampler.draw(np.random.default_rng([0, seed]))
        seed += 1
    return recorder.asked[:number]


@dataclass
class Measured:
    """What one row is made of."""

    times: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    uses: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    imbalances: list[float] = field(default_factory=list)
    infeasible: int = 0
    exact: int = 0


def measure(solver: Solver, kernels: Sequence[Kernel], thorough: bool, repeats: int) -> Measured:
    """Solve every kernel, after a first round that warms the tables."""
    found = Measured()
    for warm in (True, False):
        for kernel in kernels:
            seconds, sizes = timed(lambda kernel=kernel: attempt(solver, kernel, thorough), 1 if warm else repeats)
            if not warm:
                found.times.append(seconds)
                note(found, solver, kernel, sizes, repeats)
    return found


def attempt(solver: Solver, kernel: Kernel, thorough: bool) -> Sizes | None:
    """The sizes, None if there are none."""
    try:
        return solver.solve(kernel, thorough=thorough)
    except Infeasible:
        return None


def timed(call: Any, repeats: int) -> tuple[float, Any]:
    """Least CPU microseconds of a call, and what it returned."""
    least, result = float("inf"), None
    for _ in range(repeats):
        start = time.process_time_ns()
        result = call()
        least = min(least, (time.process_time_ns() - start) / 1000)
    return least, result


def note(found: Measured, solver: Solver, kernel: Kernel, sizes: Sizes | None, repeats: int) -> None:
    """Add one answer to the row."""
    if sizes is None:
        found.infeasible += 1
        return
    found.shares.append(timed(lambda: solver.shares(kernel, sizes), repeats)[0])
    if not kernel.variables:
        return
    found.uses.append(max(sizes.use.values()))
    found.exact += sizes.exact
    found.gaps.append(sizes.gap)
    for name in kernel.variables:
        ratios = [sizes.values[target.name][name] / target.channels for target in solver.targets]
        found.imbalances.append(max(ratios) / min(ratios))


def row(found: Measured) -> list[str]:
    """The numbers of a row as text."""
    times, uses = sorted(found.times), found.uses
    over = [f"{sum(use > least for use in uses) / len(uses):.3f}" for least in (0.8, 0.95)]
    return [
        str(len(times)),
        str(found.infeasible),
        f"{statistics.mean(times):.0f}",
        f"{statistics.median(times):.0f}",
        f"{times[int(0.9 * len(times))]:.0f}",
        f"{statistics.mean(found.shares):.0f}",
        f"{statistics.median(uses):.4f}",
        *over,
        str(found.exact),
        f"{max(found.gaps):.3f}",
        f"{statistics.median(found.imbalances):.2f}",
        f"{np.quantile(found.imbalances, 0.99):.1f}",
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernels", type=int, default=500, help="kernels a row")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls a kernel")
    parser.add_argument("--thorough", action="store_true", help="the exact and the wide search as well")
    parser.add_argument("--rows", type=int, nargs="*", help="numbers of the rows, from 0; all if left out")
    arguments = parser.parse_args()
    print(" | ".join(HEAD))
    for number, (name, budget, multiple_of) in enumerate(ROWS):
        if arguments.rows and number not in arguments.rows:
            continue
        case = CASES[name]
        kernels = asked_by_the_sampler(case.rank, case.targets, budget, arguments.kernels)
        solver = Solver(case.targets, budget, multiple_of=multiple_of)
        found = measure(solver, kernels, arguments.thorough, 1 if arguments.thorough else arguments.repeats)
        print(" | ".join([name, str(budget), str(multiple_of), *row(found)]), flush=True)


if __name__ == "__main__":
    main()
