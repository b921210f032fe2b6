"""Study files that together hold every value of every key, planned from the configuration's own types, and their runs.

`ROWS` is the plan: each row is a study file, flat (`training.epochs: 1`), of tiny networks and data. A key whose type names
its values (literals, true and false, null) has them all in the plan without being mentioned here; a key that takes other
values too (a number, a text) has those of `OTHER`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import yaml
from evaluation_folders import write_cifar10, write_cifar100, write_imagefolder

from kas.evaluation.devices import check_precision, resolve_device
from kas.evaluation.models import own_names
from kas.language.errors import KasError
from kas.study import attributes as keys
from kas.study import schema
from kas.study.config import StudyConfig
from kas.study.storage.opening import close_storage, open_storage

KEYS = {key.path: key for key in schema.keys(StudyConfig)}
ANY = object()

# What every study has where its row says nothing else: little data, small networks, little or nothing to measure.
TINY: dict[str, Any] = {
    "name": "tiny",
    "trials": 2,
    "data.size": 8,
    "data.batch_size": 30,
    "data.train_samples": 60,
    "data.val_samples": 40,
    "model.args": {"width": 4, "stages": 2},
    "training.epochs": 1,
    "cost.batch_size": 2,
    "cost.repeats": 3,
    "cost.min_block_ms": 1.0,
    "cost.max_ratio": 1000.0,
    "search.seeds": ["grouped3x3"],
    "objectives.cost": "work",
}

# Values of the keys whose types do not name them all; `format` has one value alone.
OTHER: dict[str, list[Any]] = {
    "format": ["kas.study/1"],
    "seed": [7],
    "device": ["cuda:1"],
    "data.root": ["files"],
    "data.eval_batch_size": [16],
    "data.test_samples": [30],
    "data.workers": [1],
    "data.factory": ["own:data"],
    "data.factory_args": [{"size": 8}],
    "model.name": [*own_names(), "shufflenet_v2_x0_5"],
    "model.factory": ["own:network"],
    "training.lr": [1e-3],
    "training.weight_decay": [0.0],
    "training.momentum": [0.0],
    "training.warmup": [0.0],
    "training.label_smoothing": [0.1],
    "training.gradient_clip": [0.0],
    "training.time_limit_s": [120.0],
    "training.model": [{"width": 8}],
    "data.batch": [{"inputs": 0, "targets": 1}],
    "model.output": ["0"],
    "training.loss": ["L1Loss"],
    "training.loss_args": [{"reduction": "mean"}],
    "training.class_weights": [[1.0] * 10, "balanced"],
    "training.ignore_index": [3],
    "training.metric": ["F1Score", "HammingDistance", "val_error"],
    "training.metric_args": [{"average": "macro"}],
    "cost.model": [{"width": 8}],
    "cost.size": [12],
    "cost.warmup": [1],
    "cost.threads": [1],
    "cost.time_limit_s": [5.0],
    "health.batch_size": [16],
    "health.max_gradient_ratio": [1e6],
    "health.min_gradient": [0.0],
    "health.min_dependence": [0.0],
    "health.max_scale": [1e9],
    "targets.names": [["stages.?.?"]],
    "targets.types": [["Conv2d"]],
    "targets.min_kernel": [3],
    "budget": [{"macs": 0.6, "params": 0.9, "memory": 8.0, "work": 4.0}],
    "search.population": [2],
    "search.mutation": [0.0],
    "search.blind": [0.0],
    "search.forbidden_families": [["involution"]],
    "search.generation.min_steps": [2],
    "search.generation.max_steps": [5],
    "search.generation.families": [{"pointwise": 1.0}],
    "search.generation.ops": [{"conv": 9.0}],
    "search.generation.allowed": [["conv", "relu", "add", "group", "ungroup", "fc"]],
    "search.generation.forbidden": [["softmax"]],
    "search.generation.required": [["relu"]],
    "search.generation.kernel_sizes": [[3]],
    "search.generation.dilations": [[1]],
    "search.generation.shifts": [[1]],
    "search.generation.receptive_field": [3],
    "search.generation.local": [1.0],
    "search.generation.branch": [0.5],
    "search.generation.max_width": [2],
    "search.generation.free_widths": [1.0],
    "search.generation.min_weighted": [0.1],
    "search.generation.max_weighted": [0.9],
    "search.generation.max_tensor": [8.0],
    "search.generation.multiple_of": [2],
    "search.generation.min_use": [0.1],
    "objectives.accuracy": ["top_1"],
}

# What a value means something with, or cannot be had without: (start of a key, value, values of other keys).
NEEDS: list[tuple[str, Any, dict[str, Any]]] = [
    ("task", "multilabel", {"data.factory": "own:labels"}),
    ("task", "segmentation", {"model.factory": "own:positions", "data.factory": "own:masks"}),
    ("task", "regression", {"data.factory": "own:numbers"}),
    ("task", "custom", {"model.factory": "own:module", "training.metric": "val_error", "training.direction": "minimize"}),
    ("model.output", "0", {"model.factory": "own:several", "task": "auto"}),
    ("model.factory", "own:positions", {"model.name": "small_resnet", "model.args": {"width": 8}}),
    ("model.factory", "own:module", {"model.name": "small_resnet", "model.args": {"width": 8}, "data.name": "digits"}),
    ("model.factory", "own:several", {"model.name": "small_resnet", "model.args": {"width": 8}, "data.name": "digits"}),
    ("data.factory", "own:labels", {"data.factory_args": {"size": 8}, "training.metric": None, "training.loss": None}),
    ("data.factory", "own:masks", {"data.factory_args": {"size": 8}, "training.metric": None, "training.loss": None}),
    ("data.factory", "own:numbers", {"data.factory_args": {"size": 8}, "training.metric": None, "training.loss": "L1Loss"}),
    ("training.loss", "L1Loss", {"task": "regression", "training.label_smoothing": 0.0}),
    ("training.label_smoothing", 0.1, {"training.loss": None, "task": "auto"}),
    ("training.class_weights", ANY, {"training.loss": None, "task": "auto", "data.name": "digits"}),
    ("training.ignore_index", 3, {"training.loss": None, "task": "auto"}),
    ("training.metric", "F1Score", {"task": "auto"}),
    ("training.metric", "HammingDistance", {"task": "auto"}),
    ("training.metric", "val_error", {"task": "custom"}),
    ("training.metric_args", ANY, {"training.metric": "F1Score"}),
    ("training.direction", "maximize", {"training.metric": "F1Score"}),
    ("training.direction", "minimize", {"task": "custom"}),
    ("cost.", ANY, {"objectives.cost": "latency"}),  # otherwise nothing is measured
    ("targets.adapter", "auto", {"objectives.cost": "latency"}),  # what is cheaper is measured
    ("cost.runtime", "compile", {"cost.memory_format": "contiguous", "trials": 1}),  # seconds for each network
    ("cost.memory_format", "channels_last", {"cost.runtime": "eager", "model.name": "small_resnet"}),  # others may have none
    ("cost.model", {"width": 8}, {"model.name": "small_resnet"}),
    ("health.", ANY, {"health.enabled": True}),
    ("training.momentum", ANY, {"training.optimizer": "sgd"}),
    ("training.model", {"width": 8}, {"model.name": "small_resnet"}),
    ("training.precision", "16-true", {"model.name": "small_resnet"}),  # slow on a CPU
    ("data.name", ANY, {"data.factory": None}),
    ("data.name", "cifar10", {"data.root": "files"}),
    ("data.name", "cifar100", {"data.root": "files"}),
    ("data.name", "imagefolder", {"data.root": "files"}),
    ("data.name", "mnist5k_columns", {"model.name": "small_conv1d"}),
    ("data.name", "watch", {"model.name": "small_conv1d"}),
    ("data.root", "files", {"data.name": "imagefolder"}),
    ("data.download", True, {"data.name": "cifar10"}),
    ("data.workers", ANY, {"data.name": "imagefolder"}),
    ("data.size", None, {"data.name": "digits"}),
    ("data.train_samples", None, {"data.name": "digits"}),
    ("data.val_samples", None, {"data.name": "digits"}),
    ("data.factory", "own:data", {"data.factory_args": {"size": 8}, "data.name": "digits", "model.name": "small_resnet"}),
    ("data.factory_args", {"size": 8}, {"data.factory": "own:data"}),
    ("model.name", ANY, {"model.factory": None}),
    ("model.name", "small_conv1d", {"data.name": "mnist5k_columns", "search.seeds": ["grouped1d3"], "targets.rank": 1}),
    ("model.name", "small_convnext", {"model.args": {"width": 8, "blocks": 1}, "targets.types": ["ConvNeXtBlock"]}),
    ("model.name", "small_vit", {"model.args": {"width": 8, "blocks": 1}, "targets.types": ["EncoderBlock"]}),
    ("model.name", "small_vit", {"search.seeds": ["grouped1d3"], "targets.rank": 1}),  # tokens are sequences
    ("model.name", "mlp", {"model.args": {"width": 8}, "search.seeds": ["grouped_linear"], "targets.rank": 0}),
    ("model.name", "shufflenet_v2_x0_5", {"model.args": {}, "targets.depthwise": True, "budget": {"macs": 8.0}}),
    ("model.factory", "own:network", {"model.name": "small_resnet", "model.args": {"width": 8}, "data.name": "digits"}),
    ("targets.rank", 0, {"model.name": "mlp", "targets.types": ["Linear"]}),
    ("targets.rank", 1, {"model.name": "small_conv1d"}),
    ("targets.rank", 2, {"model.name": "small_resnet"}),
    ("targets.names", ANY, {"model.name": "small_resnet"}),
    ("targets.depthwise", True, {"model.name": "shufflenet_v2_x0_5", "targets.names": None}),
    ("targets.stem", True, {"targets.names": None}),
    ("targets.types", ANY, {"targets.names": None}),
    ("targets.types", ["Conv2d"], {"model.name": "small_resnet"}),
    ("targets.adapter", ANY, {"model.name": "small_resnet", "model.args": {"width": 4, "stages": 2}}),  # whose widths differ
    ("targets.norm", "auto", {"targets.names": ["stages.?.?"]}),  # blocks, each of which holds a norm
    ("targets.norm", "batch", {"targets.names": ["stages.?.?"]}),
    ("targets.norm", "layer", {"model.name": "small_convnext"}),
    ("targets.norm", "none", {"model.name": "small_vit"}),
    ("search.seeds", None, {"model.name": "small_resnet"}),
    ("search.population", 2, {"trials": 4}),  # so that there are children
    ("search.mutation", ANY, {"search.population": 2}),
    ("search.blind", ANY, {"search.population": 2}),
    ("search.generation.", ANY, {"trials": 2, "search.seeds": ["grouped3x3"], "model.name": "small_resnet"}),  # one is sampled
    ("search.generation.allowed", ANY, {"search.generation.required": [], "search.generation.forbidden": []}),
]

# Of a user: a data module and a network, which a study file names.
OWN = """\
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from kas.evaluation.data import make_data
from kas.evaluation.settings import DataSettings

