"""``make real-check``: real builds, converted, against the real tools on the same tag.

The tool of each step (git am, git apply, patch) runs as %prep runs it, in a work tree that holds
just the files that the patches name: trees are compared by id, commits of git am one by one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_LOG = ("--reverse", "--format=%T%x00%an%x00%ae%x00%ad%x00%B%x01", "--date=raw")


def git(
    where: Path, *args: str, input: bytes | None = None, status: int = 0, **environment: str
) -> bytes:
    done = subprocess.run(
        ["git", "-C", str(where), *args],
        input=input,
        capture_output=True,
        env={**os.environ, **environment},
    )
    if status == 0 and done.returncode != 0:
        raise SystemExit(f"git {' '.join(args)}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def named(patch: bytes) -> set[bytes]:
    """Return every path that a line of ``patch`` could name, stripped by one."""
    paths = set()
    for line in patch.splitlines():
        words = line.split(b"\t")[0].split()
        if line.startswith((b"--- ", b"+++ ")) and len(words) > 1:
            paths.add(words[1].partition(b"/")[2])
        elif line.startswith(b"diff --git ") and len(words) == 4:
            paths |= {word.partition(b"/")[2] for word in words[2:]}
        elif line.startswith((b"rename from ", b"copy from ")):
            paths.add(line.split(b" ", 2)[2])
    return paths - {b""}


def real_tools(work: Path, package: Path, plan: dict[str, Any]) -> float:
    """Apply the plan's steps in ``work`` with the real tools; return the seconds they took."""
    start = time.perf_counter()
    steps = plan["steps"]
    position = 0
    while position < len(steps):
        step = steps[position]
        if step["tool"] == "git-am":  # consecutive files are one call, as in %prep
            batch = []
            while position < len(steps) and steps[position]["tool"] == "git-am":
                batch.append(str(package / steps[position]["patch"]))
                position += 1
            git(work, "am", "-q", *batch)
            continue
        position += 1
        data = (package / step["patch"]).read_bytes()
        flags = ["-R"] if step["reverse"] else []
        if step["tool"] == "git-apply":
            command = ["git", "apply", f"-p{step['strip']}", *flags]
        else:
            command = ["patch", f"-p{step['strip']}", f"-F{step['fuzz']}", "-s", *flags]
            command.append("--no-backup-if-mismatch")
        done = subprocess.run(command, cwd=work / step["directory"], input=data)
        assert done.returncode == 0, step
    return time.perf_counter() - start


def check(pkg_git: Path, commit: str, upstream: Path, dist: str | None) -> bool:
    """Convert one build and compare; print a line for each fact. Return whether all is equal."""
    with tempfile.TemporaryDirectory(prefix="srcgit-real-") as scratch:
        here = Path(scratch)
        srcgit = [sys.executable, "-m", "service.cli"]
        build = [f"{pkg_git}#{commit}", *(["--dist", dist] if dist else []), "--json"]
        plan = json.loads(subprocess.check_output([*srcgit, "plan", *build]))
        start = time.perf_counter()
        where = ["--upstream", str(upstream), "--repo", str(here / "r.git")]
        done = json.loads(subprocess.check_output([*srcgit, "convert", *build, *where]))
        ours = time.perf_counter() - start
        package, work = here / "package", here / "work"
        package.mkdir()
        tar = git(pkg_git, "archive", commit)
        subprocess.run(["tar", "x", "-C", str(package)], input=tar, check=True)
        git(here, "clone", "-q", "--shared", "--no-checkout", str(upstream), str(work))
        for key, value in (("user.name", "x"), ("user.email", "x@x"), ("gc.auto", "0")):
            git(work, "config", key, value)
        base = done["base"]["commit"]
        git(work, "update-ref", "--no-deref", "HEAD", base)
        git(work, "read-tree", base)
        paths = set[bytes]()
        for step in plan["steps"]:
            paths |= named((package / step["patch"]).read_bytes())
        known = git(work, "ls-files", "-z", input=None).split(b"\0")
        touched = paths.intersection(known)
        git(work, "checkout-index", "-z", "--stdin", input=b"\0".join(sorted(touched)))
        theirs = real_tools(work, package, plan)
        pure_am = all(step["tool"] == "git-am" for step in plan["steps"])
        if not pure_am:
            listed = [p for p in paths | touched if (work / p.decode()).exists() or p in touched]
            git(work, "add", "-A", "-f", "--", *(p.decode() for p in sorted(listed)))
        tree = git(work, "write-tree").decode().strip()
        series = done["series"]
        count = sum(len(patch["commits"]) for patch in series["patches"])
        print(f"{done['nvr']}: {len(series['patches'])} patches, {count} commits on {base[:12]}")
        print(f"  commit {done['commit']}  tag {done['tag']}")
        print(f"  series tree {series['tree']}, real tools {tree}")
        print(f"  srcgit {ours:.2f} s, the tools on a ready tree {theirs:.2f} s")
        equal: bool = tree == series["tree"]
        if pure_am:
            one = git(here / "r.git", "log", *_LOG, f"{base}..{series['commit']}")
            two = git(work, "log", *_LOG, f"{base}..HEAD")
            print(f"  author, date, message, tree of each commit equal: {one == two}")
            equal = equal and one == two
        return equal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pkg_git", type=Path)
    parser.add_argument("upstream", type=Path)
    parser.add_argument("commit", nargs="+", help="COMMIT or COMMIT:.fcNN")
    asked = parser.parse_args()
    results = []
    for word in asked.commit:
        commit, _, dist = word.partition(":")
        results.append(check(asked.pkg_git, commit, asked.upstream, dist or None))
    sys.exit(0 if all(results) else 3)


if __name__ == "__main__":
    main()
