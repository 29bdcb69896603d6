"""An upstream whose objects a converted tree borrows, for tests of what becomes of that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from converter.convert import convert
from converter.git import Git, GitFailed
from converter.mirror import Mirror
from converter.odb import Repository
from converter.request import Request
from specparse.trace import SandboxedTracer
from tests.builders import Source, source_file

TAG = "demo-1.0-1.fc41"
SPEC = """\
Name: demo
Version: {version}
Release: 1%{{?dist}}
Summary: x
License: MIT
Source0: demo-{version}.tar.gz
Patch1: good.patch
%description
x
%prep
%setup -q
%patch -P1 -p1
%build
%files
%changelog
* Mon Jan 06 2025 A <a@x> - {version}-1
- x
"""


@dataclass
class World:
    """An upstream whose mirror is borrowed from, and a package of a version with a backport."""

    where: Path
    upstream: Source
    pkg_git: Source

    @property
    def url(self) -> str:
        return f"file://{self.upstream.path}"

    @property
    def mirror(self) -> Git:
        [path] = (self.where / "cache").glob("*.git")
        return Git(path)

    def convert(self, version: str, upstream: str = "", **more: object) -> Repository:
        """Convert ``version`` into out.git."""
        commit = self.pkg_git.commit({"demo.spec": SPEC.format(version=version)}, version)
        cache = self.where / "cache"
        request = Request(
            Mirror(str(self.pkg_git.path), cache),
            commit,
            dist=".fc41",
            upstreams=(Mirror(upstream or self.url, cache),),
        )
        repo = Repository.create(self.where / "out.git")
        convert(replace(request, **more), repo, SandboxedTracer())  # type: ignore[arg-type]
        return repo

    def collect_garbage(self) -> None:
        self.mirror.run("reflog", "expire", "--expire=now", "--all")
        self.mirror.run("gc", "--quiet", "--prune=now")


def make_world(tmp_path: Path) -> World:
    """Return a world below ``tmp_path``: v1.0, and upstream's fix of it that the package has as a patch."""
    upstream = Source(tmp_path / "upstream.git")
    text = source_file("a", 9)
    upstream.tag("v1.0", upstream.commit({"a.c": text, "dir/b.c": text, "dir/c.c": "c\n"}, "1.0\n"))
    # What the package's patch does, and so its file, is in upstream's next commit.
    fixed = text.replace("-EINVAL", "-ENODEV", 1)
    fix = upstream.commit({"a.c": fixed}, "fix\n")
    pkg_git = Source(tmp_path / "demo.git")
    pkg_git.commit({"good.patch": upstream.diff("v1.0", fix)}, "patch\n", branch="main")
    return World(tmp_path, upstream, pkg_git)


def is_whole(repo: Path) -> bool:
    try:
        Git(repo).run("fsck", "--full", "--strict")
    except GitFailed:
        return False
    return True


def rewrite(upstream: Source) -> None:
    """Begin upstream's history anew, as v2.0, without a trace of what was."""
    new = upstream.commit(
        {"a.c": source_file("a", 9), "new": "x"}, "new root\n", branch="new", parent=""
    )
    assert not upstream.git.run("log", "--format=%P", "-1", new).stdout.strip()
    upstream.branch("main", new)
    upstream.tag("v2.0", new)
