"""Storages of every kind, PostgreSQL by a real server that lives as long as the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import toy
from servers import Server


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
