"""The seal: no test sees this machine's HOME, git configuration, identity, locale or clock zone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pygit2
import pytest
from pygit2.enums import ConfigLevel

from tests.builders import Sample, sample


@pytest.fixture(autouse=True)
def sealed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HOME, no git configuration, UTC; leaked GIT_* variables removed."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("GIT_", "XDG_", "LC_", "FEDORA_MESSAGING_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "A. Tester")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "tester@example.com")
    monkeypatch.setenv("GIT_COMMITTER_NAME", "A. Tester")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "tester@example.com")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TZ", "UTC")
    # libgit2 ignores GIT_CONFIG_GLOBAL and remembers HOME from import time.
    for level in (ConfigLevel.GLOBAL, ConfigLevel.XDG, ConfigLevel.SYSTEM, ConfigLevel.PROGRAMDATA):
        pygit2.settings.search_path[level] = ""
    return home


@pytest.fixture
def reached() -> Iterator[Path]:
    """A directory that other accounts reach, the sandbox's among them: pytest's own they do not."""
    with tempfile.TemporaryDirectory(prefix="srcgit-test-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture
def scratch(reached: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$TMPDIR, which other accounts reach."""
    monkeypatch.setenv("TMPDIR", str(reached))
    return reached


@pytest.fixture
def nothing_left(scratch: Path) -> Iterator[None]:
    """Look, when a test is over, whether all of it was cleaned up."""
    yield
    assert [p.name for p in scratch.iterdir() if not p.name.startswith("srcgit-test-")] == []


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The sample of builders.py, for a module's tests."""
    return sample(tmp_path_factory.mktemp("sample"))
