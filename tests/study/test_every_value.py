"""Every value of every key of a study file is run to its end by the real command; `every_value` plans the study files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from every_value import KEYS, OTHER, REFUSED, ROWS, TINY, check_run, prepare, values

QUICK = [row for row in ROWS if row.get("cost.runtime") != "compile"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("values")
    prepare(path)
    return path


@pytest.mark.system
@pytest.mark.parametrize("row", QUICK, ids=range(len(QUICK)))
def test_a_study_of_these_values_comes_to_its_end(folder: Path, row: dict[str, Any]) -> None:
    check_run(folder, row)


def test_a_key_that_takes_any_value_has_one_that_is_not_its_default() -> None:
    for path, key in KEYS.items():
        if key.open:
            given = [value for value in values(path) if value is not None and value != key.default]
            assert given or path == "format", f"every_value.OTHER needs a value of {path}, as its type names none"


def test_the_plan_names_no_key_that_is_not_there() -> None:
    assert OTHER.keys() | TINY.keys() <= KEYS.keys()


def test_every_value_is_in_the_plan() -> None:
    for path, key in KEYS.items():
        planned = [row.get(path, key.default) for row in ROWS]
        for value in values(path):
            assert value in planned or (path, value) in REFUSED, f"{path}: {value}"
