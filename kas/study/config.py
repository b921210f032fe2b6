"""The configuration of a study: documented dataclasses, read from a YAML study file and `--set key=value` (no torch).

A configuration is stored with its study as plain data (`to_dict`, `from_dict`), so that it can be shown, compared and
resumed; `differences` says in which keys two of them differ.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from kas.evaluation.settings import CostSettings, DataSettings, HealthSettings, ModelSettings, TaskName, TrainingSettings
from kas.language.errors import KasError
from kas.solvers.limits import parse_budget
from kas.study import schema
from kas.study.plain_yaml import read_yaml, read_yaml_file
from kas.study.settings import ObjectiveSettings, SearchSettings, TargetSettings

__all__ = ["FORMAT", "StudyConfig", "differences", "load_config", "make_config"]

FORMAT = "kas.study/1"
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
MAY_CHANGE = ("trials",)  # keys in which a run of an existing study may differ from what is stored


@dataclass(frozen=True)
class StudyConfig:
    """Everything that decides what a study does. Workers and storage are options of the command instead.

    Args:
        format: The format of the study file; this kas reads kas.study/1.
        name: The study's name and folder: letters, digits, `.`, `_`, `-`. Default: the name of the file.
        seed: Seed of the search, of the weights and of the order of the data.
        trials: How many finished trials the study shall have in all, the known kernels included.
        device: auto (CUDA if there is one), cpu, cuda, cuda:1, mps.
        task: What is learned. auto: guessed from one batch, and shown. custom: a loss and a metric of your own, or a
            LightningModule that trains itself.
        data: What the networks are trained and validated on.
        model: The network whose convolutions are replaced.
        training: How the original and every candidate are trained.
        cost: How the cost of the network as deployed is measured.
        health: What a candidate must pass before it is timed and trained.
        targets: Which layers are replaced.
        budget: Upper limits for what replaces the layers, as ratios of what they cost: macs, params, memory, work.
        search: How kernels are proposed.
        objectives: What is optimised.
    """

    name: str
    format: str = FORMAT
    seed: int = 0
    trials: int = 24
    device: DeviceName | str = "auto"
    task: TaskName = "auto"
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    cost: CostSettings = field(default_factory=CostSettings)
    health: HealthSettings = field(default_factory=HealthSettings)
    targets: TargetSettings = field(default_factory=TargetSettings)
    budget: dict[str, Any] = field(default_factory=lambda: {"macs": 0.3})
    search: SearchSettings = field(default_factory=SearchSettings)
    objectives: ObjectiveSettings = field(default_factory=ObjectiveSettings)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", self.name, re.ASCII):
            raise KasError(f"name {self.name!r} must be at most 100 letters, digits, '.', '_' and '-', as it names a folder")
        if self.trials < 1:
            raise KasError(f"trials must be at least 1, not {self.trials}")
        if not 0 <= self.seed < 2**32:
            raise KasError(f"seed must be from 0 to 2^32 - 1, not {self.seed}")
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise KasError(f"device must be auto, cpu, cuda, cuda:NUMBER or mps, not {self.device!r}")
        parse_budget(self.budget)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON or YAML; `from_dict` gives an equal configuration back."""
        return schema.plain(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "the stored configuration") -> StudyConfig:
        """Check plain data and build the configuration. Raises `KasError` that names every wrong key."""
        _check_format(data, where)
        config, problems = schema.build(cls, data)
        if config is None:
            raise KasError(_report(where, problems, {}))
        return config


def load_config(
    path: str | Path, overrides: Sequence[str] = (), *, trials: int | None = None, seed: int | None = None
) -> StudyConfig:
    """Read a study file, apply `a.b=value` overrides (values are YAML), check all that needs neither torch nor data.

    Raises `KasError` if there is no such file, if it is no YAML, if it is of a newer kas, and for every unknown key
    or wrong value, with the nearest right one.
    """
    path = Path(path)
    data = {"name": path.stem, **_read(path)}
    _check_format(data, str(path))  # before anything is written into it
    given = _apply(data, overrides)
    for key, value in (("trials", trials), ("seed", seed)):
        if value is not None:
            data[key] = value
            given[key] = f"--{key} {value}"
    return make_config(data, str(path), given)


def make_config(data: Mapping[str, Any], where: str, given: Mapping[str, str] | None = None) -> StudyConfig:
    """The configuration that the keys of a study file say, checked. `given`: what set a key otherwise than `where`, as text.

    Raises `KasError` as `load_config` does.
    """
    _check_format(data, where)
    config, problems = schema.build(StudyConfig, data)
    if config is None:
        raise KasError(_report(where, problems, given or {}))
    _check_names(config, where)
    return replace(config, format=FORMAT)


def differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """The keys in which two configurations differ, as `key: stored -> given`; keys that may change are left out."""
    before, after = _flat(stored), _flat(given)
    missing = object()
    lines = []
    for key in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(key, missing), after.get(key, missing)
        if old != new and key not in MAY_CHANGE:
            texts = ["(not there)" if value is missing else _yaml_text(value) for value in (old, new)]
            lines.append(f"{key}: {texts[0]} -> {texts[1]}")
    return lines


def _read(path: Path) -> dict[str, Any]:
    if os.path.isdir(path):
        raise KasError(f"{path} is a folder, not a study file")
    try:
        data = read_yaml_file(path)
    except FileNotFoundError:
        raise KasError(_no_file(path)) from None
    except OSError as error:
        raise KasError(f"{path} cannot be read: {error.strerror}") from None
    except KasError as error:
        raise KasError(f"{path} {error}") from None
    if not isinstance(data, dict):
        raise KasError(f"{path}: is not a study file: it must hold keys like `model:` and `data:`")
    return data


def _no_file(path: Path) -> str:
    others = [other.name for other in path.parent.glob("*.y*ml")] if os.path.isdir(path.parent) else []
    near = schema.nearest(path.name, others)
    return f"{path}: no such file" + (f"; did you mean {path.parent / near}?" if near else "")


def _check_format(data: Mapping[str, Any], where: str) -> None:
    text = data.get("format", FORMAT)
    match = re.fullmatch(r"kas\.study/(\d+)", str(text))
    if match is None:
        raise KasError(f"{where}: format: must be {FORMAT}, not {text!r}")
    if int(match[1]) > 1:
        raise KasError(f"{where}: is a study of a newer kas ({text}); this kas reads {FORMAT}: update kas")


def _apply(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, str]:
    """Write the overrides into `data`; returns the text of each by its dotted key."""
    defaults = {key.path: key.default for key in schema.keys(StudyConfig)}
    given = {}
    for text in overrides:
        key, sign, value = text.partition("=")
        key = key.strip()
        if not sign or not all(key.split(".")):
            raise KasError(f"--set {text}: must be key=value, as in --set training.epochs=3")
        try:
            parsed = read_yaml(value) if value.strip() else ""
        except KasError as error:
            raise KasError(f"--set {text}: the value {error}; right is, say, --set 'search.seeds=[bottleneck]'") from None
        given[key] = f"--set {text}"
        *sections, last = key.split(".")
        node, path = data, ""
        for section in sections:
            path = f"{path}.{section}" if path else section
            if node.get(section) is None:
                node[section] = copy.deepcopy(defaults.get(path)) or {}
            node = node[section]
            if not isinstance(node, dict):
                raise KasError(f"--set {text}: {path} has no keys of its own, it is {_yaml_text(node)}")
        node[last] = parsed
    return given


def _check_names(config: StudyConfig, where: str) -> None:
    """Check the known kernels that a study names.

    Raises KasError with the nearest name for an unknown one, with the reason for one that no program is, for a forbidden seed.
    """
    from kas import zoo

    search = config.search
    for key, given in (("seeds", search.seeds or ()), ("forbidden_families", search.forbidden_families)):
        for name in given:
            try:
                zoo.entry(name)
            except KasError as error:
                raise KasError(f"{where}: search.{key}: {error}") from None
    families = {zoo.get(name).family: name for name in search.forbidden_families}
    for name in search.seeds or ():
        if (other := families.get(zoo.get(name).family)) is not None:
            raise KasError(f"{where}: search.seeds: {name!r} is of the family of {other!r}, which forbidden_families excludes")


def _report(where: str, problems: list[schema.Problem], given: Mapping[str, str]) -> str:
    lines = []
    for problem in problems:
        source = next((text for key, text in given.items() if f"{problem.path}.".startswith(f"{key}.")), where)
        lines.append(f"{source}: {problem.path} {problem.text}".replace(":  ", ": "))
    return lines[0] if len(lines) == 1 else f"{len(lines)} problems:\n  " + "\n  ".join(lines)


def _flat(data: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        name = f"{path}.{key}" if path else str(key)
        flat.update(_flat(value, name) if isinstance(value, Mapping) and value else {name: value})
    return flat


def _yaml_text(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n").removesuffix("\n...")
