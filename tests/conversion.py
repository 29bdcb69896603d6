"""A whole conversion against the tools alone: srcgit as a user runs it, and what %prep calls for the
patches (git am, git apply, patch) on a full checkout that is ready, as in ``make real-check``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.oracle.real import git, named, real_tools


@dataclass(frozen=True)
class Converted:
    """One run of ``srcgit convert``: seconds of wall time, MB of its largest process."""

    seconds: float
    peak: float
    answer: dict[str, Any]


def whole(upstream: Path, tag: str, directory: Path) -> tuple[Path, list[str]]:
    """Return an upstream whose ``tag`` names no file that ``upstream`` has no content of.

    A snapshot may lack its largest files: git am reads each as it writes its tree, and stops. Returned
    with the paths that were taken out, and ``upstream`` itself where it lacks none.
    """
    listed = git(upstream, "ls-tree", "-r", "-z", tag).split(b"\0")[:-1]
    files = [entry.partition(b"\t") for entry in listed if entry[7:11] == b"blob"]
    ids = b"".join(told[12:] + b"\n" for told, _, _ in files)
    checked = git(upstream, "cat-file", "--batch-check", input=ids).splitlines()
    lacking = [
        path
        for (_, _, path), said in zip(files, checked, strict=True)
        if said.endswith(b" missing")
    ]
    if not lacking:
        return upstream, []
    made = directory / "upstream.git"
    shutil.rmtree(made, ignore_errors=True)
    git(directory, "clone", "-q", "--bare", "--shared", str(upstream), str(made))
    git(made, "read-tree", tag)
    git(made, "update-index", "--index-info", input=_removals(lacking))
    tree = git(made, "write-tree", "--missing-ok").decode().strip()
    who: dict[str, Any] = {
        f"GIT_{each}_{what}": "x" for each in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    commit = git(made, "commit-tree", "-m", "without what the snapshot lacks", tree, **who)
    git(made, "update-ref", f"refs/tags/{tag}", commit.decode().strip())
    return made, sorted(map(os.fsdecode, lacking))


def _removals(paths: list[bytes]) -> bytes:
    return b"".join(b"0 %s\t%s\n" % (b"0" * 40, path) for path in paths)


class Contest:
    """One build, converted and applied by hand."""

    def __init__(
        self, directory: Path, pkg_git: Path, commit: str, dist: str, upstream: Path
    ) -> None:
        self._build = [f"{pkg_git}#{commit}", *(["--dist", dist] if dist else []), "--json"]
        self._srcgit = [sys.executable, "-m", "service.cli"]
        self._result = directory / "result.git"
        self._work = directory / "work"
        self._package = directory / "package"
        self.plan = json.loads(subprocess.check_output([*self._srcgit, "plan", *self._build]))
        self.lacking: list[str] = []  # files that both do without
        base = self.plan["base"]
        if base["kind"] == "tag":
            upstream, self.lacking = whole(upstream, base["rev"], directory)
        self._upstream = upstream
        self._base = ""
        for where in (self._work, self._package):
            shutil.rmtree(where, ignore_errors=True)
        self._package.mkdir()
        tar = git(pkg_git, "archive", commit)
        subprocess.run(["tar", "x", "-C", str(self._package)], input=tar, check=True)

    def srcgit(self) -> Converted:
        shutil.rmtree(self._result, ignore_errors=True)
        where = ["--upstream", str(self._upstream), "--repo", str(self._result)]
        command = [*self._srcgit, "convert", *self._build, *where]
        # A process that this one forks would start with this one's memory as its peak.
        measure = (
            "import json, resource, subprocess, sys, time; start = time.perf_counter();"
            "answer = subprocess.check_output(sys.argv[1:]); seconds = time.perf_counter() - start;"
            "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024;"
            "print(json.dumps([seconds, peak, json.loads(answer)]))"
        )
        # As on a user's machine, modules are compiled once.
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        start = [sys.executable, "-S", "-c", measure]
        run = subprocess.check_output([*start, *command], env=kept)
        done = Converted(*json.loads(run))
        self._base = done.answer["base"]["commit"]
        return done

    def check_out(self) -> None:
        """Fill the work tree."""
        upstream = ("clone", "-q", "--shared", "--no-checkout", str(self._upstream))
        git(self._work.parent, *upstream, str(self._work))
        for key, value in (("user.name", "x"), ("user.email", "x@x"), ("gc.auto", "0")):
            git(self._work, "config", key, value)
        git(self._work, "update-ref", "--no-deref", "HEAD", self._base)
        git(self._work, "read-tree", self._base)
        git(self._work, "checkout-index", "-a", "-q", "-u")

    def tools(self) -> tuple[float, str]:
        """Apply the patches with %prep's own tools; return the seconds and the tree."""
        git(self._work, "status")  # refreshes the index: git am starts with that
        seconds = real_tools(self._work, self._package, self.plan)
        if any(step["tool"] != "git-am" for step in self.plan["steps"]):
            paths: set[bytes] = set()
            for step in self.plan["steps"]:
                paths |= named((self._package / step["patch"]).read_bytes())
            listed = set(git(self._work, "ls-files", "-z").split(b"\0"))
            told = [os.fsdecode(p) for p in sorted(paths)]
            known = [p for p in told if (self._work / p).exists() or os.fsencode(p) in listed]
            git(self._work, "add", "-A", "-f", "--", *known)
        tree = git(self._work, "write-tree").decode().strip()
        git(self._work, "read-tree", "-m", "-u", tree, self._base)
        git(self._work, "update-ref", "--no-deref", "HEAD", self._base)
        return seconds, tree
