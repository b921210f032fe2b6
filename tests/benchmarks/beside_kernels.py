"""A learning rate beside a kernel: how near its best value a search comes, by kas and by Optuna's own NSGA-II.

    python tests/benchmarks/beside_kernels.py [--seeds 10] [--trials 60]

The loss of a trial is the distance of `lr` from the best, in decades, plus a cost of the kernel. Optuna's NSGA-II draws
no kernels: for it three more numbers stand in the kernel's place. The table has the mean distance over the seeds of the
first and of the last third of the trials.
"""

from __future__ import annotations

import argparse
import math
import statistics
import warnings
from collections.abc import Callable

import optuna

import kas

BEST = 1e-3


def distances(sampler: optuna.samplers.BaseSampler, objective: Callable[[optuna.Trial], float], trials: int) -> list[float]:
    """How many decades the learning rate of each trial is off."""
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return [abs(math.log10(trial.params["lr"] / BEST)) for trial in study.trials]


def rate(trial: optuna.Trial) -> float:
    """The distance of the learning rate, in decades."""
    return abs(math.log10(trial.suggest_float("lr", 1e-6, 1.0, log=True) / BEST))


def with_kernel(trial: optuna.Trial) -> float:
    """A kernel and a learning rate."""
    return rate(trial) + 0.05 * len(kas.suggest_kernel(trial).steps)


def with_numbers(trial: optuna.Trial) -> float:
    """Three numbers and a learning rate."""
    return rate(trial) + sum(trial.suggest_float(name, 0, 1) for name in ("a", "b", "c")) / 6


def thirds(found: list[list[float]]) -> tuple[float, float]:
    """The means of the first and of the last third, over all seeds."""
    third = len(found[0]) // 3
    return (
        statistics.mean(value for one in found for value in one[:third]),
        statistics.mean(value for one in found for value in one[-third:]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=60)
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    rows: dict[str, tuple[Callable[[int], optuna.samplers.BaseSampler], Callable[[optuna.Trial], float]]] = {
        "kas, with a kernel": (lambda seed: kas.KernelSampler(seed=seed), with_kernel),
        "Optuna's NSGA-II": (lambda seed: optuna.samplers.NSGAIISampler(population_size=12, seed=seed), with_numbers),
        "at random": (lambda seed: optuna.samplers.RandomSampler(seed=seed), with_numbers),
    }
    print(f"{'decades off, mean':22}{'first third':>12}{'last third':>12}   ({args.seeds} seeds, {args.trials} trials)")
    for name, (sampler, objective) in rows.items():
        first, last = thirds([distances(sampler(seed), objective, args.trials) for seed in range(args.seeds)])
        print(f"{name:22}{first:12.2f}{last:12.2f}", flush=True)


if __name__ == "__main__":
    main()
