"""The canonical form: what hashes alike (shown numerically), what must not, and what shares a family only."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import permutations
from time import process_time

import numpy as np
import pytest
import torch
from form_evaluator import Evaluator, Unsupported
from short_programs import program, random_kernel

from kas.language import KasError, Kernel, environment
from kas.language.normal import kernel_text
from kas.language.normal.form import Form, normal_form_and_factors
from kas.language.normal.graph import Graph
from kas.language.normal.order import canonical_order
from kas.language.normal.reading import read
from kas.language.normal.rules import RULES
from kas.lowering import build

Spelling = tuple[str, ...]
SIZES = {"channels": 12, "groups": 2}
SIZE = (5, 7)
C3 = "conv to=C k=3,3"
DW3 = "conv to=C k=3,3 depthwise=true"

FAMILY_APART: list[tuple[Spelling, Spelling, str]] = [
    (("fc to=C", "relu", "fc to=C"), ("fc to=C",), "a nonlinearity"),
    ((C3, C3), ("conv to=C k=5,5",), "zero padding between"),
    ((C3, "conv in=0 to=C k=3,3 d=2,2", "add in=1,2"), (C3,), "two dilations"),
    (("fc to=C", "relu", "add in=1,2"), ("fc to=C", "relu"), "a residual around a nonlinearity"),
    ((C3,), (DW3,), "dense and depthwise"),
    (("fc to=C", "mul in=0,1"), ("fc to=C",), "a product"),
]


@pytest.mark.parametrize(("one", "two", "why"), FAMILY_APART, ids=[row[2] for row in FAMILY_APART])
def test_family_apart(one: Spelling, two: Spelling, why: str) -> None:
    assert program(*one).family != program(*two).family


def _values(kernel: Kernel) -> dict[str, int]:
    return dict.fromkeys(kernel.variables, 3)


def _inputs(kernel: Kernel, seed: int = 0) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
    """An input, and a weight for each weighted step; scales are positive, as a normalisation forgets their sign."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, SIZES["channels"], *SIZE[: kernel.rank], generator=generator, dtype=torch.float64)
    env = environment(kernel, SIZES["channels"], SIZE[: kernel.rank], SIZES["groups"], _values(kernel))
    weights = {}
    for token, (step, outcome) in enumerate(zip(kernel.steps, kernel.outcomes, strict=True), 1):
        if outcome.weight is not None:
            shape = [dim.value(env) for dim in outcome.weight]
            weight = torch.randn(shape, generator=generator, dtype=torch.float64) / (outcome.weight[-1].value(env) ** 0.5)
            weights[token] = weight.abs() + 0.2 if step.op == "scale" else weight
    return x, weights


def _run(kernel: Kernel, x: torch.Tensor, weights: dict[int, torch.Tensor]) -> torch.Tensor:
    module = build(kernel, **SIZES, size=tuple(x.shape[2:]), values=_values(kernel), lowering="plain").double()
    parameters = list(module.parameters())
    assert len(parameters) == len(weights)
    with torch.no_grad():
        for parameter, token in zip(parameters, sorted(weights), strict=True):
            parameter.copy_(weights[token].reshape(parameter.shape))
        result: torch.Tensor = module(x)
    return result


def _carried(a: Kernel, b: Kernel, weights: dict[int, torch.Tensor], factor: float) -> dict[int, torch.Tensor]:
    """The weights of `a` for `b`: the bijection that the walks of both normal forms give, numbers pulled in, and `factor`."""
    (one, left), (two, right) = normal_form_and_factors(a), normal_form_and_factors(b)
    numbers = {number: token for token, number in canonical_order(one.graph, one.output)[1].weights.items()}
    carried = {}
    mine = canonical_order(two.graph, two.output)[1].weights
    _, own = _inputs(b, seed=1)
    for token, fallback in own.items():
        if token not in mine:  # a weight without effect
            carried[token] = fallback
            continue
        source = numbers[mine[token]]
        number = float(left.get(source, 1)) / float(right.get(token, 1))
        fits = number if abs(number) != 1 or factor in (1, -1) else number * factor
        carried[token] = weights[source] * fits
    return carried


