"""A folder is one study's: what was trained there is never removed, and another study does not use it unasked."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest

from kas.study.__main__ import main
from kas.study.config import StudyConfig, load_config
from kas.study.display.events import Silent
from kas.study.storage.files import StudyFolder
from kas.study.workers.runner import Result
from kas.study.workers.session import run_study

STUDY = """\
name: tiny
trials: 1
data: {name: digits, size: 8, train_samples: 60, val_samples: 30}
model: {args: {width: 8, stages: 2}}
training: {epochs: 1, model: {width: 4}}
cost: {batch_size: 2}
objectives: {cost: work}
search: {seeds: [grouped3x3]}
health: {enabled: false}
"""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    (folder / "tiny.yaml").write_text(STUDY)
    assert main(["run", str(folder / "tiny.yaml"), "--dir", str(folder)]) == 0
    return folder


@pytest.fixture
def folder(searched: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(searched, tmp_path / "runs"))


def files(folder: Path) -> dict[str, bytes]:
    """All that was trained, and what says whose it is."""
    names = ("trials", "reference", "kernels", "study.id", "study.yaml", "origin.json")
    found = [
        path for name in names for path in [folder / "tiny" / name, *(folder / "tiny" / name).rglob("*")] if path.is_file()
    ]
    assert len(found) > 4
    return {str(path): path.read_bytes() for path in found}


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


def of_another_storage(folder: Path) -> list[str]:
    return ["--dir", str(folder), "--storage", f"journal://{folder}/two.log"]


@pytest.mark.system
def test_a_second_storage_does_not_get_the_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, own = files(folder), (folder / "tiny/study.id").read_text().strip()
    said = refused(capsys, "run", str(folder / "tiny.yaml"), *of_another_storage(folder))
    assert f"its study.id is {own}, and the study 'tiny' in this storage is yet to be made" in said
    assert "--adopt" in said
    optuna.create_study(study_name="tiny", storage=storage(folder / "two.log"), directions=["maximize", "minimize"])
    optuna.load_study(study_name="tiny", storage=storage(folder / "two.log")).set_user_attr("kas.id", "f" * 32)
    for command in (["resume", "tiny"], ["run", str(folder / "tiny.yaml")]):
        assert f"has the id {'f' * 32}" in refused(capsys, *command, *of_another_storage(folder))
    assert files(folder) == before


def storage(log: Path) -> Any:
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    return JournalStorage(JournalFileBackend(str(log)))


@pytest.mark.system
@pytest.mark.parametrize("mark", [None, b"", b"\xff\xfe", b"no identity\n"])
def test_a_lost_or_damaged_mark_costs_nothing(folder: Path, capsys: pytest.CaptureFixture[str], mark: bytes | None) -> None:
    place = StudyFolder(folder / "tiny")
    right = place.identity.read_bytes()
    place.identity.unlink()
    if mark is not None:
        place.identity.write_bytes(mark)
    before = files(folder)
    assert "it has no study.id that can be read" in refused(capsys, "resume", "tiny", "--dir", str(folder))
    assert files(folder) == before
    if mark is None:
        assert main(["resume", "tiny", "--dir", str(folder), "--adopt"]) == 0
        assert place.identity.read_bytes() == right
        assert files(folder) | before == files(folder)


@pytest.mark.system
def test_the_files_of_a_deleted_study(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (folder / "tiny").glob("study.db*"):
        path.unlink()
    before, run = files(folder), ["run", str(folder / "tiny.yaml"), "--dir", str(folder)]
    assert "is yet to be made" in refused(capsys, *run)
    assert not StudyFolder(folder / "tiny").database.exists()
    assert "another configuration" in refused(capsys, *run, "--adopt", "--set", "training.lr=0.5")
    assert files(folder) == before
    assert main([*run, "--adopt"]) == 0
    assert {key: value for key, value in files(folder).items() if "study.id" not in key} == {
        key: value for key, value in before.items() if "study.id" not in key
    }


def launch_here(config: StudyConfig, study_file: Path | None, place: Any, args: Any) -> int:
    """The work of a worker in this process, where it can be patched."""
    return run_study(config, place.folder(config.name), None, Silent(), study_file=study_file).exit_code


class Killed(BaseException):
    """In place of a kill."""


@pytest.mark.parametrize(("by", "left"), [("run", 0), ("resume", 0), ("resume", 1), ("resume", 6)])
def test_a_creation_that_was_cut_off_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cut off after each of its writes to the storage."""
    (tmp_path / "tiny.yaml").write_text(STUDY)
    writes = 0

    def dying(write: Any) -> Any:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            nonlocal writes
            if writes == left:
                raise Killed
            writes += 1
            return write(*arguments, **named)

        return wrapped

    run = ["run", str(tmp_path / "tiny.yaml"), "--dir", str(tmp_path)]
    with monkeypatch.context() as dies:
        dies.setattr(optuna, "create_study", dying(optuna.create_study))
        dies.setattr(optuna.Study, "set_user_attr", dying(optuna.Study.set_user_attr))
        with pytest.raises(Killed):
            run_study(load_config(tmp_path / "tiny.yaml"), tmp_path / "tiny", None, Silent(), study_file=tmp_path / "tiny.yaml")
    assert writes == left
    monkeypatch.setattr("kas.study.workers.session._Session.work", lambda *_: Result(1))
    for module in ("run", "resume"):
        monkeypatch.setattr(f"kas.study.commands.{module}.launch", launch_here)
    assert main(run if by == "run" else ["resume", "tiny", "--dir", str(tmp_path)]) == 1
    study = optuna.load_study(study_name="tiny", storage=f"sqlite:///{tmp_path}/tiny/study.db")
    assert json.loads(study.user_attrs["kas.config"])["trials"] == 1
    assert re.fullmatch("[0-9a-f]{32}", study.user_attrs["kas.id"])
    assert (tmp_path / "tiny/study.id").read_text().strip() == study.user_attrs["kas.id"]
    study._storage._backend.engine.dispose()  # type: ignore[attr-defined]
