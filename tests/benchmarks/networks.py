"""Whole networks in the runtimes that people ship: the original and known kernels in place of its layers or its blocks.

    python tests/benchmarks/networks.py [--networks resnet18 ...] [--runtimes eager compile onnxruntime] [--threads 1 2]
        [--batch 1] [--size 224] [--device cpu] [--rounds 15] [--keep runs/networks.json] [--report]

All networks of a row are prepared first (each in the better memory format of its runtime) and then run in turns; a speed-up
is the median over the rounds of original over candidate, its spread the quartiles. What is measured is kept in a file
after each row and not measured again; `--report` prints the tables of what is there and measures nothing. Weights are
random: this is about time alone. Exit code 1 where a network has no choice that is 1.3 times as fast in some runtime.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn

import kas
from kas.evaluation.devices import cpu_threads, describe_device, resolve_device, synchronize
from kas.evaluation.latency import prepare
from kas.evaluation.models import make_model
from kas.evaluation.runtimes import RUNTIMES, Refusal, make_runtime
from kas.evaluation.settings import CostSettings, ModelSettings
from kas.study.storage.files import write_json

GOAL_EACH, GOAL_MEAN = 1.3, 2.0
BLOCKS: dict[str, list[str]] = {
    "resnet18": ["BasicBlock"],
    "resnet34": ["BasicBlock"],
    "vgg16_bn": [],
    "densenet121": ["_DenseLayer"],
    "resnext50_32x4d": ["Bottleneck"],
    "efficientnet_v2_s": ["MBConv", "FusedMBConv"],
}


@dataclass(frozen=True)
class Choice:
    """A known kernel in place of the convolutions of a network (`layers`), or of its blocks, within a share of their MACs."""

    kernel: str
    where: str = "layers"
    macs: float = 0.3

    @property
    def name(self) -> str:
        return f"{self.kernel}, {self.where}"


LAYERS = (
    Choice("depthwise_separable"), Choice("grouped3x3"), Choice("ghost"),
    Choice("squeeze_excitation"), Choice("low_rank3x3"), Choice("involution"),
)  # fmt: skip
OF_BLOCKS = (
    Choice("depthwise_separable", "blocks"), Choice("inverted_residual", "blocks"), Choice("bottleneck", "blocks"),
    Choice("grouped3x3", "blocks"), Choice("convnext", "blocks"),
)  # fmt: skip
# The budget is too small for the depthwise-separable kernel where most of the work is in 1x1 convolutions already.
OTHERS = {"resnext50_32x4d": (Choice("depthwise3x3", "blocks"), Choice("low_rank3x3", "blocks"))}


def choices(network: str) -> tuple[Choice, ...]:
    """Six choices at least: of layers alone where a network has no blocks, else of blocks and the commonest of layers."""
    return (LAYERS[0], *OF_BLOCKS, *OTHERS.get(network, ())) if BLOCKS[network] else LAYERS


def replaced(model: nn.Module, choice: Choice, blocks: list[str], x: torch.Tensor) -> nn.Module:
    """The network with a choice in place of its layers or blocks."""
    torch.manual_seed(0)
    chosen: dict[str, Any] = {"types": blocks, "adapter": "projection"} if choice.where == "blocks" else {}
    targets = kas.find_targets(model, x, rank=2, **chosen)
    return kas.replace(model, kas.zoo.get(choice.kernel), x, targets, {"macs": choice.macs}).eval()


def rounds(runs: list[Callable[[], Any]], count: int, device: torch.device) -> list[list[float]]:
    """Milliseconds of a pass of each, `count` times, each round in another order; each has run twice before."""
    for run in [*runs, *runs]:
        run()
    found: list[list[float]] = [[] for _ in runs]
    for number in range(count):
        order = [(number + place) % len(runs) for place in range(len(runs))]
        for which in order:
            synchronize(device)
            start = time.perf_counter()
            runs[which]()
            synchronize(device)
            found[which].append(1000 * (time.perf_counter() - start))
    return found


def measure(network: str, runtime: str, wanted: argparse.Namespace, threads: int) -> dict[str, Any]:
    """One row: the original and every choice of a network in a runtime."""
    device = resolve_device(wanted.device)
    torch.manual_seed(0)
    model = make_model(ModelSettings(name=network), 1000, (3, wanted.size, wanted.size)).eval()
    x = torch.randn(wanted.batch, 3, wanted.size, wanted.size)
    settings = CostSettings(batch_size=wanted.batch, threads=threads)
    names, prepared, refused = [], [], {}
    with cpu_threads(threads):
        machine = describe_device(device)
        for choice in (None, *choices(network)):
            name = "original" if choice is None else choice.name
            start = time.perf_counter()
            try:
                candidate = model if choice is None else replaced(model, choice, BLOCKS[network], x[:1])
                made = prepare(candidate.to(device), x.to(device), settings, make_runtime(runtime))
            except (Refusal, kas.Infeasible) as error:
                refused[name] = "over budget" if isinstance(error, kas.Infeasible) else f"refused: {error}"
                continue
            print(f"  {name}: prepared in {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
            names.append(name)
            prepared.append(made)
        times = rounds([one.run for one in prepared], wanted.rounds, device)
    rows = {}
    for name, made, own in zip(names, prepared, times, strict=True):
        speedups = [a / b for a, b in zip(times[0], own, strict=True)]
        low, middle, high = statistics.quantiles(speedups, n=4, method="inclusive")
        rows[name] = {
            "ms": statistics.median(own), "speedup": middle, "low": low, "high": high,
            "memory_format": made.memory_format, "version": made.version,
        }  # fmt: skip
    return {"rows": rows, "refused": refused, "device": machine, "torch": torch.__version__}


def table(kept: dict[str, Any], threads: int, batch: int) -> bool:
    """Print what was measured at a number of threads and a batch size; whether every network reaches the goals."""
    best: dict[str, dict[str, float]] = {}
    for network in BLOCKS:
        found = {runtime: kept.get(f"{network} {runtime} {threads} {batch}") for runtime in RUNTIMES}
        found = {runtime: row for runtime, row in found.items() if row}
        if not found:
            continue
        print(f"\n{network}, {next(iter(found.values()))['device']}, batch {batch}")
        print(f"  {'':<32}" + "".join(f"{runtime:>30}" for runtime in found))
        for name in dict.fromkeys(name for row in found.values() for name in (*row["rows"], *row["refused"])):
            cells = [_cell(row, name) for row in found.values()]
            print(f"  {name:<32}" + "".join(f"{cell:>30}" for cell in cells))
        for runtime, row in found.items():
            speedups = [entry["speedup"] for name, entry in row["rows"].items() if name != "original"]
            best.setdefault(runtime, {})[network] = max(speedups)
    met = True
    print()
    for runtime, found_best in best.items():
        mean = prod(found_best.values()) ** (1 / len(found_best))
        least = min(found_best, key=lambda name: found_best[name])
        print(
            f"{runtime}, {threads} threads: the best choice of each of {len(found_best)} networks is {mean:.2f} times as fast "
            f"in geometric mean, the least {found_best[least]:.2f} ({least})"
        )
        met &= found_best[least] >= GOAL_EACH and (runtime != "onnxruntime" or mean >= GOAL_MEAN)
    return met


def _cell(row: dict[str, Any], name: str) -> str:
    entry = row["rows"].get(name)
    if entry is None:
        return str(row["refused"].get(name, ""))[:28]
    if name == "original":
        return f"{entry['ms']:.1f} ms"
    return f"{entry['ms']:.1f} ms {entry['speedup']:.2f}x ({entry['low']:.2f}-{entry['high']:.2f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(BLOCKS), default=list(BLOCKS))
    parser.add_argument("--runtimes", nargs="+", choices=list(RUNTIMES), default=list(RUNTIMES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, torch.get_num_threads()])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--keep", type=Path, default=Path("runs/networks.json"))
    parser.add_argument("--report", action="store_true")
    wanted = parser.parse_args()
    kept: dict[str, Any] = json.loads(wanted.keep.read_text()) if wanted.keep.exists() else {}
    for threads in [] if wanted.report else dict.fromkeys(wanted.threads):
        for network in wanted.networks:
            for runtime in wanted.runtimes:
                key = f"{network} {runtime} {threads} {wanted.batch}"
                if key not in kept:
                    print(key, file=sys.stderr, flush=True)
                    kept[key] = measure(network, runtime, wanted, threads)
                    write_json(wanted.keep, kept)
    versions = {entry["version"] for row in kept.values() for entry in row["rows"].values()}
    print("; ".join(sorted(versions)))
    met = [table(kept, threads, wanted.batch) for threads in dict.fromkeys(wanted.threads)]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
