"""Kernels and networks in their inference form (`kas.fuse`): one convolution each, equal in float32, and how much faster.

    python tests/benchmarks/fusing.py [NAME]... [--channels 64 --size 32 --batch 1 32 --repeats 15 --threads 1]

Each known pattern of structural re-parametrisation is written as a kernel, most with a BatchNorm behind it, with random
weights and statistics. Each must become a single torch call, one convolution in most cases, with outputs equal to 1e-5 of the
largest in float32; before it the image may be turned once, into the layout that a convolution reads fastest. Each network must
lose all its BatchNorms. Times are medians of interleaved runs in CPU seconds of this process (on CUDA: by the clock, after a
synchronisation); `faster` is the median of the pairs' ratios, with its quartiles. Torch calls are those that reach a backend,
views not counted. Seeds are fixed. Exits with 1 if anything is wrong.

    python tests/benchmarks/fusing.py --sampled 120 --size 16 --batch 8

Known and sampled kernels: how many have something to merge, and how much faster these are; the slowest are listed.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import kas
from kas.lowering.fusing.checking import difference

TOLERANCE = 1e-5
TURN = "aten.channel_shuffle.default"  # puts the channels of an image last in memory
BLOCK_S = 0.02


def program(*steps: dict[str, Any]) -> kas.Kernel:
    """A kernel of rank 2; a step without `ins` reads the one before."""
    return kas.Kernel.from_dict(
        {"format": "kas.kernel/1", "rank": 2, "steps": [{"ins": [i], **step} for i, step in enumerate(steps)]}
    )


def op(name: str, *ins: int, **attributes: Any) -> dict[str, Any]:
    return {"op": name, **({"ins": list(ins)} if ins else {}), **attributes}


def conv(kh: int, kw: int, *ins: int, to: str = "C", **attributes: Any) -> dict[str, Any]:
    return op("conv", *ins, to=to, k=[kh, kw], **attributes)


SCALE, BIAS = op("scale", axes=["0.c"]), op("bias", axes=["0.c"])
# name: (kernel, whether a BatchNorm follows)
KERNELS: dict[str, tuple[kas.Kernel, bool]] = {
    "repvgg": (program(conv(3, 3), op("fc", 0, to="C"), op("add", 1, 2), op("add", 0, 3)), True),
    "inception": (
        program(
            op("fc", to="C"), conv(1, 3, 0), conv(3, 1, 0), conv(3, 3, 0), op("add", 1, 2), op("add", 3, 5), op("add", 4, 6)
        ),
        True,
    ),
    "inception_sequences": (
        program(
            op("fc", to="C/2"), conv(3, 3), op("fc", 0, to="C/2"), conv(3, 3), op("fc", 0, to="C"),
            op("add", 2, 4), op("add", 5, 6),
        ),
        True,
    ),
    "asymmetric": (program(conv(3, 3), conv(3, 1, 0), conv(1, 3, 0), op("add", 1, 2), op("add", 3, 4)), True),
    "scale_bias_norm": (program(SCALE, conv(3, 3), SCALE, BIAS, SCALE, BIAS), True),
    "conv_norm": (program(conv(3, 3)), True),
    "fc_fc": (program(op("fc", to="2*C"), op("fc", to="C")), False),
    "expand_conv": (program(op("fc", to="C"), conv(3, 3), op("fc", to="C")), True),
    "depthwise_3_5": (program(conv(3, 3, depthwise=True), conv(5, 5, 0, depthwise=True), op("add", 1, 2)), True),
    "dilated_1d_pair": (program(conv(5, 1), conv(1, 5, d=[1, 2])), False),
    "pool_minus_identity": (
        program(op("unfold", over="hw", k=3), op("fold", axes=["0.kh", "0.kw"], how="mean"), op("sub", 2, 0)), True,
    ),
    "shuffled_groups": (
        program(op("group", by="4"), op("fc", to="C"), op("group", by="4"), op("transpose"), op("ungroup"), op("fc", to="C")),
        True,
    ),
}  # fmt: skip
# The separable pair is one convolution only where that is cheaper: with 5 x 5 = 25 taps against 10, it is not.
STAY = {"dilated_1d_pair": 2}


def kernel_case(name: str, channels: int, size: int) -> tuple[nn.Module, int]:
    kernel, norm = KERNELS[name]
    module = kas.build(kernel, channels=channels, size=(size, size))
    return (nn.Sequential(module, nn.BatchNorm2d(channels)) if norm else module), channels


def small_resnet_repvgg(size: int) -> nn.Module:
    """A small ResNet with the RepVGG kernel in place of its 3x3 convolutions, in adapters where it steps."""
    from kas.evaluation.models.small_resnet import small_resnet

    net = small_resnet(num_classes=10, input_shape=(3, size, size), width=32)
    return kas.replace(net, KERNELS["repvgg"][0], torch.randn(1, 3, size, size))


def resnet18(size: int) -> nn.Module:
    """torchvision's: Conv2d and BatchNorm2d pairs alone."""
    assert kas.replace  # its package makes torchvision importable
    from torchvision.models import resnet18 as make

    return make(num_classes=10)


