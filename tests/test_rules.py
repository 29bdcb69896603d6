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


def test_what_is_printed_goes_through_the_one_place_that_makes_it_safe() -> None:
    """In the sandbox, and for the answer of unsrpm, standard output is a pipe to srcgit."""
    prints = re.compile(r"\b(click\.s?echo|print|sys\.std(out|err)\.write)\(")
    pipes = {"service/terminal.py", "specparse/unsrpm.py"}
    for path in MODULES:
        name = path.relative_to(ROOT).as_posix()
        if name not in pipes and not name.startswith("specparse/inside/"):
            assert not prints.search(path.read_text()), f"{name}: say() of service/terminal.py"


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
