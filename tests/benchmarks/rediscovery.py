"""What sampling and searching rediscover of the kernels that people invented.

    python tests/benchmarks/rediscovery.py blind [--samples 1000000] [--seed 0] [--workers 2] [--particles 4000]
    python tests/benchmarks/rediscovery.py evolved [--trials 300] [--seeds 3] [--epochs 2] [--out DIR] [--set KEY=VALUE]

`blind`: programs of the default grammar, whose weights know nothing of this. Which known kernels came up, after how many, how
often, with exact 95 % bounds; for the others an upper bound, and what their probability is at least (by splitting). Exit
code 1 if fewer than 12 distinct known kernels of two or more steps came up.

`evolved`: for each seed the search of studies/digits.yaml (its network, budget and population) without known kernels to begin
with and with the family of the 3x3 convolution forbidden; the cost is the analytic work, so that nothing is timed, and each
candidate trains for `--epochs`. Then the fewest edits (steps inserted, deleted, changed; `kas.zoo.edit_distance`) from any
kernel of the last Pareto front to any known kernel outside that family, against the same for as many blind samples as there
were trials, drawn for the same layers, budget and settings outside the same family, with the same seed. The minimum of more
kernels is smaller, so the table also has the mean of the minimum over subsets of the blind samples as large as the front.
DIR/rediscovery.html (in runs/rediscovery) shows the nearest kernels of each side beside the known ones. A study that exists
there goes on.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optuna
from goals import at_least, make_console, make_table, print_goals
from rich.console import Console

from kas import zoo
from kas.generation import Sampler
from kas.generation.rediscovery import Source, Tally, rediscover
from kas.generation.splitting import Estimate, estimates
from kas.language import Kernel
from kas.lowering.drawing import svg_text
from kas.solvers import Target
from kas.study import attributes as keys
from kas.study.commands._rediscovery import estimable, hits_table, misses_table, progress_bar
from kas.study.storage import records
from kas.study.storage.create import stored_config

ROOT = Path(__file__).parent.parent.parent
FORBIDDEN = "conv3x3"
LEAST_FOUND = 12
SUBSETS = 1000  # of the blind samples, for the mean of their minimum


class Near(NamedTuple):
    """A kernel, the known one nearest to it, and the edits between them."""

    edits: int
    kernel: Kernel
    known: str


def blind(console: Console, options: argparse.Namespace) -> int:
    """Must show: what 1,000,000 blind samples hit."""
    source, tally, found = Source(), Tally(), dict[str, Estimate]()
    start = time.perf_counter()
    with progress_bar() as bar:
        task = bar.add_task("drawing", total=options.samples, note="")
        for tally in rediscover(source, options.samples, options.seed, options.workers):
            bar.update(task, completed=tally.samples, note=f"{len(tally.hits)} known kernels")
    seconds = time.perf_counter() - start
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    console.print(
        f"{tally.samples:,} blind samples of the default grammar, seed {options.seed}, {options.workers} processes: "
        f"{tally.samples / seconds:,.0f} a second; peak memory of a process {max(one.ru_maxrss for one in used) / 1024:.0f} MB"
    )
    console.print("", hits_table(tally), "", sep="\n")
    names = estimable(tally, source) if options.particles else []
    with progress_bar() as bar:
        task = bar.add_task("estimating", total=len(names), note="")
        for one in estimates(source, names, options.particles, options.seed, options.workers):
            found[one.name] = one
            bar.update(task, advance=1, note=one.name)
    console.print(misses_table(tally, source, found), "", sep="\n")
    several = sum(len(zoo.get(name).steps) > 1 for name in tally.hits)
    return print_goals(console, [at_least("distinct known kernels of two or more steps", several, LEAST_FOUND, ".0f")])


def evolved(console: Console, options: argparse.Namespace) -> int:
    """Must show: how near to the known kernels evolution comes."""
    about = f"{options.trials} trials, {options.epochs} epochs each, cost: work, no seeds, family of {FORBIDDEN} forbidden"
    about += "".join(f", {change}" for change in options.set)
    console.print(f"studies/digits.yaml, {about}; distances: edits to the nearest known kernel\n")
    head = ("seed", "front", "nearest", "to", "all trials", "blind samples", "nearest", "to", "as many as the front", "minutes")
    table, pictures = make_table(*head), list[tuple[str, Near]]()
    for seed in range(options.seeds):
        start = time.perf_counter()
        study = search(seed, options)
        minutes = (time.perf_counter() - start) / 60
        rows = records.read(study)
        front = nearest([kernel(row.program) for row in records.front(rows)])
        trials = nearest([kernel(row.program) for row in rows if row.is_finished])
        samples = nearest(blind_samples(study, options.trials, seed))
        if not front:
            raise SystemExit(f"seed {seed}: the front is empty; more trials or epochs are needed")
        best, other = min(front, key=lambda near: near.edits), min(samples, key=lambda near: near.edits)
        cells = [len(front), best.edits, best.known, min(near.edits for near in trials)]
        cells += [len(samples), other.edits, other.known, f"{mean_minimum(samples, len(front), seed):.2f}", f"{minutes:.1f}"]
        table.add_row(str(seed), *map(str, cells))
        pictures += [(f"seed {seed}: of the front", best), (f"seed {seed}: of the blind samples", other)]
    console.print(table)
    page = options.out / "rediscovery.html"
    page.write_text(drawn(about, pictures), encoding="utf-8")
    console.print(f"\ndrawings {page}")
    return 0


def search(seed: int, options: argparse.Namespace) -> optuna.Study:
    """Run the search of one seed, or go on with it."""
    name = f"forbidden_seed{seed}"
    changes = [f"name={name}", "objectives.cost=work", f"training.epochs={options.epochs}", "search.seeds=[]"]
    changes += [f"search.forbidden_families=[{FORBIDDEN}]", *options.set]
    command = [sys.executable, "-m", "kas.study", "run", str(ROOT / "studies/digits.yaml"), f"--seed={seed}"]
    command += [f"--trials={options.trials}", f"--workers={options.workers}", f"--dir={options.out}"]
    done = subprocess.run(
        [*command, *(part for change in changes for part in ("--set", change))], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return optuna.load_study(study_name=name, storage=f"sqlite:///{options.out / name / 'study.db'}")


def kernel(program: str | None) -> Kernel:
    if program is None:
        raise SystemExit("a finished trial has no program")
    return Kernel.from_json(program)


def blind_samples(study: optuna.Study, count: int, seed: int) -> list[Kernel]:
    """Distinct blind samples as the study could have drawn: for its layers, budget and settings, outside the family."""
    config, targets = stored_config(study), json.loads(study.user_attrs[keys.TARGETS])
    deployed, trained = ([Target.from_dict(one) for one in targets[kind]] for kind in ("deployed", "trained"))
    sampler = Sampler(deployed[0].rank, deployed, config.budget, config.search.generation, trained)
    family = zoo.get(FORBIDDEN).family
    stream = (drawn.kernel for drawn in sampler.stream(seed))
    return list(islice((one for one in stream if one.family != family), count))


def nearest(kernels: Sequence[Kernel]) -> list[Near]:
    """For each kernel the known one with the fewest edits, none of the forbidden family."""
    family = zoo.get(FORBIDDEN).family
    known = {name: zoo.get(name) for name in zoo.names(2) if zoo.get(name).family != family}
    return [_nearest(one, known) for one in kernels]


def _nearest(kernel: Kernel, known: dict[str, Kernel]) -> Near:
    ops, best = Counter(step.op for step in kernel.steps), Near(10**6, kernel, "")

    def least(name: str) -> int:
        """A lower bound of the edits: kept steps have the same op."""
        theirs = Counter(step.op for step in known[name].steps)
        return max(ops.total(), theirs.total()) - (ops & theirs).total()

    for name in sorted(known, key=least):
        if least(name) >= best.edits:
            break
        edits = 0 if zoo.known_as(kernel) == name else zoo.edit_distance(kernel, known[name])
        best = min(best, Near(edits, kernel, name), key=lambda near: near.edits)
    return best


def mean_minimum(samples: Sequence[Near], size: int, seed: int) -> float:
    """The mean, over random subsets of this size, of the fewest edits in the subset."""
    rng, edits = np.random.default_rng(seed), np.array([near.edits for near in samples])
    size = min(size, len(edits))
    return float(np.mean([edits[rng.permutation(len(edits))[:size]].min() for _ in range(SUBSETS)]))


def drawn(about: str, pictures: Sequence[tuple[str, Near]]) -> str:
    """A page with each kernel beside the known one that is nearest to it."""
    rows = "".join(
        f"<tr><td>{_picture(near.kernel)}<p>{html.escape(text)}: {near.kernel.hash}</p></td>"
        f"<td>{_picture(zoo.get(near.known))}<p>{html.escape(f'{near.known}, {near.edits} edits away')}<br>"
        f"<small>{html.escape(zoo.entry(near.known).reference)}, {zoo.entry(near.known).year}</small></p></td></tr>"
        for text, near in pictures
    )
    style = (
        "body{font-family:sans-serif}td{padding:1em 3em;vertical-align:bottom;text-align:center;border-bottom:1px solid #ccc}"
    )
    head = f"<!doctype html><meta charset=utf-8><title>Rediscovery</title><style>{style}</style><h1>Found beside known</h1>"
    return f"{head}<p>{html.escape(about)}</p><table>{rows}</table>\n"


def _picture(kernel: Kernel) -> str:
    data = base64.b64encode(svg_text(kernel).encode()).decode()
    return f'<img alt="{html.escape(repr(kernel))}" src="data:image/svg+xml;base64,{data}">'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True, dest="part", metavar="blind|evolved")
    first = parts.add_parser("blind", help="what blind samples of the default grammar hit")
    first.add_argument("--samples", type=int, default=1_000_000)
    first.add_argument("--seed", type=int, default=0)
    first.add_argument("--workers", type=int, default=2)
    first.add_argument("--particles", type=int, default=4000, help="of each run of an estimate; 0: no estimates")
    second = parts.add_parser("evolved", help="how near evolution comes, the 3x3 convolution forbidden")
    second.add_argument("--trials", type=int, default=300)
    second.add_argument("--seeds", type=int, default=3)
    second.add_argument("--epochs", type=int, default=2)
    second.add_argument("--workers", type=int, default=1)
    second.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the study file")
    second.add_argument("--out", type=Path, default=Path("runs/rediscovery"))
    options = parser.parse_args()
    return blind(make_console(), options) if options.part == "blind" else evolved(make_console(), options)


if __name__ == "__main__":
    sys.exit(main())
