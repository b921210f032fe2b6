"""What blind samples are worth: kernels as `kas.sample` draws them at the default settings, trained and timed on `digits`.

    python tests/benchmarks/blind_kernels.py [--trials 40] [--dir runs]

Runs the study file with no seeds and no parents, and trains slow kernels too. Prints the share that trains to within 10
points of the original, the share that is faster, and both.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import optuna

from kas.study.storage import records

ROOT = Path(__file__).parent.parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--dir", type=Path, default=Path("runs"))
    options = parser.parse_args()
    changes = ["name=blind", "search.seeds=[]", "search.blind=1.0", "cost.max_ratio=1000"]
    command = [sys.executable, "-m", "kas.study", "run", str(ROOT / "studies/digits.yaml"), f"--trials={options.trials}"]
    command += [f"--dir={options.dir}", *(word for change in changes for word in ("--set", change))]
    code = subprocess.run(command).returncode
    if code:
        return code
    study = optuna.load_study(study_name="blind", storage=f"sqlite:///{options.dir / 'blind/study.db'}")
    original = records.reference(study)
    assert original is not None
    ended = [record for record in records.read(study) if record.outcome not in (None, "duplicate", "error")]
    trained = [r for r in ended if r.accuracy is not None and r.accuracy >= original.accuracy - 0.1]
    faster = [r for r in ended if r.ratio is not None and r.ratio < 1]
    print(f"original: accuracy {original.accuracy:.3f}; {len(ended)} blind kernels, seed 0")
    for text, chosen in (
        ("train to within 10 points of the original", trained),
        ("are faster than the original", faster),
        ("do both", [record for record in trained if record in faster]),
    ):
        print(f"{len(chosen):4d} ({len(chosen) / len(ended):4.0%}) {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
