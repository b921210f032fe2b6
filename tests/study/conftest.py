"""Storages of every kind, PostgreSQL by a real server that lives as long as the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy
from postgres_programs import PROGRAMS


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close the connections of toy studies; an open one that is collected is a warning."""
    yield
    toy.close_all()


@pytest.fixture(params=["sqlite", "journal", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty storage, of each kind in turn."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("database"))
    return f"sqlite:///{tmp_path}/study.db" if request.param == "sqlite" else f"journal://{tmp_path}/study.log"


@pytest.fixture
def database(postgres: Server) -> str:
    """The URL of an empty PostgreSQL database."""
    return postgres.new_database()


class Server:
    """A PostgreSQL server on this machine, to be stopped and started. url: without a database."""

    def __init__(self) -> None:
        self._owner = {"user": "nobody"} if os.geteuid() == 0 else {}  # PostgreSQL refuses to run as root
        self.folder = Path(tempfile.mkdtemp(prefix="kas-pg-"))
        self.folder.chmod(0o777)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        self.url = f"postgresql://kas@127.0.0.1:{self.port}"
        options = ["--username=kas", "--auth=trust", "--no-sync", f"--pgdata={self.folder / 'data'}"]
        self._run("initdb", *options, check=True)
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = ["-c", "fsync=off", "-c", f"unix_socket_directories={self.folder}", "-c", "listen_addresses=127.0.0.1"]
        command = [PROGRAMS / "postgres", "-D", self.folder / "data", "-p", self.port, *settings]
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **self._owner)
        deadline = time.monotonic() + 60
        while self._run("pg_isready", "-h", "127.0.0.1", "-p", self.port).returncode:
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.1)

    def stop(self, number: int = signal.SIGINT) -> None:
        """SIGINT: a fast stop, which does not wait for clients; SIGQUIT: at once; SIGKILL: as a crash."""
        self.process.send_signal(number)
        self.process.wait(60)

    def new_database(self) -> str:
        """The URL of an empty database."""
        import psycopg

        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{self.url.replace('postgresql', 'postgresql+psycopg')}/{name}"

    def remove(self) -> None:
        """Stop it, and remove its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[bytes]:
        words = [PROGRAMS / program, *arguments]
        return subprocess.run(words, check=check, capture_output=True, cwd=self.folder, **self._owner)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server that lives as long as the tests."""
    server = Server()
    yield server
    server.remove()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of one test, which may stop it."""
    server = Server()
    yield server
    server.remove()
