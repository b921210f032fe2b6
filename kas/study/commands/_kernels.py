"""Finding the kernel that a command line names: a file, a known kernel, or (the start of) a hash in a study."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from kas.language.errors import InvalidKernel, KasError
from kas.language.kernel import MAX_TEXT, Kernel
from kas.reporting import stored
from kas.reporting.naming import kernel_name
from kas.study.commands._base import Place
from kas.study.commands._studies import open_study, study_names

if TYPE_CHECKING:
    import optuna

__all__ = ["find_kernel", "find_trial", "read_kernel"]


def find_kernel(text: str, place: Place) -> Kernel:
    """The kernel that `text` names. Raises `KasError` if it names none or more than one, or a file that is no kernel."""
    from kas import zoo

    if text in zoo.names():
        return zoo.get(text)
    if text.endswith(".json") or os.path.isfile(text):
        return read_kernel(Path(text))
    if re.fullmatch(r"[0-9a-f]{4,}", text):
        return Kernel.from_json(_programs(text, place))
    try:
        return zoo.get(text)
    except KasError as error:
        raise KasError(f"{text!r} is no file, no hash (4 digits or more) and no known kernel: {error}") from None


def read_kernel(path: Path) -> Kernel:
    """Read a kernel file. Raises `KasError` with the path and the reason."""
    try:
        with open(path, encoding="utf-8") as file:
            return Kernel.from_json(file.read(MAX_TEXT + 1))
    except InvalidKernel as error:
        raise KasError(f"{path} is no kernel: {error}") from None
    except UnicodeDecodeError:
        raise KasError(f"{path} is no kernel: it is not text in UTF-8") from None
    except OSError as error:
        raise KasError(f"{path} cannot be read: {error.strerror}") from None


def find_trial(study: optuna.Study, start: str) -> optuna.trial.FrozenTrial:
    """The trial with the kernel of this known name, or whose hash starts so, the best evaluated one first.

    Raises `KasError` if there is none, or if several kernels match.
    """
    from kas import zoo

    named, start = start, zoo.get(start).hash if start in zoo.names() else start
    carriers = [trial for trial in stored.trials(study) if _hash(trial)]
    trials = [trial for trial in carriers if _hash(trial).startswith(start)]
    hashes = sorted({_hash(trial) for trial in trials})
    if not start or not hashes:
        known = [kernel_name(key) for key in sorted(set(map(_hash, carriers)))]
        shown = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
        raise KasError(f"study {study.study_name} has no kernel {named!r}; it has {shown or 'none yet'}")
    if len(hashes) > 1:
        raise KasError(f"{start!r} is the start of {len(hashes)} kernels of study {study.study_name}: {', '.join(hashes)}")
    return min(trials, key=lambda trial: (trial.user_attrs.get("outcome") != "ok", trial.number))


def _hash(trial: optuna.trial.FrozenTrial) -> str:
    return str(trial.user_attrs.get("hash") or "") if trial.user_attrs.get("program") else ""


def _programs(start: str, place: Place) -> str:
    """The stored program of the one kernel whose hash starts so, in any study of the place."""
    found: dict[str, str] = {}
    for name in study_names(place):
        carriers = [trial for trial in stored.trials(open_study(place, name)) if _hash(trial).startswith(start)]
        found |= {_hash(trial): str(trial.user_attrs["program"]) for trial in carriers}
    if not found:
        raise KasError(f"no kernel of any study in {place.where} has a hash that starts with {start!r}")
    if len(found) > 1:
        raise KasError(f"{start!r} is the start of {len(found)} hashes: {', '.join(sorted(found))}")
    return next(iter(found.values()))
