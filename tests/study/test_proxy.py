"""Workers behind one proxy: real processes, a real gRPC server."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import toy
from servers import Proxy, Server

from kas.language.errors import KasError
from kas.study import attributes as keys
from kas.study.__main__ import main
from kas.study.storage import records
from kas.study.storage.opening import close_storage, open_mutex, open_storage
from kas.study.storage.outages import Outages

pytestmark = pytest.mark.system
HOLDER = """\
import sys, time
from pathlib import Path
from kas.study.storage.opening import open_mutex

with open_mutex(sys.argv[1], Path(), "toy").hold():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[str]:
    """A proxy by the command, in front of an SQLite database: its URL."""
    proxy = Proxy(f"sqlite:///{tmp_path}/study.db")
    yield proxy.url
    assert proxy.stop() == 0


def test_workers_behind_a_proxy_and_beside_it_share_a_study(proxy: str, tmp_path: Path) -> None:
    urls = [proxy, proxy, f"sqlite:///{tmp_path}/study.db"]
    program = [sys.executable, toy.__file__]
    workers = [subprocess.Popen([*program, url, str(tmp_path), "30", "kernels=60"]) for url in urls]
    assert [worker.wait(120) for worker in workers] == [0, 0, 0]
    storage = open_storage(proxy, tmp_path, create=False)
    trials = optuna.load_study(study_name=toy.NAME, storage=storage).get_trials()
    close_storage(storage)
    kernels = [trial.user_attrs["hash"] for trial in trials if keys.is_finished(trial)]
    assert len(kernels) == len(set(kernels)) == records.finished(trials) == 30


def test_the_lock_of_a_killed_worker_is_free(proxy: str, tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, proxy], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waiting, direct = open_mutex(proxy, tmp_path, "toy"), open_mutex(f"sqlite:///{tmp_path}/study.db", tmp_path, "toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kas.study.storage.proxy.PATIENCE_S", 0.3)
        with pytest.raises(KasError, match="was not to be had"), waiting.hold():
            pass
    holder.kill()
    holder.wait()
    begun = time.monotonic()
    with direct.hold():
        assert time.monotonic() - begun < 10
    with waiting.hold():
        pass
    waiting.close()
    holder.stdout.close()


def test_a_proxy_that_is_killed_is_waited_for(tmp_path: Path) -> None:
    proxy, said = Proxy(f"sqlite:///{tmp_path}/study.db"), []
    outages = Outages(said.append, patience_s=60)
    storage, mutex = open_storage(proxy.url, tmp_path, outages=outages), open_mutex(proxy.url, tmp_path, "toy", outages)
    study = optuna.create_study(study_name="toy", storage=storage)
    proxy.stop(signal.SIGKILL)
    again = threading.Timer(2.0, proxy.start)
    again.start()
    study.set_user_attr("alone", 1)
    again.join()
    proxy.stop(signal.SIGKILL)
    (again := threading.Timer(2.0, proxy.start)).start()
    mutex.do(lambda: study.set_user_attr("locked", 2))
    again.join()
    assert study.user_attrs == {"alone": 1, "locked": 2}
    assert [line.split(" since")[0].split(",")[0] for line in said] == [
        "the database does not answer", "the database answers again"
    ] * 2  # fmt: skip
    mutex.close()
    close_storage(storage)
    assert proxy.stop() == 0


def test_a_database_that_goes_away_behind_a_proxy_is_waited_for(server: Server, tmp_path: Path) -> None:
    proxy, said = Proxy(server.new_database()), []
    outages = Outages(said.append, patience_s=60)
    storage = open_storage(proxy.url, tmp_path, outages=outages)
    study = optuna.create_study(study_name="toy", storage=storage)
    server.stop(signal.SIGKILL)
    (again := threading.Timer(2.0, server.start)).start()
    study.set_user_attr("a", 1)
    again.join()
    assert study.user_attrs == {"a": 1}
    assert "the proxy's database" in said[0]
    close_storage(storage)
    assert proxy.stop() == 0


def test_what_is_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("kas.study.storage.proxy._ANSWER_S", 0.5)
    with pytest.raises(KasError, match=r"no proxy answers at 127\.0\.0\.1:9 within"):
        open_storage("grpc://127.0.0.1:9", tmp_path)
    with pytest.raises(KasError, match="a proxy is named by its host and port"):
        open_storage("grpc://here", tmp_path)
    for words, said in (
        (["--storage=journal://x"], "error: --storage of a proxy is a database"),
        (["--storage=sqlite:///x", "--port=0"], "error: --port must be from 1 to 65535, not 0"),
    ):
        assert main(["proxy", *words]) == 2
        assert capsys.readouterr().err.startswith(said)
