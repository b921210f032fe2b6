"""The rest of `test_every_value`: the studies whose networks are compiled, and what this machine does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from every_value import REFUSED, ROWS, TINY, check_run, prepare, refusal, run

pytestmark = pytest.mark.system

COMPILED = [row for row in ROWS if row.get("cost.runtime") == "compile"]


@pytest.mark.parametrize("row", COMPILED, ids=range(len(COMPILED)))
def test_a_study_that_compiles_comes_to_its_end(tmp_path: Path, row: dict[str, Any]) -> None:
    prepare(tmp_path)
    check_run(tmp_path, row)


@pytest.mark.parametrize(("path", "value"), REFUSED)
def test_what_the_machine_does_not_have_is_one_sentence(tmp_path: Path, path: str, value: Any) -> None:
    done = run(tmp_path, {**TINY, path: value})
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {refusal(path, value)}\n")
    assert not (tmp_path / "runs").exists()
