"""Exports against torch: random kernels and whole networks as ONNX (in onnxruntime) and as torch's exported program.

    python tests/benchmarks/exports.py [--kernels 50] [--seed 0] [--channels 32]
        [--formats onnx exported-program] [--networks NAME ...]

Each file is written, loaded and run beside the module in float32 on the CPU at batches 1, 2 and 5; the difference is the
largest absolute one, relative to the largest element of the output. Exit code 1 if any export fails, or differs by more than
1e-4. Beside it the largest rounding of torch itself, float32 against float64: where that is itself over a quarter of 1e-4 (a
kernel that divides by what is nearly zero), an export may differ by four times as much; `over` counts those that do.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

import kas
from kas.evaluation.models import make_model
from kas.evaluation.settings import ModelSettings
from kas.lowering.export import BATCHES, FORMATS, TOLERANCE, Exported, export_module

SIZES: dict[int, tuple[int, ...]] = {2: (12, 12), 1: (24,), 0: ()}
SHARES = {2: 0.7, 1: 0.2, 0: 0.1}
# Network, input, the known kernel that replaces its layers, and which layers.
NETWORKS: dict[str, tuple[str, tuple[int, ...], str, dict[str, object]]] = {
    "small_resnet@16": ("small_resnet", (1, 16, 16), "involution", {}),
    "resnet18@64": ("resnet18", (3, 64, 64), "nonlocal_attention", {}),
    "mobilenet_v2@64": ("mobilenet_v2", (3, 64, 64), "shufflenet_unit", {"depthwise": True}),
    "small_conv1d@64": ("small_conv1d", (2, 64), "bottleneck1d", {}),
    "mlp@64": ("mlp", (64,), "low_rank_linear", {"rank": 0}),
}


def kernels(count: int, seed: int, channels: int) -> Iterator[tuple[str, nn.Module, tuple[int, ...]]]:
    """Random kernels of all ranks, solved for one layer: name, module, shape of an input without the batch."""
    counts = {rank: int(count * share) for rank, share in SHARES.items()}
    counts[2] += count - sum(counts.values())
    for rank, number in counts.items():
        target = kas.Target("layer", channels, channels, SIZES[rank], kernel_size=(3, 3)[:rank])
        for kernel in kas.sample(number, rank=rank, seed=seed, targets=[target]):
            sizes = kas.solve(kernel, [target])
            values = sizes.values["layer"]
            module = kas.build(kernel, channels=channels, size=SIZES[rank], groups=sizes.groups, values=values)
            yield f"rank {rank} {kernel.hash}", module, (channels, *SIZES[rank])


def networks(names: list[str]) -> Iterator[tuple[str, nn.Module, tuple[int, ...]]]:
    """Networks with a known kernel in place of their layers, after one batch for the statistics of their normalisations."""
    for name in names:
        factory, shape, known, chosen = NETWORKS[name]
        model = make_model(ModelSettings(name=factory), 10, shape)
        example = torch.randn(8, *shape)
        targets = kas.find_targets(model, example, **chosen)  # type: ignore[arg-type]
        model = kas.replace(model, kas.zoo.get(known), example, targets=targets)
        with torch.no_grad():
            model.train()(example)
        yield f"{name}, {len(targets)} x {known}", model, shape


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--verbose", action="store_true", help="a line for each export")
    wanted = parser.parse_args()
    torch.manual_seed(wanted.seed)
    conditions = f"float32, batches {BATCHES}, seed {wanted.seed}, {wanted.channels} channels"
    print(f"torch {torch.__version__}, {versions()}, {platform.machine()}; {conditions}")
    columns = f"{'exported':>9}{'failed':>8}{'over':>6}{'difference':>12}{'rounding':>10}{'CPU s each':>12}"
    print(f"{'what':44}{'format':18}{columns}")
    failures = []
    random_kernels = list(kernels(wanted.kernels, wanted.seed, wanted.channels))
    for form in wanted.formats:
        failures += group(f"{len(random_kernels)} random kernels", random_kernels, form, wanted.verbose)
    for network in networks(wanted.networks):
        for form in wanted.formats:
            failures += group(network[0], [network], form, False)
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"{len(failures)} failures; the limit is {TOLERANCE:g}")
    return 1 if failures else 0


def group(title: str, modules: list[tuple[str, nn.Module, tuple[int, ...]]], form: str, verbose: bool) -> list[str]:
    """Export some modules, print a row, and return what failed."""
    results: list[Exported] = []
    failures = []
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for name, module, shape in modules:
            path = Path(folder) / ("module.onnx" if form == "onnx" else "module.pt2")
            try:
                results.append(export_module(module, shape, path, form))
                if verbose:
                    print(f"  {name} {form} {results[-1].difference:.2g} {results[-1].rounding:.2g}", flush=True)
            except kas.KasError as error:
                failures.append(f"{name} as {form}: {error}")
    seconds = (time.process_time() - start) / max(1, len(modules))
    difference, rounding = (max((result[i] for result in results), default=0.0) for i in range(2))
    over = sum(result.difference > TOLERANCE for result in results)
    row = f"{title:44}{form:18}{len(results):>9}{len(failures):>8}{over:>6}"
    print(f"{row}{difference:>12.2g}{rounding:>10.2g}{seconds:>12.1f}", flush=True)
    return failures


def versions() -> str:
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("onnx", "onnxscript", "onnxruntime"))


if __name__ == "__main__":
    sys.exit(main())