def test_order_of_steps_and_names_of_variables_do_not_matter() -> None:
    branches = ("fc to={} in=0", "relu in={}"), ("conv to={} k=3,3 in=0", "gelu in={}"), ("fc to={} in=0", "tanh in={}")
    hashes, families = set(), set()
    for order in permutations(range(3)):
        for late in (False, True):
            steps, ends = [], {}
            if late:
                for branch in order:
                    steps.append(branches[branch][0].format(f"x{9 - branch}"))
                for place, branch in enumerate(order):
                    steps.append(branches[branch][1].format(place + 1))
                    ends[branch] = len(steps)
            else:
                for branch in order:
                    steps.append(branches[branch][0].format(f"x{branch}"))
                    steps.append(branches[branch][1].format(len(steps)))
                    ends[branch] = len(steps)
            for branch in range(3):
                steps.append(f"fc to=C in={ends[branch]}")
            n = len(steps)
            steps += [f"add in={n},{n - 1}", f"sub in={n - 2},{n + 1}"]
            kernel = program(*steps)
            hashes.add(kernel.hash)
            families.add(kernel.family)
    assert len(hashes) == 1
    assert len(families) == 1


def _reordered(kernel: Kernel, rng: np.random.Generator) -> Kernel:
    """The same kernel: steps in another topological order, variables renamed, operands of commutative steps swapped."""
    data = kernel.to_dict()
    ready, order = {0}, []
    left = list(range(1, len(kernel.steps) + 1))
    while left:
        fit = [i for i in left if set(kernel.steps[i - 1].ins) <= ready]
        chosen = int(rng.choice(fit))
        left.remove(chosen)
        ready.add(chosen)
        order.append(chosen)
    place = {0: 0, **{old: new for new, old in enumerate(order, 1)}}
    names = {f"x{i}": f"y{j}" for i, j in enumerate(rng.permutation(16))}
    steps = []
    for old in order:
        entry = dict(data["steps"][old - 1])
        step = kernel.steps[old - 1]
        entry["ins"] = [place[i] for i in entry["ins"]]
        if (
            getattr(step, "commutative", False)
            and kernel.shapes[step.ins[0]] == kernel.shapes[step.ins[1]]
            and rng.random() < 0.5
        ):
            entry["ins"] = entry["ins"][::-1]
        for key in ("to", "by"):
            if isinstance(entry.get(key), str):
                entry[key] = _renamed(entry[key], names)
            elif isinstance(entry.get(key), list):
                entry[key] = [_renamed(text, names) if isinstance(text, str) else text for text in entry[key]]
        steps.append(entry)
    return Kernel.from_json({**data, "steps": steps})


def _renamed(text: str, names: dict[str, str]) -> str:
    for old in sorted(names, key=len, reverse=True):
        text = text.replace(old, names[old])
    return text.replace("y", "x")


@pytest.mark.parametrize("seed", range(60))
def test_random_kernels_reordered_hash_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel = random_kernel(rng, rank=seed % 3, most=9)
    if kernel is None:
        return
    other = _reordered(kernel, rng)
    assert kernel.hash == other.hash
    assert kernel.family == other.family


@pytest.mark.parametrize("seed", range(100, 180))
def test_the_normal_form_computes_what_the_program_does(seed: int) -> None:
    kernel = random_kernel(np.random.default_rng(seed), rank=(2, 2, 1, 0)[seed % 4], most=9)
    if kernel is not None:
        _check_form(kernel, seed)


def test_random_kernels_that_hash_alike_compute_the_same() -> None:
    """Independent of the rules: short random programs collide often, and then agree under the bijection of weights."""
    found: dict[str, dict[str, Kernel]] = {}
    for seed in range(900):
        kernel = random_kernel(np.random.default_rng(50_000 + seed), most=5)
        if kernel is not None and len(kernel.steps) <= 5:
            found.setdefault(kernel.hash, {})[kernel.to_json()] = kernel
    pairs = 0
    for kernels in found.values():
        first, *others = kernels.values()
        for other in others[:2]:
            assert first.family == other.family
            x, weights = _inputs(first)
            torch.testing.assert_close(
                _run(first, x, weights), _run(other, x, _carried(first, other, weights, 1)), rtol=1e-4, atol=1e-6
            )
            pairs += 1
    assert pairs > 5


