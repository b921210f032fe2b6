"""Pareto fronts of plain values: constrained non-dominated sort, crowding distance, hypervolume.

Values are a sequence of points, one number for each objective; a direction is "maximize" or "minimize". Points are
named by their position in that sequence, so that a caller can sort trials, kernels or rows of a table alike. The sort
and the hypervolume are Optuna's; here they get directions, constraints and checks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from optuna._hypervolume import compute_hypervolume
from optuna.study._multi_objective import _fast_non_domination_rank

from kas.language.errors import KasError

__all__ = [
    "crowding_distance",
    "dominates",
    "front",
    "hypervolume",
    "hypervolume_history",
    "non_dominated_sort",
    "reference_point",
    "select",
]

Point = Sequence[float]
_SIGNS = {"minimize": 1.0, "maximize": -1.0}


def _losses(values: Sequence[Point], directions: Sequence[str]) -> npt.NDArray[np.float64]:
    """The values as an array [points, objectives] in which lower is better everywhere."""
    unknown = [direction for direction in directions if direction not in _SIGNS]
    if unknown or not directions:
        raise KasError(f"directions must be 'minimize' or 'maximize', at least one: got {list(directions)}")
    for number, point in enumerate(values):
        if len(point) != len(directions):
            raise KasError(f"point {number} has {len(point)} values, but there are {len(directions)} directions")
    array = np.asarray(values, dtype=np.float64).reshape(len(values), len(directions))
    if np.isnan(array).any():
        raise KasError(f"point {int(np.isnan(array).any(axis=1).argmax())} has a value that is not a number (NaN)")
    signs: npt.NDArray[np.float64] = np.array([_SIGNS[direction] for direction in directions])
    return array * signs


def dominates(a: Point, b: Point, directions: Sequence[str]) -> bool:
    """Whether `a` is at least as good as `b` in every objective and better in one."""
    first, second = _losses([a, b], directions)
    return bool((first <= second).all() and (first < second).any())


def non_dominated_sort(
    values: Sequence[Point], directions: Sequence[str], violations: Sequence[float] | None = None
) -> list[list[int]]:
    """Fronts of positions, the best first; inside a front in the order given.

    `violations`: one number a point, how far it is past its constraints, 0 or less if it meets them. Points that meet
    them come first, sorted by dominance; the others follow, the smaller violation first (Deb et al. 2002,
    https://doi.org/10.1109/4235.996017).
    """
    losses = _losses(values, directions)
    if len(losses) == 0:
        return []
    penalty = None if violations is None else np.asarray(violations, dtype=np.float64)
    if penalty is not None and (penalty.shape != (len(losses),) or np.isnan(penalty).any()):
        raise KasError(f"violations must be {len(losses)} numbers, one a point, none of them NaN: got {violations}")
    ranks = _fast_non_domination_rank(losses, penalty=penalty)
    fronts: list[list[int]] = [[] for _ in range(int(ranks.max()) + 1)]
    for position, rank in enumerate(ranks):
        fronts[int(rank)].append(position)
    return fronts


def crowding_distance(values: Sequence[Point], directions: Sequence[str]) -> list[float]:
    """For each point of one front, the summed sides of the box between its neighbours, each objective scaled to 1.

    The ends of every objective get infinity, so that the front keeps its extent; an objective in which all points agree
    counts nothing.
    """
    losses = _losses(values, directions)
    distances = np.zeros(len(losses))
    for column in losses.T:
        finite = column[np.isfinite(column)]
        width = float(np.ptp(finite)) if finite.size else 0.0
        if len(column) == 0 or column.min() == column.max():
            continue
        order = np.argsort(column, kind="stable")
        distances[order[[0, -1]]] = np.inf
        with np.errstate(invalid="ignore"):  # two neighbours that are both infinite: no gap
            gaps = column[order[2:]] - column[order[:-2]]
        distances[order[1:-1]] += np.nan_to_num(gaps, nan=0.0, posinf=np.inf) / (width or 1.0)
    return [float(distance) for distance in distances]


def select(
    values: Sequence[Point], directions: Sequence[str], size: int, violations: Sequence[float] | None = None
) -> list[int]:
    """The positions of the best `size` points as NSGA-II takes them: whole fronts, then the least crowded of the next.

    The order is by front, then by crowding distance (larger first), then as given.
    """
    chosen: list[int] = []
    for members in non_dominated_sort(values, directions, violations):
        distances = crowding_distance([values[member] for member in members], directions)
        by_distance = sorted(zip(members, distances, strict=True), key=lambda pair: -pair[1])
        chosen += [member for member, _ in by_distance]
        if len(chosen) >= size:
            break
    return chosen[: max(size, 0)]


def front(values: Sequence[Point], directions: Sequence[str], violations: Sequence[float] | None = None) -> list[int]:
    """Positions of the points that no other dominates, in the order given.

    Points past a constraint and points with an infinite value, which none could dominate, never count.
    """
    finite = [bool(np.isfinite(point).all()) for point in _losses(values, directions)]
    allowed = [p for p in range(len(values)) if finite[p] and (violations is None or violations[p] <= 0)]
    fronts = non_dominated_sort([values[p] for p in allowed], directions)
    return [allowed[member] for member in fronts[0]] if fronts else []


def reference_point(values: Sequence[Point], directions: Sequence[str], margin: float = 0.1) -> list[float]:
    """A reference for `hypervolume`: the worst finite value of each objective, moved `margin` of its range further."""
    losses = _losses(values, directions)
    reference: list[float] = []
    for column, direction in zip(losses.T, directions, strict=True):
        finite = column[np.isfinite(column)]
        worst = float(finite.max() + margin * (np.ptp(finite) or 1.0)) if finite.size else 0.0
        reference.append(worst * _SIGNS[direction])
    return reference


def hypervolume(values: Sequence[Point], directions: Sequence[str], reference: Point) -> float:
    """The volume that the points dominate up to `reference`, in the product of the objectives' units, exactly.

    Points that are not better than the reference in every objective dominate no volume and are left out.
    """
    losses, bound = _losses(values, directions), _losses([reference], directions)[0]
    inside = losses[(losses < bound).all(axis=1)]
    return float(compute_hypervolume(inside, bound)) if len(inside) else 0.0


def hypervolume_history(values: Sequence[Point], directions: Sequence[str], reference: Point) -> list[float]:
    """The hypervolume after each point, in the order given; only points that enlarge it cost a computation."""
    kept: list[Point] = []
    history: list[float] = []
    for point in values:
        if not any(_covers(other, point, directions) for other in kept):
            kept = [other for other in kept if not _covers(point, other, directions)] + [point]
            history.append(hypervolume(kept, directions, reference))
        else:
            history.append(history[-1])
    return history


def _covers(a: Point, b: Point, directions: Sequence[str]) -> bool:
    """Whether `a` is at least as good as `b` in every objective."""
    return all(x * _SIGNS[d] <= y * _SIGNS[d] for x, y, d in zip(a, b, directions, strict=True))
