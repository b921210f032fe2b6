"""From plain data (a study file) to documented dataclasses and back; messages name the key and the nearest right one.

The types are those of the dataclasses; jsonargparse checks each value against its type, so that a study file follows
the same rules as a command line (`"3"` is a whole number, `"1e-3"` a number, `true` is neither).
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar

import jsonargparse
from docstring_parser import parse as parse_docstring

from kas.language.errors import KasError, shown

__all__ = ["REQUIRED", "Key", "Problem", "build", "choices", "keys", "nearest", "plain", "section_type", "type_text"]

T = TypeVar("T")
_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}
_NAMED: dict[Any, tuple[Any, ...]] = {bool: (False, True), type(None): (None,)}  # types of so few values that each is named
_LONGEST = 40  # characters of a text for a key that is no text, as "1e-3"
REQUIRED = "(required)"  # the default of a key that has none


@dataclass(frozen=True)
class Key:
    """One key of a study file: its dotted path, its type in words, its default, its meaning.

    choices: the values that its type names, as `choices` gives them. open: whether it takes others too.
    """

    path: str
    type: str
    default: Any
    doc: str
    choices: tuple[Any, ...] = ()
    open: bool = True


@dataclass(frozen=True)
class Problem:
    """What is wrong with the value at a dotted path."""

    path: str
    text: str


def build(
    cls: type[T], data: Any, *, known: Callable[[], list[str]] | None = None, path: str = ""
) -> tuple[T | None, list[Problem]]:
    """Build the dataclass `cls` from a mapping; nested dataclasses from nested mappings, missing keys from defaults.

    Returns the instance and no problems, or None and every problem. `known` lists all dotted keys, for hints.
    """
    if known is None:
        known = cache(lambda: [key.path for key in keys(cls)])
    if not isinstance(data, Mapping):
        return None, [Problem(path or "the file", f"is a section and needs keys of its own, not {_show(data)}")]
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls)) if field.init}
    problems = [_unknown(_join(path, str(key)), list(fields), known()) for key in data if key not in fields]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in data:
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                problems.append(Problem(_join(path, name), "is missing"))
            continue
        values[name], found = _value(hints[name], data[name], _join(path, name), known)
        problems += found
    if problems:
        return None, problems
    try:
        return cls(**values), []
    except KasError as error:
        return None, [_check_failed(path, str(error), list(fields))]


def plain(instance: Any) -> dict[str, Any]:
    """The dataclass as plain data (dicts, lists, numbers, text); `build` of it gives an equal instance."""
    return typing.cast("dict[str, Any]", _plain(dataclasses.asdict(instance)))


def keys(cls: type[Any], path: str = "") -> Iterator[Key]:
    """Every key that `cls` knows, sections flattened, in the order of the fields, with the docs of its docstring."""
    hints = typing.get_type_hints(cls)
    docs = {param.arg_name: param.description or "" for param in parse_docstring(cls.__doc__ or "").params}
    for field in dataclasses.fields(cls):
        name = _join(path, field.name)
        section = section_type(hints[field.name])
        if section is not None:
            yield from keys(section, name)
            continue
        hint, doc = hints[field.name], " ".join(docs.get(field.name, "").split())
        yield Key(name, type_text(hint), _default(field), doc, choices(hint), _is_open(hint))


def nearest(word: str, choices: list[str]) -> str | None:
    """The choice that `word` was most likely meant to be, or None."""
    lowered = {choice.lower(): choice for choice in reversed(choices)}
    found = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.6)
    return lowered[found[0]] if found else None


def section_type(hint: Any) -> type[Any] | None:
    """The dataclass of a type hint that is one (or one or None); None for every other type."""
    for option in _options(hint):
        if dataclasses.is_dataclass(option):
            return typing.cast("type[Any]", option)
    return None


def type_text(hint: Any) -> str:
    """A type in words: `float | None` is "a number or null"."""
    options = _options(hint)
    if len(options) > 1:
        return " or ".join(type_text(option) for option in options)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if hint in _WORDS:
        return _WORDS[hint]
    if origin in (list, tuple) and args:
        return f"a list ({type_text(args[0])} each)"
    if hint is dict or origin in (dict, Mapping, typing.get_origin(Mapping[str, Any])):
        return "a mapping"
    return getattr(hint, "__name__", str(hint))


def choices(hint: Any) -> tuple[Any, ...]:
    """The values that a type names: those of a literal, false and true, null; of a list of them, each in a list of its own.

    `Literal["auto", "cpu"] | str | None` names "auto", "cpu" and None; a number, a text or a mapping none.
    """
    named: list[Any] = []
    for option in _options(hint):
        args = typing.get_args(option)
        if typing.get_origin(option) is Literal:
            named += args
        elif typing.get_origin(option) is list:
            named += [[choice] for choice in choices(args[0])]
        elif option in _NAMED:
            named += _NAMED[option]
    return tuple(named)


def _is_open(hint: Any) -> bool:
    """Whether a type takes values that `choices` does not name."""
    options = [typing.get_args(option)[0] if typing.get_origin(option) is list else option for option in _options(hint)]
    return not all(typing.get_origin(option) is Literal or option in _NAMED for option in options)


def _value(hint: Any, value: Any, path: str, known: Callable[[], list[str]]) -> tuple[Any, list[Problem]]:
    section = section_type(hint)
    if section is not None:
        if value is None and type(None) in _options(hint):
            return None, []
        return build(section, {} if value is None else value, known=known, path=path)
    if value is None and hint is not Any and type(None) not in _options(hint):
        return None, [Problem(path, f"must be {type_text(hint)}, not null; leave it out for its default")]
    texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
    try:
        if not _takes_text(hint) and any(len(text) > _LONGEST for text in texts):
            raise jsonargparse.ArgumentError(None, "a long text")
        return _leaf_parser(hint).parse_object({"value": value}).value, []
    except jsonargparse.ArgumentError:
        return None, [Problem(path, f"must be {type_text(hint)}, not {_show(value)}{_hint(value, hint)}")]


def _takes_text(hint: Any) -> bool:
    """Whether a type has any text in it; jsonargparse reads a text for another type as data, which short ones cannot abuse."""
    return hint in (str, Any) or any(
        _takes_text(part) for part in typing.get_args(hint) if typing.get_origin(hint) is not Literal
    )


@cache
def _leaf_parser(hint: Any) -> jsonargparse.ArgumentParser:
    parser = jsonargparse.ArgumentParser(exit_on_error=False, parser_mode="json")
    parser.add_argument("--value", type=hint)
    return parser


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return _plain(field.default_factory())
    return REQUIRED if field.default is dataclasses.MISSING else _plain(field.default)


def _check_failed(path: str, text: str, fields: list[str]) -> Problem:
    """The text of a check in `__post_init__`, which starts with the field's name, at the field's dotted path."""
    word, _, rest = text.removeprefix(f"{path}.").partition(" ")
    name = word.rstrip(":")
    return Problem(_join(path, name), rest) if name.partition(".")[0] in fields else Problem(path, text)


def _unknown(path: str, siblings: list[str], known: list[str]) -> Problem:
    section, _, name = path.rpartition(".")
    near = nearest(name, siblings)
    elsewhere = [key for key in known if key.rpartition(".")[2] == name]
    if near is None and not elsewhere:
        elsewhere = [match for match in [nearest(path, known)] if match]
    where = _join(section, near) if near else elsewhere[0] if elsewhere else None
    hint = f"did you mean {where}?" if where else "known here: " + ", ".join(_join(section, key) for key in siblings)
    return Problem(path, f"is an unknown key; {hint}")


def _hint(value: Any, hint: Any) -> str:
    """`"; did you mean sgd?"`, for the first text that the type does not name, or nothing."""
    words = [item for choice in choices(hint) for item in (choice if isinstance(choice, list) else [choice])]
    names = [word for word in words if isinstance(word, str)]
    wrong = [str(item) for item in (value if isinstance(value, list) else [value]) if item not in names]
    near = nearest(wrong[0], names) if wrong else None
    return f"; did you mean {near}?" if near else ""


def _options(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _show(value: Any) -> str:
    text = "null" if value is None else shown(value)
    return text if len(text) <= 60 else text[:57] + "..."
