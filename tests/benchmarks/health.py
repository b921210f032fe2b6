"""Health by construction: sampled kernels at their solved sizes, with fresh weights and unit normal input.

    python tests/benchmarks/health.py [--kernels 2000] [--budget 1.0] [--seed 0] [--targets 64,32 256,8] [--out FILE]

Kernels are drawn for the four targets (64,32), (128,16), (256,8), (512,4) (channels, size) and the budget, a ratio of the
MACs and of the parameters of the 3x3 convolutions, and built (optimized lowering, float64, one thread) at some of them. Hard
defects:

    nonfinite   an output or a gradient is not finite
    constant    the standard deviation of the whole output is under 1e-6 of its root mean square, or it is zero
    independent the outputs of two independent inputs differ by less than 1e-4 of their root mean square
    input       the gradient of the input, for a unit normal cotangent, is under 1e-6 of the output's root mean square
    weight      for both of two random cotangents, the gradient of some weight (root mean square) is under 1e-6 of the median
                of the other weights, or the weight has no influence: a relative change of it changes the output, relative
                to its root mean square, 1e-8 times as much (where a weight starts at zero, a change by one)
    unbuilt     the lowering refuses a kernel for which the solver has sizes

The scale is the standard deviation of the whole output; it is sane within [1e-2, 1e2]. Steepness is no defect, but trains
badly: the largest change of the output, in its own size, for a change of the input or of a weight, in theirs (of a bias, by
one); 1 for linear maps. Prints the share of kernels with each defect at any of the sizes, the distributions of log10 scale and
steepness, which ops are over-represented, and the worst kernels.
`--out` writes every kernel with a defect, an insane scale or a steepness over 50 as a JSON line. Exit code 1 if more than
0.5 % have a hard defect or more than 1 % an insane scale.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

import kas

TARGETS = [kas.Target(f"{c},{s}", c, c, (s, s)) for c, s in ((64, 32), (128, 16), (256, 8), (512, 4))]
DEFECTS = ("unbuilt", "nonfinite", "constant", "independent", "input", "weight")
SANE = (1e-2, 1e2)
STEEP = 50.0


@dataclass
class Finding:
    """What was seen of one kernel: the size of each defect by its name, scale and steepness at each target."""

    kernel: kas.Kernel
    defects: dict[str, str] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    steepness: dict[str, float] = field(default_factory=dict)

    @property
    def sane(self) -> bool:
        return all(SANE[0] <= scale <= SANE[1] for scale in self.scales.values())

    @property
    def steep(self) -> bool:
        return any(steepness > STEEP for steepness in self.steepness.values())

    @property
    def reason(self) -> str:
        scales = ", ".join(f"{scale:.2g}" for scale in self.scales.values())
        steepness = ", ".join(f"{one:.2g}" for one in self.steepness.values())
        return f"{'; '.join(f'{name}: {text}' for name, text in self.defects.items())} scale {scales}, steepness {steepness}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=int, default=2000)
    parser.add_argument("--budget", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="+", default=["64,32", "256,8"], choices=[t.name for t in TARGETS])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--worst", type=int, default=20)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    budget = {"macs": options.budget, "params": options.budget}
    start = time.perf_counter()
    kernels = kas.sample(options.kernels, seed=options.seed, targets=TARGETS, budget=budget)
    sampled = time.perf_counter()
    chosen = [target for target in TARGETS if target.name in options.targets]
    findings = [examine(kernel, chosen, budget, options.batch) for kernel in kernels]
    print(
        f"{len(kernels)} kernels, seed {options.seed}, budget {options.budget:g}, examined at {' and '.join(options.targets)}, "
        f"batch {options.batch}; {sampled - start:.0f} s to sample, {time.perf_counter() - sampled:.0f} s to examine"
    )
    if options.out:
        bad = [finding for finding in findings if finding.defects or not finding.sane or finding.steep]
        options.out.write_text("".join(json.dumps(entry(finding)) + "\n" for finding in bad))
    return report(findings, options.worst)


def examine(kernel: kas.Kernel, targets: list[kas.Target], budget: dict[str, float], batch: int) -> Finding:
    """Build a kernel at each target and run it forward and backward."""
    finding = Finding(kernel)
    sizes = kas.solve(kernel, TARGETS, budget)
    for target in targets:
        torch.manual_seed(0)
        at = {"groups": sizes.groups, "values": sizes.values[target.name]}
        try:
            module = kas.build(kernel, channels=target.in_channels, size=target.size, **at).double()
        except kas.Infeasible as error:
            finding.defects.setdefault("unbuilt", f"{error} (at {target.name})")
            continue
        _examine_at(finding, target, module, batch)
    return finding


def _examine_at(finding: Finding, target: kas.Target, module: nn.Module, batch: int) -> None:
    shape = (batch, target.in_channels, *target.size)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    y = module(x)
    with torch.no_grad():
        other = module(torch.randn_like(x))
    size = _rms(y)
    finding.scales[target.name] = scale = float(y.detach().std())
    found: dict[str, str] = {}
    weights = [weight for _, weight in module.named_parameters()]
    gradients = _gradients(y, x, weights) if y.requires_grad else [0.0] * (1 + len(weights))
    if not all(torch.isfinite(torch.tensor([size, *gradients])).tolist()):
        found["nonfinite"] = f"output {size:.2g}, gradients {', '.join(f'{g:.2g}' for g in gradients)}"
    else:
        finding.steepness[target.name] = _steepness(gradients, [x, *weights], y)
        if scale <= 1e-6 * size:
            found["constant"] = f"std {scale:.2g} of {size:.2g}"
        change = _rms(y - other) / size if size else 0.0
        if change < 1e-4:
            found["independent"] = f"changes by {change:.2g}"
        if gradients[0] <= 1e-6 * size:
            found["input"] = f"gradient {gradients[0]:.2g} of {size:.2g}"
        dead = [i for i in range(1, len(gradients)) if gradients[i] <= _least(gradients, i, weights[i - 1], y)]
        if dead:
            names = [name for name, _ in module.named_parameters()]
            found["weight"] = ", ".join(f"{names[i - 1]} {gradients[i]:.1g}" for i in dead)
    for name, text in found.items():
        finding.defects.setdefault(name, f"{text} (at {target.name})")


def _gradients(y: Tensor, x: Tensor, weights: list[Tensor]) -> list[float]:
    """The larger root mean square of the gradient of the input and of each weight, for two unit normal cotangents."""
    largest = [0.0] * (1 + len(weights))
    for last in (False, True):
        given = torch.autograd.grad(y, [x, *weights], torch.randn_like(y), retain_graph=not last, allow_unused=True)
        sizes = [0.0 if gradient is None else _rms(gradient) for gradient in given]
        largest = [max(a, b) if a == a and b == b else float("nan") for a, b in zip(largest, sizes, strict=True)]
    return largest


def _steepness(gradients: list[float], of: list[Tensor], y: Tensor) -> float:
    """The largest relative change of the output for a relative change of one of the tensors that it depends on."""
    whole = _rms(y) * y.numel() ** 0.5
    changes = [gradient * one.numel() ** 0.5 * (_rms(one) or 1.0) for gradient, one in zip(gradients, of, strict=True)]
    return max(changes) / whole if whole else 0.0


def _least(gradients: list[float], i: int, weight: Tensor, y: Tensor) -> float:
    """The gradient (root mean square) under which weight i counts as dead."""
    others = [g for j, g in enumerate(gradients) if j not in (0, i)]
    without_influence = 1e-8 * _rms(y) * (y.numel() / weight.numel()) ** 0.5 / (_rms(weight) or 1.0)
    return max(1e-6 * statistics.median(others) if others else 0.0, without_influence)


def _rms(values: Tensor) -> float:
    return float(values.detach().square().mean().sqrt())


def entry(finding: Finding) -> dict[str, object]:
    """A line of the file of failures."""
    return {
        "reason": finding.reason,
        "defects": list(finding.defects),
        "scales": finding.scales,
        "steepness": finding.steepness,
        **finding.kernel.to_dict(),
    }


def line(kernel: kas.Kernel) -> str:
    """A program on one line: the number of each step, its primitive, what it reads and its attributes."""
    steps = []
    for number, step in enumerate(kernel.steps, 1):
        data = step.to_dict()
        ins = ",".join(map(str, step.ins))
        rest = "".join(f" {key}={_short(value)}" for key, value in data.items() if key not in ("op", "ins") and value)
        steps.append(f"{number}:{data['op']}({ins}{rest})")
    return " ".join(steps)


def _short(value: object) -> str:
    return "+".join(map(_short, value)) if isinstance(value, list | tuple) else str(value)


def report(findings: list[Finding], worst: int) -> int:
    """Print the tables; the exit code."""
    count = len(findings)
    hard = [finding for finding in findings if finding.defects]
    insane = [finding for finding in findings if not finding.sane]
    print(f"\n{'defect':<14}{'kernels':>8}{'share':>9}")
    for name in DEFECTS:
        number = sum(name in finding.defects for finding in findings)
        print(f"{name:<14}{number:>8}{number / count:>9.2%}")
    print(f"{'any':<14}{len(hard):>8}{len(hard) / count:>9.2%}")
    print(f"{'insane scale':<14}{len(insane):>8}{len(insane) / count:>9.2%}")
    steep = [finding for finding in findings if finding.steep]
    print(f"{'steep':<14}{len(steep):>8}{len(steep) / count:>9.2%}")
    _distribution("scale", [scale for finding in findings for scale in finding.scales.values()])
    _distribution("steepness", [steepness for finding in findings for steepness in finding.steepness.values()])
    for title, chosen in (("hard defects", hard), ("insane scales", insane), ("steep gradients", steep)):
        if chosen:
            print(f"\nops in kernels with {title}, times as often as in all (share among them)")
            print("  ".join(f"{op} {ratio:.1f} ({share:.0%})" for op, ratio, share in _ops(chosen, findings)[:12]))
    print(f"\nthe worst {worst}")
    for finding in sorted((f for f in findings if f.defects or not f.sane or f.steep), key=_badness, reverse=True)[:worst]:
        print(f"{finding.reason}\n    {line(finding.kernel)}")
    return int(len(hard) > 0.005 * count or len(insane) > 0.01 * count)


def _distribution(what: str, values: list[float]) -> None:
    """Print a histogram by decades."""
    bins = Counter(map(_bin, values))
    print(f"\nlog10 of the {what}, share of kernels and targets")
    for low in sorted(bins):
        print(f"{'[' + str(low) + ', ' + str(low + 1) + ')':<14}{bins[low]:>8}{bins[low] / len(values):>9.2%}")


def _bin(scale: float) -> int:
    """The decade of a scale, between -7 (zero too) and 7 (not a number too)."""
    if scale != scale or scale >= 1e7:
        return 7
    return max(-7, int(torch.tensor(scale, dtype=torch.float64).log10().floor())) if scale else -7


def _ops(chosen: list[Finding], findings: list[Finding]) -> list[tuple[str, float, float]]:
    """Each op, how much likelier it is among the chosen than among all, and its share among the chosen."""

    def shares(some: list[Finding]) -> dict[str, float]:
        counts = Counter(op for finding in some for op in {step.op for step in finding.kernel.steps})
        return {op: number / len(some) for op, number in counts.items()}

    usual = shares(findings)
    return sorted(((op, share / usual[op], share) for op, share in shares(chosen).items()), key=lambda row: -row[1])


def _badness(finding: Finding) -> tuple[int, float]:
    sizes = [abs(_bin(size)) for size in (*finding.scales.values(), *finding.steepness.values())]
    return len(finding.defects), max(sizes, default=0)


if __name__ == "__main__":
    sys.exit(main())
