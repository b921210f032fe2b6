"""Known kernels: all legal, each with a reference, found by name."""

from __future__ import annotations

import pytest

import kas
from kas.study.sampler import DEFAULT_SEEDS


@pytest.mark.parametrize("name", kas.zoo.names())
def test_each_known_kernel_is_legal_and_documented(name: str) -> None:
    kernel = kas.zoo.get(name)
    assert kas.Kernel.from_json(kernel.to_json()).hash == kernel.hash
    known = kas.zoo.entry(name)
    assert 1950 < known.year < 2030
    assert known.reference


def test_known_kernels_differ() -> None:
    assert len({kas.zoo.get(name).hash for name in kas.zoo.names()}) == len(kas.zoo.names())


def test_names_by_rank_and_default_seeds() -> None:
    assert "conv3x3" in kas.zoo.names(2)
    assert "conv3x3" not in kas.zoo.names(1)
    for rank, names in DEFAULT_SEEDS.items():
        assert set(names) <= set(kas.zoo.names(rank))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(kas.KasError, match="did you mean 'involution'"):
        kas.zoo.get("involuton")
