"""Which adapter is cheaper: what is judged, by work, and by time in a runtime."""

import itertools
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from kas.evaluation.adapters import MEASURED, cheaper_by_work, choose_adapters, faster
from kas.evaluation.runtimes import Refusal, Runtime, make_runtime
from kas.evaluation.settings import CostSettings
from kas.replacement import find_targets
from kas.solvers import Target

CPU = torch.device("cpu")


def target(c_in: int, c_out: int, size: tuple[int, ...] = (4, 4), **fields: Any) -> Target:
    return Target(f"{c_in}-{c_out}-{size}", c_in, c_out, size, **fields)


def test_the_judge_sees_the_heaviest_of_each_ratio_and_only_where_there_is_a_choice() -> None:
    targets = [target(8, 8), target(8, 12), target(8, 16), target(16, 32), target(32, 8), target(4, 8, (2, 2))]
    seen = []

    def judge(one: Target) -> Any:
        seen.append(one.name)
        return "projection" if one.out_channels > one.in_channels else "copies"

    chosen = choose_adapters(targets, judge)
    assert seen == ["32-8-(4, 4)", "16-32-(4, 4)"]
    assert [one.prefer for one in chosen] == ["copies", "copies", "projection", "projection", "copies", "projection"]
    assert [one.name for one in chosen] == [one.name for one in targets]


def test_of_many_ratios_some_are_judged_and_the_nearest_decides() -> None:
    targets = [target(8 * m, 8) for m in range(2, 32)]
    seen: list[int] = []

    def judge(one: Target) -> Any:
        seen.append(one.in_channels // 8)
        return "projection" if one.in_channels >= 8 * 10 else "copies"

    chosen = choose_adapters(targets, judge)
    assert len(seen) == MEASURED
    assert {2, 31} <= set(seen)
    flips = [a.prefer != b.prefer for a, b in itertools.pairwise(chosen)]
    assert sum(flips) == 1
    assert (chosen[0].prefer, chosen[-1].prefer) == ("copies", "projection")


def test_nothing_is_judged_where_nothing_can_be_chosen() -> None:
    targets = [target(8, 8), target(8, 12)]
    assert choose_adapters(targets, lambda one: pytest.fail("judged")) == targets


@pytest.mark.parametrize(
    ("one", "prefer"),
    [
        (target(8, 16), "copies"),  # 2(72 + 64) against 128 + 144 + 256, at each position
        (target(16, 64, (9,)), "copies"),
        (target(16, 4, ()), "copies"),  # the same matrices and few sums; a projection has another behind
        (target(512, 4), "projection"),  # 128 (36 + 16) and as many sums, against 2048 + 36 + 16
    ],
)
def test_by_work(one: Target, prefer: str) -> None:
    assert cheaper_by_work(one) == prefer


class Splits(nn.Module):
    """A layer that many thin templates would replace."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 256, 3, padding=1), nn.Conv2d(256, 8, 3, padding=1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.stem(x))  # type: ignore[no-any-return]


def test_many_thin_calls_are_slower_than_a_projection() -> None:
    net = Splits()
    (found,) = find_targets(net, torch.zeros(2, 3, 17, 17))
    judge = faster(net, 2, CPU, CostSettings(min_block_ms=5), make_runtime("eager", CPU))
    assert choose_adapters([found], judge)[0].prefer == "projection"


class Refuses(Runtime):
    name: ClassVar[str] = "refuses"

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return "refuses 1"

    def _prepare(self, network: nn.Module, example: Tensor, memory_format: str = "contiguous") -> Callable[[], Any]:
        raise Refusal("no")


def test_what_the_runtime_does_not_take_is_not_chosen() -> None:
    net = Splits()
    (found,) = find_targets(net, torch.zeros(2, 3, 17, 17))
    assert faster(net, 2, CPU, CostSettings(), Refuses())(found) == "copies"


def test_blocks_of_tokens_are_timed_too() -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 16)))
    (found,) = find_targets(net, torch.zeros(2, 9, 8), names="1")
    assert found.tokens
    judge = faster(net, 2, CPU, CostSettings(repeats=3, min_block_ms=1), make_runtime("eager", CPU))
    assert judge(found) in ("copies", "projection")
