"""Finding and opening studies that exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kas.language.errors import KasError
from kas.study.commands._base import Place
from kas.study.schema import nearest

if TYPE_CHECKING:
    import optuna

__all__ = ["missing", "open_study", "study_names"]


def study_names(place: Place, *, create: bool = False) -> list[str]:
    """The names of the studies in a place, sorted. A given storage that is not there yet is made if `create`.

    Raises `KasError` if a given storage cannot be opened.
    """
    if place.storage is None:
        return sorted(path.parent.name for path in place.dir.glob("*/study.db"))
    import optuna

    from kas.study.storage.opening import open_storage

    storage = open_storage(place.storage, place.dir, create=create)
    return sorted(optuna.get_all_study_names(storage))


def open_study(place: Place, name: str) -> optuna.Study:
    """Open a study that exists. Raises `KasError` that names the studies that do, or what is wrong with the storage."""
    import optuna

    from kas.study.storage.opening import open_storage

    names = study_names(place)
    if name not in names:
        raise KasError(missing(place, name, names))
    storage = open_storage(place.storage, place.folder(name), create=False)
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        raise KasError(f"{place.folder(name)} holds no study of the name {name!r}; was the folder renamed?") from None


def missing(place: Place, name: str, names: list[str]) -> str:
    """The message for a study that is not among those of a place, with their names."""
    where = f"in {place.dir}/" if place.storage is None else "in that storage"
    if not names:
        return f"there is no study {name!r} {where}: there are none at all; --dir and --storage say where to look"
    near = nearest(name, names)
    hint = f"; did you mean {near}?" if near else ""
    return f"there is no study {name!r} {where}; there are: {', '.join(names)}{hint}"
