"""Reading YAML that anybody may have written: plain data alone, within limits that are checked before anything is built."""

from __future__ import annotations

import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any, ClassVar

import yaml

from kas.language.errors import KasError, shown

__all__ = ["read_yaml", "read_yaml_file"]

MOST_BYTES, MOST_DEPTH, MOST_VALUES, MOST_DIGITS = 1 << 20, 32, 20_000, 30
_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}


class _Loader(yaml.SafeLoader):
    """Null, true, false, numbers, texts, lists, mappings with texts as keys; a date is the text that it is written as."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag in _TAGS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        tag: construct for tag, construct in yaml.SafeLoader.yaml_constructors.items() if tag in _TAGS or tag is None
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Build a value. Raises YAMLError with the place for what is no value of its tag."""
        if isinstance(node, yaml.ScalarNode) and node.tag.endswith((":int", ":float")) and len(node.value) > MOST_DIGITS:
            raise _Refused(f"a number of more than {MOST_DIGITS} characters", node.start_mark)
        try:
            value: Any = super().construct_object(node, deep)
        except (ValueError, TypeError, KeyError, OverflowError):
            raise _Refused(f"{shown(node.value)} is no {node.tag.rpartition(':')[2]}", node.start_mark) from None
        if isinstance(value, float) and not math.isfinite(value):
            raise _Refused(f"{node.value} is no finite number", node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping. Raises YAMLError for a key that is no text."""
        found: dict[Hashable, Any] = super().construct_mapping(node, deep)
        for key in found:
            if not isinstance(key, str):
                raise _Refused(f"the key {shown(key)} is no text", node.start_mark)
        return found


class _Refused(yaml.MarkedYAMLError):
    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


def read_yaml(text: str) -> Any:
    """The plain data of a YAML text. Raises KasError: the line, and what is wrong or beyond the limits of this module."""
    if len(text) > MOST_BYTES:
        raise KasError(f"is larger than {MOST_BYTES >> 20} MiB")
    try:
        _check_size(text)
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark, reason = getattr(error, "problem_mark", None), getattr(error, "problem", None) or getattr(error, "reason", "")
        raise KasError(f"is not YAML that kas reads{f', line {mark.line + 1}' if mark else ''}: {reason}") from None


def read_yaml_file(path: Path) -> Any:
    """The plain data of a YAML file. Raises KasError as `read_yaml` does, and OSError."""
    with open(path, "rb") as file:
        data = file.read(MOST_BYTES + 1)
    try:
        return read_yaml(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise KasError("is not YAML that kas reads: no text in UTF-8") from None


def _check_size(text: str) -> None:
    """Raise YAMLError for a text that nests too deep or, with its aliases written out, has too many values."""
    sizes: dict[str | None, int] = {}  # of what each anchor names, its aliases written out
    open_nodes: list[tuple[str | None, int]] = []  # the anchor of each list and mapping around, and the values before it
    values = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise _Refused(f"*{event.anchor} stands in itself", event.start_mark)
            values += sizes.get(event.anchor, 0)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = values - before
        elif isinstance(event, yaml.NodeEvent):
            values += 1
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((event.anchor, values - 1))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
        if len(open_nodes) > MOST_DEPTH:
            raise _Refused(f"it nests deeper than {MOST_DEPTH} levels", event.start_mark)
        if values > MOST_VALUES:
            raise _Refused(f"it has more than {MOST_VALUES} values", event.start_mark)
