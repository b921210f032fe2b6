"""The same seed gives the same kernels, in any process, beside any number of others, whatever was drawn before.

    python tests/benchmarks/determinism.py [--kernels 400]

For each rank, with and without targets, and for 1, 2 and 4 processes at the same time and PYTHONHASHSEED 0, 1 and random:
each process draws with kas.sample, the first all kernels, the next ones half and a quarter of them, every second one after it
has drawn others (another seed, another rank), which must make no difference. The programs are compared as text with those
of the first process of all, of which the shorter draws must be the beginning. Exit code 1 if any differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys

from goals import make_console, make_table

CASE_OF_RANK = {2: "four", 1: "audio", 0: "mlp"}
PROCESSES, HASH_SEEDS = (1, 2, 4), ("0", "1", "random")

_DRAW = """\
import sys
sys.path.insert(0, {folder!r})
from sampling_cases import CASES, budget
import kas
case = CASES[{case!r}]
if {others}:
    kas.sample(20, rank=case.rank, seed=99)
    kas.sample(20, rank=(case.rank + 1) % 3, seed={seed})
limits = dict(targets=case.targets, budget=budget(0.5)) if {targets} else {{}}
print("\\n".join(kernel.to_json() for kernel in kas.sample({n}, rank=case.rank, seed={seed}, **limits)))
"""


def start(case: str, targets: bool, n: int, seed: int, others: bool, hash_seed: str) -> subprocess.Popen[str]:
    """A process that prints the programs it draws, one a line."""
    folder = os.path.dirname(os.path.abspath(__file__))
    code = _DRAW.format(folder=folder, case=case, targets=targets, n=n, seed=seed, others=others)
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env)


def finish(process: subprocess.Popen[str]) -> list[str]:
    """What it printed."""
    printed = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"a process that drew kernels ended with exit code {process.returncode}")
    return printed.splitlines()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=int, default=400, help="of the longest draw (default: 400)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = make_console()
    table = make_table("rank", "targets", "PYTHONHASHSEED", "draws compared", "of so many kernels", "programs (sha256)", "")
    failed = 0
    for rank, case in CASE_OF_RANK.items():
        for targets in (True, False):
            reference = finish(start(case, targets, options.kernels, options.seed, False, "0"))
            digest = hashlib.sha256("\n".join(reference).encode()).hexdigest()[:16]
            for hash_seed in HASH_SEEDS:
                lengths, same = [], True
                for count in PROCESSES:
                    wanted = [max(options.kernels >> (i % 3), 1) for i in range(count)]
                    running = [start(case, targets, n, options.seed, i % 2 == 1, hash_seed) for i, n in enumerate(wanted)]
                    drawn = [finish(process) for process in running]
                    same &= all(one == reference[:n] for one, n in zip(drawn, wanted, strict=True))
                    lengths += wanted
                failed += not same
                sizes = ", ".join(map(str, sorted(set(lengths), reverse=True)))
                verdict = "[green]same[/]" if same else "[bold red]DIFFER[/]"
                where = case if targets else "none"
                table.add_row(str(rank), where, hash_seed, str(len(lengths)), sizes, digest, verdict)
    console.print(f"seed {options.seed}; 1, 2 and 4 processes at a time; every second one has drawn other kernels before\n")
    console.print(table)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
