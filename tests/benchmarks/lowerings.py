"""The plain against the optimized lowering: equality, latency and peak memory of sampled and of all known kernels, by class.

    OMP_NUM_THREADS=1 taskset -c 1 nice python tests/benchmarks/lowerings.py [--kernels 300] [--quick] [--inductor 30]
        [--hand-written] [--batch 1 32] [--sizes 0 1 2] [--budget 0.3] [--seed 0] [--only PART-OF-A-NAME] [--rows FILE.jsonl]
    python tests/benchmarks/lowerings.py --join FILE.jsonl FILE.jsonl    (the table of the rows of several runs)

Kernels are drawn from the default distribution for four targets (channels, size): (64,32), (128,16), (256,8), (512,4), at 0.3
of the MACs of the 3x3 convolutions, and built at the first three. Equality: float64, outputs and gradients, 1e-9 relative,
batch 2. Latency: inference, eager, one thread, processor time, medians of calls that take turns; the ratio is plain over
optimized; what is below 0.95 is measured a second time, longer, and the second ratio counts. Where the first turn is long and
its ratio clear (over 1.5), two turns are enough. Peak: bytes of live tensors, at the first batch.
With `--rows`, what is measured of a kernel is written at once, and a kernel that the file has is not measured again.
`--quick` measures 30 kernels at one size. `--hand-written` adds depthwise, grouped, dilated and attention forms against
torch's own modules. `--inductor N` compiles N kernels (needs a C++ compiler). All kernels are traced whole (fullgraph),
without a backend. Exit code 1 if an output, a gradient or a trace is wrong.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lowering_cases import CLASSES, SIZES, Case, cases, classes, label
from lowering_measures import compiled, differences, hand_written, inference, peak_bytes, ratio_of_times, times, traced_whole

TOLERANCE = 1e-9
SLOW = 0.95
CLEAR, LONG = 1.5, 50.0  # a ratio that more turns do not bring near one; milliseconds of a call that takes no more turns then

Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=int, default=300, help="sampled ones, beside all known ones")
    parser.add_argument("--quick", action="store_true", help="30 sampled kernels at the second size, short measurements")
    parser.add_argument("--inductor", type=int, default=0, metavar="N")
    parser.add_argument("--hand-written", action="store_true")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 1, 2], help="numbers of the targets")
    parser.add_argument("--budget", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.04, help="for one ratio, once")
    parser.add_argument("--only", default="", help="kernels whose name has this")
    parser.add_argument("--rows", type=Path, help="where to write each measurement, a line of JSON")
    parser.add_argument("--no-equality", action="store_true", help="latency and memory only")
    parser.add_argument("--no-latency", action="store_true", help="equality and traces only")
    parser.add_argument("--join", type=Path, nargs="+", metavar="FILE", help="measure nothing, print the table of these rows")
    wanted = parser.parse_args()
    if wanted.join:
        table([row for file in wanted.join for row in _read(file)])
        return 0
    if wanted.quick:
        wanted.kernels, wanted.sizes = min(wanted.kernels, 30), [1]
    torch.set_num_threads(1)
    torch.manual_seed(wanted.seed)
    warnings.simplefilter("ignore")
    chosen = [c for c in cases(wanted.kernels, wanted.seed, wanted.budget) if wanted.only in c.name]
    print(
        f"{len(chosen)} kernels; torch {torch.__version__}, one thread, batch {wanted.batch}, sizes {wanted.sizes}", flush=True
    )
    start = time.process_time()
    wrong = 0 if wanted.no_equality else equality(chosen, wanted)
    rows = [] if wanted.no_latency else latency(chosen, wanted)
    if rows:
        table(rows)
    if wanted.hand_written:
        beside_torch()
    if wanted.inductor:
        wrong += inductor(chosen[: wanted.inductor], wanted)
    print(f"{time.process_time() - start:.0f} s of processor time")
    return min(wrong, 1)


def equality(chosen: list[Case], wanted: argparse.Namespace) -> int:
    """Compare outputs and gradients, and trace; print and count what is wrong."""
    checked, bad, broken, worst = 0, 0, 0, (0.0, 0.0)
    for case in chosen:
        for number in wanted.sizes:
            if case.values[number] is None:
                continue
            channels, side = SIZES[number]
            x = torch.randn(2, channels, side, side, dtype=torch.double)
            found = differences(case.at(number, "plain"), case.at(number, "optimized"), x)
            checked, worst = checked + 1, (max(worst[0], found[0]), max(worst[1], found[1]))
            if max(found) > TOLERANCE:
                bad += 1
                print(f"  wrong at {SIZES[number]}: outputs {found[0]:.1e}, gradients {found[1]:.1e}: {label(case.kernel)}")
        number = next((n for n in wanted.sizes if case.values[n] is not None), None)
        fault = "" if number is None else traced_whole(case.at(number, "optimized"), torch.randn(2, *_image(number)))
        if fault:
            broken += 1
            print(f"  graph break: {fault}: {label(case.kernel)}")
    print(
        f"equality: {checked} built pairs, {bad} over {TOLERANCE:g} relative "
        f"(worst output {worst[0]:.1e}, gradient {worst[1]:.1e})"
    )
    print(f"traces: {len(chosen)} kernels, {broken} with a graph break", flush=True)
    return bad + broken


def _image(number: int) -> tuple[int, int, int]:
    channels, side = SIZES[number]
    return channels, side, side


def _read(file: Path | None) -> list[Row]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file and file.exists() else []


def latency(chosen: list[Case], wanted: argparse.Namespace) -> list[Row]:
    """A row for each kernel, size and batch, those of the file included."""
    rows = _read(wanted.rows)
    known = {row["name"] for row in rows}
    for case in chosen:
        if case.name in known:
            continue
        own = list(_rows(case, wanted))
        rows += own
        if wanted.rows:
            with wanted.rows.open("a") as stream:
                stream.writelines(json.dumps(row) + "\n" for row in own)
    return rows


def _rows(case: Case, wanted: argparse.Namespace) -> Iterator[Row]:
    """The measurements of one kernel."""
    for number in wanted.sizes:
        if case.values[number] is None:
            continue
        plain, optimized = (case.at(number, lowering).eval() for lowering in ("plain", "optimized"))
        optimized.load_state_dict(plain.state_dict())
        for batch in wanted.batch:
            x = torch.randn(batch, *_image(number))
            found, again = _times([inference(plain, x), inference(optimized, x)], wanted.seconds)
            row = {
                "name": case.name,
                "classes": sorted(classes(case.kernel)),
                "size": number,
                "batch": batch,
                "ratio": ratio_of_times(*found),
                "again": again,
                "ms": [statistics.median(own) for own in found],
                "program": label(case.kernel),
            }
            if batch == wanted.batch[0]:
                peaks = [peak_bytes(module, x) for module in (plain, optimized)]
                row["memory"] = peaks[0] / max(1, peaks[1])
            yield row


def _times(calls: list[Callable[[], None]], seconds: float) -> tuple[list[list[float]], bool]:
    """The times of both calls, and whether they were measured a second time."""
    found = times(calls, 0, 2)
    if statistics.median(found[0]) < LONG or ratio_of_times(*found) < CLEAR:
        found = times(calls, seconds, 3)
    if ratio_of_times(*found) >= SLOW:
        return found, False
    return times(calls, 6 * seconds, 9), True


def _mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def table(rows: list[Row]) -> None:
    """By class and batch, with the share of each class in the sampled kernels; then the worst ten kernels, by their means."""
    sampled = {row["name"]: row["classes"] for row in rows if row["name"].startswith("sample ")}.values()
    print(f"{'class':18}{'share':>7}{'batch':>6}{'rows':>6}{'mean':>7}{'p10':>7}{'worst':>7}{'<0.95':>7}{'memory':>8}")
    for name in (*CLASSES, "all"):
        share = sum(name in own or name == "all" for own in sampled) / max(1, len(sampled))
        batches = sorted({row["batch"] for row in rows})
        for which in [*([b] for b in batches), batches]:
            mine = [row for row in rows if (name in row["classes"] or name == "all") and row["batch"] in which]
            if mine:
                ratios = sorted(row["ratio"] for row in mine)
                slow = sum(ratio < SLOW for ratio in ratios) / len(ratios)
                batch = "/".join(map(str, which))
                line = f"{name:18}{share:>7.1%}{batch:>6}{len(mine):>6}{_mean(ratios):>7.2f}{ratios[len(ratios) // 10]:>7.2f}"
                peaks = [row["memory"] for row in mine if "memory" in row]
                print(f"{line}{ratios[0]:>7.2f}{slow:>7.1%}" + (f"{_mean(peaks):>8.2f}" if peaks else ""))
    by_kernel = defaultdict(list)
    for row in rows:
        by_kernel[row["name"], row["program"]].append(row["ratio"])
    means = sorted((_mean(ratios), *key) for key, ratios in by_kernel.items())
    print(
        f"kernels below {SLOW}, mean over sizes and batches: {sum(mean < SLOW for mean, *_ in means)} of {len(means)}; "
        "the worst ten:"
    )
    for mean, name, program in means[:10]:
        print(f"  {mean:.2f} {name}: {program}")


def beside_torch() -> None:
    """What takes how many times as long as torch's own module."""
    print(f"{'form':28}{'batch':>6}{'torch ms':>10}{'of it':>7}")
    for name, batch, calls in hand_written():
        found = times(calls, 0.3, 9)
        print(f"{name:28}{batch:>6}{statistics.median(found[1]):>10.3f}{ratio_of_times(*found):>7.2f}")


def inductor(chosen: list[Case], wanted: argparse.Namespace) -> int:
    """Eager and compiled latency of the optimized lowering at one size."""
    number, wrong = wanted.sizes[0], 0
    print(f"{'kernel':20}{'batch':>6}{'eager ms':>10}{'inductor':>10}{'faster':>8}")
    ratios = []
    for case in chosen:
        if case.values[number] is None:
            continue
        module = case.at(number, "optimized").eval()
        for batch in wanted.batch:
            x = torch.randn(batch, *_image(number))
            try:
                quick = compiled(module, x)
            except Exception as error:  # every failure of the compiler is a result: it is printed and counted
                wrong += 1
                print(f"{case.name:20}{batch:>6}  {type(error).__name__}: {str(error)[:100]}")
                continue
            found = times([inference(module, x), quick], wanted.seconds, 5)
            ratios.append(ratio_of_times(*found))
            eager, fast = (statistics.median(own) for own in found)
            print(f"{case.name:20}{batch:>6}{eager:>10.3f}{fast:>10.3f}{ratios[-1]:>8.2f}", flush=True)
    if ratios:
        print(f"inductor: {len(ratios)} compiled, {wrong} failed, geometric mean {_mean(ratios):.2f} times as fast as eager")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
