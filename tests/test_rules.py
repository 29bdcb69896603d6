"""The rules of the architecture, checked like anything else: types, lint, imports, doors."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("specparse", "converter", "service")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# Which first-party packages a package may import (ARCHITECTURE.md); the first that holds a module counts.
MAY_IMPORT = {
    "specparse/inside": {"specparse.inside"},
    "specparse": {"specparse"},
    "converter/engine": {
        "converter.engine",
        "converter.safe_paths",
        "converter.text",
        "converter.tree",
        "specparse.plan",
    },
    "converter/mailbox": {"converter.mailbox"},
    "converter/patch_header": {"converter.patch_header", "converter.mailbox"},
    "converter": {"converter", "specparse.plan", "specparse.foreign_tree"},
    "service": {"service", "converter", "specparse"},
}

# Which modules may import an outside thing (ARCHITECTURE.md).
DOORS = {
    "pygit2": {"converter/odb.py"},
    "git": {"converter/git.py"},
    "rpm": {
        "specparse/inside/parsing.py",
        "specparse/inside/worker.py",
        "specparse/inside/unsrpm.py",
    },
    "koji": {"service/koji.py"},
    "fedora_messaging": {"service/bus.py", "service/messages.py"},
    "twisted": {"service/bus.py"},
    "subprocess": {
        "converter/git.py",
        "converter/signing.py",
        "specparse/sandbox.py",
        "specparse/inside/recording.py",
        "specparse/inside/running.py",
        "specparse/inside/sources.py",
    },
    "sqlalchemy": {"service/database.py", "service/journal.py"},
    "requests": {"converter/archives/download.py", "service/koji.py"},
    "urllib3": {"converter/archives/download.py"},
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way_and_through_doors(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    package = next(each for each in MAY_IMPORT if name.startswith(f"{each}/"))
    for module in imports(path):
        top = module.split(".")[0]
        if top in PACKAGES and module not in PACKAGES:
            assert any(
                module == allowed or module.startswith(allowed + ".")
                for allowed in MAY_IMPORT[package]
            ), f"{name} imports {module}"
        if top in DOORS and not (top == "koji" and package == "service" and module == "koji"):
            assert name in DOORS[top], f"{name} imports {module}: its door is {DOORS[top]}"


def test_who_has_the_keys_loads_nothing_that_reads_specs_patches_or_archives() -> None:
    """service/publishing.py says so: not even through what it imports."""
    found = subprocess.run(
        [sys.executable, "-c", "import sys, service.publishing; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    reading = [f"converter.{name}" for name in ("convert", "mailbox", "series", "archives.archive")]
    reading += ["converter.engine.apply", "converter.engine.diff", "converter.archives.tar"]
    reading += ["specparse.trace", "rpm"]
    assert "converter.publish" in found
    assert [name for name in found if name.startswith(tuple(reading))] == []


def test_what_is_printed_goes_through_the_one_place_that_makes_it_safe() -> None:
    """In the sandbox, and for the answer of unsrpm, standard output is a pipe to srcgit."""
    prints = re.compile(r"\b(click\.s?echo|print|sys\.std(out|err)\.write)\(")
    pipes = {"service/terminal.py", "specparse/unsrpm.py"}
    for path in MODULES:
        name = path.relative_to(ROOT).as_posix()
        if name not in pipes and not name.startswith("specparse/inside/"):
            assert not prints.search(path.read_text()), f"{name}: say() of service/terminal.py"


# Which modules may look into directories, and whose those are. What foreign code has written to is
# read through specparse/foreign_tree.py alone (docs/security.md).
WALKS = {
    "specparse/foreign_tree.py": "what foreign code left: this is the door",
    "specparse/resource_watch.py": "sizes below a sandbox that runs; nothing is opened",
    "specparse/sandbox.py": "srcgit's own modules",
    "specparse/system_root.py": "a root that the operator made",
    "converter/archives/lookaside.py": "srcgit's cache",
    "converter/borrowing.py": "packs of srcgit's own repository",
    "converter/damage.py": "a repository, for what it lacks",
    "converter/fastimport.py": "packs that git has just written",
    "converter/mirror.py": "refs of a mirror that is made anew",
    "converter/odb.py": "a repository that is made",
    "converter/repair.py": "locks of a repository, and /proc",
    "converter/serve.py": "packs of the published repository",
    "converter/verification/sourcedir.py": "pkg-git's files, as srcgit itself has written them",
    "service/export.py": "the same, for a trace",
    "service/machine.py": "mirrors of srcgit",
}
# Which modules that have to do with the sandbox may open files, and what for.
OPENS = {
    "specparse/foreign_tree.py": "the door",
    "specparse/prep.py": "macros of srcgit's, and files for the sandbox in a directory of its own",
    "specparse/resource_watch.py": "/proc and cgroups",
    "specparse/sandbox.py": "the filter of system calls",
    "specparse/sandbox_refusal.py": "sysctl",
    "specparse/srpm.py": "the source RPM that a person named",
    "specparse/trace.py": "files for the sandbox in a directory of its own",
    "converter/loose.py": "a quilt queue that a person named, links followed inside of it alone",
    "converter/verification/sourcedir.py": "archives that it makes, where nothing is (O_EXCL)",
    "converter/verification/verify.py": "originals out of the cache",
}
_LOOKS = {"fwalk", "scandir", "listdir", "iterdir", "rglob", "glob", "readlink"}
_READS = {"open", "read_bytes", "read_text", "write_bytes", "write_text", "copyfile", "copytree", "symlink"}  # fmt: skip


def called(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (of what, what) of each call: ("os", "walk"), ("", "open"), ("path", "read_bytes")."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield "", node.func.id
            elif isinstance(node.func, ast.Attribute):
                yield getattr(node.func.value, "id", "."), node.func.attr


def test_what_foreign_code_left_has_one_door() -> None:
    looking, opening = set(), set()
    for path in MODULES:
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("specparse/inside/"):
            continue
        near = name.startswith(("specparse/", "converter/verification/", "converter/loose"))
        for of, what in called(path):
            if what in _LOOKS or (of, what) == ("os", "walk"):
                looking.add(name)
            if near and what in _READS and (of in ("", "os") or what != "open"):
                opening.add(name)
    assert not looking - WALKS.keys(), "say whose directories those are, in WALKS"
    assert not opening - OPENS.keys(), "say whose files those are, in OPENS"


@pytest.mark.parametrize(
    "command",
    [["mypy"], ["ruff", "check", "."], ["ruff", "format", "--check", "."]],
    ids=["mypy", "ruff-check", "ruff-format"],
)
def test_linters(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
