"""Where a study comes from: its configuration in its own folder, and the study file that it was made from.

`DIR/NAME/study.yaml` is written by `run` when the study is made and is the user's own file on this machine, as the study
file is: `resume` reads it again and imports the factories that it names. Nothing that a storage holds is ever imported:
a study with factories that is in a storage only (made on another machine) needs its study file here too.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import optuna
import yaml

from kas.language.errors import KasError
from kas.reporting import stored
from kas.reporting.parsing import loads, text
from kas.study import attributes as keys
from kas.study.config import StudyConfig, differences, load_config
from kas.study.plain_yaml import read_yaml_file
from kas.study.storage.create import check_folder, stored_config
from kas.study.storage.files import StudyFolder, write_json, write_text

__all__ = [
    "CONFIG_FILE",
    "allow_imports_beside",
    "check_adoption",
    "factories",
    "kept_config",
    "recall",
    "refuse_factories_of_storage",
    "remember",
    "study_config",
    "unfinished",
]

CONFIG_FILE = "study.yaml"
_ORIGIN_FILE = "origin.json"
_HEADER = """\
# The whole configuration of this study, written when it was made; `resume` reads it. Changing a key here is refused, as
# the trials so far belong to the old value: make a new study instead.
"""


def remember(folder: Path, config: StudyConfig, study_file: Path) -> None:
    """Keep the configuration and the path of the study file in the study's folder."""
    path = folder / CONFIG_FILE
    if path.exists() and not differences(_read(path), config.to_dict()):
        return
    written = yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True, width=100)
    write_json(folder / _ORIGIN_FILE, {"study_file": str(study_file.resolve())})
    write_text(path, _HEADER + written)


def _read(path: Path) -> dict[str, Any]:
    """The file as it is; an unreadable one, or one of another kas, counts as empty and is written anew."""
    try:
        data = read_yaml_file(path)
    except (OSError, KasError):
        return {}
    return data if isinstance(data, dict) else {}


def recall(folder: Path) -> tuple[StudyConfig, Path | None] | None:
    """The configuration that `remember` kept, and the path of the study file; None if there is none in this folder."""
    path = folder / CONFIG_FILE
    if not path.exists():
        return None
    try:
        origin = text(loads((folder / _ORIGIN_FILE).read_text(encoding="utf-8")).get("study_file"))
    except (OSError, ValueError):
        origin = None
    return load_config(path), None if origin is None else Path(origin)


def study_config(study: optuna.Study, folder: Path, *, adopt: bool = False) -> StudyConfig:
    """The configuration of a study that exists: its folder's, or the storage's where that names nothing to import.

    What its factories name can be imported afterwards. Raises KasError for factories that only the storage names, and for
    a folder of another study, unless that is to be adopted.
    """
    check_folder(StudyFolder(folder), study.study_name, study, adopt=adopt)
    config = kept_config(folder)
    if config is None:
        config = stored_config(study)
        refuse_factories_of_storage(study.study_name, config)
    return config


def kept_config(folder: Path) -> StudyConfig | None:
    """The configuration that a study's folder has, if any. What its factories name can be imported afterwards."""
    kept = recall(folder)
    if kept is None:
        return None
    allow_imports_beside(kept[1])
    return kept[0]


def unfinished(folder: Path) -> StudyConfig | None:
    """The configuration of a study whose creation was cut off before its folder got its identity; None if there is none."""
    place = StudyFolder(folder)
    return None if place.identity.exists() or place.results() else kept_config(folder)


def check_adoption(folder: Path, config: StudyConfig, study: optuna.Study | None, *, adopt: bool) -> None:
    """Raise KasError if a study is to adopt a folder that is, as its `study.yaml` says, of another configuration.

    The same if the study has lost its own configuration: only that of its folder may take its place.
    """
    lost = study is not None and stored.attribute(study, keys.ID) and stored.attribute(study, keys.CONFIG) is None
    kept = _read(folder / CONFIG_FILE)
    if lost and not kept:
        raise KasError(f"the configuration of study {config.name!r} is damaged, and there is no {folder / CONFIG_FILE} either")
    if changed := differences(kept, config.to_dict()) if kept and (adopt or lost) else []:
        lines = "\n  ".join(changed)
        raise KasError(f"{folder} is of a study with another configuration (its {CONFIG_FILE} -> this one):\n  {lines}")


def factories(config: StudyConfig) -> list[str]:
    """The factories that a configuration names, each as `key: module:function`."""
    named = (("model.factory", config.model.factory), ("data.factory", config.data.factory))
    return [f"{key}: {factory}" for key, factory in named if factory is not None]


def allow_imports_beside(study_file: Path | None) -> None:
    """Let Python also import modules from the folder of the study file, after all others."""
    if study_file is not None and (folder := str(study_file.resolve().parent)) not in sys.path:
        sys.path.append(folder)


def refuse_factories_of_storage(name: str, config: StudyConfig) -> None:
    """Raise `KasError` if a configuration that comes from a storage names anything to import."""
    if named := factories(config):
        raise KasError(
            f"study {name} names {' and '.join(named)}, and factories are only taken from a study file on this machine: "
            f"go on with `run STUDY.yaml` instead of `resume {name}`"
        )
