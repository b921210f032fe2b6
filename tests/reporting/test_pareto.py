"""Fronts, crowding and hypervolume against brute force and by hand."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kas.language.errors import KasError
from kas.reporting import pareto

KAS = ("maximize", "minimize")


def brute_dominates(a: tuple[float, ...], b: tuple[float, ...], directions: tuple[str, ...]) -> bool:
    pairs = [(x, y) if d == "minimize" else (-x, -y) for x, y, d in zip(a, b, directions, strict=True)]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def brute_fronts(values: list[tuple[float, ...]], directions: tuple[str, ...]) -> list[list[int]]:
    left, fronts = list(range(len(values))), []
    while left:
        best = [i for i in left if not any(brute_dominates(values[j], values[i], directions) for j in left)]
        fronts.append(best)
        left = [i for i in left if i not in best]
    return fronts


@st.composite
def studies(draw: st.DrawFn) -> tuple[list[tuple[float, ...]], tuple[str, ...]]:
    directions = tuple(draw(st.lists(st.sampled_from(["minimize", "maximize"]), min_size=1, max_size=4)))
    number = st.integers(-4, 4).map(float) | st.sampled_from([math.inf, -math.inf])
    return draw(st.lists(st.tuples(*[number] * len(directions)), max_size=12)), directions


@given(studies())
def test_sort_agrees_with_brute_force(study: tuple[list[tuple[float, ...]], tuple[str, ...]]) -> None:
    values, directions = study
    fronts = brute_fronts(values, directions)
    assert pareto.non_dominated_sort(values, directions) == fronts
    finite = [i for i, point in enumerate(values) if all(map(math.isfinite, point))]  # what is infinite leads no front
    best = brute_fronts([values[i] for i in finite], directions)
    assert pareto.front(values, directions) == ([finite[i] for i in best[0]] if best else [])
    for a, b in itertools.permutations(values[:5], 2):
        assert pareto.dominates(a, b, directions) == brute_dominates(a, b, directions)


@given(studies(), st.integers(0, 14))
def test_selection_takes_whole_fronts_first(study: tuple[list[tuple[float, ...]], tuple[str, ...]], size: int) -> None:
    values, directions = study
    chosen = pareto.select(values, directions, size)
    assert len(set(chosen)) == len(chosen) == min(size, len(values))
    rank = {i: r for r, members in enumerate(brute_fronts(values, directions)) for i in members}
    assert [rank[i] for i in chosen] == sorted(rank.values())[:size]


def test_constrained_points_follow_the_feasible_ones() -> None:
    values = [(0.9, 0.5), (0.8, 0.9), (0.99, 0.1), (0.95, 0.2), (0.1, 3.0)]
    violations = [0.0, -1.0, 5.0, 0.5, 0.5]
    assert pareto.non_dominated_sort(values, KAS, violations) == [[0], [1], [3, 4], [2]]
    assert pareto.front(values, KAS, violations) == [0]
    assert pareto.front(values, KAS, [1.0] * 5) == []
    assert pareto.select(values, KAS, 3, violations) == [0, 1, 3]


def test_crowding_by_hand() -> None:
    values = [(0.5, 0.2), (0.6, 0.4), (0.9, 0.5), (1.0, 1.2)]
    inf = math.inf
    assert pareto.crowding_distance(values, KAS) == pytest.approx([inf, 0.4 / 0.5 + 0.3, 0.4 / 0.5 + 0.8, inf])
    assert pareto.crowding_distance([(1.0, 2.0)] * 3, KAS) == [0.0, 0.0, 0.0]
    assert pareto.crowding_distance([], KAS) == []
    assert pareto.select([values[i] for i in (0, 1, 2, 3)], KAS, 3) == [0, 3, 2]


def test_crowding_is_the_same_in_any_order_and_direction() -> None:
    rng = random.Random(0)
    values = [(x, 1 / x) for x in (rng.uniform(0.1, 5) for _ in range(20))]
    expected = dict(zip(values, pareto.crowding_distance(values, ("minimize", "minimize")), strict=True))
    rng.shuffle(values)
    mirrored = pareto.crowding_distance([(-x, -y) for x, y in values], ("maximize", "maximize"))
    assert mirrored == pytest.approx([expected[value] for value in values])


def test_crowding_survives_infinite_values() -> None:
    distances = pareto.crowding_distance([(0.0, math.inf), (1.0, 1.0), (2.0, 0.5), (math.inf, 0.0)], ("minimize",) * 2)
    assert not any(math.isnan(distance) for distance in distances)


def test_hypervolume_by_hand() -> None:
    values = [(0.8, 0.5), (0.9, 1.0), (0.7, 0.9), (0.2, 3.0)]
    assert pareto.hypervolume(values, KAS, (0.0, 2.0)) == pytest.approx(0.8 * 1.5 + 0.1 * 1.0)
    assert pareto.hypervolume([], KAS, (0.0, 2.0)) == 0.0
    assert pareto.hypervolume([(0.8, 2.0)], KAS, (0.0, 2.0)) == 0.0
    assert pareto.hypervolume([(3.0,), (5.0,)], ("maximize",), (1.0,)) == 4.0


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_hypervolume_counts_the_cells_that_are_dominated(objectives: int) -> None:
    rng = random.Random(objectives)
    values = [tuple(float(rng.randrange(5)) for _ in range(objectives)) for _ in range(7)]
    cells = itertools.product(range(5), repeat=objectives)
    dominated = sum(any(all(v <= c for v, c in zip(p, cell, strict=True)) for p in values) for cell in cells)
    assert pareto.hypervolume(values, ("minimize",) * objectives, (5.0,) * objectives) == pytest.approx(dominated)


def test_history_is_the_hypervolume_of_every_prefix() -> None:
    rng = random.Random(1)
    values = [(rng.random(), 0.2 + 2 * rng.random()) for _ in range(40)]
    history = pareto.hypervolume_history(values, KAS, (0.0, 2.0))
    assert history == pytest.approx([pareto.hypervolume(values[: i + 1], KAS, (0.0, 2.0)) for i in range(40)])


def test_reference_is_beyond_the_worst_value() -> None:
    assert pareto.reference_point([(0.5, 1.0), (1.0, 3.0), (0.7, math.inf)], KAS) == pytest.approx([0.45, 3.2])
    assert pareto.reference_point([], KAS) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("values", "directions", "message"),
    [
        ([(1.0,)], KAS, "point 0 has 1 values, but there are 2 directions"),
        ([(1.0, 2.0), (math.nan, 1.0)], KAS, r"point 1 has a value that is not a number \(NaN\)"),
        ([(1.0,)], ("up",), "directions must be 'minimize' or 'maximize', at least one: got .'up'."),
        ([], (), "directions must be"),
    ],
)
def test_bad_input_is_named(values: list[tuple[float, ...]], directions: tuple[str, ...], message: str) -> None:
    with pytest.raises(KasError, match=message):
        pareto.front(values, directions)


@pytest.mark.parametrize("violations", [[0.0], [0.0, math.nan]])
def test_violations_must_fit(violations: list[float]) -> None:
    with pytest.raises(KasError, match="violations must be 2 numbers"):
        pareto.non_dominated_sort([(1.0, 2.0), (2.0, 3.0)], KAS, violations)
