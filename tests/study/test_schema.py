"""Plain data to dataclasses: types, hints, defaults, and back."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

import pytest

from kas.language.errors import KasError
from kas.study import schema


@dataclass
class Inner:
    """A section.

    Args:
        epochs: Passes over
            the data.
        kind: Which.
        rate: A rate.
    """

    epochs: int = 3
    kind: Literal["adam", "sgd"] = "adam"
    rate: float | None = None
    names: list[str] | None = None
    flag: bool = False
    where: Literal["auto", "cpu"] | str | None = None
    parts: list[Literal["head", "stem"]] | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise KasError(f"epochs must be at least 1, not {self.epochs}")


@dataclass
class Outer:
    """All.

    Args:
        name: The name.
    """

    name: str
    inner: Inner = field(default_factory=Inner)
    free: dict[str, Any] = field(default_factory=lambda: {"macs": 0.3})


def problems(data: Any) -> list[str]:
    instance, found = schema.build(Outer, data)
    assert (instance is None) == bool(found)
    return [f"{problem.path} {problem.text}" for problem in found]


def test_values_get_their_types() -> None:
    instance, _ = schema.build(Outer, {"name": "a", "inner": {"epochs": "4", "rate": "1e-3", "names": ["x"], "flag": True}})
    assert instance == Outer("a", Inner(4, "adam", 1e-3, ["x"], True))


def test_an_empty_section_has_its_defaults() -> None:
    assert schema.build(Outer, {"name": "a", "inner": None})[0] == Outer("a")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "name is missing"),
        ({"name": "a", "inner": {"epoch": 1}}, "inner.epoch is an unknown key; did you mean inner.epochs?"),
        ({"name": "a", "epochs": 1}, "epochs is an unknown key; did you mean inner.epochs?"),
        ({"name": "a", "zzz": 1}, "zzz is an unknown key; known here: name, inner, free"),
        ({"name": "a", "inner": 3}, "inner is a section and needs keys of its own, not 3"),
        ({"name": "a", "inner": {"epochs": "x"}}, "inner.epochs must be a whole number, not 'x'"),
        ({"name": "a", "inner": {"epochs": 2.5}}, "inner.epochs must be a whole number, not 2.5"),
        ({"name": "a", "inner": {"epochs": True}}, "inner.epochs must be a whole number, not True"),
        ({"name": "a", "inner": {"kind": "Adm"}}, "inner.kind must be one of adam, sgd, not 'Adm'; did you mean adam?"),
        ({"name": "a", "inner": {"rate": "no"}}, "inner.rate must be a number or null, not 'no'"),
        ({"name": "a", "inner": {"names": "x"}}, "inner.names must be a list (text each) or null, not 'x'"),
        ({"name": "a", "inner": {"flag": 3}}, "inner.flag must be true or false, not 3"),
        (
            {"name": "a", "inner": {"parts": ["head", "Stem"]}},
            "inner.parts must be a list (one of head, stem each) or null, not ['head', 'Stem']; did you mean stem?",
        ),
        ({"name": 3}, "name must be text, not 3"),
        ({"name": "a", "free": [1]}, "free must be a mapping, not [1]"),
        ({"name": "a", "inner": {"epochs": 0}}, "inner.epochs must be at least 1, not 0"),
        ([], "the file is a section and needs keys of its own, not []"),
    ],
)
def test_each_problem_has_its_message(data: Any, message: str) -> None:
    assert problems(data) == [message]


def test_all_problems_are_found_at_once() -> None:
    assert len(problems({"nme": "a", "inner": {"epochs": "x", "kind": 1}})) == 4


def test_plain_is_lossless() -> None:
    instance = Outer("a", Inner(epochs=7, names=["q"]), {"macs": 1, "params": 0.5})
    assert schema.build(Outer, schema.plain(instance))[0] == instance


def test_keys_have_types_defaults_and_docs() -> None:
    keys = {key.path: key for key in schema.keys(Outer)}
    inner = [f"inner.{field.name}" for field in fields(Inner)]
    assert list(keys) == ["name", *inner, "free"]
    assert keys["inner.epochs"] == schema.Key("inner.epochs", "a whole number", 3, "Passes over the data.")
    assert keys["inner.kind"].type == "one of adam, sgd"
    assert keys["name"].default is schema.REQUIRED
    assert keys["free"].default == {"macs": 0.3}


@pytest.mark.parametrize(
    ("path", "choices", "is_open"),
    [
        ("name", (), True),
        ("inner.epochs", (), True),
        ("inner.kind", ("adam", "sgd"), False),
        ("inner.rate", (None,), True),
        ("inner.names", (None,), True),
        ("inner.flag", (False, True), False),
        ("inner.where", ("auto", "cpu", None), True),
        ("inner.parts", (["head"], ["stem"], None), False),
        ("free", (), True),
    ],
)
def test_a_key_names_its_values(path: str, choices: tuple[Any, ...], is_open: bool) -> None:
    key = next(key for key in schema.keys(Outer) if key.path == path)
    assert (key.choices, key.open) == (choices, is_open)


@pytest.mark.parametrize(("word", "choice"), [("ADAM", "adam"), ("sdg", "sgd"), ("quux", None)])
def test_nearest(word: str, choice: str | None) -> None:
    assert schema.nearest(word, ["adam", "sgd"]) == choice
