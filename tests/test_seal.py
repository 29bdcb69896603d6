"""The seal of conftest.py: a part of the suite passes whatever the machine and the user are like.

The part has fixtures of a module, commits made by git and libgit2, and plans from the sandbox.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import other_user

ROOT = Path(__file__).parent.parent
PART = [
    *("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"),
    *("tests/converter/test_compare.py", "tests/specparse/test_kernel.py"),
]
PASSED = b" passed in "
HOSTILE = """\
[user]
	useConfigOnly = true
[commit]
	gpgSign = true
[core]
	autocrlf = true
	hooksPath = /nowhere/hooks
	pager = false
	attributesFile = /nowhere/attributes
	fsmonitor = false
[init]
	defaultBranch = strange
	templateDir = /nowhere/template
[apply]
	whitespace = error-all
[diff]
	external = false
	noprefix = true
[am]
	threeWay = true
[color]
	ui = always
[protocol]
	allow = never
[transfer]
	fsckObjects = true
[i18n]
	commitEncoding = ISO-8859-1
	logOutputEncoding = UTF-16
"""


def passes(environment: dict[str, str], *, umask: int = -1) -> None:
    done = subprocess.run(
        [sys.executable, *PART],
        cwd=ROOT,
        env=environment,
        umask=umask,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert PASSED in done.stdout


def test_in_an_empty_environment() -> None:
    """Neither HOME nor PATH nor a git identity."""
    passes({})


def test_with_a_hostile_environment_and_umask(tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text(HOSTILE)
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "GIT_CONFIG_GLOBAL": str(tmp_path / ".gitconfig"),
        "GIT_CONFIG_SYSTEM": str(tmp_path / ".gitconfig"),
        "GIT_DIR": "/nowhere",
        "GIT_INDEX_FILE": "/nowhere/index",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.bare",
        "GIT_CONFIG_VALUE_0": "strange",
        "GIT_AUTHOR_DATE": "yesterday",
        "GIT_TRACE": "1",
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "POSIX",
        "TZ": "Pacific/Chatham",
        "FORCE_COLOR": "1",
        "RPM_CONFIGDIR": "/nowhere",
        "PATCH_VERSION_CONTROL": "numbered",
        "POSIXLY_CORRECT": "1",
    }
    del environment["GIT_CONFIG_NOSYSTEM"]
    passes(environment, umask=0o077)


def test_as_another_user_with_a_closed_home(
    reached: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if os.getuid():
        pytest.skip("only root may become another user")
    try:
        done = other_user.run(reached / "home", PART, {"PYTHONDONTWRITEBYTECODE": "1"})
    except PermissionError as error:
        pytest.skip(str(error))
    output = capfd.readouterr().out
    assert done.returncode == 0, output
    assert PASSED.decode() in output
