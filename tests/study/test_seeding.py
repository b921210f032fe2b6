"""The seeds of a study: those of every shipped study file fit its budget; one that fits nowhere is named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from kas import zoo
from kas.study.config import load_config
from kas.study.sampler import DEFAULT_SEEDS
from kas.study.storage.files import StudyFolder
from kas.study.workers.bench import Bench
from kas.study.workers.seeding import study_sampler

STUDIES = Path(__file__).parents[2] / "studies"


def bench(path: Path, *overrides: str) -> Bench:
    return Bench(load_config(path, ["device=cpu", *overrides]), StudyFolder(path.parent / "unused"))


@pytest.mark.parametrize("name", ["digits", "conv1d", "own_network", "cluttered_resnet"])
def test_the_seeds_of_a_shipped_study_fit_its_budget(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(STUDIES))
    made = bench(STUDIES / f"{name}.yaml")
    sampler, left_out = study_sampler(made.config, made)
    names = made.config.search.seeds or DEFAULT_SEEDS[made.rank]
    assert left_out == []
    assert [kernel.hash for kernel in sampler.seeds] == [zoo.get(known).hash for known in names]


@pytest.mark.parametrize(("name", "size"), [("cifar100_resnet18", 64), ("imagenet_resnet34", 112)])
def test_the_default_seeds_fit_the_studies_of_downloaded_data(name: str, size: int) -> None:
    data = SimpleNamespace(num_classes=100, input_shape=(3, size, size))
    config = load_config(STUDIES / f"{name}.yaml", ["device=cpu", "training.precision=32-true"])  # theirs needs a GPU
    made = Bench(config, StudyFolder(STUDIES / "unused"), data=data)
    sampler, left_out = study_sampler(made.config, made)
    assert left_out == []
    assert [kernel.hash for kernel in sampler.seeds] == [zoo.get(known).hash for known in DEFAULT_SEEDS[2]]


def test_a_seed_that_no_sizes_exist_for_is_named_with_the_budget() -> None:
    made = bench(STUDIES / "digits.yaml", "search.seeds=[conv3x3, bottleneck]")
    sampler, (line,) = study_sampler(made.config, made)
    assert line.startswith("warning: the seed conv3x3 is left out, it does not fit here with the budget macs 0.3: ")
    assert [kernel.hash for kernel in sampler.seeds] == [zoo.get("bottleneck").hash]


def test_kernels_must_exist_in_the_trained_network_too() -> None:
    made = bench(STUDIES / "digits.yaml")
    sampler, _ = study_sampler(made.config, made)
    assert sampler.source.also == list(made.trained.targets) != sampler.source.targets
