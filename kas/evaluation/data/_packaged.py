"""Data sets that lie in the wheels of other packages: found without importing these."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from kas.language.errors import KasError

__all__ = ["packaged"]


def packaged(name: str, module: str, package: str) -> Path:
    """The folder of an installed module that holds the data set `name`. Raises KasError, with what to install."""
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise KasError(f'data.name {name} needs the package {package}, which is not installed: pip install "kas[{name}]"')
    return Path(spec.submodule_search_locations[0])
