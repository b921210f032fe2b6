"""The study files that come with kas: in the installed package, or in `studies/` of a checkout."""

from __future__ import annotations

import os
from importlib.metadata import distribution
from pathlib import Path

import kas
from kas.language.errors import KasError
from kas.study.schema import nearest

__all__ = ["shipped_studies", "study_path"]


def _folder() -> Path:
    checkout = Path(kas.__file__).parents[1]
    if (checkout / "pyproject.toml").is_file():
        return checkout / "studies"
    installed = next(file for file in distribution("kas").files or () if file.match("share/kas/studies/digits.yaml"))
    return Path(str(installed.locate())).resolve().parent


def shipped_studies() -> list[str]:
    """The names of the study files that come with kas, sorted.

    >>> "digits" in shipped_studies()
    True
    """
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def study_path(text: str) -> Path:
    """The study file that `text` names: a path, or the name of one that comes with kas, as `digits` or `studies/digits.yaml`.

    A file that is there is always meant itself. Raises KasError, with the nearest names, for a name of neither.

    >>> study_path("digits").name
    'digits.yaml'
    """
    path, names = Path(text), shipped_studies()
    if os.path.lexists(path):
        return path
    if path.stem in names and path in (Path(path.stem), Path("studies", f"{path.stem}.yaml")):
        return _folder() / f"{path.stem}.yaml"
    if path.suffix in (".yaml", ".yml") or path.name != text:
        return path  # whoever reads it says that it is not there
    near = nearest(text, names)
    hint = f"; did you mean {near}?" if near else ""
    raise KasError(f"{text}: no such file, and no study of that name comes with kas{hint}; there are {', '.join(names)}")
