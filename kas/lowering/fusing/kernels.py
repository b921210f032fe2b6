"""The inference form of a kernel module: its program with linear parts merged, built anew with the merged weights."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from kas.language.costs import environment
from kas.language.errors import Infeasible, InvalidKernel, KasError
from kas.language.kernel import Kernel
from kas.lowering.building import build
from kas.lowering.fusing.checking import EXACT, equal_up_to_rounding, exact_difference, module_tensor
from kas.lowering.fusing.maps import Floats
from kas.lowering.fusing.reading import Program
from kas.lowering.fusing.report import Fused, mark
from kas.lowering.fusing.search import Search
from kas.lowering.fusing.writing import write
from kas.lowering.origin import Origin, origin_of

__all__ = ["Merged", "fuse_kernel", "merge", "program_of", "rebuilt"]


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
    origin = origin_of(module)
    if origin is None:
        raise KasError(f"fuse: {type(module).__name__} was not built by kas.build, so its program is not known")
    found = merge(program_of(module, origin), origin)
    fused = None if found is None else _checked(module, found, origin)
    if found is None or fused is None:
        return mark(copy.deepcopy(module).eval(), ())
    return mark(fused, (found.report(origin),))


def _checked(module: nn.Module, found: Merged, origin: Origin) -> nn.Module | None:
    """The merged module; None where rounding its weights changes the outputs too much. Raises KasError for a mistake."""
    original, tensor = copy.deepcopy(module).eval(), module_tensor(module)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, origin.channels, *origin.size, generator=generator).to(tensor)
    exact = rebuilt(found, origin).to(tensor.device)
    wrong = exact_difference(original, exact, (x,), {})
    if wrong > EXACT:
        raise KasError(f"fuse: {origin.kernel!r} changes by {wrong:.1e} of its largest output when fused; please report it")
    fused = exact.to(tensor.dtype)
    return fused if equal_up_to_rounding(original, fused, (x,), {})[0] else None


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
