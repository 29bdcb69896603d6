"""A short real fake of the conversion: real commits and tags in a real repository, by real git."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from converter.errors import Fate, NoSandbox, PatchDoesNotApply, RemoteUnavailable, WrongUsage
from converter.git import Git
from service.journal import Row
from service.worker import Outcome


@dataclass(frozen=True)
class Tagging:
    """Tags each build once; the first letters of a release say what else happens.

    ``flag`` is a file; while it exists the machine (STOP) or the world (LATER) is out of order.
    """

    repository: Path
    flag: Path

    def __call__(self, row: Row, progress: Callable[[str], None]) -> Outcome:
        progress("looking")
        git = Git(self.repository)
        with (self.repository.parent / "attempts").open("a") as attempts:
            attempts.write(f"{row.nvr} {os.getpid()}\n")
        release = row.nvr.rpartition("-")[2]
        match release.partition(".")[0]:
            case "bug":
                raise KeyError(release)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "fail":
                raise PatchDoesNotApply("hunk 3 does not fit", where="mm/slab.c", next_step="-")
            case "usage":
                raise WrongUsage("no such thing")
            case "stop" if self.flag.exists():
                raise NoSandbox("no bubblewrap", where="here", next_step="install it")
            case "full" if self.flag.exists():
                raise OSError(28, "No space left on device")
            case "later" if self.flag.exists():
                raise RemoteUnavailable("no answer", where="there", next_step="wait")
            case "slow":
                time.sleep(4)
            case "hang":
                time.sleep(600)
            case "other":
                return Outcome(Fate.NOT_OURS, "imported")
        tag = f"refs/tags/{row.nvr}"
        made = git.run("rev-parse", "-q", "--verify", tag, ok=(0, 1)).stdout.decode().strip()
        if not made:
            tree = git.run("mktree").stdout.decode().strip()
            when = {"GIT_AUTHOR_DATE": "@1 +0000", "GIT_COMMITTER_DATE": "@1 +0000"}
            made = git.run("commit-tree", "-m", row.nvr, tree, env=when).stdout.decode().strip()
            git.run("update-ref", tag, made, "")
        evidence = {"commit": "c" * 40, "branch": "f41", "top": made, "tag": row.nvr}
        return Outcome(Fate.DONE, "", evidence)
