"""The RPM spec and the wheel: what rpm and pip make of them."""

from __future__ import annotations

import os
import pwd
import re
import select
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from converter import VERSION
from service.cli import cli

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "ansible/packaging"
SPEC = PACKAGING / "srcgit.spec"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# An empty environment holds what the project asks for; a module may want more, at once or later.
IMPORT_ALL = """
import ast, importlib, pathlib
for package in ("converter", "specparse", "service"):
    top = pathlib.Path(importlib.import_module(package).__file__).parent
    for source in top.rglob("*.py"):
        name = ".".join((package, *source.relative_to(top).with_suffix("").parts))
        importlib.import_module(name.removesuffix(".__init__"))
        for node in ast.walk(ast.parse(source.read_bytes())):
            if isinstance(node, ast.ImportFrom):
                importlib.import_module(node.module)
            elif isinstance(node, ast.Import):
                for each in node.names:
                    importlib.import_module(each.name)
"""


def run(*command: str | Path, cwd: Path = ROOT, **env: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files of this tree, as they are now: the build leaves nothing behind in it."""
    source = tmp_path_factory.mktemp("source") / f"srcgit-{VERSION}"
    for name in run("git", "ls-files", "-z", "--cached").split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    return source


def test_spec_parses_and_agrees_with_the_project() -> None:
    asked = ("--qf", "%{name} %{version} %{license} %{arch}\n", "--query", str(SPEC))
    assert run("rpmspec", *asked).splitlines() == [
        f"{name} {VERSION} {PROJECT['license']} noarch" for name in ("srcgit", "srcgit-messages")
    ]
    assert "%prep" in run("rpmspec", "-P", str(SPEC))


def test_source_package_is_built(source: Path, tmp_path: Path) -> None:
    (tmp_path / "SOURCES").mkdir()
    archive = tmp_path / "SOURCES" / f"{source.name}.tar.gz"
    run("tar", "-czf", archive, "-C", source.parent, source.name)
    run("rpmbuild", "-bs", "--define", f"_topdir {tmp_path}", SPEC)
    (package,) = (tmp_path / "SRPMS").iterdir()
    assert run("rpm", "-qpl", package).split() == ["srcgit-0.1.0.tar.gz", "srcgit.spec"]


def test_spec_names_only_files_that_exist() -> None:
    named = re.findall(r"(?:ansible|service)/[\w./-]+\w", SPEC.read_text())
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_spec_container_and_role_install_the_same() -> None:
    """Three ways to install, one list of what a %prep and its sandbox need."""
    role = yaml.safe_load((ROOT / "ansible/roles/srcgit/vars/RedHat.yml").read_text())
    needed = set(role["__srcgit_packages"])
    spec = set(re.findall(r"^(?:Requires|Recommends):\s+(\S+)", SPEC.read_text(), re.MULTILINE))
    assert needed - spec == {"ca-certificates"}  # Python's and git's dependencies bring it
    container = (PACKAGING / "Containerfile").read_text().rpartition("FROM ")[2]
    assert needed <= set(container.split())


def test_spec_packages_and_imports_each_wheel() -> None:
    """With -D, %{pyproject_files} alone is the file list of nothing (pyproject-rpm-macros 1.23)."""
    text = SPEC.read_text()
    wheels = {"srcgit", "srcgit-messages"}
    for used in (
        r"^%pyproject_save_files -D (\S+) -l ",
        r"^%pyproject_check_import -D (\S+)$",
        r"^%files .*-f %\{pyproject_files -D (\S+)\}$",
    ):
        assert set(re.findall(used, text, re.MULTILINE)) == wheels, used


def test_spec_installs_every_unit() -> None:
    """Scriptlets name each unit that a person enables (those with [Install])."""
    units = ROOT / "ansible/roles/srcgit/files/units"
    enabled = {unit.name for unit in units.iterdir() if "[Install]" in unit.read_text()}
    (post,) = re.findall(r"^%systemd_post (.*)", SPEC.read_text(), re.MULTILINE)
    (preun,) = re.findall(r"^%systemd_preun (.*)", SPEC.read_text(), re.MULTILINE)
    assert set(post.split()) == set(preun.split()) == enabled


def test_message_schemas_are_the_projects(tmp_path: Path) -> None:
    """srcgit-messages registers the same classes under the same names."""
    alone = tomllib.loads((PACKAGING / "messages.toml").read_text())["project"]
    registered = {
        name: place.replace("srcgit_messages:", "service.messages:")
        for name, place in alone["entry-points"]["fedora.messages"].items()
    }
    assert registered == PROJECT["entry-points"]["fedora.messages"]
    (tmp_path / "srcgit_messages.py").write_bytes((ROOT / "service/messages.py").read_bytes())
    classes = ", ".join(place.partition(":")[2] for place in registered.values())
    absent = "import sys; sys.modules.update(dict.fromkeys(['service', 'converter', 'sqlalchemy']))"
    run(sys.executable, "-c", f"{absent}; from srcgit_messages import {classes}", cwd=tmp_path)


def test_manual_pages_are_made_of_help(tmp_path: Path) -> None:
    """As the spec does; a command without a page, or a page cut short, would be shipped unseen."""
    run(Path(sys.executable).parent / "click-man", "--target", tmp_path, "srcgit")
    pages = {page.name for page in tmp_path.iterdir()}
    assert pages == {"srcgit.1", *(f"srcgit-{name}.1" for name in cli.commands)}
    for page in tmp_path.iterdir():
        text = page.read_text()
        assert "..." not in text.partition(".SH SYNOPSIS")[0], page.name
    options = (tmp_path / "srcgit-convert.1").read_text()
    assert all(
        f"\n{parameter.help}\n" in options.replace("\\-", "-")
        for parameter in cli.commands["convert"].params
        if isinstance(parameter, click.Option) and not parameter.show_default
    )


@pytest.mark.parametrize("name", [None, *cli.commands])
def test_help_is_complete(name: str | None) -> None:
    """Every option says what it is for, and the list of commands is not cut short."""
    command = cli.commands[name] if name else cli
    assert "..." not in command.get_short_help_str(60)
    options = [each for each in command.params if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help] == []
    assert command.help and command.help.rstrip().endswith(".")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell: str) -> None:
    """The scripts that the spec installs, and what they call for an answer (click's protocol)."""
    srcgit = Path(sys.executable).parent / "srcgit"
    assert "_SRCGIT_COMPLETE" in run(srcgit, _SRCGIT_COMPLETE=f"{shell}_source")
    asked: dict[str, Any] = {
        "COMP_WORDS": "srcgit conv",
        "COMP_CWORD": "conv" if shell == "fish" else "1",
    }
    answer = run(srcgit, _SRCGIT_COMPLETE=f"{shell}_complete", **asked)
    assert "convert" in answer and "backfill" not in answer


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("conv", "convert "),
        ("convert --ups", "--upstream "),
        ("convert --srpm srcgit-0", "0.src.rpm"),
    ],
)
def test_a_real_bash_completes(typed: str, completed: str, tmp_path: Path) -> None:
    """An interactive one on a terminal, after the line that README gives; keys, and what it echoes."""
    (tmp_path / "srcgit-0.src.rpm").touch()
    readme = " ".join((ROOT / "README.md").read_text().split())
    (line,) = re.findall(r'`(eval "[^`]*bash_source[^`]*)`', readme)
    terminal, inner = os.openpty()
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    with subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        cwd=tmp_path,
        env={"PATH": path, "HOME": str(tmp_path), "TERM": "dumb", "PS1": "$ "},
        stdin=inner,
        stdout=inner,
        stderr=inner,
        start_new_session=True,
    ) as bash:
        os.close(inner)
        os.write(terminal, f"{line}; echo rea''dy\n".encode())
        assert "ready" in _heard(terminal, "\nready")
        os.write(terminal, f"srcgit {typed}\t".encode())
        assert completed in _heard(terminal, completed)
        bash.kill()
        os.close(terminal)


