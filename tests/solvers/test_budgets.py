"""The budget solver against brute force, and what it promises."""

from __future__ import annotations

import json
import random

import pytest
import solver_oracle as oracle
from solver_kernels import HAND, chain, kernel

from kas.language import Infeasible, KasError, Kernel
from kas.solvers import Sizes, Solver, Target, solve

FOUR = [Target(f"t{c}", c, c, (s, s)) for c, s in ((64, 32), (128, 16), (256, 8), (512, 4))]
MIXED = [
    Target("stem", 64, 64, (56, 56)),
    Target("down", 64, 128, (28, 28), stride=2, bias=True),
    Target("same", 128, 128, (28, 28)),
    Target("twin", 128, 128, (28, 28)),
    Target("odd", 128, 192, (14, 14), stride=2),
    Target("narrow", 192, 64, (14, 14)),
]


def check(program, targets, budget, sizes):
    """The totals are those of `kas.cost`, and no limit is exceeded."""
    rows = [oracle.layer(program, t, sizes.groups, sizes.values[t.name]) for t in targets]
    total = oracle.join(rows)
    assert (sizes.macs, sizes.params, sizes.work) == (total["macs"], total["params"], total["work"])
    assert sizes.memory >= total["memory"]
    assert all(t.channels % sizes.groups == 0 for t in targets)
    for key, value in budget.items():
        value = value if isinstance(value, dict) else {"max": value}
        base = 1 if value.get("absolute") else oracle.replaced(targets, key)
        assert getattr(sizes, key) <= value.get("max", float("inf")) * base
        assert getattr(sizes, key) >= value.get("min", 0) * base
        for target, row in zip(targets, rows, strict=True):
            own = 1 if value.get("absolute") else oracle.replaced([target], key)
            assert row[key] <= value.get("each", float("inf")) * own
    assert set(sizes.use) == set(budget)
    assert all(0 <= use <= 1 for use in sizes.use.values())


def _case(rng):
    targets = [
        Target(f"t{i}", c, c, (rng.choice([1, 2, 4]), 2)) for i, c in enumerate(rng.choices([2, 4, 6, 8], k=rng.randint(1, 2)))
    ]
    budget = {key: rng.choice([0.15, 0.3, 0.5, 0.8]) for key in rng.sample(["macs", "params", "work"], rng.randint(1, 2))}
    if rng.random() < 0.2:
        budget["memory"] = rng.choice([1.0, 2.0])
    if rng.random() < 0.2:
        key = next(iter(budget))
        budget[key] = {"max": budget[key], "each": 1.25 * budget[key]}
    if rng.random() < 0.15:
        budget[next(iter(budget))] = {"max": 0.8, "min": 0.3}
    return targets, budget


@pytest.mark.parametrize("seed", range(300))
def test_equals_brute_force(seed):
    rng = random.Random(seed)
    for _ in range(100):
        program, (targets, budget) = chain(rng), _case(rng)
        try:
            sizes = solve(program, targets, budget)
        except Infeasible:
            continue
        top = 2 * max(max(values.values()) for values in sizes.values.values()) + 8
        if not sizes.exact or len(targets) * top ** len(program.variables) > 1500:
            continue
        check(program, targets, budget, sizes)
        reached = tuple(sorted((u for k, u in sizes.use.items()), reverse=True))
        assert reached == pytest.approx(oracle.best_uses(program, targets, budget, top), rel=1e-12)
        return
    pytest.fail("no case was small enough")


@pytest.mark.parametrize("seed", range(60))
def test_infeasible_only_where_brute_force_finds_nothing(seed):
    rng = random.Random(seed)
    for _ in range(200):
        program, (targets, budget) = chain(rng), _case(rng)
        if len(targets) * 16 ** len(program.variables) > 600:
            continue
        try:
            solve(program, targets, budget)
        except Infeasible:
            assert oracle.best_uses(program, targets, budget, 16) is None
            return
    pytest.fail("every case was feasible")


@pytest.mark.parametrize("name", HAND)
@pytest.mark.parametrize("targets", [FOUR, MIXED], ids=["four", "mixed"])
@pytest.mark.parametrize(
    "budget",
    [
        {"macs": 1.0, "params": 1.0},
        {"macs": 0.3},
        {"params": 0.3, "memory": 4.0},
        {"work": 0.5, "macs": {"max": 0.5, "each": 0.6}},
        {"macs": {"max": 2e8, "absolute": True}},
        {"macs": {"each": 0.5}},
        {"memory": 3.0},
    ],
    ids=str,
)
def test_limits_hold_and_are_used(name, targets, budget):
    program = kernel(name)
    ample = budget in ({"macs": 1.0, "params": 1.0}, {"macs": {"max": 2e8, "absolute": True}})
    if name == "attention" and (targets is MIXED or not ample):
        with pytest.raises(Infeasible):
            solve(program, targets, budget)
        return
    sizes = solve(program, targets, budget)
    check(program, targets, budget, sizes)
    assert sizes.exact or sizes.gap <= 0.01
    assert sizes.exact or sizes.gap <= 1 - max(sizes.use.values()) + 1e-9
    wide = solve(program, targets, budget, multiple_of=32)
    check(program, targets, budget, wide)


