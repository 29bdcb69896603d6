"""Run a command as an ordinary user, in a copy of this checkout in a 0700 home of that user's.

    python -m tests.other_user -m pytest -q tests/converter

Root only. The venv is this one's, bound into the copy in a mount namespace of its own: neither the
checkout nor the venv need lie where other users come to.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
USER = "games"  # Debian and Fedora have it; it owns nothing and runs nothing
LEFT_BEHIND = (".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info")
ENTER = """
set -e
mount --bind "$VENV" "$COPY/.venv"
cd "$COPY"
exec setpriv --reuid="$USER" --regid="$GROUP" --clear-groups env -i HOME="$HOME" "$@"
"""


def run(
    home: Path, arguments: Sequence[str], environment: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[bytes]:
    """Run this Python with ``arguments`` in a copy of the checkout in ``home``, which is made.

    Raises PermissionError if the user could not read this venv or its Python.
    """
    user = pwd.getpwnam(USER)
    copy = home / "srcgit"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    (copy / ".venv").mkdir()
    for path in (home, *home.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    home.chmod(0o700)
    python = f".venv/bin/{Path(sys.executable).name}"
    names = {
        "VENV": sys.prefix,
        "COPY": str(copy),
        "USER": USER,
        "GROUP": str(user.pw_gid),
        "HOME": str(home),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    variables = [f"{name}={value}" for name, value in environment.items()]
    enter = ["unshare", "-m", "sh", "-c", ENTER, "sh", *variables]
    probe = subprocess.run([*enter, python, "-c", "import pytest"], env=names, check=False)
    if probe.returncode:
        raise PermissionError(f"{USER} cannot read {sys.prefix}")
    return subprocess.run([*enter, python, *arguments], env=names, check=False)


def main() -> int:
    if os.getuid():
        sys.exit("tests.other_user: only root may become another user")
    with tempfile.TemporaryDirectory(prefix="srcgit-user-") as room:
        Path(room).chmod(0o755)
        return run(Path(room) / "home", sys.argv[1:]).returncode


if __name__ == "__main__":
    sys.exit(main())
