"""The table of ways to die: each done to a tiny real study by the real command, with what was lost and the time to recover.

    python tests/benchmarks/deaths.py [--only NAME ...] [--keep deaths.json]

A way is a function in `ways_*.py`. It makes something happen to a study (`Box`), sees that the study ends whole, and returns
what was lost, in words. Seconds: from the death until a further trial is finished (or, where there is none to do, until the
command that mends it has ended), the start of kas included. What ends otherwise is a fault. The results file keeps each
way's row, so that a run goes on where the last one ended; a fault is tried again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ways_files  # noqa: F401  enters its ways
import ways_processes  # noqa: F401
from chaos import command
from death_box import LIMITED, STUDY, WAYS, Box, prepare

from kas.evaluation.devices import describe_device, resolve_device
from kas.study.storage.files import write_json


class Bases:
    """Studies with one finished trial each, made when they are first asked for."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def get(self, name: str) -> Path | None:
        """The folder of one: `done`, or `limited`, whose trainings have a time limit; None for `new`."""
        if name == "new":
            return None
        folder = self._place / name
        if not folder.exists():
            prepare(folder, LIMITED if name == "limited" else STUDY)
            subprocess.run(command(folder, "run", str(folder / "tiny.yaml")), check=True, stdout=subprocess.DEVNULL)
        return folder


def meet(way: Any, bases: Bases) -> dict[str, Any]:
    """One row of the table."""
    with tempfile.TemporaryDirectory(prefix="kas-death-") as place, Box(Path(place), bases.get(way.base)) as box:
        try:
            lost = way.do(box)
        except Exception as error:
            return {"lost": f"FAULT: {type(error).__name__}: {str(error)[-600:]}", "seconds": None}
        box.back_s = box.back_s or time.monotonic()
        return {"lost": lost, "seconds": round(box.back_s - box.died_s) if box.died_s else None}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="NAME", help="only these ways")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="a JSON file of results, which is gone on with")
    options = parser.parse_args()
    kept = json.loads(options.keep.read_text()) if options.keep and options.keep.exists() else {}
    with tempfile.TemporaryDirectory(prefix="kas-bases-") as place:
        bases = Bases(Path(place))
        for name in options.only:
            if kept.get(name, {"lost": "FAULT"})["lost"].startswith("FAULT"):
                kept[name] = meet(WAYS[name], bases)
                print(f"{name}: {kept[name]}", file=sys.stderr, flush=True)
                if options.keep:
                    write_json(options.keep, kept)
    rows = {name: kept[name] for name in options.only}
    print(f"{describe_device(resolve_device('cpu'))}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    print(f"{'what happens':<46}{'seconds':>8}  lost")
    for name, row in rows.items():
        print(f"{name:<46}{'-' if row['seconds'] is None else row['seconds']:>8}  {row['lost']}")
    faults = sum(row["lost"].startswith("FAULT") for row in rows.values())
    print(f"{len(rows)} ways to die, {faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
