"""What the canonical form merges and what it keeps apart, how fast a hash is, and whether kernels that collide agree.

    python tests/benchmarks/canonical.py [--kernels 1000] [--programs 2000] [--skip-fits]

Prints the table of `tests/language/pairs`: whether hash and family are equal, and the largest difference of the outputs,
relative to the largest, in float64. Alike: under the bijection of weights that the pair names. Family: after the weights of the
second were fitted to the first (Levenberg and Marquardt), and the other way round. Then the CPU microseconds of a hash over
sampled kernels at four targets, and short random programs of one hash, each with the weights of the first of
that hash in the order of the steps, or else fitted to it. Exit code 1 if a
pair is wrong or kernels of one hash differ.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "language"))

from canonical_pairs import (
    SMALL,
    Pair,
    carried,
    difference,
    draw_input,
    draw_weights,
    fitted_difference,
    pair_difference,
    pairs,
    run,
)
from short_programs import random_kernel

import kas
from kas.language.normal import kernel_hash

TARGETS = [
    kas.Target(f"c{channels}", channels, channels, (size, size), kernel_size=(3, 3))
    for channels, size in ((64, 32), (128, 16), (256, 8), (512, 4))
]


def row(pair: Pair, fits: bool) -> bool:
    """Prints a pair; whether it is as it should be."""
    alike, related = pair.first.hash == pair.second.hash, pair.first.family == pair.second.family
    right = (alike, related) == {"alike": (True, True), "apart": (False, related), "family": (False, True)}[pair.kind]
    gap = "-"
    if pair.kind == "alike":
        number = pair_difference(pair)
        gap, right = f"{number:.1e}", right and number < 1e-5
    elif pair.kind == "family" and fits:
        number = fitted_difference(pair.first, pair.second)
        gap, right = f"{number:.1e}", right and number < 1e-6
        if pair.both_ways:
            gap += f" {fitted_difference(pair.second, pair.first, tries=2):.1e}"
    print(f"{pair.kind:<7} {alike!s:<6} {related!s:<7} {gap:<16} {'' if right else 'WRONG '}{pair.why}", flush=True)
    return right


def speed(count: int) -> None:
    """CPU microseconds of a hash, mean over kernels, of three rounds over fresh objects."""
    texts = [kernel.to_json() for kernel in kas.sample(count, seed=0, targets=TARGETS, budget={"macs": 1, "params": 1})]
    rounds = []
    for _ in range(3):
        kernels = [kas.Kernel.from_json(text) for text in texts]
        start = time.process_time()
        hashes = {kernel_hash(kernel) for kernel in kernels}
        rounds.append((time.process_time() - start) / count * 1e6)
    print(f"\n{count} sampled kernels, {len(hashes)} hashes: {statistics.median(rounds):.0f} us CPU per hash")
    print("rounds: " + ", ".join(f"{time_:.0f}" for time_ in rounds))


def same_weights(one: kas.Kernel, two: kas.Kernel) -> float:
    """The difference with the weights of the first in the order of the steps; infinite if they do not fit."""
    sizes = [[weight.numel() for weight in draw_weights(kernel, SMALL).values()] for kernel in (one, two)]
    if sizes[0] != sizes[1]:
        return float("inf")
    x, weights = draw_input(SMALL), draw_weights(one, SMALL)
    return difference(run(one, x, weights, SMALL), run(two, x, carried(Pair("alike", "", one, two), weights, SMALL), SMALL))


def collisions(count: int) -> int:
    """Kernels of one hash that cannot compute the same, among short random programs."""
    first: dict[str, kas.Kernel] = {}
    checked, wrong, worst, programs = 0, 0, 0.0, 0
    for seed in range(count):
        kernel = random_kernel(np.random.default_rng(seed), most=4)
        if kernel is None or len(kernel.steps) > 5:
            continue
        programs += 1
        other = first.setdefault(kernel.hash, kernel)
        if other.to_json() == kernel.to_json():
            continue
        try:
            SMALL.environment(kernel), SMALL.environment(other)
            number = same_weights(other, kernel)
            number = number if number < 1e-6 else fitted_difference(other, kernel, tries=8)
        except kas.KasError:
            continue
        checked, worst = checked + 1, max(worst, number)
        ops = {step.op for step in (*other.steps, *kernel.steps)}
        if number > (0.1 if {"scale", "normalize"} <= ops else 1e-6):  # a scale is undone but for the 1e-6 under the root
            wrong += 1
            print(f"DIFFER {number:.1e}: {other.to_json()} {kernel.to_json()}")
    print(
        f"\n{programs} short random programs, {len(first)} hashes: {checked} pairs of one hash, "
        f"{wrong} differ, worst {worst:.1e}"
    )
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=int, default=1000)
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--skip-fits", action="store_true", help="do not fit the pairs of a family")
    options = parser.parse_args()
    print(f"{'kind':<7} {'hash':<6} {'family':<7} {'difference':<16} why")
    right = [row(pair, not options.skip_fits) for kind in ("alike", "apart", "family") for pair in pairs(kind)]
    print(f"\n{len(right)} pairs, {right.count(False)} wrong")
    speed(options.kernels)
    return int(not all(right) or collisions(options.programs) > 0)


if __name__ == "__main__":
    sys.exit(main())
