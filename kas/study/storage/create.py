"""Creating a study in a storage, or joining the one that is there, which must be the same in everything that decides."""

from __future__ import annotations

import json
import shutil
import uuid
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

import kas
from kas.language import OPS, KasError
from kas.reporting.metric import Metric
from kas.study import attributes as keys
from kas.study.config import FORMAT, StudyConfig, differences
from kas.study.storage.files import StudyFolder, write_text
from kas.study.storage.mutex import StudyMutex

__all__ = ["create_or_join", "has_reference", "own_folder", "stored_config"]

ID = "kas.id"


def create_or_join(config: StudyConfig, storage: BaseStorage, mutex: StudyMutex, metric: Metric | None = None) -> optuna.Study:
    """The study of this name in the storage, created if it is not there. Its wanted number of trials becomes the config's.

    metric: the first objective; by default an accuracy. A creation that a crash cut off is completed. Raises KasError if a
    study of that name differs in anything else, or is not one of kas.
    """
    metric = metric or Metric()
    directions = (StudyDirection[metric.direction.upper()], StudyDirection.MINIMIZE)
    with mutex.hold():
        if config.name in optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=config.name, storage=storage)
            _check(study, config, directions)
        else:
            study = optuna.create_study(study_name=config.name, storage=storage, directions=list(directions))
        _complete(study, config, metric)
        if study.user_attrs.get(keys.TRIALS) != config.trials:
            study.set_user_attr(keys.TRIALS, config.trials)
    return study


def has_reference(storage: BaseStorage, name: str) -> bool:
    """Whether the storage has a study of this name whose original network is trained and timed."""
    if name not in optuna.get_all_study_names(storage):
        return False
    return keys.REFERENCE in optuna.load_study(study_name=name, storage=storage).user_attrs


def stored_config(study: optuna.Study) -> StudyConfig:
    """The configuration that a study was created with, with the wanted number of trials as it is now.

    Raises KasError if it is not a study of kas, or one of a newer kas.
    """
    attributes = study.user_attrs
    if keys.CONFIG not in attributes:
        raise KasError(f"the study {study.study_name!r} is not one of kas: it has no configuration")
    data = json.loads(attributes[keys.CONFIG])
    if keys.TRIALS in attributes:
        data["trials"] = attributes[keys.TRIALS]
    return StudyConfig.from_dict(data, where=f"the configuration stored with study {study.study_name!r}")


def own_folder(study: optuna.Study, folder: StudyFolder) -> None:
    """Make the folder the study's own: checkpoints that a deleted study of the same name left are removed from it."""
    folder.make()
    mark = folder.root / "study.id"
    identity = str(study.user_attrs[ID])
    if mark.exists() and mark.read_text(encoding="utf-8").strip() == identity:
        return
    for leftover in (folder.root / "trials", folder.reference, folder.kernels, folder.root / "promoted"):
        shutil.rmtree(leftover, ignore_errors=True)
    write_text(mark, identity + "\n")


def _check(study: optuna.Study, config: StudyConfig, directions: tuple[StudyDirection, ...]) -> None:
    name, attributes = study.study_name, study.user_attrs
    if list(study.directions) != list(directions):
        raise KasError(f"the storage has a study {name!r} with other objectives, which is not one of kas: choose another name")
    if keys.CONFIG not in attributes:
        if study.get_trials(deepcopy=False):
            raise KasError(f"the storage has a study {name!r} that is not one of kas: choose another name")
        return
    stored: Mapping[str, Any] = stored_config(study).to_dict()
    changed = differences(stored, config.to_dict())
    if changed:
        lines = "\n  ".join(changed)
        raise KasError(
            f"the study {name!r} is there already, with another configuration (stored -> given):\n  {lines}\n"
            f"go on with the stored one (resume {name}), or give the study another name (--set name=...)"
        )


def _complete(study: optuna.Study, config: StudyConfig, metric: Metric) -> None:
    """Write what a study has from its creation on, and is not written yet; the configuration first."""
    there = study.user_attrs
    initial = {
        keys.CONFIG: json.dumps(config.to_dict()),
        keys.FORMAT: FORMAT,
        keys.VERSION: kas.__version__,
        keys.OPS: list(OPS),
        keys.TASK: metric.to_dict(),
        ID: uuid.uuid4().hex,
    }
    for key, value in initial.items():
        if key not in there:
            study.set_user_attr(key, value)
    if study.metric_names is None:
        cost = "latency" if config.objectives.cost == "latency" else "work"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([metric.name, f"{cost} (x original)"])
