"""Every known kernel can stand at the head of a search."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

import kas
from kas.study.config import load_config
from kas.study.sampler import KernelSampler

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("rank", [2, 1, 0])
def test_all_of_a_rank_come_first_and_in_order(rank: int) -> None:
    names = kas.zoo.names(rank)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=KernelSampler(rank=rank, seeds=names))
    suggested = []
    for _ in names:
        trial = study.ask()
        suggested.append(kas.suggest_kernel(trial).hash)
        study.tell(trial, (0.5, 1.0))
    assert suggested == [kas.zoo.get(name).hash for name in names]
    assert kas.suggest_kernel(study.ask()).hash not in suggested


def test_a_study_file_may_name_any(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(f"search: {{seeds: [{', '.join(kas.zoo.names(2))}]}}")
    assert load_config(path).search.seeds == kas.zoo.names(2)


def test_an_unknown_seed_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "typo.yaml"
    path.write_text("search: {seeds: [self_atention]}")
    with pytest.raises(kas.KasError, match="seeds: there is no known kernel 'self_atention'; did you mean 'self_attention'"):
        load_config(path)


def test_a_seed_of_another_rank_is_refused() -> None:
    with pytest.raises(kas.KasError, match=r"is a kernel of rank 1 \(sequences\); the search is for kernels of rank 2 \(im"):
        KernelSampler(rank=2, seeds=["conv1d3"])
