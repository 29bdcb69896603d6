"""Real services for the tests of the daemon, started once when the first test asks for one."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from service.journal import Journal
from tests import postgres
from tests.broker import Broker, running
from tests.hub import Hub

_numbers = count()

# Children of the tests' workers are forked from a process that has the costly imports done.
multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.service.fakes"])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with postgres.cluster() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """The SQLAlchemy URL of an empty database."""
    name = f"t{next(_numbers)}"
    address = postgres_server.replace("+psycopg", "")
    with psycopg.connect(address + "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres_server + name


@pytest.fixture(params=["sqlite", "postgresql"])
def journal_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.sqlite"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def journal(journal_url: str) -> Iterator[Journal]:
    journal = Journal(journal_url)
    yield journal
    journal.close()


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    with running() as broker:
        yield broker


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub without builds."""
    with Hub() as hub:
        yield hub