NETWORKS: dict[str, Callable[[int], nn.Module]] = {"small_resnet_repvgg": small_resnet_repvgg, "resnet18": resnet18}


def shaken(model: nn.Module) -> nn.Module:
    """Random statistics and weights, as after some training."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    for parameter in model.parameters():
        scale = 0.2 * float(parameter.detach().abs().mean()) + 0.01
        parameter.data += scale * torch.randn(parameter.shape, generator=generator)
    return model.eval()


class Calls(TorchDispatchMode):
    """Counts what reaches a backend, views left out."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        views = ("view", "reshape", "expand", "permute", "transpose", "t.", "unsqueeze", "detach", "slice", "split", "alias")
        if not func.is_view and not any(str(func).startswith(f"aten.{view}") for view in views):
            self.names.append(str(func))
        return result


def calls(module: nn.Module, x: Tensor) -> list[str]:
    with torch.no_grad(), Calls() as counted:
        module(x)
    return counted.names


def paired(before: nn.Module, after: nn.Module, x: Tensor, repeats: int) -> tuple[float, float, list[float]]:
    """Median milliseconds of both, and the quartiles of how many times faster the second is."""
    seconds = [time_of(module, x, 1) for module in (before, after) for _ in range(2)]
    counts = [max(1, round(BLOCK_S / max(seconds[i], 1e-6))) for i in (1, 3)]
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats):
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            times[which].append(time_of((before, after)[which], x, counts[which]))
    ratios = statistics.quantiles([a / b for a, b in zip(*times, strict=True)], n=4, method="inclusive")
    return 1000 * statistics.median(times[0]), 1000 * statistics.median(times[1]), ratios


def time_of(module: nn.Module, x: Tensor, count: int) -> float:
    """Seconds of one inference, the mean of `count`."""
    clock = time.perf_counter if x.is_cuda else time.process_time
    with torch.inference_mode():
        start = clock()
        for _ in range(count):
            module(x)
        if x.is_cuda:
            torch.cuda.synchronize()
        return (clock() - start) / count


