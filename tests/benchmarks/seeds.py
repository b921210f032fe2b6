"""The README's search with several seeds: what the best kernel of each run gains.

    python tests/benchmarks/seeds.py [--seeds 5] [--dir runs]

For each seed a row: the original, the fastest kernel within two points of its accuracy, its speedup with the spread of the
measurement, whether that is beyond the spread, and the minutes taken. Then how many seeds found one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import optuna

from kas.study.storage import records

ROOT = Path(__file__).parent.parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--dir", type=Path, default=Path("runs"))
    options = parser.parse_args()
    found = 0
    head = f"{'seed':>4} {'original':>9} {'kernel':>17} {'accuracy':>9} {'speedup':>8} {'spread':>13} {'gain':>5}"
    print(f"{head} {'minutes':>8}", flush=True)
    for seed in range(options.seeds):
        name, start = f"digits_seed{seed}", time.perf_counter()
        command = [sys.executable, "-m", "kas.study", "run", str(ROOT / "studies/digits.yaml"), f"--seed={seed}"]
        command += [f"--dir={options.dir}", "--set", f"name={name}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(done.stdout + done.stderr)
            return done.returncode
        minutes = (time.perf_counter() - start) / 60
        study = optuna.load_study(study_name=name, storage=f"sqlite:///{options.dir / name / 'study.db'}")
        original = records.reference(study)
        assert original is not None
        least = original.accuracy - 0.02
        near = [r for r in records.front(records.read(study)) if r.accuracy is not None and r.accuracy >= least]
        best = min(near, key=lambda record: record.ratio or 9.0, default=None)
        if best is None or best.ratio is None or best.ratio_high is None or best.ratio_low is None:
            print(f"{seed:>4} {original.accuracy:>9.3f} {'none within two points':>17} {minutes:>46.1f}", flush=True)
            continue
        beyond = best.ratio_high < 1
        found += beyond
        spread = f"{1 / best.ratio_high:.2f} .. {1 / best.ratio_low:.2f}"
        row = f"{best.hash:>17} {best.accuracy:>9.3f} {1 / best.ratio:>7.2f}x {spread:>13} {'yes' if beyond else 'no':>5}"
        print(f"{seed:>4} {original.accuracy:>9.3f} {row} {minutes:>8.1f}", flush=True)
    print(f"{found} of {options.seeds} seeds found a kernel that is faster beyond the spread and within two points")
    return 0


if __name__ == "__main__":
    sys.exit(main())