@pytest.mark.slow
def test_many_normal_forms_compute_what_the_programs_do() -> None:
    checked = 0
    for seed in range(1000, 5000):
        kernel = random_kernel(np.random.default_rng(seed), rank=(2, 2, 1, 0)[seed % 4], most=2 + seed % 9)
        checked += kernel is not None and _check_form(kernel, seed)
    assert checked > 1000


def _check_form(kernel: Kernel, seed: int) -> bool:
    try:
        x, weights = _inputs(kernel, seed)
    except KasError:
        return False
    want = _run(kernel, x, weights)
    form, factors = normal_form_and_factors(kernel)
    if form.graph.bent and any(step.op in ("transpose", "matmul") for step in kernel.steps):  # views: the pairs show these
        graph = Graph(form.graph.known, frozenset(weights), RULES)
        form, factors = Form(graph, read(kernel, graph, {})), {}
    if form.graph.symmetric and any(step.op == "mix" for step in kernel.steps):  # a mix of two sides, turned
        return False
    env = environment(kernel, SIZES["channels"], tuple(x.shape[2:]), SIZES["groups"], _values(kernel))
    scaled = {token: weight * float(factors.get(token, 1)) for token, weight in weights.items()}
    evaluator = Evaluator(kernel, form, env, x.reshape(2, SIZES["channels"], -1), scaled)
    try:
        got = evaluator.edge(form.output).reshape(want.shape)
    except Unsupported:
        return False
    error = float((got - want).abs().max() / (want.abs().max() + 1e-9))
    assert error < 1e-4, (error, kernel.to_json(), kernel_text(kernel))
    return True


def _tower(count: int) -> list[str]:
    """y + fc(y), again and again, then a gate from the mean: shared tensors all the way down."""
    steps: list[str] = []
    last = 0
    for _ in range(count):
        steps += [f"fc to=C in={last}", f"add in={last},{len(steps) + 1}"]
        last = len(steps)
    return [*steps, f"fold axes=1.h,1.w how=mean in={last}", f"mul in={last + 1},{last}"]


@pytest.mark.parametrize(
    "steps",
    [
        [*["sqr"] * 30, "fc to=C"],
        ["add in=0,0", *[f"add in={i},{i}" for i in range(1, 40)], "fc to=C"],
        [*["fc to=C in=0" for _ in range(12)], "add in=1,2", *[f"add in={i},{i + 10}" for i in range(3, 13)]],
        _tower(11),
        [*["neg"] * 40, "fc to=C"],
        ["shift axes=1.h by=1", "shift axes=1.w by=1"] * 10,
    ],
    ids=["squares", "doubles", "twelve equal branches", "a tower of sums", "signs", "rolls"],
)
def test_rewriting_ends_in_bounded_time(steps: list[str]) -> None:
    kernel = program(*steps)
    start = process_time()
    assert kernel.hash
    assert kernel.family
    assert process_time() - start < 2


def test_hashes_do_not_depend_on_the_process() -> None:
    kernel = program(
        "fc to=x0", "conv to=x1 k=3,3 in=0", "relu in=1", "gelu in=2", "fc to=C in=3", "fc to=C in=4", "mul in=5,6"
    )
    code = f"from kas.language import Kernel; k = Kernel.from_json({kernel.to_json()!r}); print(k.hash, k.family)"
    seen = set()
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        seen.add(done.stdout.strip())
    assert seen == {f"{kernel.hash} {kernel.family}"}


def test_golden_hashes() -> None:
    """A hash names checkpoints and files: it must not change by accident. A change of a rule raises the version of the form."""
    assert program(C3).hash == GOLDEN["conv"]
    assert program("unfold over=hw k=3", "group by=C", "fc to=C", "relu", "fc to=C").hash == GOLDEN["separable"]


GOLDEN = {"conv": "2ad73ae4a20e3ccc", "separable": "63da457741994686"}