def test_random_chains_on_large_targets():
    rng, met = random.Random(1), 0
    for _ in range(60):
        program, budget = chain(rng), {"macs": rng.choice([0.1, 0.3, 1.0]), "params": rng.choice([0.1, 0.3, 1.0])}
        targets = rng.choice([FOUR, MIXED])
        try:
            sizes = solve(program, targets, budget)
        except Infeasible:
            continue
        check(program, targets, budget, sizes)
        assert sizes.exact or sizes.gap <= 0.01
        quick = Solver(targets, budget).solve(program, thorough=False)
        check(program, targets, budget, quick)
        assert max(quick.use.values()) <= max(sizes.use.values()) + (0 if sizes.exact else 0.01)
        ratios = {v: [sizes.values[t.name][v] / t.channels for t in targets] for v in program.variables}
        assert sizes.exact or all(max(r) / min(r) < 8 for r in ratios.values())
        met += 1
    assert met > 50


def test_without_a_budget():
    fixed = solve(kernel("depthwise"), FOUR)
    assert fixed.values == {t.name: {} for t in FOUR}
    assert (fixed.groups, fixed.use, fixed.exact) == (1, {}, True)
    free = solve(kernel("bottleneck"), FOUR)
    assert set(free.use) == {"macs", "params"}
    assert max(free.use.values()) > 0.99
    assert solve(kernel("grouped, fixed"), FOUR).groups == 8


def test_groups_use_the_budget():
    sizes = solve(kernel("grouped, fixed"), FOUR, {"macs": 0.25})
    assert sizes.groups == 4
    assert sizes.use == {"macs": 1.0}
    assert solve(kernel("grouped"), FOUR, {"macs": 0.5}).groups == 8
    assert solve(kernel("grouped"), [Target("a", 9, 9, (4, 4)), Target("b", 6, 6, (4, 4))]).groups in (1, 3)


def test_multiples():
    sizes = solve(kernel("two widths"), FOUR, {"macs": 0.5, "params": 0.5}, multiple_of=8)
    assert all(value % 8 == 0 for values in sizes.values.values() for value in values.values())
    assert max(sizes.use.values()) > 0.95
    small = solve(kernel("two widths"), FOUR, {"macs": 0.02}, multiple_of=8)
    assert any(value < 8 for values in small.values.values() for value in values.values())
    assert all(value < 8 or value % 8 == 0 for values in small.values.values() for value in values.values())
    check(kernel("two widths"), FOUR, {"macs": 0.02}, small)
    few = solve(kernel("bottleneck"), FOUR[:2], {"macs": 0.3}, multiple_of=8)
    assert few.exact
    assert all(value % 8 == 0 for values in few.values.values() for value in values.values())


def test_a_shifted_axis_is_longer_than_the_shift():
    sizes = solve(kernel("positions"), FOUR, {"macs": 0.01})
    assert all(values["x0"] >= 3 for values in sizes.values.values())


def test_memory_is_the_highest_peak():
    sizes = solve(kernel("positions"), FOUR, {"memory": 1.5}, multiple_of=32)
    assert sizes.exact or sizes.gap == 0
    pooled = [Target("a", 8, 8, (4, 4), stride=2), Target("b", 8, 16, (4, 4)), Target("c", 8, 12, (4, 4))]
    for target in pooled:
        one, alone = solve(kernel("depthwise"), [target]), oracle.layer(kernel("depthwise"), target, 1, {})
        assert one.memory == max(alone["memory"], {"a": 4 * 8 * 16 * 5, "b": 0, "c": 4 * 20 * 16}[target.name])
    with pytest.raises(Infeasible, match=r"memory is limited to 1,024 bytes .* take 2,560 bytes at its peak at target 'a'"):
        solve(kernel("depthwise"), pooled[:1], {"memory": {"max": 1024, "absolute": True}})


def test_minimum():
    sizes = solve(kernel("bottleneck"), FOUR, {"macs": {"min": 0.7}})
    assert sizes.macs >= 0.7 * sum(t.macs for t in FOUR)
    with pytest.raises(Infeasible, match=r"asks for at least 2,820,096 parameters \(params.min = 0.9\).*params.min = 0.2"):
        solve(kernel("bottleneck"), FOUR, {"macs": 0.3, "params": {"min": 0.9}})
    with pytest.raises(Infeasible, match="asks for at least"):
        solve(kernel("depthwise"), FOUR, {"macs": {"min": 0.5}})


def test_a_least_cost_alone_is_bounded_by_what_is_replaced():
    small = [Target("a", 2, 2, (2, 2))]
    steps = [{"op": "fc", "ins": [i], "to": to} for i, to in enumerate(("C", "20*x0", "C"))]
    program = Kernel.from_json({"format": "kas.kernel/1", "rank": 2, "steps": steps})
    with pytest.raises(Infeasible, match=r"params is limited to 36 parameters.*; params = \S+ would do"):
        solve(program, small, {"macs": {"min": 0.1}})


