"""The pass table of the known kernels: does each equal a plain-PyTorch module that is written from its paper?

    python tests/benchmarks/zoo.py [NAME ...] [--tolerance 1e-9] [--seed 0]

For each kernel: year, rank, number of steps, the largest relative difference from its reference over three sizes and both
lowerings (float64, random weights mapped one to one), and parameters and MACs of kernel and reference at the first size
(they must agree at all three; MACs of the reference are half of what torch's FlopCounterMode counts). Known operators that
no program says are listed below it. Ends with exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "zoo"))

from zoo_comparison import SIZES, compare

from kas import zoo


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=zoo.names())
    parser.add_argument("--tolerance", type=float, default=1e-9)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    sizes = "; ".join(f"C={c}, {'x'.join(map(str, size))}, G={g}, x0={w[0]}" for c, size, g, w in SIZES)
    print(f"torch {torch.__version__}, CPU, float64, seed {wanted.seed}; {sizes}\n")
    print(f"{'kernel':28}{'year':>4}{'rank':>5}{'steps':>6}{'difference':>12}{'params':>16}{'MACs':>18}  pass")
    failed = [name for name in wanted.names if not row(name, wanted.tolerance, wanted.seed)]
    print(f"\n{len(wanted.names) - len(failed)} of {len(wanted.names)} pass{'; not: ' + ', '.join(failed) if failed else ''}")
    for name, reason in zoo.UNSAID.items():
        print(f"not said: {name}: {reason}")
    print("\nnot exact for want of an op:")
    for name in wanted.names:
        if zoo.entry(name).needs:
            print(f"  {name:24} {zoo.entry(name).needs}")
    return 1 if failed else 0


def row(name: str, tolerance: float, seed: int) -> bool:
    """Compare one kernel at all sizes and print its line."""
    kernel = zoo.get(name)
    found = [compare(name, *sizes, seed=seed) for sizes in SIZES]
    difference = max(one.difference for one in found)
    passed = difference < tolerance and all(one.params[0] == one.params[1] and one.macs[0] == one.macs[1] for one in found)
    params, macs = (f"{ours} / {theirs}" for ours, theirs in (found[0].params, found[0].macs))
    print(
        f"{name:28}{zoo.entry(name).year:4}{kernel.rank:5}{len(kernel.steps):6}{difference:12.1e}{params:>16}{macs:>18}"
        f"  {'yes' if passed else 'NO'}",
        flush=True,
    )
    return passed


if __name__ == "__main__":
    raise SystemExit(main())
