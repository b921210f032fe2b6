"""How many distinct kernels a second one core samples, shape-solves and budget-solves, and how well they use the budget.

    python tests/benchmarks/throughput.py [--kernels 3000] [--repeats 3] [--profile]

A row for each set of targets and budget. Each measurement is a fresh process on one CPU that imports kas, then draws; the
clock starts before the sampler is made and stops at the last kernel, so that filling the caches counts and importing does
not. Rounds over all rows are repeated; a cell is the median, rates also show the lowest and highest round. The use is that of
the limit used most, over the kernels of all rounds (each round has its own seed). Exit code 1 if a goal is missed.

The goal is for CPU seconds, which other work on the machine disturbs less. An attempt is a program that was grown. The last
column tells how fast the machine was meanwhile: the CPU time of a loop in plain Python, the same in every measurement.

`--profile` shows for the first row instead where the time goes: by phase (the stack looked at at every tick of the CPU clock,
250 to 1,000 times a second; the language's rules count for the phase that called them) and by function (cProfile, own time).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Any

import numpy as np
from goals import Goal, at_least, at_most, make_console, make_table, print_goals
from rich.console import Console
from sampling_cases import CASES, budget
from sampling_profile import by_function, by_phase

from kas.generation import Sampler
from kas.generation.growth import Growth

ROWS = [(name, ratio) for name in CASES for ratio in (1.0, 0.25, 0.05)]
LEAST_RATE, MOST_MEMORY_MB = 1000, 300


def pin(cpu: int | None) -> int:
    """Keep this process on one CPU, the last that it may use or the one named; returns its number."""
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("this benchmark keeps to one CPU with os.sched_setaffinity, which this system does not have")
    chosen = max(os.sched_getaffinity(0)) if cpu is None else cpu
    os.sched_setaffinity(0, {chosen})
    return chosen


def counted(sampler: Sampler) -> Iterator[int]:
    """Counts the programs that a sampler grows from now on; the next number is how many."""
    numbers, grow = count(), sampler.grammar.grow

    def counting(rng: np.random.Generator) -> Growth | None:
        next(numbers)
        return grow(rng)

    sampler.grammar.grow = counting  # type: ignore[method-assign]
    return numbers


def loop_ms() -> float:
    """The CPU time of a fixed loop, in milliseconds."""
    start, found = time.process_time(), {}
    for i in range(200_000):
        found[i % 1000] = (i * i) % 997
    return 1000 * (time.process_time() - start)


def draw(name: str, ratio: float, kernels: int, seed: int) -> dict[str, Any]:
    """One measurement in this process."""
    case, before = CASES[name], loop_ms()
    wall, cpu = time.perf_counter(), time.process_time()
    sampler = Sampler(case.rank, case.targets, budget(ratio))
    attempts = counted(sampler)
    drawn = list(islice(sampler.stream(seed), kernels))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if len({one.kernel.hash for one in drawn}) != kernels:
        raise SystemExit("the sampler gave a kernel twice")
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "wall": kernels / wall,
        "cpu": kernels / cpu,
        "uses": [max(one.sizes.use.values()) for one in drawn if one.sizes is not None],
        "attempts": next(attempts) / kernels,
        "peak": peak_kb / 1024,
        "torch": "torch" in sys.modules,
        "loop": (before + loop_ms()) / 2,
    }


def measure(name: str, ratio: float, kernels: int, seed: int, cpu: int | None) -> dict[str, Any]:
    """One measurement in a fresh process."""
    command = [sys.executable, __file__, "--row", name, str(ratio), f"--kernels={kernels}", f"--seed={seed}"]
    command += [f"--cpu={cpu}"] if cpu is not None else []
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} at {ratio}: {done.stderr}")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def rounds(rows: Sequence[tuple[str, float]], options: argparse.Namespace) -> dict[tuple[str, float], list[dict[str, Any]]]:
    """All measurements of each row, the rows in turn."""
    found: dict[tuple[str, float], list[dict[str, Any]]] = {row: [] for row in rows}
    with Console(stderr=True).status("") as status:
        for number in range(options.repeats):
            for name, ratio in rows:
                status.update(f"round {number + 1} of {options.repeats}: {name} at {ratio}")
                found[name, ratio].append(measure(name, ratio, options.kernels, options.seed + number, options.cpu))
    return found


def middle(runs: list[dict[str, Any]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def cells(runs: list[dict[str, Any]]) -> list[str]:
    """The cells of a row."""
    rates = [run["cpu"] for run in runs]
    uses = sorted(use for run in runs for use in run["uses"])
    return [
        f"{statistics.median(rates):,.0f}",
        f"{min(rates):,.0f} - {max(rates):,.0f}",
        f"{middle(runs, 'wall'):,.0f}",
        f"{middle(runs, 'attempts'):.2f}",
        f"{statistics.median(uses):.4f}",
        f"{uses[len(uses) // 100]:.3f}",
        f"{sum(use > 0.8 for use in uses) / len(uses):.2%}",
        f"{max(run['peak'] for run in runs):.0f}",
        "yes" if any(run["torch"] for run in runs) else "no",
        f"{middle(runs, 'loop'):.0f}",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=int, default=3000, help="distinct kernels of one measurement (default: 3000)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds over all rows (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the first round (default: 0)")
    parser.add_argument("--cpu", type=int, help="the CPU to keep to (default: the last one allowed)")
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), help="only these targets")
    parser.add_argument("--profile", action="store_true", help="where the time of the first row goes")
    parser.add_argument("--row", nargs=2, help=argparse.SUPPRESS)  # one measurement, printed as JSON
    options = parser.parse_args()
    if options.row:
        pin(options.cpu)
        print(json.dumps(draw(options.row[0], float(options.row[1]), options.kernels, options.seed)))
        return 0
    console, rows = make_console(), [row for row in ROWS if row[0] in options.only]
    if options.profile:
        pin(options.cpu)
        case, ratio = CASES[rows[0][0]], rows[0][1]

        def work() -> None:
            list(islice(Sampler(case.rank, case.targets, budget(ratio)).stream(options.seed), options.kernels))

        console.print(f"{options.kernels:,} kernels for {case.name} at {ratio}: {case.about}\n")
        console.print(by_phase(work), "", by_function(work), sep="\n")
        return 0
    found = rounds(rows, options)
    console.print(
        f"{options.kernels:,} distinct kernels a measurement, {options.repeats} rounds, one core, "
        "budget: this share of the MACs and of the parameters of what is replaced"
    )
    for name in options.only:
        console.print(f"  {name}: {CASES[name].about}")
    head = ("targets", "budget", "kernels/CPU s", "rounds", "kernels/s", "attempts", "use", "use 1 %", "use > 0.8", "peak MB")
    table = make_table(*head, "torch", "loop ms")
    for (name, ratio), runs in found.items():
        table.add_row(name, f"{ratio}", *cells(runs))
    console.print("", table, "", sep="\n")
    every = [run for runs in found.values() for run in runs]
    torch = any(run["torch"] for run in every)
    goals = [
        at_most("peak memory in MB, all rows", max(run["peak"] for run in every), MOST_MEMORY_MB, ".0f"),
        Goal("torch imported", "yes" if torch else "no", "no", not torch),
    ]
    if ROWS[0] in found:
        rate = middle(found[ROWS[0]], "cpu")
        goals.insert(0, at_least("distinct kernels a CPU second, four targets at 1.0", rate, LEAST_RATE, ",.0f"))
    return print_goals(console, goals)


if __name__ == "__main__":
    sys.exit(main())
