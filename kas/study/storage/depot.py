"""Checkpoints where every machine of a study reaches them: a folder, or a bucket of S3, by Optuna's artifact stores.

A trial whose machine died goes on elsewhere from its last epoch. Each checkpoint is stored under a new name, which an
attribute of the trial (or of the study) holds once it is there in full; the one before is removed after that.
"""

from __future__ import annotations

import logging
import re
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.artifacts.exceptions import ArtifactNotFound

from kas.language.errors import KasError
from kas.reporting import stored
from kas.study.storage.files import write_atomically, write_text

__all__ = ["NOWHERE", "Depot", "Slot", "open_depot"]

_ATTRIBUTE = "checkpoint"
_NAME = re.compile(r"[0-9a-f]{32}")
_log = logging.getLogger("kas.study")


@dataclass(frozen=True)
class Slot:
    """Where the name of one checkpoint is kept: `read` and `write` an attribute of the storage."""

    read: Callable[[], object]
    write: Callable[[str], None]

    @classmethod
    def of_trial(cls, trial: optuna.Trial) -> Slot:
        """Of a trial; its retry inherits it."""
        return cls(lambda: trial.user_attrs.get(_ATTRIBUTE), lambda name: trial.set_user_attr(_ATTRIBUTE, name))

    @classmethod
    def of_reference(cls, study: optuna.Study) -> Slot:
        """Of the original network."""
        key = f"kas.{_ATTRIBUTE}"
        return cls(lambda: stored.attribute(study, key), lambda name: study.set_user_attr(key, name))

    @classmethod
    def of_finished(cls, study: optuna.Study, number: int) -> Slot:
        """Of a trial that has ended, whose checkpoint is only read."""
        return cls(lambda: study.get_trials(deepcopy=False)[number].user_attrs.get(_ATTRIBUTE), lambda name: None)

    @property
    def name(self) -> str | None:
        """The name; None if there is none, or none that this module made."""
        name = self.read()
        return name if isinstance(name, str) and _NAME.fullmatch(name) else None


NOWHERE = Slot(lambda: None, lambda name: None)


class Depot:
    """Keeps and brings checkpoints. `store`: an artifact store of Optuna; None: nothing is kept or brought."""

    def __init__(self, store: Any = None) -> None:
        self._store = store

    def keep(self, checkpoint: Path, slot: Slot) -> None:
        """Store a checkpoint file. A store that does not answer costs a line in the log: the file here stays."""
        if self._store is None:
            return
        name, before = uuid.uuid4().hex, slot.name
        try:
            with open(checkpoint, "rb") as file:
                self._store.write(name, file)
            slot.write(name)
            write_text(_mark(checkpoint), name)
            if before is not None:
                self._store.remove(before)
        except Exception as error:  # whatever a store's client raises
            _log.warning("%s was not stored for other machines: %s", checkpoint, error)

    def bring(self, checkpoint: Path, slot: Slot) -> None:
        """Write the stored checkpoint to its file, unless that is what the file is already, or there is none."""
        name, mark = slot.name if self._store is not None else None, _mark(checkpoint)
        if name is None or (checkpoint.exists() and mark.exists() and mark.read_text(encoding="utf-8") == name):
            return
        try:
            with self._store.open_reader(name) as reader:
                write_atomically(checkpoint, lambda path: _copy(reader, path))
            write_text(mark, name)
        except ArtifactNotFound:
            _log.warning("the stored checkpoint of %s is gone", checkpoint)

    def forget(self, slot: Slot) -> None:
        """Remove a stored checkpoint."""
        if self._store is not None and slot.name is not None:
            try:
                self._store.remove(slot.name)
            except Exception as error:  # it stays, which costs room alone
                _log.warning("a stored checkpoint was not removed: %s", error)


def open_depot(place: str | None) -> Depot:
    """The depot in a folder, or of `s3://BUCKET` (needs boto3, which finds the keys as always). Raises KasError."""
    if place is None:
        return Depot()
    if not place.startswith("s3://"):
        folder = Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        return Depot(optuna.artifacts.FileSystemArtifactStore(folder))
    bucket = place.removeprefix("s3://").rstrip("/")
    if not bucket or "/" in bucket:
        raise KasError(f"--artifacts {place}: name a bucket, as in s3://BUCKET, or a folder")
    try:
        store = optuna.artifacts.Boto3ArtifactStore(bucket)
        store.client.head_bucket(Bucket=bucket)
    except ImportError:
        raise KasError("--artifacts s3://... needs boto3: pip install boto3") from None
    except Exception as error:  # of botocore: no keys, no such bucket, no answer
        raise KasError(f"--artifacts {place}: {error}") from None
    return Depot(store)


def _mark(checkpoint: Path) -> Path:
    return checkpoint.with_suffix(".stored")


def _copy(reader: Any, path: Path) -> None:
    with open(path, "wb") as file:
        shutil.copyfileobj(reader, file)
