"""Repair: the locks that a dead push left behind in a repository on this machine.

git holds a ref by the existence of ``NAME.lock`` beside it (git's lockfile.h); a receive-pack that
is killed cannot remove its own, and every later push is refused.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from converter.errors import CannotWork, TryAgain
from converter.odb import Repository


def repair(path: Path, older_than: float = 600.0) -> list[Path]:
    """Remove the locks on refs that are older than ``older_than`` seconds; return them.

    What a half-done push left otherwise is healed by publishing again. Raises TryAgain while git
    works in the repository, RepositoryUnusable, CannotWork (no permission).
    """
    root = Repository(path).path.resolve()
    stale = [lock for lock in _locks(root) if _age(lock) >= older_than]
    if not stale:
        return []
    at_work = sorted(_at_work(root))
    if at_work:
        raise TryAgain(
            f"git is at work there: process {', '.join(map(str, at_work))}",
            where=str(root),
            next_step="wait for its end, or end it; then run it again",
        )
    try:
        for lock in stale:
            lock.unlink(missing_ok=True)
    except OSError as error:
        raise CannotWork(
            f"a lock cannot be removed: {error.strerror}",
            where=str(error.filename),
            next_step="run it as the account that owns the repository",
        ) from error
    return stale


def _locks(root: Path) -> Iterator[Path]:
    """Yield the locks of refs (gitrepository-layout(5): refs, packed-refs, HEAD)."""
    yield from (
        lock for name in ("packed-refs", "HEAD") if (lock := root / f"{name}.lock").exists()
    )
    yield from sorted((root / "refs").rglob("*.lock"))


def _age(lock: Path) -> float:
    try:
        return time.time() - lock.lstat().st_mtime
    except FileNotFoundError:  # its owner lives, and is done
        return -1.0


def _at_work(root: Path) -> Iterator[int]:
    """Yield the git processes in or on ``root`` (proc(5)).

    Another account's working directories are hidden from all but root: hence the age as well.
    """
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            if not os.path.basename(command[0]).startswith(b"git"):
                continue
            named = any(os.fsencode(root) in argument for argument in command)
            if named or (process / "cwd").resolve(strict=True) == root:
                yield int(process.name)
        except OSError:  # ended meanwhile, or not ours to look at
            continue
