"""A short, seeded part of the fuzz; `python tests/benchmarks/fuzz.py --seconds 60` runs for as long as asked."""

from __future__ import annotations

from fuzz import KINDS, fuzz


def test_some_cases_of_each_kind() -> None:
    counts, failed = fuzz(seconds=12, seed=0)
    assert failed == []
    assert min(counts[kind] for kind in KINDS) > 0
