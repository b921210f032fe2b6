"""No password of a storage stands in a text: messages of commands and drivers, logs, command lines of further workers."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from kas.study.__main__ import main
from kas.study.commands._base import STORAGE, Place
from kas.study.storage.masking import masked
from kas.study.storage.opening import open_storage
from kas.study.workers.logs import logging_to
from kas.study.workers.process import Worker
from kas.study.workers.session import work_on

URL = "postgresql+psycopg://kas:s3cr%40t@127.0.0.1:1/kas"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:secret@host/x", "postgresql://me:***@host/x"),
        ("postgresql://me:se:cr@et@host:port/x", "postgresql://me:***@host:port/x"),
        ("postgresql://host/x?user=me&password=secret&a=b", "postgresql://host/x?user=me&password=***&a=b"),
        ("postgresql://me@host/x and sqlite:///a/b.db", "postgresql://me@host/x and sqlite:///a/b.db"),
        ("journal:///a:b/log", "journal:///a:b/log"),
    ],
)
def test_urls_in_texts(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize("said", ["s3cr%40t", "s3cr@t"])
def test_the_password_alone(said: str) -> None:
    assert masked(f'no password "{said}" for kas', URL) == 'no password "***" for kas'


def test_errors_of_drivers_and_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the driver says: s3cr@t is wrong")

    monkeypatch.setattr("kas.study.storage.opening._server_mutex", fail)
    with pytest.raises(Exception, match=r"the driver says: \*\*\* is wrong"):
        open_storage(URL, tmp_path)
    with logging_to(tmp_path / "log.txt", URL):
        try:
            fail()
        except RuntimeError:
            logging.getLogger("kas.study").exception("with %s", URL)
    log = (tmp_path / "log.txt").read_text()
    assert "the driver says: ***" in log
    assert "s3cr" not in log


@pytest.mark.parametrize("arguments", [["show", "abcd"], ["list"], ["status", "a"], ["report", "a", "--wrong"]])
@pytest.mark.parametrize("by", ["option", "environment"])
def test_commands(
    arguments: list[str], by: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("kas.study.commands._kernels.study_names", lambda place: [])
    monkeypatch.setattr("kas.study.commands.list.study_names", lambda place: [])
    place = ["--storage", URL] if by == "option" else []
    if by == "environment":
        monkeypatch.setenv(STORAGE, URL)
    with suppress(SystemExit):  # of the parser
        main([*arguments, *place, "--dir", str(tmp_path)])
    said = "".join(capsys.readouterr())
    assert said
    assert "s3cr" not in said
    assert "--wrong" in arguments or "kas:***@127.0.0.1" in said


def test_no_command_line_holds_it(tmp_path: Path) -> None:
    assert Place(tmp_path, URL).shown() == ["--dir", str(tmp_path), "--storage", masked(URL)]
    worker = Worker(1, partial(work_on, None, tmp_path, URL, 1, {}))  # type: ignore[arg-type]
    assert "s3cr" not in " ".join(map(str, worker.process.args))  # type: ignore[arg-type]
    worker.close()
