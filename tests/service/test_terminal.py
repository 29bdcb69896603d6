"""What other people wrote reaches no terminal as it is: each command, on a hostile package."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from converter.git import Git
from service.journal import Journal, Row
from service.terminal import one_line, printable
from tests.builders import JUSTIN, Source, change, kernel_upstream, spec_git_am
from tests.hub import Hub
from tests.service.test_cli import srcgit

ROOT = Path(__file__).parents[2]
# A title, the clipboard (OSC 52), a cleared line, an 8-bit CSI, text that reads backwards, a bell.
HOSTILE = "\x1b]0;owned\x07\x1b]52;c;b3du\x1b\\\r\x1b[2K\x9b31m\u202eti\u2066x\x7f"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x80-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
PATCH = f"a{HOSTILE.replace('/', '')}.patch"
NVR = "kernel-4.15.0-1.fc28"


def run(
    *args: object, status: int = 0, env: Mapping[str, str] = {}, shown: bool = True
) -> tuple[str, str]:
    """Run srcgit; hold what it says to the rule, and expect that it says something hostile."""
    out, said = srcgit(*args, status=status, env=env)
    assert not (found := OBEYED.search(out + said)), (found, out, said)
    # Markdown has a backslash more; of what a remote says git itself (2.55, sideband.c) makes ^[.
    spelt = re.search(r"(\\(x1b|u001b)\\?|\^\[)]0;owned", out + said)
    assert spelt or not shown, (out, said)
    return out, said


class Hostile:
    """A pkg-git whose patch, author, subject, commands and URL are hostile; what is made of it."""

    def __init__(self, room: Path) -> None:
        self.linux = kernel_upstream(room / "linux.git")
        base, path = self.linux.rev("v4.15"), "drivers/usb/core/hub.c"
        assert base
        text = change(self.linux.file(base, path).decode(), 3, f"longer {HOSTILE}")
        subject = f"usb: {HOSTILE} longer\n\nSo {HOSTILE}.\n"
        author = (f"Eve {HOSTILE}", "eve@example.com")
        tip = self.linux.commit({path: text}, subject, branch="t", parent=base, author=author)
        self.linux.git.run("update-ref", "-d", "refs/heads/t")
        self.mail = self.linux.mails(base, tip)
        self.package = Source(room / f"kernel{HOSTILE.replace('/', '')}.git")
        self.commit = self._commit(f"git am $RPM_SOURCE_DIR/*.patch\ntouch 'x名{HOSTILE}y'")
        self.next = self._commit(
            f"git am $RPM_SOURCE_DIR/*.patch\ntouch 'x{HOSTILE}z'", release="2"
        )
        self.repo = room / "r.git"
        self.asked = ("--upstream", self.linux.path, "--repo", self.repo)
        run("convert", self.commit, *self.asked, shown=False)
        run("convert", self.next, *self.asked, shown=False)

    def _commit(self, prep: str, *, release: str = "1") -> str:
        spec = spec_git_am("4.15.0", release, []).replace("git am %{patches}", prep)
        files = {"kernel.spec": spec, "kernel-x86_64.config": "CONFIG_MMU=y\n"}
        self.package.commit(files, "x", branch="f28", author=JUSTIN)
        parent = self.package.rev("f28")
        name = json.dumps(PATCH, ensure_ascii=False)  # git-fast-import(1): C-style quoting
        name = re.sub(r"\\u00(..)", lambda m: f"\\{int(m[1], 16):03o}", name)
        self.package.git.run(
            "fast-import",
            "--quiet",
            input=b"commit refs/heads/f28\ncommitter A <a@b> 1514764800 +0000\ndata 0\nfrom %s\n"
            % str(parent).encode()
            + b"M 644 inline %s\ndata %d\n%s\n" % (name.encode(), len(self.mail), self.mail),
        )
        return f"{self.package.path}#{self.package.rev('f28')}"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    return Hostile(tmp_path_factory.mktemp("hostile"))


def test_results(hostile: Hostile, tmp_path: Path) -> None:
    asked = (hostile.commit, "--upstream", hostile.linux.path)
    out, _ = run("plan", *asked, "-v", env={"PYTHONIOENCODING": "latin-1"})
    assert r"x\u540d\x1b" in out
    out, _ = run("plan", *asked, "--json")
    assert json.loads(out)["steps"][0]["patch"] == PATCH
    again = (*asked, "--repo", hostile.repo)
    [patch] = json.loads(run("convert", *again, "--json")[0])["series"]["patches"]
    assert patch["patch"] == PATCH and "\x1b]52;c;" in patch["commits"][0]["subject"]
    run("convert", *asked, "--repo", tmp_path / "p.git", "--with-prep")
    for more in ((), ("--markdown",)):
        run("diff", NVR, "kernel-4.15.0-2.fc28", "--repo", hostile.repo, *more)


def test_an_export(hostile: Hostile, tmp_path: Path) -> None:
    git = Git(hostile.repo)
    tree = git.run("rev-parse", f"{NVR}^{{tree}}").stdout.decode().strip()
    dropped = git.run("commit-tree", "-p", f"{NVR}~2", "-m", HOSTILE, tree).stdout.decode().strip()
    asked = (f"{NVR}..{dropped}", "--repo", hostile.repo, "--pkg-git", hostile.package.path)
    run("export", *asked, "-o", tmp_path / "out")


def test_failures(hostile: Hostile, tmp_path: Path) -> None:
    elsewhere = kernel_upstream(tmp_path / "linux.git")
    other = {"drivers/usb/core/hub.c": f"another {HOSTILE}\nfile\n"}
    elsewhere.tag("v4.15", elsewhere.commit(other, "Linux 4.15"))
    into = ("--upstream", elsewhere.path, "--repo", tmp_path / "f.git")
    _, said = run("convert", hostile.commit, *into, "--json", status=1)
    assert "longer \\x1b]0;owned" in said and "another \\x1b]0;owned" in said
    spec = f"Name: kernel\nVersion: 1\nRelease: 1\n%{{error:{HOSTILE}}}\n"
    bad = Source(tmp_path / "bad.git")
    commit = bad.commit({"kernel.spec": spec}, "x", branch="f28")
    _, said = run("plan", f"{bad.path}#{commit}", status=1)
    assert said.startswith("srcgit: ") and said.count("\n") == 1
    run("plan", f"{bad.path}{HOSTILE}#x", status=2)
    run("plan", "--config", tmp_path / f"{HOSTILE}.toml", "x#y", status=2)
    run("plan", f"--{HOSTILE}", status=2)


def test_what_a_remote_says(hostile: Hostile, tmp_path: Path) -> None:
    target = Source(tmp_path / "target.git")
    hook = target.path / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\ncat <<'EOF' >&2\n{HOSTILE}\nEOF\nexit 1\n")
    hook.chmod(0o755)
    asked = (hostile.commit, "--upstream", hostile.linux.path, "--repo", hostile.repo)
    _, said = run("convert", *asked, "--push", target.path, status=4)
    assert said.startswith("srcgit: the remote refused: ") and said.count("\n") == 1


def test_status_and_what_koji_says(tmp_path: Path) -> None:
    with Hub() as hub:
        settings = configuration(tmp_path, hub)
        journal = Journal(f"sqlite:///{tmp_path}/journal")
        journal.add(Row(NVR, "kernel", "kernel-28", state="failed", outcome=f"rpm: {HOSTILE}\nx"))
        journal.close()
        hub.broken = ["says \x9b31m\u202eti"] * 2  # XML has no other control characters
        told, _ = run("status", "--config", settings, status=1)
    assert r"\x9b31m\u202eti" in told


def configuration(room: Path, hub: Hub) -> Path:
    Source(room / "one.git")
    file = room / "srcgit.toml"
    file.write_text(
        f'''[consumer_config]
state = "{room}/state"
journal = "sqlite:///{room}/journal"
koji = "{hub.url}"
[consumer_config.packages.kernel]
push = ["{room}/one.git"]
'''
    )
    return file


def test_progress_on_a_terminal() -> None:
    """The terminal gets rich's own sequences, and none of a stage's."""
    program = (
        "import sys, time\nfrom service.progress import Progress\n"
        "with Progress() as p:\n    p('fetching ' + sys.argv[1])\n    time.sleep(0.3)\n"
    )
    master, slave = pty.openpty()
    hostile = HOSTILE + "\n[red]"
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    subprocess.run(
        [sys.executable, "-c", program, hostile], stderr=slave, env=env, cwd=ROOT, check=True
    )
    os.close(slave)
    seen = os.read(master, 1 << 20).decode()
    os.close(master)
    assert "fetching \\x1b]0;owned\\x07\\x1b]52;c" in seen and "[red]" in seen
    assert not re.search("\x1b]|\x07|\x9b|\u202e|\u2066", seen)


def test_what_is_spelt_out() -> None:
    assert printable("a\tb\nJérémy 名 \x00\x85\u2028\u202e\udcff") == (
        "a\tb\nJérémy 名 \\x00\\x85\\u2028\\u202e\\udcff"
    )
    assert one_line("a\nb\\n") == "a\\nb\\n"
