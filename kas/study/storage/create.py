"""Creating a study in a storage, or joining the one that is there, which must be the same in everything that decides."""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Callable

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

import kas
from kas.language import OPS, KasError
from kas.reporting import stored
from kas.reporting.metric import Metric
from kas.reporting.parsing import identity, listed, text
from kas.study import attributes as keys
from kas.study.config import FORMAT, StudyConfig, differences
from kas.study.storage.files import StudyFolder, write_text
from kas.study.storage.mutex import StudyMutex

__all__ = ["check_folder", "create_or_join", "has_reference", "own_folder", "stored_config"]


def create_or_join(
    config: StudyConfig,
    storage: BaseStorage,
    mutex: StudyMutex,
    metric: Metric | None = None,
    before: Callable[[optuna.Study | None], object] = lambda study: None,
) -> optuna.Study:
    """The study of this name in the storage, created if it is not there. Its wanted number of trials becomes the config's.

    metric: the first objective; by default an accuracy.
    before: called with the study that is there (None: there is none) before anything is written; what it raises ends this.
    A creation that a crash cut off is completed. Raises KasError if a study of that name differs in anything else, or
    is not one of kas.
    """
    first = metric or Metric()
    directions = (StudyDirection[first.direction.upper()], StudyDirection.MINIMIZE)

    def section() -> optuna.Study:
        there = config.name in optuna.get_all_study_names(storage)
        study = optuna.load_study(study_name=config.name, storage=storage) if there else None
        if study is not None:
            _check(study, config, directions)
        before(study)
        if study is None:
            study = optuna.create_study(study_name=config.name, storage=storage, directions=list(directions))
        _complete(study, config, first)
        if stored.attribute(study, keys.TRIALS) != config.trials:
            study.set_user_attr(keys.TRIALS, config.trials)
        return study

    return mutex.do(section)


def has_reference(storage: BaseStorage, name: str) -> bool:
    """Whether the storage has a study of this name whose original network is trained and timed."""
    if name not in optuna.get_all_study_names(storage):
        return False
    return stored.attribute(optuna.load_study(study_name=name, storage=storage), keys.REFERENCE) is not None


def stored_config(study: optuna.Study) -> StudyConfig:
    """The configuration that a study was created with, with the wanted number of trials as it is now.

    Raises KasError if it is not a study of kas, or one of a newer kas.
    """
    data = stored.attribute(study, keys.CONFIG)
    if data is None:
        raise KasError(
            f"the study {study.study_name!r} has no configuration: it is not one of kas, or its creation was cut off, which "
            f"`run STUDY.yaml` completes"
        )
    trials = stored.attribute(study, keys.TRIALS)
    changed = {} if trials is None else {"trials": trials}
    return StudyConfig.from_dict({**data, **changed}, where=f"the configuration stored with study {study.study_name!r}")


def check_folder(folder: StudyFolder, name: str, study: optuna.Study | None, *, adopt: bool = False) -> None:
    """Raise KasError if a folder holds results of another study than this (None: than one that is to be made).

    Whose they are says its `study.id`; with none that can be read they count as another's. adopt: take them over.
    """
    own, found, results = None if study is None else stored.attribute(study, keys.ID), _identity(folder), folder.results()
    if adopt or not results or (own is not None and own == found):
        return
    whose = f"its study.id is {found}" if found else "it has no study.id that can be read"
    this = f"the study {name!r} in this storage {'is yet to be made' if own is None else f'has the id {own}'}"
    raise KasError(
        f"{folder.root} holds the {', '.join(results)} of another study: {whose}, and {this}. Nothing was changed. Give this "
        f"study another folder (--dir) or name the storage of the other one (--storage); if the files are its own all the "
        f"same, `resume {name} --adopt` takes the folder over as it is"
    )


def own_folder(study: optuna.Study, folder: StudyFolder, *, adopt: bool = False) -> None:
    """Make the folder the study's own, and tidy it. Raises KasError as `check_folder` does."""
    check_folder(folder, study.study_name, study, adopt=adopt)
    folder.sweep()
    own = str(stored.attribute(study, keys.ID))
    if _identity(folder) != own:
        write_text(folder.identity, own + "\n")


def _identity(folder: StudyFolder) -> str | None:
    """What `study.id` says; None if it is missing or damaged."""
    try:
        return identity(folder.identity.read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return None


def _check(study: optuna.Study, config: StudyConfig, directions: tuple[StudyDirection, ...]) -> None:
    name = study.study_name
    if list(study.directions) != list(directions):
        raise KasError(f"the storage has a study {name!r} with other objectives, which is not one of kas: choose another name")
    if stored.attribute(study, keys.CONFIG) is None:
        if study.get_trials(deepcopy=False) and stored.attribute(study, keys.ID) is None:
            raise KasError(f"the storage has a study {name!r} that is not one of kas: choose another name")
        return
    changed = differences(stored_config(study).to_dict(), config.to_dict())
    if changed:
        lines = "\n  ".join(changed)
        raise KasError(
            f"the study {name!r} is there already, with another configuration (stored -> given):\n  {lines}\n"
            f"go on with the stored one (resume {name}), or give the study another name (--set name=...)"
        )


def _complete(study: optuna.Study, config: StudyConfig, metric: Metric) -> None:
    """Write what a study has from its creation on, and is not written yet; the configuration first."""
    there = stored.attributes(study)
    initial = {
        keys.CONFIG: json.dumps(config.to_dict()),
        keys.FORMAT: FORMAT,
        keys.VERSION: kas.__version__,
        keys.OPS: list(OPS),
        keys.TASK: metric.to_dict(),
        keys.ID: uuid.uuid4().hex,
    }
    for key, value in initial.items():
        if key not in there:
            study.set_user_attr(key, value)
    if stored.system_attribute(study, "study:metric_names", listed(text)) is None:
        cost = "latency" if config.objectives.cost == "latency" else "work"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([metric.name, f"{cost} (x original)"])
