"""CPU time of the budget solver, and how much of a budget it uses: `python tests/benchmarks/solve.py [--kernels N]`."""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "solvers"))

from solver_kernels import HAND, chain, kernel

from kas.language import Infeasible, Kernel
from kas.solvers import Solver, Target

FOUR = [Target(f"t{c}", c, c, (s, s)) for c, s in ((64, 32), (128, 16), (256, 8), (512, 4))]


def resnet18() -> list[Target]:
    """The 3x3 convolutions of resnet18 at 224, but for the stem."""
    targets, channels = [], 64
    for stage, (width, size) in enumerate(((64, 56), (128, 28), (256, 14), (512, 7)), 1):
        for number in range(4):
            stride = 2 if stage > 1 and number == 0 else 1
            targets.append(Target(f"layer{stage}.conv{number}", channels, width, (size, size), stride=stride))
            channels = width
    return targets


def measure(kernels: list[Kernel], targets: list[Target], budget: dict[str, object], thorough: bool) -> list[str]:
    """One row of the table."""
    solver, times, uses, exact, infeasible, loose = Solver(targets, budget), [], [], 0, 0, 0
    for one in kernels:
        start = time.process_time()
        try:
            sizes = solver.solve(one, thorough=thorough)
        except Infeasible:
            infeasible += 1
            continue
        times.append(1e6 * (time.process_time() - start))
        uses.append(max(sizes.use.values()))
        exact += sizes.exact
        loose += not sizes.exact and sizes.gap > 0.01
    deciles = statistics.quantiles(times, n=10)
    low = statistics.quantiles(uses, n=100)[0]
    numbers = [f"{min(times):.0f}", f"{statistics.median(times):.0f}", f"{deciles[-1]:.0f}"]
    return [*numbers, f"{statistics.median(uses):.4f}", f"{low:.3f}", str(exact), str(loose), str(infeasible)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernels", type=int, default=200, help="random chains with one to three free variables")
    arguments = parser.parse_args()
    rng = random.Random(0)
    sets = {
        "by hand": [kernel(name) for name in HAND] * 10,
        "chains": [chain(rng) for _ in range(arguments.kernels)],
    }
    head = [
        "kernels",
        "targets",
        "budget",
        "search",
        "min us",
        "median",
        "p90",
        "use",
        "use p1",
        "exact",
        "gap>1%",
        "infeasible",
    ]
    print(" | ".join(head))
    for label, kernels in sets.items():
        for name, targets in (("four", FOUR), ("resnet18", resnet18())):
            for ratio in (1.0, 0.25, 0.05):
                for thorough in (False, True):
                    row = measure(kernels, targets, {"macs": ratio, "params": ratio}, thorough)
                    print(" | ".join([label, name, str(ratio), "thorough" if thorough else "quick", *row]), flush=True)


if __name__ == "__main__":
    main()
