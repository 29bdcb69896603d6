"""The documents' commands: each exists as it is shown, and the README's do what it says.

The README's lines are run by a shell as they stand, in a home with models of what they name.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest

from service.cli import cli
from tests.builders import Files, Sample, Source, change, sample
from tests.converter.test_convert_archives import HEAD, MAIN, TAIL, patch, tarball
from tests.hub import Hub

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    ROOT / "docs/security.md",
    ROOT / "docs/systems.md",
    ROOT / "ansible/README.md",
    ROOT / "ansible/packaging/Containerfile",
    ROOT / "ansible/monitoring/alerts.yml",
]


def lines(document: Path) -> Iterator[str]:
    """Everything in a document that may be a command: blocks, spans, a comment's blocks."""
    text = document.read_text().replace("\\\n", "")
    text = re.sub(r"^#( ?)", r"\1", text, flags=re.MULTILINE) if not document.suffix else text
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"^ {3,}(\S.*)$", text, re.MULTILINE)
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text))


def commands() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        for line in lines(document):
            for part in re.split(r"; |&& |\s# |\| ", line):
                yield document.relative_to(ROOT).as_posix(), part.strip()


def shown(program: str) -> list[tuple[str, str]]:
    found = {
        (document, command[match.end() :])
        for document, command in commands()
        if (match := re.match(rf"(?:\.venv/bin/|\./)?{program}(?: |$)", command))
    }
    return sorted(found)


def options(command: click.Command) -> set[str]:
    return {name for each in command.params for name in each.opts if name.startswith("--")}


@pytest.mark.parametrize(("document", "words"), shown("srcgit"))
def test_what_is_shown_of_srcgit_exists(document: str, words: str) -> None:
    """By the parser that would read it; what is missing is allowed, what is too much is not."""
    name, *arguments = shlex.split(words) or ["COMMAND"]
    if name == "COMMAND":
        return
    if name.startswith("-"):  # an option of srcgit itself
        assert name in options(cli)
        return
    command = cli.commands[name]
    parser = command.make_parser(click.Context(command))
    wanted = sum(each.nargs for each in command.params if isinstance(each, click.Argument))
    _, left, _ = parser.parse_args([*arguments, *["..."] * (0 if arguments else wanted)])
    assert not left, f"{document}: srcgit {words}"


def test_options_in_the_text_exist() -> None:
    """`--json` of any command, `plan --variants` of that one."""
    every = set.union(*map(options, cli.commands.values()))
    text = "".join((ROOT / name).read_text() for name in ("README.md", "ansible/README.md"))
    alone = re.findall(r"`(--[a-z-]+)", text)
    assert len(alone) > 10
    # ansible-playbook's, git's, the benchmark's
    assert set(alone) - every <= {"--check", "--depth", "--only"}
    for name in cli.commands:
        for option in re.findall(rf"`{name} (--[a-z-]+)", text):
            assert option in options(cli.commands[name]), f"{name} {option}"


def test_enough_of_it_is_shown() -> None:
    """A change of the documents' form must not hide them from the tests above."""
    assert cli.commands.keys() <= {words.partition(" ")[0] for _, words in shown("srcgit")}
    assert len(shown("srcgit")) > 30


def test_what_is_shown_of_make_and_of_the_tests_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = [words.split()[0] for _, words in shown("make")]
    assert {"demo", "test", "bench", "test-ansible"} <= set(targets)
    assert [name for name in targets if f"\n{name}:" not in makefile] == []
    modules = [words.split() for _, words in shown("python -m")]
    assert modules
    for module, *words in modules:
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
        assert [word for word in words if word.startswith("--") and f'"{word}"' not in source] == []


def test_units_that_are_shown_exist() -> None:
    units = {path.name for path in (ROOT / "ansible/roles/srcgit/files/units").iterdir()}
    for document in DOCUMENTS:
        shown = " ".join(lines(document))
        spans = re.findall(
            r"(?<!/)\bsrcgit-([a-z-]+)(@?)[^\s.';]*(\.(?:service|timer|socket))?", shown
        )
        for name, at, kind in spans:
            kinds = [kind] if kind else [".service", ".timer", ".socket"]
            assert any(f"srcgit-{name}{at}{each}" in units for each in kinds), (document, name)