def _heard(terminal: int, end: str) -> str:
    """Return what is said until ``end`` is, or nothing more for twenty seconds."""
    said = ""
    while end not in said.replace("\r", "") and select.select([terminal], [], [], 20)[0]:
        said += os.read(terminal, 4096).decode()
    return said.replace("\r", "")


@pytest.mark.timeout(600)  # on a crowded machine; half a minute on a quiet one
def test_wheel_installs_into_an_empty_environment(source: Path, tmp_path: Path) -> None:
    """The way of an operator: a wheel, a new venv of the system's Python, the command."""
    # The sealed HOME would make pip build gssapi anew, which takes a minute.
    cache: dict[str, Any] = {"PIP_CACHE_DIR": f"{pwd.getpwuid(os.getuid()).pw_dir}/.cache/pip"}
    run("/usr/bin/python3", "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, source, **cache)
    (wheel,) = tmp_path.glob("*.whl")
    run(python, "-m", "pip", "install", "-q", wheel, **cache)
    run(python, "-P", "-W", "ignore", "-c", IMPORT_ALL, cwd=tmp_path)
    out = run(tmp_path / "venv/bin/srcgit", "--help", cwd=tmp_path, PYTHONPATH="")
    assert {"plan", "convert"} <= set(re.findall(r"^  (\w+)  ", out, re.MULTILINE)), out
