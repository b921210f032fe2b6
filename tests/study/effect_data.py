"""What a study file's values come to in the data, the networks and their targets, and in the study as it is stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import optuna
import torch
from effect_observations import KERNEL, Observe, bench, files, on_bench
from evaluation_folders import write_cifar10
from torch import Tensor, nn

from kas.evaluation.data import make_data
from kas.evaluation.settings import DataSettings
from kas.study.config import StudyConfig
from kas.study.display.events import Silent
from kas.study.storage.create import create_or_join
from kas.study.storage.mutex import FileMutex
from kas.study.storage.records import TrialRecord
from kas.study.workers import front

HERE = __name__


def own_data(size: int) -> Any:
    """A data factory of a user."""
    return make_data(DataSettings(size=size, train_samples=60, val_samples=40))


def own_network(num_classes: int, input_shape: tuple[int, ...], **_: Any) -> nn.Module:
    """A network of a user: a stem, a depthwise convolution, a 1x1 and a 5x5 one."""
    layers = [nn.Conv2d(input_shape[0], 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1)]
    return nn.Sequential(
        *layers, nn.Conv2d(8, 8, 5, padding=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes)
    )


def data(look: Callable[[Any], Any]) -> Observe:
    """The data of a study, whose files (if it has some on disk) are there."""

    def observe(config: StudyConfig, folder: Path) -> Any:
        if config.data.root == "files":
            config.data.root = str(files(folder))
        return look(bench(config, folder).data)

    return observe


def counts(found: Any) -> list[int]:
    """How many samples the loaders of training, validation and test give."""
    loaders = (found.train_dataloader(), found.val_dataloader(), found.test_dataloader())
    return [sum(len(labels) for _, labels in loader) for loader in loaders]


def batches(found: Any) -> list[int]:
    """The size of the first batch of training and of validation."""
    return [len(next(iter(loader))[1]) for loader in (found.train_dataloader(), found.val_dataloader())]


def augmented(found: Any) -> list[bool]:
    """Whether the images are others than those of the split: in training, validation and the test."""
    splits, loaders = found.splits(), (found.train_dataloader(), found.val_dataloader(), found.test_dataloader())
    mean, std = found.preprocessing()["mean"][0], found.preprocessing()["std"][0]
    marks = torch.randn(splits.train.inputs[0].shape, generator=torch.Generator().manual_seed(0))

    def fingerprints(images: Tensor) -> Tensor:
        return (images * marks).sum((1, 2, 3)).sort().values

    pairs = [
        (torch.cat([inputs for inputs, _ in loader]), (split.inputs / 255 - mean) / std)
        for loader, split in zip(loaders, splits, strict=True)
    ]
    return [not torch.allclose(fingerprints(drawn), fingerprints(own), atol=1e-3) for drawn, own in pairs]


def downloaded(config: StudyConfig, folder: Path) -> Any:
    """The data of a set that is not there but could be downloaded."""

    class CIFAR10:
        def __init__(self, root: Path, download: bool) -> None:
            write_cifar10(root)

    config.data.root = str(folder / "nothing")
    with patch("torchvision.datasets.CIFAR10", CIFAR10):
        return bench(config, folder).data.input_shape


def stored(look: Callable[[optuna.Study], Any]) -> Observe:
    """The study as it is created in a storage."""

    def observe(config: StudyConfig, folder: Path) -> Any:
        return look(create_or_join(config, optuna.storages.InMemoryStorage(), FileMutex(folder / "mutex")))

    return observe


def other_runtimes(config: StudyConfig, folder: Path) -> set[str]:
    """The runtimes in which the front is measured besides the study's own."""
    asked: set[str] = set()

    def takes(study: Any, bench: Any, runtime: Any, listener: Any) -> bool:
        asked.add(runtime.name)
        return False

    member = TrialRecord(number=0, state="COMPLETE", outcome="ok", hash="0" * 16, program="{}")
    with patch.object(front, "_members", lambda *_: [member]), patch.object(front, "_takes_original", takes):
        front.measure_in_other_runtimes(optuna.create_study(), bench(config, folder), Silent())
    return asked & {"onnxruntime"}


def of_targets(name: str) -> Observe:
    """The values of a field of the targets."""
    return on_bench(lambda bench: {getattr(target, name) for target in bench.deployed.targets})


def within(config: StudyConfig, folder: Path) -> bool:
    """Whether the sizes of a kernel cost at most 0.3 of what is replaced."""
    place = bench(config, folder)
    return place.solve(KERNEL)[0].macs <= 0.3 * sum(target.macs for target in place.deployed.targets)


def _stem(network: Any) -> int:
    return int(next(module for module in network.modules() if isinstance(module, nn.Conv2d)).out_channels)


TARGETS = on_bench(lambda bench: [target.name for target in bench.deployed.targets])
SHAPE = on_bench(lambda bench: tuple(bench.deployed.example.shape))
SHAPE_OF_DATA = data(lambda found: found.input_shape)
KIND = on_bench(lambda bench: type(bench.deployed.model).__name__)
STEMS = on_bench(lambda bench: (_stem(bench.trained.model), _stem(bench.deployed.model)))
