"""Pairs of programs that hash alike, that must not, and that share a family: `pairs/*.yaml`, each checked numerically."""

from __future__ import annotations

import pytest
from canonical_pairs import Pair, pair_difference, pairs


def _named(kind: str) -> list[object]:
    return [pytest.param(pair, id=pair.why) for pair in pairs(kind)]


@pytest.mark.parametrize("pair", _named("alike"))
def test_alike(pair: Pair) -> None:
    assert pair.first.hash == pair.second.hash
    assert pair.first.family == pair.second.family
    undone = any(step.op == "normalize" for step in pair.first.steps)  # a scale is undone but for the 1e-6
    assert pair_difference(pair) < (1e-5 if undone else 1e-12)


@pytest.mark.parametrize("pair", _named("apart"))
def test_apart(pair: Pair) -> None:
    assert pair.first.hash != pair.second.hash


@pytest.mark.parametrize("pair", _named("family"))
def test_family_only(pair: Pair) -> None:
    assert pair.first.hash != pair.second.hash
    assert pair.first.family == pair.second.family


def test_the_table_is_large_enough() -> None:
    assert len(pairs("alike")) >= 30
    assert len(pairs("apart")) >= 30
    assert len(pairs("family")) >= 10