class Desk:
    """A reader's home: pkg-gits, upstreams, and a Koji that knows the builds."""

    def __init__(self, home: Path, hub: Hub) -> None:
        self.home = home
        self.lines = [" ".join(line.split()) for line in lines(ROOT / "README.md")]
        outside = home / "outside"
        outside.mkdir()
        self.made: Sample = sample(outside)
        self.made.linux.path.rename(home / "linux.git")
        (home / "dist-git").mkdir()
        kernel = home / "dist-git/kernel"
        self.shell(f"git clone -q -b rawhide {self.made.pkg_git.path} {kernel}")
        (home / ".venv").symlink_to(BIN.parent)
        for nvr, commit in {
            "kernel-6.12.8-200.fc41": self.made.today,
            "kernel-6.12.8-201.fc41": self.made.next,
        }.items():
            hub.add(nvr, commit=commit, target="f41")
        self.config(hub)

    def config(self, hub: Hub) -> None:
        """What is in the world's places for the reader, and here is not."""
        (self.home / "srcgit.toml").write_text(
            f'[consumer_config]\nkoji = "{hub.url}"\nlookaside = "{self.home}/lookaside"\n'
            f'[consumer_config.packages.kernel]\npkg_git = "{self.made.pkg_git.path}"\n'
            'source = "https://src.fedoraproject.org/rpms/kernel.git"\n'
            f'upstreams = ["{self.home}/linux.git"]\n'
        )

    def package(self, name: str, spec: str, files: Mapping[str, bytes]) -> str:
        """Let ~/dist-git have another package, its archives in the lookaside; return its commit."""
        archives = {name: data for name, data in files.items() if ".tar" in name}
        listed = [f"SHA512 ({n}) = {hashlib.sha512(d).hexdigest()}" for n, d in archives.items()]
        (self.home / "lookaside").mkdir()
        for file, data in archives.items():
            (self.home / "lookaside" / file).write_bytes(data)
        tracked = {file: data for file, data in files.items() if file not in archives}
        made = Source(self.home / f"outside/{name}.git")
        content: Files = {f"{name}.spec": spec, "sources": "\n".join(listed) + "\n", **tracked}
        commit = made.commit(content, "first\n", branch="f41")
        self.shell(f"git clone -q -b f41 {made.path} {self.home}/dist-git/{name}")
        return commit

    def readme(self, begins: str, *, status: int = 0, **names: str) -> str:
        """Run the one line of the README that begins so, with what its capital letters stand for."""
        found = {line for line in self.lines if line.startswith(begins)}
        assert len(found) == 1, f"{begins}: {found}"
        line = found.pop()
        for name, value in names.items():
            line, times = re.subn(rf"\b{re.escape(name)}\b", value, line)
            assert times, f"{line}: no {name}"
        return self.shell(line, status=status)

    def shell(self, line: str, *, status: int = 0) -> str:
        done = subprocess.run(
            ["bash", "-euc", line],
            cwd=self.home,
            env={
                "HOME": str(self.home),
                "PATH": f"{self.home}/.venv/bin:/usr/bin:/bin",
                "FEDORA_MESSAGING_CONF": str(self.home / "srcgit.toml"),
                "GIT_CONFIG_GLOBAL": str(self.home / "gitconfig"),
                "GIT_EDITOR": "true",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "gitconfig").write_text("[user]\n\tname = R. Eader\n\temail = r@example.com\n")
    with Hub() as hub:
        yield Desk(tmp_path, hub)


SRCGIT = ".venv/bin/srcgit"
TAG = "kernel-6.12.8-200.fc41"


def test_builds_are_converted_and_looked_at(desk: Desk) -> None:
    assert "v6.12.8" in desk.readme(f"{SRCGIT} plan {TAG}")
    desk.readme(f"{SRCGIT} convert {TAG}")
    desk.readme(f"{SRCGIT} convert ~/dist-git/kernel#d1d4d6ac4", d1d4d6ac4=desk.made.git_am)
    assert "verified: yes" in desk.readme(f"{SRCGIT} verify {TAG}")
    desk.shell(f"{SRCGIT} convert kernel-6.12.8-201.fc41 --repo ~/kernel-src.git")
    newer: dict[str, Any] = {"kernel-6.12.7-200.fc41": "kernel-6.12.8-201.fc41"}
    assert TAG in desk.readme(f"{SRCGIT} diff", **newer)


def test_the_tree_is_used(desk: Desk) -> None:
    desk.readme(f"{SRCGIT} convert {TAG}")
    desk.shell("git -C kernel-src.git config uploadpack.allowFilter true")
    url: dict[str, Any] = {"URL": f"file://{desk.home}/kernel-src.git"}
    for line in ("git clone URL", "--filter=blob:none", "--single-branch", "--depth 1"):
        desk.readme(line if "URL" in line else f"git clone {line}", **url)
        desk.shell("test -e kernel-src/fedora/series.json")
        desk.shell("rm -rf kernel-src")
    desk.shell("git clone -q linux.git mine")
    line = next(each for each in desk.lines if each.startswith("git fetch --no-tags URL"))
    desk.shell(f"cd mine; {line.replace('URL', url['URL'])}; git bisect start {TAG} v6.12.8")


def test_a_series_is_converted(desk: Desk) -> None:
    desk.shell("mkdir -p stable-queue/queue-6.12")
    one = patch("MAINTAINERS", "hello", "bye").decode()
    first = desk.shell("git -C linux.git show v6.12.8:mm/slab.c")
    after = change(first, 2, "look twice")
    (desk.home / "a").write_text(first)
    (desk.home / "b").write_text(after)
    one = desk.shell("diff -u --label a/mm/slab.c --label b/mm/slab.c a b", status=1)
    (desk.home / "stable-queue/queue-6.12/one.patch").write_text(f"Look twice\n\n{one}")
    (desk.home / "stable-queue/queue-6.12/series").write_text("one.patch\n")
    desk.readme(f"{SRCGIT} convert --series")
    assert "Look twice" in desk.shell("git -C queue.git log --all --format=%B")


def test_any_package_is_converted(desk: Desk) -> None:
    spec = HEAD.replace("demo", "which") + "Source0: which-1.2.tar.gz\nPatch1: one.patch\n"
    files = {
        "which-1.2.tar.gz": tarball({f"which-1.2/{name}": data for name, data in MAIN.items()}),
        "one.patch": patch("README", "hello", "bye"),
    }
    commit = desk.package("which", spec + TAIL + "%autosetup -p1\n", files)
    desk.readme(f"{SRCGIT} convert ~/dist-git/which#", COMMIT=commit)
    assert "bye" in desk.shell("git -C which-src.git show f41:README")


def test_a_patch_that_does_not_apply_is_mended(desk: Desk) -> None:
    desk.shell("git -C dist-git/kernel switch -q f28")
    kernel = desk.home / "dist-git/kernel"
    text = (kernel / "usb-hub-wait.patch").read_text()
    broken = text.replace("-\tint result = 22;", "-\tint result = 222;")
    assert broken != text
    (kernel / "usb-hub-wait.patch").write_text(broken)
    desk.shell("git -C dist-git/kernel commit -qam broken")
    convert = "convert ~/dist-git/kernel#$(git -C ~/dist-git/kernel rev-parse HEAD)"
    convert = f"{SRCGIT} {convert} --upstream ~/linux.git --repo ~/kernel-src.git"
    said = desk.shell(convert, status=1)
    assert "usb-hub-wait.patch" in said and "int result = 22;" in said
    desk.readme("git -C ~/kernel-src.git worktree", NVR="kernel-4.15.0-1.fc28")
    desk.readme("git -C ~/fix am --reject", status=128, NAME="usb-hub-wait")
    assert (desk.home / "fix/drivers/usb/core/hub.c.rej").exists()
    hub = desk.home / "fix/drivers/usb/core/hub.c"
    hub.write_text(change(hub.read_text(), 3, "wait longer"))
    desk.readme("git -C ~/fix add -u")
    desk.readme("git -C ~/fix am --continue")
    desk.readme("git -C ~/fix format-patch", NAME="usb-hub-wait")
    desk.shell("git -C dist-git/kernel commit -qam mended")
    assert "2 patches, 4 commits" in desk.shell(convert)


def test_a_series_goes_back(desk: Desk) -> None:
    desk.shell("git -C dist-git/kernel switch -q f41")
    desk.readme(f"{SRCGIT} convert {TAG}")
    desk.readme("git clone ~/kernel-src.git && cd kernel-src")
    desk.shell(
        "cd kernel-src; echo '/* more */' >> mm/slab.c; git commit -qam 'mm: slab: more';"
        "git log -1 --format=%s kernel-6.12.8-200.fc41"
    )
    line = next(each for each in desk.lines if each.startswith("srcgit export"))
    desk.shell(f"cd kernel-src; {line}")
    assert "mm-slab-more.patch" in desk.shell("git -C dist-git/kernel status --short")


def test_every_test_that_the_table_of_foreign_input_names_is_there() -> None:
    table = (ROOT / "docs/security.md").read_text()
    for name in set(re.findall(r"`(test_\w+)`", table)):
        found = [p for p in (ROOT / "tests").rglob("test_*.py") if f"def {name}(" in p.read_text()]
        assert found, name
    for path in set(re.findall(r"`(tests/[\w/]+\.py)`", table)):
        assert (ROOT / path).is_file(), path
