"""Every setting of the generation is honoured by every sampled kernel."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import pytest
from kernel_facts import attributes, most_open, ops, weighted

import kas
from kas.generation import GenerationSettings, Sampler
from kas.generation.moves import is_local
from kas.generation.reach import receptive_field
from kas.language import Shape

TARGETS = [kas.Target("a", 64, 64, (32, 32)), kas.Target("b", 128, 128, (16, 16))]
BUDGET = {"macs": 0.5, "params": 0.5}


def is_small(shape: Shape) -> bool:
    """Whether a tensor is no larger than the input at both targets, with free widths of a quarter of the channels."""
    names = dict.fromkeys(shape.product.variables)
    for target in TARGETS:
        height, width = target.size
        values = {"C": target.channels, "G": 1, "H": height, "W": width, **dict.fromkeys(names, target.channels // 4)}
        if shape.product.rational(values) > target.channels * height * width:
            return False
    return True


ONLY = ["conv", "fc", "relu", "add", "fold", "unfold", "mul"]

HONOURED: list[tuple[dict[str, object], Callable[[kas.Kernel], bool]]] = [
    ({"min_steps": 5, "max_steps": 7}, lambda kernel: 5 <= len(kernel.steps) <= 7),
    ({"min_steps": 3, "max_steps": 3}, lambda kernel: len(kernel.steps) == 3),
    ({"min_steps": 18, "max_steps": 24}, lambda kernel: 18 <= len(kernel.steps) <= 24),
    ({"allowed": ONLY}, lambda kernel: ops(kernel) <= set(ONLY)),
    ({"forbidden": ["fc", "matmul"]}, lambda kernel: not ops(kernel) & {"fc", "matmul"}),
    ({"required": ["softmax", "mix"]}, lambda kernel: {"softmax", "mix"} <= ops(kernel)),
    ({"required": ["transpose"]}, lambda kernel: "transpose" in ops(kernel)),
    ({"families": {"pointwise": 0.0}}, lambda kernel: not ops(kernel) & {"relu", "gelu", "sin"}),
    ({"ops": {"conv": 0.0}, "local": 1.0}, lambda kernel: any(map(is_local, kernel.steps))),
    ({"kernel_sizes": [5]}, lambda kernel: attributes(kernel, "k") <= {1, 5}),
    ({"dilations": [3]}, lambda kernel: attributes(kernel, "d") <= {1, 3}),
    ({"shifts": [4], "required": ["shift"]}, lambda kernel: {abs(s.by) for s in kernel.steps if s.op == "shift"} == {4}),  # type: ignore[attr-defined]
    ({"local": 1.0}, lambda kernel: any(map(is_local, kernel.steps))),
    ({"max_width": 1, "branch": 0.9}, lambda kernel: most_open(kernel) == 1),
    ({"max_width": 2, "branch": 0.9}, lambda kernel: most_open(kernel) <= 2),
    ({"branch": 0.0, "max_steps": 6}, lambda kernel: most_open(kernel) == 1),
    ({"min_weighted": 0.5}, lambda kernel: weighted(kernel) >= 0.5),
    ({"max_weighted": 0.34}, lambda kernel: weighted(kernel) <= 0.34),
    ({"receptive_field": 5}, lambda kernel: receptive_field(kernel.steps, kernel.shapes, len(kernel.steps), 2) >= 5),
    ({"receptive_field": 9}, lambda kernel: receptive_field(kernel.steps, kernel.shapes, len(kernel.steps), 2) >= 9),
    ({"fixed_size": False}, lambda kernel: not kernel.fixed_size),
    ({"max_tensor": 1.0}, lambda kernel: all(map(is_small, kernel.shapes))),
]


@pytest.mark.parametrize(("settings", "holds"), HONOURED, ids=[str(settings) for settings, _ in HONOURED])
def test_every_kernel_keeps_to_a_setting(settings: dict[str, object], holds: Callable[[kas.Kernel], bool]) -> None:
    sampler = Sampler(2, TARGETS, BUDGET, GenerationSettings(**settings))  # type: ignore[arg-type]
    for drawn in islice(sampler.stream(), 150):
        assert holds(drawn.kernel), drawn.kernel


def test_widths_are_free_or_fixed_as_asked() -> None:
    free = [k for k in (d.kernel for d in islice(_sampler(free_widths=1.0).stream(), 60)) if k.variables]
    assert len(free) >= 50
    settings = GenerationSettings(free_widths=0.0)
    assert not any(kernel.variables for kernel in kas.generation.sample(60, settings=settings))


def test_inner_widths_are_multiples_where_asked() -> None:
    without_fifths = _sampler(multiple_of=8, forbidden=["spatial_shift"])  # five parts ask for multiples of 40, or of 5
    for drawn in islice(without_fifths.stream(), 80):
        assert drawn.sizes is not None
        for values in drawn.sizes.values.values():
            assert all(value % 8 == 0 or value < 8 for value in values.values()), (drawn.kernel, values)


def test_the_share_of_kernels_without_neighbours_is_not_over_what_is_asked() -> None:
    for share in (1.0, 0.8):
        kernels = [drawn.kernel for drawn in islice(_sampler(local=share).stream(), 300)]
        without = sum(not any(map(is_local, kernel.steps)) for kernel in kernels) / len(kernels)
        assert without <= 1 - share


def test_several_heads_are_drawn() -> None:
    """Widths for each of G groups, grouped by G; and sums of parallel products."""
    kernels = [drawn.kernel for drawn in islice(Sampler(2, TARGETS, BUDGET).stream(), 1500)]
    heads = [k for k in kernels if any(s.op == "group" and s.by.text == "G" for s in k.steps) and "G*x0" in k.to_json()]  # type: ignore[attr-defined]
    assert len(heads) >= 5


def test_origins_name_the_steps() -> None:
    for drawn in islice(Sampler(2, TARGETS, BUDGET).stream(), 100):
        assert len(drawn.origins) == len(drawn.kernel.steps)
        assert set(drawn.origins) <= {"drawn", "closing", "repair"}


def test_all_ops_can_be_the_only_mixing_one() -> None:
    for op in ("conv", "fc", "mix", "unfold"):
        settings = GenerationSettings(allowed=[op, "relu", "fold", "add", "fc"], min_steps=2, max_steps=5)
        assert all(ops(kernel) <= set(settings.allowed) for kernel in kas.generation.sample(20, settings=settings))


def _sampler(**settings: object) -> Sampler:
    return Sampler(2, TARGETS, BUDGET, GenerationSettings(**settings))  # type: ignore[arg-type]
