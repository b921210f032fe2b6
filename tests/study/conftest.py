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
def database(postgres: str) -> str:
    """The URL of an empty PostgreSQL database."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(f"{postgres}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{postgres.replace('postgresql', 'postgresql+psycopg')}/{name}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server on this machine: its URL without a database."""
    owner = {"user": "nobody"} if os.geteuid() == 0 else {}  # PostgreSQL refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="kas-pg-"))
    folder.chmod(0o777)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--username=kas", "--auth=trust", "--no-sync", f"--pgdata={folder / 'data'}"]
    subprocess.run([PROGRAMS / "initdb", *options], check=True, capture_output=True, cwd=folder, **owner)
    settings = ["-c", "fsync=off", "-c", f"unix_socket_directories={folder}", "-c", "listen_addresses=127.0.0.1"]
    command = [PROGRAMS / "postgres", "-D", folder / "data", "-p", str(port), *settings]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **owner)
    try:
        deadline = time.monotonic() + 60
        while subprocess.run([PROGRAMS / "pg_isready", "-h", "127.0.0.1", "-p", str(port)], capture_output=True).returncode:
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"postgresql://kas@127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)  # a fast shutdown, which does not wait for clients
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)
