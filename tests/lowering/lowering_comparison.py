"""The comparison of the two lowerings, and random programs for it."""

from __future__ import annotations

import random

import torch
from kernel_sizes import fitting
from lowering_programs import SIZES

from kas.language import Infeasible, InvalidKernel, Kernel
from kas.language.primitives import OPS
from kas.language.rules import apply_step
from kas.language.shapes import input_shape
from kas.lowering import build


def results(module, x, direction):
    """Output and gradients of the input and the parameters, for the sum of the output times a direction."""
    x = x.clone().requires_grad_()
    module.zero_grad()
    y = module(x)
    (y * direction).sum().backward()
    return [y.detach(), x.grad, *(p.grad for p in module.parameters())]


def difference(kernel, channels=16, groups=4, values=None, sizes=None):
    """The largest relative difference of output and gradients between the lowerings: at all sizes, batch 1 and 3."""
    sizes = [fitting(kernel, size) for size in sizes or SIZES[kernel.rank]]
    values = dict.fromkeys(kernel.variables, 8) if values is None else values
    wanted = {"channels": channels, "size": sizes[0], "groups": groups, "values": values}
    torch.manual_seed(0)
    plain, optimized = (build(kernel, lowering=name, **wanted).double() for name in ("plain", "optimized"))
    for parameter in plain.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # so that no scale is one and no bias zero
    optimized.load_state_dict(plain.state_dict())
    worst = 0.0
    for size in sizes[:1] if kernel.fixed_size else sizes:
        for batch in (1, 3):
            x, direction = torch.randn(2, batch, channels, *size, dtype=torch.double)
            pairs = list(zip(results(plain, x, direction), results(optimized, x, direction), strict=True))
            worst = max(worst, *_differences(pairs))
    return worst


def _differences(pairs):
    """Relative to the tensor's largest element; a gradient that all but cancels is compared with the largest gradient."""
    gradients = max((float(a.abs().max()) for a, _ in pairs[1:] if a is not None), default=0.0)
    for i, (a, b) in enumerate(pairs):
        if a is None or b is None:
            assert all(t is None or not t.any() for t in (a, b))
            continue
        assert a.shape == b.shape
        if torch.isfinite(a).all():
            yield float((a - b).abs().max()) / max(float(a.abs().max()), 1e-3 * gradients if i else 0.0, 1e-5)


TO = {
    2: ["C", "C/2", "8", "C/4", "2*C", "G", "H", "9*C/4", "1", "H*W/4"],
    1: ["C", "C/2", "8", "C/4", "2*C", "3*C", "1", "H/2"],
    0: ["C", "C/2", "8", "C/4", "2*C", "1"],
}
SIZES_OF = {"unfold": [3, 5], "filter": [3, 5]}
PARTS = [[[1, 0], [-1, 0]], [[0, 1], [0, 0], [0, -2], [1, 1]]]
WEIGHTS = dict.fromkeys(["fold", "unfold"], 5) | dict.fromkeys(["fc", "mix", "scale", "matmul", "group", "mul"], 3)


def random_program(rng: random.Random, rank: int, length: int) -> Kernel | None:
    """A legal kernel by trial: wilder than what the search samples. None if the walk does not end in one."""
    steps, shapes = [], [input_shape(rank)]

    def push(entry):
        try:
            step = OPS[entry["op"]].from_dict(entry)
            outcome = apply_step([*steps, step], shapes, rank)
        except InvalidKernel:
            return False
        steps.append(step)
        shapes.append(outcome.shape)
        return True

    for _ in range(40 * length):
        if len(steps) < length:
            push(_random_step(rng, rank, shapes))
    for closing in ({}, {"op": "fc", "to": "C"}, {"op": "add"}, {"op": "mul"}):
        ins = [len(steps)] if closing.get("op") == "fc" else [len(steps), 0]
        if closing and not push({**closing, "ins": ins}):
            continue
        try:
            return Kernel(rank, steps)
        except InvalidKernel:
            pass
    return None


def _random_step(rng, rank, shapes):
    last = len(shapes) - 1
    axes = [name for name, _ in shapes[last].axes()] or ["0.c"]
    taps = [name for name in axes if "k" in name]
    pool = taps if taps and rng.random() < 0.5 else [name for name in axes if name[0] == rng.choice("01")] or axes
    some = sorted(rng.sample(pool, rng.randint(1, min(3, len(pool)))), key=axes.index)
    name = rng.choices(list(OPS), [WEIGHTS.get(name, 1) for name in OPS])[0]
    other = rng.randrange(len(shapes))
    random_values = {
        "by": rng.choice({"group": ["G", "C", "4", "2", "C/4"], "spatial_shift": PARTS}.get(name, [1, -1, 2])),
        "axis": rng.choice([axis for axis in axes if axis[2:] in ("c", "h", "w")] or ["0.c"]),
        "size": 2,
        "grid": rng.random() < 0.5,
        "pad": rng.choice(["zero", "edge", "roll"]),
        "batch": [axis for axis in ("g", "kh", "kw", "h", "w") if rng.random() < 0.4] or ["g"],
        "over": rng.choice(["h", "w", "hw"]),
        "k": [rng.choice([1, 3]), rng.choice([1, 3])] if name == "conv" else rng.choice(SIZES_OF.get(name, [2, 3])),
        "to": [rng.choice([*TO[rank], "1", "1"]) for _ in some] if name == "mix" else rng.choice(TO[rank]),
        "axes": rng.sample(some, len(some)) if name == "mix" else some,
        "how": rng.choice(["l2", "standard"] if name == "normalize" else ["mean", "mean", "max"]),
        "t": [rng.random() < 0.5, rng.random() < 0.5],
        "softmax": rng.random() < 0.5,
        "swap": rng.random() < 0.5,
        "depthwise": rng.random() < 0.3,
    }
    own = {key: value for key, value in random_values.items() if key in OPS[name].codecs()}
    ins = [last] if OPS[name].arity == 1 else rng.choice([[other, last], [last, other]])
    return {"op": name, "ins": ins, **own}


def random_difference(rng: random.Random) -> float | None:
    """The difference of the lowerings of a random program; None if there is none at the sizes."""
    kernel = random_program(rng, rng.choice([2, 2, 2, 1, 0]), rng.randint(2, 8))
    if kernel is None:
        return None
    try:
        return difference(kernel, groups=rng.choice([1, 2, 4]))
    except (Infeasible, ValueError):
        return None
