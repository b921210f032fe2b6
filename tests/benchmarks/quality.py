"""How good sampled kernels are: within the budget, using it, with steps that were drawn and not with what closes a program.

    python tests/benchmarks/quality.py [--kernels 2000] [--budgets 1.0 0.25]

For each budget a table with the goal beside each number; exit code 1 if one is missed. Costs are summed again here, with
kas.cost at every target, from the sizes alone. The binding limit of a kernel is the one that it uses most; its use is what the
table calls the use. A step is drawn, or it closes the program (made when only finishing moves were left), or it is a repair
(put in or changed so that the budget can be used). Torch is not needed; health.py measures what runs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from itertools import islice

from goals import Goal, at_least, at_most, make_console, print_goals
from sampling_cases import CASES, Case, budget

from kas.generation import Sampler
from kas.generation.sample import Drawn
from kas.language import cost, environment
from kas.solvers import Sizes, Target

MOST = 0.9  # the share of the binding cost that closing and repair steps may carry in nearly all kernels


def totals(drawn: Drawn, targets: Sequence[Target]) -> dict[str, int]:
    """MACs and parameters of all targets with a kernel in them, adapters included."""
    sizes, total = _sizes(drawn), {"macs": 0, "params": 0}
    for target in targets:
        one = cost(drawn.kernel, target.channels, target.size, sizes.groups, sizes.values[target.name])
        adapter = target.adapter
        total["macs"] += adapter.templates * one.macs + adapter.macs
        total["params"] += adapter.templates * one.params + adapter.params
    return total


def undrawn_share(drawn: Drawn, targets: Sequence[Target]) -> float:
    """How much of the binding limit's cost the closing and repair steps carry."""
    kernel, sizes = drawn.kernel, _sizes(drawn)
    binding = max(sizes.use, key=lambda key: sizes.use[key])
    spent = [0] * len(kernel.steps)
    for target in targets:
        env = environment(kernel, target.channels, target.size, sizes.groups, sizes.values[target.name])
        for i, outcome in enumerate(kernel.outcomes):
            dim = outcome.params if binding == "params" else outcome.macs
            spent[i] += target.adapter.templates * dim.value(env) if dim is not None else 0
    whole = sum(spent)
    undrawn = sum(one for one, origin in zip(spent, drawn.origins, strict=True) if origin != "drawn")
    return undrawn / whole if whole else 0.0


def imbalance(drawn: Drawn, targets: Sequence[Target]) -> float:
    """How differently the targets are served: the largest over the smallest x/C, of the variable where they differ most."""
    sizes = _sizes(drawn)
    worst = 1.0
    for name in drawn.kernel.variables:
        shares = [sizes.values[target.name][name] / target.channels for target in targets]
        worst = max(worst, max(shares) / min(shares))
    return worst


def _sizes(drawn: Drawn) -> Sizes:
    if drawn.sizes is None:
        raise SystemExit("a kernel that was drawn for targets came without sizes")
    return drawn.sizes


def assess(kernels: Sequence[Drawn], case: Case, ratio: float) -> list[Goal]:
    """The lines of the table."""
    limits = {key: ratio * sum(getattr(t, key) for t in case.targets) for key in budget(ratio)}
    spent = [totals(one, case.targets) for one in kernels]
    within = sum(all(total[key] <= limit for key, limit in limits.items()) for total in spent) / len(kernels)
    uses = sorted(max(total[key] / limit for key, limit in limits.items()) for total in spent)
    told = max(abs(max(_sizes(one).use.values()) - max(total[key] / limit for key, limit in limits.items()))
               for one, total in zip(kernels, spent, strict=True))  # fmt: skip
    carried = [undrawn_share(one, case.targets) for one in kernels]
    balance = sorted(imbalance(one, case.targets) for one in kernels if one.kernel.variables)
    steps = [origin for one in kernels for origin in one.origins]
    goals = [
        at_least("within the budget", within, 1.0, ".2%"),
        at_most("use as counted here against what the solver says, largest difference", told, 1e-9, ".1e"),
        at_least("use of the tighter limit, median", statistics.median(uses), 0.95, ".4f"),
        Goal("use of the tighter limit, 1 % quantile", f"{uses[len(uses) // 100]:.4f}"),
        at_least("use of the tighter limit above 0.8", sum(use > 0.8 for use in uses) / len(uses), 0.99, ".2%"),
        at_most("closing and repair steps carry over 90 % of the binding cost",
                sum(share > MOST for share in carried) / len(carried), 0.05, ".2%"),
        Goal("what they carry of it, mean", f"{statistics.mean(carried):.1%}"),
        Goal("steps that close or repair", f"{sum(origin != 'drawn' for origin in steps) / len(steps):.1%}"),
        at_most("kernels of equal hash", len(kernels) - len({one.kernel.hash for one in kernels}), 0, "d"),
        Goal("kernels whose family one before them has", str(len(kernels) - len({one.kernel.family for one in kernels}))),
        Goal("kernels with free widths", f"{len(balance) / len(kernels):.1%}"),
    ]  # fmt: skip
    if balance:
        rare = balance[int(0.99 * len(balance))]
        goals.append(Goal("largest over smallest x/C of the targets, median", f"{statistics.median(balance):.2f}"))
        goals.append(Goal("largest over smallest x/C of the targets, 99 % quantile", f"{rare:.2f}"))
    return goals


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=int, default=2000, help="for each budget (default: 2000)")
    parser.add_argument("--budgets", type=float, nargs="+", default=[1.0, 0.25], help="ratios (default: 1.0 0.25)")
    parser.add_argument("--targets", choices=list(CASES), default="four", help="which targets (default: four)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console, case, code = make_console(), CASES[options.targets], 0
    for ratio in options.budgets:
        sampler = Sampler(case.rank, case.targets, budget(ratio))
        kernels = list(islice(sampler.stream(options.seed), options.kernels))
        console.print(f"\n{len(kernels):,} kernels at {ratio} of MACs and parameters; {case.about}; seed {options.seed}\n")
        code = max(code, print_goals(console, assess(kernels, case, ratio)))
    return code


if __name__ == "__main__":
    sys.exit(main())