def data(size):
    return make_data(DataSettings(size=size, train_samples=60, val_samples=40))

def network(num_classes, input_shape, width):
    layers = [nn.Conv2d(input_shape[0], width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes))

class Several(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x), x

def several(num_classes, input_shape, width):
    return Several(network(num_classes, input_shape, width))

def positions(width):
    return nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 2, 3, padding=1))

class Module(pl.LightningModule):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x)

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self(batch[0]).float(), batch[1])

    def validation_step(self, batch, index):
        self.log("val_error", (self(batch[0]).argmax(1) != batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

def module(num_classes, input_shape, width):
    return Module(network(num_classes, input_shape, width))

class Own(pl.LightningDataModule):
    def __init__(self, targets, size):
        super().__init__()
        images = torch.randn(60, 1, size, size, generator=torch.Generator().manual_seed(0))
        self.samples = TensorDataset(images, targets(images))

    def train_dataloader(self):
        return DataLoader(self.samples, 30)

    val_dataloader = train_dataloader

def labels(size):
    return Own(lambda images: (images.flatten(1)[:, :3] > 0).float(), size)

def masks(size):
    return Own(lambda images: (images[:, 0] > 0).long(), size)

def numbers(size):
    return Own(lambda images: images.mean((1, 2, 3)), size)
"""


def values(path: str) -> list[Any]:
    """Every value of a key that some study must have."""
    tiny = [TINY[path]] if path in TINY else []
    return [*KEYS[path].choices, *OTHER.get(path, tiny)]


def refusal(path: str, value: Any) -> str | None:
    """What is said where this machine does not have a device or a precision; None for what it has."""
    try:
        if path == "device":
            resolve_device(value)
        if path == "training.precision":
            check_precision(resolve_device("auto"), value)
    except KasError as error:
        return str(error)
    return None


def needs(path: str, value: Any) -> dict[str, Any]:
    """A value with everything that it needs, and what that needs."""
    found = {path: value}
    for key in (queue := [path]):
        for start, wanted, others in NEEDS:
            if key.startswith(start) and (wanted is ANY or wanted == found[key]):
                queue += [other for other in others if other not in found]
                found = {**others, **found}
    return found


def plan() -> tuple[list[dict[str, Any]], list[tuple[str, Any]]]:
    """As few rows as hold every value, and the values that this machine refuses."""
    every = [(path, value) for path in KEYS for value in values(path)]
    refused = [(path, value) for path, value in every if refusal(path, value) is not None]
    wanted = [needs(path, value) for path, value in every if (path, value) not in refused]
    rows: list[dict[str, Any]] = [{} for _ in range(max(len(values(path)) for path in KEYS))]
    for row in sorted(wanted, key=len, reverse=True):
        fitting = [other for other in rows if all(other.get(path, value) == value for path, value in row.items())]
        if not fitting:
            rows.append({})
            fitting = rows[-1:]
        nearest = max(fitting, key=lambda other: (sum(path in other for path in row), -len(other)))  # then the emptiest
        nearest.update(row)
    return [{**TINY, **row} for row in rows], refused


def prepare(folder: Path) -> None:
    """Write the data sets and the user's module to which rows refer."""
    write_cifar10(folder / "files", per_batch=100)
    write_cifar100(folder / "files", count=1000)
    write_imagefolder(folder / "files", per_class=150)  # a tenth of them validates
    (folder / "own.py").write_text(OWN)


def run(folder: Path, row: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """`python -m kas.study run` of a row's study file in a folder."""
    data: dict[str, Any] = {}
    for path, value in row.items():
        *sections, key = path.split(".")
        node = data
        for section in sections:
            node = node.setdefault(section, {})
        node[key] = value
    (folder / "tiny.yaml").write_text(yaml.safe_dump(data))
    command = [sys.executable, "-m", "kas.study", "run", "tiny.yaml"]
    compiler = {} if row.get("cost.runtime") == "compile" else {"CXX": "none"}  # without one the front is not compiled too
    return subprocess.run(command, cwd=folder, env=os.environ | compiler, capture_output=True, text=True, timeout=600)


def check_run(folder: Path, row: dict[str, Any]) -> None:
    """Run a row in a folder that is prepared: it has its trials, no error among them, and nobody is warned of anything."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    done = run(folder, row)
    assert (done.returncode, done.stderr) == (0, ""), f"{row}\n{done.stdout}\n{done.stderr}"
    place = folder / "runs" / row["name"]
    stored = yaml.safe_load((place / "study.yaml").read_text())
    assert {path: _at(stored, path) for path in row} == row
    storage = open_storage(None, place, create=False)
    try:
        trials = optuna.load_study(study_name=row["name"], storage=storage).get_trials()
    finally:
        close_storage(storage)
    outcomes = [(trial.user_attrs.get("outcome"), trial.user_attrs.get("reason")) for trial in trials]
    assert all(outcome != "error" for outcome, _ in outcomes), (outcomes, (place / "log.txt").read_text())
    assert any(outcome == "ok" for outcome, _ in outcomes), outcomes
    assert sum(map(keys.is_finished, trials)) == row["trials"]
    for trial in trials if row["objectives.cost"] == "latency" else ():
        if trial.user_attrs["outcome"] == "ok":
            assert trial.user_attrs["runtime"] == row.get("cost.runtime", "eager")
            assert row.get("cost.memory_format", "auto") in ("auto", trial.user_attrs["memory_format"])


def _at(data: Any, path: str) -> Any:
    for key in path.split("."):
        data = data[key]
    return data


ROWS, REFUSED = plan()
