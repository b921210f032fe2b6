"""`kas.search`: the command as a call, for a notebook or a script. It runs in the calling process."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kas.evaluation.checkpoints import torch_bytes
from kas.language import KasError
from kas.study.calls.study import Study
from kas.study.commands import report
from kas.study.commands._base import STORAGE, Place
from kas.study.config import StudyConfig, make_config
from kas.study.display.events import StudyStarted
from kas.study.display.progress import Terminal
from kas.study.given import data_section, given, model_section
from kas.study.storage.disk import disk_errors
from kas.study.storage.files import write_bytes
from kas.study.workers.session import run_study

__all__ = ["search"]

WEIGHTS = "network.pt"  # in the study's folder: those that a network had, which was given as an object


def search(
    model: Any,
    data: Any,
    *,
    trials: int = 24,
    budget: Mapping[str, Any] | None = None,
    name: str | None = None,
    dir: str | Path = "runs",
    storage: str | None = None,
    batch: Mapping[str, Any] | None = None,
    output: str | None = None,
    **settings: Any,
) -> Study:
    """Search kernels for a network, or go on with the study of that name; what `python -m kas.study run` does, as a call.

    model: a module, whose weights count as a factory's do; a function or class that returns one and is given what it names
        of num_classes and input_shape; the name of a network, or "package.module:function". data: a LightningDataModule;
        the DataLoaders of training and validation; or the name of a data set. Or a mapping, as in a study file.
    trials: finished trials that the study shall have in all. budget: limits as ratios to what is replaced,
        {"macs": 0.3} by default. name: of the study and its folder in `dir`; by default the
        network's. storage: as the command's. batch, output: the keys data.batch and model.output.
    settings: the other keys of a study file, sections as mappings: `training={"epochs": 3}`.

    The study is returned when it has its trials, and on Ctrl-C with what it has; the same call goes on then, also in another
    process, and after kill -9. A network that was given as a module goes on from the weights of the first call, which
    `network.pt` in the study's folder keeps. Raises KasError for bad input, a study of this name that has other settings, and
    where the search makes no progress.

    >>> import tempfile
    >>> from torch import nn, randint, randn
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> layers = nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.AdaptiveAvgPool2d(1)
    >>> network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 3))
    >>> loader = DataLoader(TensorDataset(randn(24, 1, 8, 8), randint(0, 3, (24,))), batch_size=8)
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +ELLIPSIS
    ...     study = search(network, (loader, loader), trials=1, dir=folder, training={"epochs": 1}, objectives={"cost": "work"},
    ...                    health={"enabled": False}, search={"seeds": ["grouped3x3"]}, budget={"macs": 0.9})
    study sequential: 1 trials, on ..., cost: work
    ...
    >>> study
    <Study sequential: 1 of 1 trials finished, 1 kernel on the front>
    """
    (model_keys, model_objects), (data_keys, data_objects) = model_section(model), data_section(data)
    extra = {"batch": batch} if batch is not None else {}
    sections = {"model": {**model_keys, **({} if output is None else {"output": output})}, "data": {**data_keys, **extra}}
    limits = {} if budget is None else {"budget": dict(budget)}
    name = name or _name(model, sections["model"])
    config = make_config({**settings, **sections, **limits, "trials": trials, "name": name}, "kas.search")
    place = Place(Path(dir), storage or os.environ.get(STORAGE) or None)
    folder = place.folder(config.name)
    weights = _Weights(folder / WEIGHTS, model if isinstance(model, nn.Module) else None)
    objects = {**data_objects, **dict.fromkeys(model_objects, weights.network or model)}
    code = _run(config, place, objects, weights)
    if code == 130:
        print("interrupted; the same call goes on")
    else:
        print(f"report   {report.write(place, config.name)}")
    found = Study.load(config.name, dir=place.dir, storage=place.storage)
    found._model = model
    return found


def _run(config: StudyConfig, place: Place, objects: Mapping[str, Any], weights: _Weights) -> int:
    """Take part in the study; the exit code, 0 or 130. Raises KasError, also where there is no progress."""
    folder = place.folder(config.name)
    screen = _Screen(weights.keep)
    try:
        with given(objects), torch.random.fork_rng(), disk_errors(folder):
            beside = Path(sys.path[0] or ".") / f"{config.name}.yaml"  # factories are imported from there, as here
            summary = run_study(config, folder, place.storage, screen, study_file=beside)
    finally:
        screen.close()
    if summary.exit_code not in (0, 130):
        raise KasError(summary.reason or f"study {config.name} made no progress; see {folder / 'log.txt'}")
    if weights.changed:
        print(f"the network has the weights of the study's first call, {weights.path}")
    return summary.exit_code


class _Screen(Terminal):
    """The terminal's listener, which calls `opened` when the study is open."""

    def __init__(self, opened: Callable[[], None]) -> None:
        super().__init__()
        self._opened = opened

    def study_started(self, event: StudyStarted) -> None:
        """The study is there: nothing that was wrong has stopped it."""
        self._opened()
        super().study_started(event)


class _Weights:
    """The weights of a network that was given as a module: those of the first call, kept in the study's folder.

    network: a module with them; None if none was given. changed: whether they differ from those of the given module.
    """

    def __init__(self, path: Path, network: nn.Module | None) -> None:
        self.path, self.network, self.changed = path, network, False
        if network is None or not path.exists():
            return
        import copy

        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
            self.network = copy.deepcopy(network).cpu()
            own = self.network.state_dict()
            self.changed = any(not torch.equal(own[key], kept[key]) for key in own)
            self.network.load_state_dict(kept)
        except (KeyError, RuntimeError, TypeError):  # of another network, which the comparison of the settings says
            self.network, self.changed = network, False
        except Exception as error:
            raise KasError(f"{path}: cannot be read as weights: {error}") from error

    def keep(self) -> None:
        """Write them, if they are not there."""
        if self.network is not None and not self.path.exists():
            write_bytes(self.path, torch_bytes({key: value.cpu() for key, value in self.network.state_dict().items()}))


def _name(model: Any, section: Mapping[str, Any]) -> str:
    """The default name of a study: the network's."""
    own = section.get("name") or str(section.get("factory", "")).rpartition(":")[2]
    if isinstance(model, nn.Module):
        own = type(model).__name__
    elif callable(model):
        own = getattr(model, "__name__", type(model).__name__)
    return re.sub(r"[^a-z0-9_]+", "", str(own).lower()) or "search"