@pytest.mark.parametrize("name", ["depthwise", "bottleneck", "grouped, fixed", "positions"])
@pytest.mark.parametrize("key", ["macs", "params", "memory", "work"])
@pytest.mark.parametrize("option", ["max", "each"])
@pytest.mark.parametrize("absolute", [False, True])
def test_the_smallest_value_that_would_do(name, key, option, absolute):
    program = kernel(name)
    budget = {key: {option: 1e-6, "absolute": False}} if not absolute else {key: {option: 1, "absolute": True}}
    with pytest.raises(Infeasible, match=rf"the budget cannot be met: {key} is limited to .* at target 't\d+'") as caught:
        solve(program, FOUR, budget)
    where = key if option == "max" else f"{key}.{option}"
    text = str(caught.value)
    value = float(text[: text.rindex(" would do")].rsplit(f"{where} = ", 1)[1])
    check(
        program,
        FOUR,
        {key: {option: value, "absolute": absolute}},
        solve(program, FOUR, {key: {option: value, "absolute": absolute}}),
    )
    with pytest.raises(Infeasible):
        solve(program, FOUR, {key: {option: 0.998 * value, "absolute": absolute}})


def test_the_value_that_would_do_does_as_a_float():
    target = Target("t6", 6, 6, (1, 1), kernel_size=(1, 5))
    steps = [{"op": "fc", "ins": [i], "to": to} for i, to in enumerate((3, 44, "C"))]
    program = Kernel.from_json({"format": "kas.kernel/1", "rank": 2, "steps": steps})
    assert (target.params, target.macs) == (180, 180)
    assert 2.3 * 180 < 414  # what the kernel takes is 2.3 times that
    for key in ("params", "macs", "work"):
        with pytest.raises(Infeasible, match=f"{key} = 2.301 would do"):
            solve(program, [target], {key: 2.3})
        check(program, [target], {key: 2.301}, solve(program, [target], {key: 2.301}))


def test_dims_that_are_no_integers():
    program = Kernel.from_json(
        {
            "format": "kas.kernel/1",
            "rank": 2,
            "steps": [{"op": "fc", "ins": [0], "to": "C/3"}, {"op": "fc", "ins": [1], "to": "C"}],
        }
    )
    with pytest.raises(Infeasible, match=r"target 't64' \(channels 64, size \(32, 32\)\): step 1 \(fc\): the dim C/3 is 64/3"):
        solve(program, FOUR)
    with pytest.raises(Infeasible, match=r"target 'line' is of rank 1, the kernel of rank 2"):
        solve(program, [Target("line", 3, 3, (8,))])


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"mac": 1.0}, "budget.mac is an unknown key; did you mean macs?"),
        ({"zzz": 1.0}, "budget.zzz is an unknown key; the keys are macs, params, memory, work"),
        ({"macs": 0}, "budget.macs must be a number over 0, not 0"),
        ({"macs": "1"}, "budget.macs must be a number over 0, not '1'"),
        ({"macs": True}, "budget.macs must be a number over 0, not True"),
        ({"macs": float("nan")}, "budget.macs must be a number over 0, not nan"),
        ({"macs": {"maximum": 1}}, "budget.macs.maximum is an unknown key; did you mean max?"),
        ({"macs": {"max": -1}}, "budget.macs.max must be a number over 0, not -1"),
        ({"macs": {}}, "budget.macs sets no limit; give it a number, or one of max, min and each"),
        ({"macs": {"max": 1, "min": 2}}, "budget.macs.min = 2.0 is over budget.macs.max = 1.0"),
        ({"macs": {"max": 1, "absolute": 1}}, "budget.macs.absolute must be true or false, not 1"),
        (0.5, "a budget is an object such as {'macs': 0.5}, not 0.5"),
    ],
    ids=str,
)
def test_bad_budgets(budget, message):
    with pytest.raises(KasError) as caught:
        solve(kernel("bottleneck"), FOUR, budget)
    assert str(caught.value) == message


def test_bad_targets():
    with pytest.raises(KasError, match="no targets"):
        solve(kernel("bottleneck"), [])
    with pytest.raises(KasError, match="two targets have the name 't64'"):
        solve(kernel("bottleneck"), [FOUR[0], FOUR[0]])
    with pytest.raises(KasError, match="multiple_of"):
        solve(kernel("bottleneck"), FOUR, multiple_of=0)


def test_a_decimal_limit_is_met_as_a_float_too():
    target, met = [Target("a", 10, 10, (1, 1), kernel_size=(1, 1))], 0
    for percent in range(1, 100):
        try:
            sizes = solve(kernel("bottleneck"), target, {"macs": percent / 10})
        except Infeasible:
            continue
        assert sizes.macs / target[0].macs <= percent / 10
        met += 1
    assert met > 90


def test_sizes_round_trip():
    sizes = solve(kernel("two widths"), FOUR, {"macs": 0.3})
    assert Sizes.from_dict(json.loads(json.dumps(sizes.to_dict()))) == sizes
