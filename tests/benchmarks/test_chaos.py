"""Chaos, small and whole; `python tests/benchmarks/chaos.py` is the same by command."""

from __future__ import annotations

from argparse import Namespace

import pytest
from chaos import STORAGES, chaos


@pytest.mark.system
@pytest.mark.timeout(1200)
def test_a_small_study_under_kills(capsys: pytest.CaptureFixture[str]) -> None:
    assert chaos("sqlite", Namespace(trials=6, workers=2, every=8.0, up=1.0, seed=23)) == []
    workers, command = map(int, capsys.readouterr().out.split()[1:3])
    assert workers + command > 0, "nothing was killed"


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", STORAGES)
def test_a_study_under_kills(name: str) -> None:
    assert chaos(name, Namespace(trials=60, workers=4, every=12.0, up=8.0, seed=0)) == []
