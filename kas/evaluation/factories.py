"""Calling what the user's study file names: `package.module:function`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from kas.evaluation.settings import nearest
from kas.language.errors import KasError
from kas.replacement.frames import in_user_code, user_frames

__all__ = ["call_factory", "call_function"]


def call_factory(where: str, factory: str, arguments: dict[str, Any], offered: dict[str, Any]) -> Any:
    """Import `factory`, call it with `arguments` and with those of `offered` that it names (`**anything` names none).

    `where` is the key of the study file, for messages. Raises KasError if there is no such module or function, or if it
    does not take the arguments, and, with the user's frames, for what the function itself raises.
    """
    return call_function(where, factory, _find(where, factory), arguments, offered)


def call_function(
    where: str, factory: str, function: Callable[..., Any], arguments: dict[str, Any], offered: dict[str, Any]
) -> Any:
    """The same of a function that is found already; `factory` is its name."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-in callables have no signature
        return in_user_code(f"{where}: {factory}", lambda: function(**arguments))
    extra = {key: value for key, value in offered.items() if key in parameters and value is not None}
    call = {**extra, **arguments}
    try:
        inspect.signature(function).bind(**call)
    except TypeError as error:
        unknown = [key for key, value in offered.items() if value is None and key in parameters and key not in call]
        hint = (
            f" ({', '.join(unknown)} is not known: let the data module say it, or give it in the arguments)" if unknown else ""
        )
        given = ", ".join(call) or "none"
        raise KasError(f"{where}: {factory} does not take these arguments ({given}): {error}{hint}") from None
    return in_user_code(f"{where}: {factory}", lambda: function(**call))


def _find(where: str, factory: str) -> Callable[..., Any]:
    module_name, _, name = factory.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and not (module_name == error.name or module_name.startswith(error.name + ".")):
            raise KasError(f"{where}: module {module_name} needs {error.name}, which is not installed") from error
        raise KasError(
            f"{where}: there is no module {module_name} (of {factory}); it must be importable, "
            f"for instance lie in the folder that the command is started from"
        ) from error
    except (Exception, SystemExit) as error:  # the module's own
        raise KasError(
            f"{where}: importing {module_name} raised {type(error).__name__}: {error}{user_frames(error)}"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise KasError(f"{where}: module {module_name} has no function {name}{nearest(name, public)}")
    return function  # type: ignore[no-any-return]
