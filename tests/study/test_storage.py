"""Opening storages, and what is said when one cannot be opened."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from kas.language.errors import KasError
from kas.study.storage.mutex import FileMutex
from kas.study.storage.opening import cut_torn_line, open_mutex, open_storage, storage_url


def test_sqlite_in_the_folder_is_the_default(tmp_path: Path) -> None:
    storage = open_storage(None, tmp_path / "runs" / "a")
    assert (tmp_path / "runs" / "a" / "study.db").exists()
    with storage._backend.engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 60_000}


@pytest.mark.parametrize("form", ["journal://{}", "{}"])
def test_journal(tmp_path: Path, form: str) -> None:
    url = form.format(tmp_path / "log")
    optuna.create_study(study_name="a", storage=open_storage(url, tmp_path))
    assert optuna.get_all_study_names(open_storage(url, tmp_path)) == ["a"]


@pytest.mark.parametrize("torn", [b'{"op_code":4,"wor', b"\x00" * 5, b"x" * 200_000])
def test_a_torn_line_is_cut_when_opening_and_before_writing(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "log"
    study = optuna.create_study(study_name="a", storage=open_storage(str(path), tmp_path))
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    open_storage(str(path), tmp_path)
    assert path.read_bytes() == whole
    path.write_bytes(whole + torn)
    study.set_user_attr("b", 1)  # a worker that lives on while another was killed in a write
    assert optuna.load_study(study_name="a", storage=open_storage(str(path), tmp_path)).user_attrs == {"b": 1}


def test_cutting_leaves_whole_and_empty_files(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert cut_torn_line(path) == 0
    for data in (b"", b"a\nb\n"):
        path.write_bytes(data)
        assert cut_torn_line(path) == 0
    path.write_bytes(b"abc")
    assert cut_torn_line(path) == 3


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///{}/no/study.db", r"there is no storage .*no/study.db"),
        ("journal://{}/no/log", r"there is no storage .*no/log"),
        ("sqlite:///{}", r"is a folder; name a file in it"),
        ("sqlite:///:memory:", r"a study needs a file that outlives the process"),
        ("redis://localhost", r"'redis' is not a storage that kas knows; use sqlite:///FILE, journal://FILE, postgresql"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/x", r"postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/x cannot be opened: .*"),
    ],
)
def test_a_storage_that_cannot_be_opened(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(KasError, match=message) as caught:
        open_storage(url.format(tmp_path), tmp_path, create=False)
    assert "secret" not in str(caught.value)


def test_a_driver_may_repeat_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("FATAL: user 'me' with password 'se:cr/et' is unknown")

    monkeypatch.setattr("kas.study.storage.opening._open_server", refuse)
    with pytest.raises(KasError, match="cannot be opened: FATAL: user 'me' with password ") as caught:
        open_storage("postgresql+psycopg://me:se%3Acr%2Fet@host/x", tmp_path)
    assert "se:cr/et" not in str(caught.value)
    assert "se%3Acr%2Fet" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("no database " * 1000)
    with pytest.raises(KasError, match=r"study\.db cannot be opened: file is not a database"):
        open_storage(None, tmp_path)
    (tmp_path / "log").write_text("no journal\nat all\n")
    with pytest.raises(KasError, match=r"log cannot be opened"):
        open_storage(f"journal://{tmp_path}/log", tmp_path)


def test_urls(tmp_path: Path) -> None:
    assert storage_url(None, tmp_path) == f"sqlite:///{tmp_path}/study.db"
    mutex = open_mutex(None, tmp_path, "a")
    assert isinstance(mutex, FileMutex)
    with mutex.hold():
        assert mutex.path == tmp_path / "study.db.mutex"
