"""Files that git itself reads, and what receive.fsckObjects says of them: a push is the judge."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from converter.fsck import why_refused
from converter.tree import File
from tests.builders import Source

MODULE = '[submodule "{0}"]\n\tpath = {1}\n\turl = {2}\n'
FILES = {
    "good": (".gitmodules", MODULE.format("a", "a", "https://x/a.git")),
    "option as url": (".gitmodules", MODULE.format("a", "a", "-u./payload")),
    "option as path": (".gitmodules", MODULE.format("a", "-a", "https://x/a.git")),
    "name that climbs": (".gitmodules", MODULE.format("../../a", "a", "https://x/a.git")),
    "url with a newline": (".gitmodules", MODULE.format("a", "a", '"https://x/%0aa.git"')),
    "command": (".gitmodules", MODULE.format("a", "a", "https://x/a.git") + "\tupdate = !id\n"),
    "no configuration": (".gitmodules", "[[[\n"),
    "below": ("sub/.gitmodules", MODULE.format("a", "a", "-u./payload")),
    "attributes": (".gitattributes", "*.c diff=cpp\n"),
    "attributes without end": (".gitattributes", "a" * 3000 + " -diff\n"),
    "another file": ("modules", MODULE.format("a", "a", "-u./payload")),
}


@pytest.mark.parametrize("name, content", FILES.values(), ids=FILES)
def test_what_a_remote_would_refuse_is_refused(tmp_path: Path, name: str, content: str) -> None:
    source = Source(tmp_path / "r.git")
    commit = source.commit({name: content}, "x\n")
    remote = tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", remote], check=True)
    subprocess.run(["git", "-C", remote, "config", "receive.fsckObjects", "true"], check=True)
    push = ["git", "-C", str(source.path), "push", "-q", str(remote), f"{commit}:refs/heads/x"]
    taken = subprocess.run(push, capture_output=True, check=False).returncode == 0
    after = File(0o100644, content.encode())
    assert (why_refused(name.encode(), None, after) == "") == taken
    assert why_refused(name.encode(), after, after) == ""  # upstream's own
