"""The door to git: sealed, typed, by exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.errors import CannotWork, RepositoryUnusable
from converter.git import Git, GitFailed, failure


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    path = tmp_path / "repo.git"
    Git().run("init", "--quiet", "--bare", str(path))
    return path


def test_answers_and_failures_differ_by_exit_status(repo: Path) -> None:
    git = Git(repo)
    assert git.run("config", "core.bare").stdout == b"true\n"
    assert git.run("config", "no.such", ok=(0, 1)).status == 1
    with pytest.raises(GitFailed) as failed:
        git.run("rev-parse", "--verify", "HEAD^{commit}")
    assert failed.value.status == 128
    assert failed.value.message == "fatal: Needed a single revision"


def test_input_is_bytes_and_may_be_large(repo: Path) -> None:
    data = bytes(range(256)) * 4096
    id = Git(repo).run("hash-object", "-w", "--stdin", input=data).stdout.strip().decode()
    assert Git(repo).run("cat-file", "blob", id).stdout == data


def test_configuration_of_the_user_is_read_for_remotes_only(
    repo: Path, sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sealed / ".gitconfig").write_text("[srcgit]\n\ttaste = strange\n")
    for name in ("GIT_CONFIG_GLOBAL", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name)
    asked = ("config", "srcgit.taste")
    assert Git(repo).run(*asked, ok=(0, 1)).stdout == b""
    assert Git(repo).run(*asked, network=True).stdout == b"strange\n"


def test_leaked_variables_do_not_lead_elsewhere(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare'='false'")
    assert Git(repo).run("config", "core.bare").stdout == b"true\n"
    Git(repo).run("hash-object", "-w", "--stdin", input=b"x")
    assert not (tmp_path / "elsewhere").exists()


def test_transports_that_run_commands_are_refused(repo: Path, tmp_path: Path) -> None:
    with pytest.raises(GitFailed, match="transport 'ext' not allowed"):
        Git(repo).run("fetch", f"ext::sh -c touch% {tmp_path}/owned", network=True)
    assert not (tmp_path / "owned").exists()


def test_a_started_command_ends_typed(repo: Path) -> None:
    running = Git(repo).start("cat-file", "--batch")
    running.stdin.close()
    assert running.stdout.read() == b""
    running.wait()
    broken = Git(repo).start("cat-file", "blob", "0" * 40)
    with pytest.raises(GitFailed):
        broken.wait()
    Git(repo).start("cat-file", "--batch").kill()


def test_a_limit_in_seconds_ends_the_command(repo: Path) -> None:
    with pytest.raises(TimeoutError):
        Git(repo).run("-c", "alias.w=!sleep 30", "w", timeout=0.2)


def test_a_machine_without_git_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(CannotWork, match="git is not installed"):
        Git().run("version")


@pytest.mark.parametrize(
    ("said", "this_machine"),
    [
        (
            b"fatal: Unable to create temporary file '/r.git/objects/pack/x': Permission denied",
            True,
        ),
        (b"fatal: cannot lock ref: Unable to create '/r.git/refs/x.lock': Permission denied", True),
        (b"error: insufficient permission for adding an object to repository database", True),
        (b"git@example.org: Permission denied (publickey).", False),
        (b"remote: fatal: Unable to create '/r.git/x.lock': Permission denied", False),
    ],
)
def test_whose_fault_it_is_that_nothing_can_be_written(said: bytes, this_machine: bool) -> None:
    assert isinstance(failure(("x",), 128, said), RepositoryUnusable) == this_machine
