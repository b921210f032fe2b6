"""A short, seeded part of the fuzz; `python tests/benchmarks/fuzz.py --seconds 60` runs for as long as asked."""

from __future__ import annotations

from fuzz import fuzz

MOST = {"study": 15, "kernel": 15, "command": 5, "storage": 3}


def test_some_cases_of_each_kind() -> None:
    assert fuzz(seconds=300, seed=0, most=MOST) == (MOST, [])