def case(name: str, wanted: argparse.Namespace) -> list[str]:
    """Fuse, check, time and print one case; what is wrong with it."""
    torch.manual_seed(0)
    if name in KERNELS:
        model, channels = kernel_case(name, wanted.channels, wanted.size)
    else:
        model, channels = NETWORKS[name](wanted.network_size), 3
    model = shaken(model).to(wanted.device)
    size = wanted.size if name in KERNELS else wanted.network_size
    example = torch.randn(2, channels, size, size, device=wanted.device)
    begin = time.process_time()
    fused = kas.fuse(model, example)
    took = time.process_time() - begin
    problems = []
    for batch in wanted.batch:
        x = torch.randn(batch, channels, size, size, device=wanted.device)
        with torch.no_grad():
            expected, found = model(x), fused(x)
        relative, absolute = difference(expected, found), float((expected - found).abs().max())
        counts = [calls(copy.deepcopy(module), x) for module in (model, fused)]
        before, after, ratio = paired(model, fused, x, wanted.repeats)
        print(
            f"{name:20}{batch:6}{len(counts[0]):7} -> {len(counts[1]):<4}{absolute:10.1e}{relative:10.1e}"
            f"{before:10.3f}{after:10.3f}{ratio[1]:8.2f} ({ratio[0]:.2f}-{ratio[2]:.2f}){took:8.1f}",
            flush=True,
        )
        if relative > TOLERANCE:
            problems.append(f"{name}: outputs differ by {relative:.1e}, more than {TOLERANCE:g}")
        left = [call for call in counts[1] if call != TURN]
        if name in KERNELS and (len(left) != STAY.get(name, 1) or len(counts[1]) > len(left) + 1):
            problems.append(f"{name}: {', '.join(counts[1])} are left, not {STAY.get(name, 1)} calls on an image turned once")
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    return [*problems, f"{name}: {norms} BatchNorms are left"] if norms else problems


def sampled(wanted: argparse.Namespace) -> list[str]:
    """Time the known and some sampled kernels that have something to merge; what is wrong."""
    kernels = [*kas.sample(n=wanted.sampled, rank=2, seed=11), *(kas.zoo.get(name) for name in kas.zoo.names(2))]
    x = torch.randn(wanted.batch[0], wanted.channels, wanted.size, wanted.size, device=wanted.device)
    built, found = 0, []
    for kernel in kernels:
        sizes = {"channels": wanted.channels, "size": (wanted.size, wanted.size), "groups": 4}
        try:
            module = kas.build(kernel, **sizes, values=dict.fromkeys(kernel.variables, max(1, wanted.channels // 4)))
        except kas.Infeasible:
            continue
        built += 1
        module = shaken(module).to(wanted.device)
        fused = kas.fuse(module)
        if fused.fused:
            *_, ratio = paired(module, fused, x, wanted.repeats)
            if ratio[1] < 0.95:  # a second measurement
                *_, ratio = paired(module, fused, x, 2 * wanted.repeats)
            found.append((ratio[1], str(fused.fused[0])))
    for ratio_, what in sorted(found)[:5]:
        print(f"{ratio_:6.2f}  {what}")
    slower = [what for ratio_, what in found if ratio_ < 0.95]
    mean = statistics.geometric_mean([ratio_ for ratio_, _ in found])
    print(
        f"{len(found)} of {built} kernels have something to merge: {mean:.2f} times faster (geometric mean), at most "
        f"{max(found)[0]:.2f}, {len(slower)} slower than 0.95; batch {wanted.batch[0]}"
    )
    return [f"slower: {what}" for what in slower] if len(slower) > len(found) / 100 else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*KERNELS, *NETWORKS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; by default all")
    parser.add_argument("--sampled", type=int, default=0, metavar="N", help="time N sampled kernels and the known ones instead")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--network-size", type=int, default=64)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    wanted = parser.parse_args()
    if unknown := [name for name in wanted.names if name not in names]:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(names)}")
    torch.set_num_threads(wanted.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    print(
        f"kernels: {wanted.channels} channels, {wanted.size} x {wanted.size}; networks: 3 x {wanted.network_size} x "
        f"{wanted.network_size}; float32, {wanted.device}, {wanted.threads} thread(s), torch {torch.__version__}, "
        f"medians of {wanted.repeats} interleaved pairs"
    )
    if wanted.sampled:
        return report(sampled(wanted))
    print(
        f"{'case':20}{'batch':>6}{'torch calls':>15}{'max abs':>10}{'relative':>10}{'rich ms':>10}{'fused ms':>10}"
        f"{'faster (quartiles)':>20}{'fuse s':>8}"
    )
    return report([problem for name in wanted.names or names for problem in case(name, wanted)])


def report(problems: list[str]) -> int:
    """Print what is wrong; the exit code."""
    for problem in problems:
        print(f"WRONG {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
