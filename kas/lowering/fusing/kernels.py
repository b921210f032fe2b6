"""The inference form of a kernel module: its program with linear parts merged, built anew with the merged weights."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kas.language.costs import environment
from kas.language.errors import Infeasible, InvalidKernel, KasError
from kas.language.kernel import Kernel
from kas.language.primitives.scaling import Bias, Scale
from kas.language.shapes import CHANNEL
from kas.lowering.building import build
from kas.lowering.fusing.checking import EXACT, amplifies, equal_up_to_rounding, exact_difference, module_tensor
from kas.lowering.fusing.maps import Floats
from kas.lowering.fusing.pricing import PASS
from kas.lowering.fusing.reading import Program
from kas.lowering.fusing.report import Fused, mark
from kas.lowering.fusing.search import Search
from kas.lowering.fusing.writing import write
from kas.lowering.origin import Origin, origin_of

__all__ = ["Merged", "fuse_kernel", "fuse_kernel_before", "merge", "program_of", "rebuilt"]


class Merged(NamedTuple):
    """A merged program, its weights in step order, and the prices of the linear steps before and after."""

    kernel: Kernel
    weights: tuple[Floats, ...]
    prices: tuple[float, float]

    def report(self, origin: Origin, name: str = "") -> Fused:
        """What became of the program of `origin`."""
        before, after = (" ".join(step.op for step in kernel.steps) for kernel in (origin.kernel, self.kernel))
        return Fused(name, before, after, *self.prices)


def fuse_kernel(module: nn.Module) -> nn.Module:
    """A module of `kas.build` in its inference form; a copy where nothing is worth merging. In eval mode, checked.

    The attribute `fused` says what became of it. Raises KasError for another module, or if the outputs differ.
    """
    origin = _origin(module)
    found = merge(program_of(module, origin), origin)
    fused = None if found is None else _checked(module, found, origin, module_tensor(module), moved=_was_moved(module))
    if found is None or fused is None:
        return mark(copy.deepcopy(module).eval(), ())
    return mark(fused, (found.report(origin),))


def fuse_kernel_before(module: nn.Module, scale: Floats, bias: Floats, like: Tensor) -> nn.Module | None:
    """The inference form of `scale * module(x) + bias` (`[channels]` each): a BatchNorm behind a module of `kas.build`.

    None where that is not cheaper than the module and the affine function one after the other. The new module has
    the device and the precision of `like`.
    """
    origin = _origin(module)
    program = program_of(module, origin)
    found = merge(_followed(program, scale, bias), origin)
    alone = Search(program)
    elements = int(np.prod((origin.channels, *origin.size)))
    if found is None or alone.output not in alone.linear:
        return None
    if found.prices[1] >= alone.price(alone.best()) + PASS * elements:
        return None
    fused = _checked(_Affine(module, scale, bias), found, origin, like, moved=_was_moved(module))
    return None if fused is None else mark(fused, (found.report(origin),))


class _Affine(nn.Module):
    """`scale * module(x) + bias`, for the check."""

    def __init__(self, module: nn.Module, scale: Floats, bias: Floats):
        super().__init__()
        self.module = module
        shape = (-1, *(1,) * len(_origin(module).size))
        self.scale = torch.from_numpy(scale).reshape(shape)
        self.bias = torch.from_numpy(bias).reshape(shape)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.module(x) * self.scale.to(x) + self.bias.to(x)
        return result


def _origin(module: nn.Module) -> Origin:
    origin = origin_of(module)
    if origin is None:
        raise KasError(f"fuse: {type(module).__name__} was not built by kas.build, so its program is not known")
    return origin


def _followed(program: Program, scale: Floats, bias: Floats) -> Program:
    """A program with a scale and a bias of its output channels behind it."""
    kernel = program.kernel
    read = {i for step in kernel.steps for i in step.ins}
    output = next(i for i in range(len(kernel.steps) + 1) if i not in read)
    shape = kernel.shapes[output]
    axes = tuple(f"{n}.{name}" for n, side in enumerate(shape.sides) if side.kind == CHANNEL for name, _ in side.axes())
    end = len(kernel.steps) + 1
    steps = (*kernel.steps, Scale((output,), axes), Bias((end,), axes))
    return Program(Kernel(kernel.rank, steps), program.env, {**program.weights, end: scale, end + 1: bias})


def _checked(module: nn.Module, found: Merged, origin: Origin, like: Tensor, *, moved: bool) -> nn.Module | None:
    """The merged module, with its channels last if the other was moved so; None where rounding changes the outputs too much.

    Raises KasError for a mistake.
    """
    original = copy.deepcopy(module).eval()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, origin.channels, *origin.size, generator=generator).to(like)
    exact = rebuilt(found, origin)
    wrong = exact_difference(original, exact, (x,), {})
    if wrong > EXACT and amplifies(original, x, wrong):
        return None
    if wrong > EXACT:
        raise KasError(f"fuse: {origin.kernel!r} changes by {wrong:.1e} of its largest output when fused; please report it")
    fused = exact.to(device=like.device, dtype=like.dtype)
    if moved:
        fused = fused.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return fused if equal_up_to_rounding(original, fused, (x,), {})[0] else None


def _was_moved(module: nn.Module) -> bool:
    """Whether a module was moved to channels last: it has weights in that order that it would not store so by itself."""
    with torch.device("meta"):
        new = type(module)()
    pairs = zip(module.parameters(), new.parameters(), strict=True)
    return any(_is_channels_last(now) and not _is_channels_last(then) for now, then in pairs)


def _is_channels_last(weight: Tensor) -> bool:
    return weight.dim() == 4 and not weight.is_contiguous() and weight.is_contiguous(memory_format=torch.channels_last)


def program_of(module: nn.Module, origin: Origin) -> Program:
    """The program of a built module with its weights."""
    kernel = origin.kernel
    numbers = [number for number, outcome in enumerate(kernel.outcomes, 1) if outcome.weight is not None]
    weights = [np.asarray(p.detach().cpu().double().contiguous().numpy()) for p in module.parameters()]
    env = environment(kernel, origin.channels, origin.size, origin.groups, origin.values)
    return Program(kernel, env, dict(zip(numbers, weights, strict=True)))


def merge(program: Program, origin: Origin) -> Merged | None:
    """The merged program; None where nothing is worth merging, or the language cannot say it.

    Where the hash stays, nothing is gained: the optimized lowering writes both programs alike.
    """
    search = Search(program)
    plan = search.best()
    if not plan:
        return None
    try:
        kernel, weights = write(program, plan, search.needed(plan))
        environment(kernel, origin.channels, origin.size, origin.groups, _values(kernel, origin))
    except (InvalidKernel, Infeasible):
        return None
    if kernel.hash == program.kernel.hash:
        return None
    return Merged(kernel, tuple(weights), (search.price({}), search.price(plan)))


def rebuilt(found: Merged, origin: Origin) -> nn.Module:
    """The module of a merged program at the sizes of `origin`, in float64 and eval mode."""
    kernel, values = found.kernel, _values(found.kernel, origin)
    with torch.random.fork_rng(devices=[]):
        module = build(kernel, channels=origin.channels, size=origin.size, groups=origin.groups, values=values)
    for parameter, weight in zip(module.parameters(), found.weights, strict=True):
        parameter.data = torch.from_numpy(weight.copy()).reshape(parameter.shape)
    return module.eval()


def _values(kernel: Kernel, origin: Origin) -> dict[str, int]:
    return {name: origin.values[name] for name in kernel.variables}
