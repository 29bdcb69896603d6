"""``make export-check``: real builds, converted and exported; what comes back is held to pkg-git.

Every patch file must come back byte for byte, an export into a checkout of pkg-git must change
nothing, and the exported series, converted as a quilt queue, must make the same tree.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.oracle.real import git

SRCGIT = (sys.executable, "-m", "service.cli")


def near(pkg_git: Path, tag: str) -> Iterator[str]:
    """Yield the commits whose `sources` name the version of ``tag``, an -rc or a stable one of it.

    Their series may well apply on the tag itself. Of commits with the same patches one counts.
    """
    version = re.match(r"v(\d+\.\d+)", tag)
    assert version
    close = re.compile(rb"(?:linux|patch)-%b[-.]" % re.escape(version[1]).encode())
    commits = git(pkg_git, "rev-list", "--all", "--no-merges", "--", "kernel.spec").split()
    ask = b"".join(c + b":sources\n" for c in commits)
    listed: dict[str, list[bytes]] = {}
    process = subprocess.run(
        ["git", "-C", str(pkg_git), "cat-file", "--batch-check"], input=ask, capture_output=True
    )
    for commit, line in zip(commits, process.stdout.splitlines(), strict=True):
        words = line.split()
        if words[1:2] == [b"blob"]:
            listed.setdefault(words[0].decode(), []).append(commit)
    seen = set()
    for blob, users in listed.items():
        data = git(pkg_git, "cat-file", "blob", blob)
        if close.search(data):
            for commit in users:
                tree = git(pkg_git, "ls-tree", commit.decode()).splitlines()
                patches = tuple(line for line in tree if line.endswith((b".patch", b".diff")))
                if patches and patches not in seen:
                    seen.add(patches)
                    yield commit.decode()


def run(*words: object) -> dict[str, Any]:
    done = subprocess.run([*SRCGIT, *map(str, words), "--json"], capture_output=True)
    told: dict[str, Any] = json.loads(done.stdout)
    if done.returncode:
        told["said"] = done.stderr.decode("utf-8", "replace")
    return told


def check(pkg_git: Path, commit: str, upstream: Path, tag: str) -> bool | None:
    """Take one build there and back; print a line. None where it cannot be converted at all."""
    with tempfile.TemporaryDirectory(prefix="srcgit-export-") as scratch:
        here = Path(scratch)
        where = ("--upstream", upstream, "--repo", here / "r.git")
        done = run("convert", f"{pkg_git}#{commit}", *where, "--base", tag, "--branch", "x")
        if "error" in done:
            done = run(
                *("convert", f"{pkg_git}#{commit}", *where, "--base", tag, "--branch", "x"),
                *("--dist", ".fc99"),
            )
        if "error" in done:
            print(f"{commit[:12]}: not converted: {done['error']['what']}", flush=True)
            return None
        start = time.perf_counter()
        back = run("export", done["tag"], "-o", here / "out", "--repo", here / "r.git")
        seconds = time.perf_counter() - start
        patches = [patch["patch"] for patch in done["series"]["patches"]]
        if "error" in back:
            print(f"{done['nvr']} {commit[:12]}: {back}")
            return False
        wrong = [
            name
            for name in {*patches, "kernel.spec"}
            if (here / "out" / name).read_bytes()
            != git(pkg_git, "cat-file", "blob", f"{commit}:{name}")
        ]
        work = here / "package"
        git(here, "clone", "-q", "--shared", "--no-checkout", str(pkg_git), str(work))
        git(work, "checkout", "-q", "--detach", commit)
        run("export", done["tag"], "-o", work, "--repo", here / "r.git")
        touched = git(work, "status", "--porcelain", "-uall").decode().splitlines()
        again = run(
            *("convert", "--series", here / "out", "--base", done["base"]["commit"]),
            *("--upstream", upstream, "--repo", here / "q.git", "--nvr", "queue-1-1"),
        )
        tree = again.get("series", {}).get("tree") if "error" not in again else None
        same = tree == done["series"]["tree"]
        ok = not wrong and not touched and same and not back["warnings"]
        why = "" if same else f"; as a queue: {again.get('error', {}).get('what') or tree}"
        print(
            f"{done['nvr']} {commit[:12]}: {len(patches)} files, "
            f"{sum(len(p['commits']) for p in done['series']['patches'])} commits; "
            f"{len(wrong)} differ, {len(touched)} changed in pkg-git, {seconds:.1f} s{why}"
            + "".join(f"\n  {line}" for line in [*wrong, *touched, *back["warnings"]]),
            flush=True,
        )
        return ok


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pkg_git", type=Path)
    parser.add_argument("upstream", type=Path)
    parser.add_argument("tag", nargs="+", help="v4.15, or v4.15:20 for at most 20 commits")
    asked = parser.parse_args()
    results: list[bool | None] = []
    for word in asked.tag:
        tag, _, limit = word.partition(":")
        commits = list(near(asked.pkg_git, tag))
        step = max(1, len(commits) // int(limit)) if limit else 1
        print(f"{tag}: every {step}. of {len(commits)} commits", flush=True)
        for commit in commits[::step]:
            results += [check(asked.pkg_git, commit, asked.upstream, tag)]
    tried = [result for result in results if result is not None]
    print(f"{sum(tried)} of {len(tried)} came back; {len(results) - len(tried)} not converted")
    sys.exit(0 if all(tried) else 3)


if __name__ == "__main__":
    main()
