"""rpmbuild is the judge: what the real ``%prep`` leaves, as a tree that git itself has read."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from converter.git import Git
from specparse.macros import macros


@dataclass(frozen=True, slots=True)
class Judged:
    """How ``rpmbuild -bp`` ended, and below which directory its trees are."""

    status: int
    output: str
    build: Path

    @property
    def top(self) -> Path:
        """Return the tree that is built: the one next to the top that holds upstream's files."""
        return min(
            (p.parent for p in self.build.glob("**/configure.ac")), key=lambda p: (len(p.parts), p)
        )


@functools.cache
def version() -> tuple[int, ...]:
    """Return the version of the judge's rpm: (4, 20, 1)."""
    said = subprocess.run(["rpmbuild", "--version"], stdout=subprocess.PIPE, text=True, check=True)
    return tuple(map(int, re.findall(r"\d+", said.stdout)))


def in_its_words(spec: str) -> str:
    """Return a spec of the small packages as the judge's rpm takes it.

    rpm 4.19 refuses a ``%patch`` without a number, and 4.20 ``%patchN`` (their release notes).
    """
    if version() < (4, 19):
        return spec
    spec = re.sub(r"^%patch(\d+)", r"%patch -P \1", spec, flags=re.MULTILINE)
    return re.sub(r"^%patch((?: -p\d)?)$", r"%patch -P 0\1", spec, flags=re.MULTILINE)


def rpmbuild(topdir: Path, spec: str, *, dist: str, arch: str) -> Judged:
    """Run the real %prep of ``topdir``/SOURCES/``spec``; nothing of srcgit but its macros."""
    table = macros(dist, arch, build=str(topdir))
    table |= {"_buildshell": "/usr/bin/bash", "_dbpath": str(topdir / "rpmdb")}  # as on Fedora
    defined = [word for name, body in table.items() for word in ("--define", f"{name} {body}")]
    for directory in ("BUILD", "BUILDROOT"):
        (topdir / directory).mkdir()
    done = subprocess.run(
        ["rpmbuild", "-bp", "--nodeps", "--target", f"{arch}-linux", *defined, topdir / "SOURCES" / spec],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": os.defpath + ":/usr/sbin", "HOME": str(topdir), "LC_ALL": "C.UTF-8"},
        check=False,
    )  # fmt: skip
    return Judged(done.returncode, done.stdout.decode(errors="replace"), topdir / "BUILD")


def taken_in(repo: Path, directory: Path, scratch: Path) -> str:
    """Return ``directory`` as a tree that git has put into ``repo``; it knows no empty directories."""
    shutil.rmtree(directory / ".git", ignore_errors=True)
    git, where = Git(repo), ("-C", str(directory), "--work-tree=.")
    env = {"GIT_INDEX_FILE": str(scratch / "index")}
    git.run(*where, "add", "--all", "--force", ".", env=env)
    return git.run("write-tree", env=env).stdout.decode().strip()


def differences(repo: Path, tree: str, left: str) -> set[str]:
    """Return how the tree ``left`` differs from ``tree``: "A path" and so on, by git.

    "X" is a mode that differs alone.
    """
    raw = Git(repo).run("diff-tree", "-r", "--raw", "-z", "--no-renames", tree, left)
    fields = raw.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    found = set()
    for about, path in zip(fields[::2], fields[1::2], strict=True):
        _, _, old, new, kind = about.split()
        found.add(f"{'X' if kind == 'M' and old == new else kind} {path}")
    return found
