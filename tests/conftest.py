"""The seal: no test and no fixture, of whatever scope, sees this machine's HOME, git configuration,
identity, locale, clock zone, or any variable of its environment but those of KEPT."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pygit2
import pytest
from pygit2.enums import ConfigLevel

from tests.builders import Sample, sample

# Where to write, how to reach the network, options of these tests, what pytest tells its children.
KEPT = re.compile(
    r"TMPDIR|(https?|all|no)_proxy|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|PIP_\w+"
    r"|SRCGIT_[A-Z]+|PYTEST_\w+|PYTHON(DONTWRITEBYTECODE|PATH|WARNINGS|DEVMODE)|COV_\w+",
    re.IGNORECASE,
)
# A busy machine is no fault of an example.
hypothesis.settings.register_profile("srcgit", deadline=None)
hypothesis.settings.load_profile("srcgit")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def pytest_configure(config: pytest.Config) -> None:
    """Seal the process before a test module is imported or a fixture made."""
    home = tempfile.mkdtemp(prefix="srcgit-home-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    for name in [name for name in os.environ if not KEPT.fullmatch(name)]:
        patch.delenv(name)
    # Services lie in sbin, which is in no ordinary user's PATH on Debian.
    patch.setenv("PATH", SYSTEM_PATH)
    patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    patch.setenv("GIT_AUTHOR_NAME", "A. Tester")
    patch.setenv("GIT_AUTHOR_EMAIL", "tester@example.com")
    patch.setenv("GIT_COMMITTER_NAME", "A. Tester")
    patch.setenv("GIT_COMMITTER_EMAIL", "tester@example.com")
    patch.setenv("LC_ALL", "C.UTF-8")
    patch.setenv("TZ", "UTC")
    patch.setenv("HOME", home)
    patch.setenv("XDG_CONFIG_HOME", f"{home}/config")
    # libgit2 ignores GIT_CONFIG_GLOBAL and remembers HOME from import time.
    for level in (ConfigLevel.GLOBAL, ConfigLevel.XDG, ConfigLevel.SYSTEM, ConfigLevel.PROGRAMDATA):
        pygit2.settings.search_path[level] = ""


@pytest.fixture(autouse=True)
def sealed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A HOME of the test's own."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
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
