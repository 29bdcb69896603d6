"""srcgit doctor: what the machine has and lacks, asked of the sandbox itself; the versions of a bug report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.journal import Journal
from tests.configuration import table
from tests.hub import Hub
from tests.service.test_bus import ROOT
from tests.service.test_cli import answer, srcgit


def findings(*args: object, **more: Any) -> dict[str, dict[str, Any]]:
    told = answer("doctor", *args, **more)
    return {finding["name"]: finding for finding in told["findings"]}


def within(*words: object) -> tuple[int, str]:
    """Run doctor inside of bubblewrap's ``words``; return its exit status and what it prints."""
    command = ["bwrap", "--dev-bind", "/", "/", *map(str, words), sys.executable, "-m"]
    done = subprocess.run(
        [*command, "service.cli", "doctor"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def test_a_machine_that_can_work() -> None:
    found = findings()
    for name in ("Python", "git", "bubblewrap", "sandbox", "rpm", "state"):
        assert found[name]["state"] in ("ok", "warning"), found[name]
    assert "a program runs in it" in found["sandbox"]["found"]
    assert found["rpm"]["found"][0].isdigit()
    assert not found.keys() & {"broker", "hub", "journal"}  # nobody asked for the daemon's
    shown, _ = srcgit("doctor")
    assert shown.splitlines()[-1] == "srcgit can work here"


def test_versions_for_a_bug_report() -> None:
    assert srcgit("--version")[0].count("\n") == 1
    for words in (["--version", "-v"], ["-v", "--version"]):
        shown, _ = srcgit(*words)
        told = dict(line.split(" ", 1) for line in shown.splitlines()[1:])
        assert told["python"] == ".".join(map(str, sys.version_info[:3]))
        assert told["git"][0].isdigit() and told["bubblewrap"][0].isdigit()
        assert told["pygit2"][0].isdigit()
    assert "versions" in answer("doctor")
    _, said = srcgit("-v", "plan", status=2)
    assert said.count("\n") == 1


def test_a_machine_without_user_namespaces() -> None:
    """The cause is named by the sandbox, not guessed."""
    status, shown = within("--unshare-user", "--disable-userns")
    assert status == 5
    [line] = [line for line in shown.splitlines() if line.startswith("missing  sandbox")]
    assert "the sandbox cannot be had: " in line
    assert "not working: plan, convert, verify, export, listen" in shown
    assert shown.splitlines()[-1] == "srcgit cannot work here yet: sandbox"


def test_a_machine_without_bubblewrap(tmp_path: Path) -> None:
    usr = tmp_path / "usr-bin"
    usr.mkdir()
    program = tmp_path / "nothing"
    program.touch()  # not executable
    status, shown = within("--ro-bind", program, "/usr/bin/bwrap")
    assert status == 5
    assert " install bubblewrap" in shown


def test_a_state_that_cannot_be_written(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(table(state=tmp_path / "state", koji="http://127.0.0.1:9/kojihub"))
    (tmp_path / "state").mkdir()
    done = subprocess.run(
        [
            *("bwrap", "--dev-bind", "/", "/", "--ro-bind", tmp_path / "state", tmp_path / "state"),
            *(sys.executable, "-m", "service.cli", "doctor", "--json", "--config", config),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 5
    told = {f["name"]: f for f in json.loads(done.stdout)["findings"]}
    assert told["state"]["found"].endswith("cannot be written: Read-only file system")


def test_the_parts_of_the_daemon(tmp_path: Path, hub: Hub) -> None:
    config = tmp_path / "c.toml"
    state = tmp_path / "state"
    config.write_text('amqp_url = "amqp://127.0.0.1:9/%2F"\n' + table(koji=hub.url, state=state))
    shown, _ = srcgit("doctor", "--config", config, status=5)
    lines = shown.splitlines()
    assert "missing  broker       127.0.0.1: Connection refused" in lines
    assert f"ok       hub          {hub.url}" in lines
    assert "ok       journal      0 builds" in lines
    assert lines[-1] == "srcgit cannot work here yet: broker"


@pytest.mark.parametrize("content", [b"", b"no database" * 500])
def test_a_damaged_journal(tmp_path: Path, hub: Hub, content: bytes) -> None:
    config = tmp_path / "c.toml"
    state = tmp_path / "state"
    config.write_text(table(koji=hub.url, state=state))
    Journal(f"sqlite:///{state}/journal.sqlite").close()
    (state / "journal.sqlite").write_bytes(content)
    shown, _ = srcgit("doctor", "--config", config, status=5)
    assert "missing  journal" in shown and "move it aside" in shown


def test_a_root_that_lacks_what_it_needs(tmp_path: Path, hub: Hub) -> None:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    config = tmp_path / "c.toml"
    config.write_text(
        table(koji=hub.url, state=tmp_path / "state")
        + f'[consumer_config.sandbox.roots]\n".fc41" = "{root}"\n'
    )
    shown, _ = srcgit("doctor", "--config", config, status=5)
    assert "missing  root .fc41" in shown and "builds of .fc41" in shown
