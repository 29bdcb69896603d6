"""The git program: the one door to it.

Nobody's taste may change a result: the user's and the system's configuration are not read, except
by commands that talk to a remote (proxies, credential helpers and ``insteadOf`` live there). Those
are run through GitPython; importing it takes longer than what a conversion asks of its own
repositories.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from converter import memory
from converter.errors import CannotWork, RepositoryUnusable

_SEALED = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
_ALWAYS = {
    "LC_ALL": "C",  # its messages are looked at
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",  # never ext:: or fd::
}
# A server that is silent for so long is dead, and would be waited for without end: git itself sends
# something every 5 seconds (git-config(1): http.lowSpeedTime, uploadpack.keepAlive).
_NETWORK = {"GIT_HTTP_LOW_SPEED_LIMIT": "1", "GIT_HTTP_LOW_SPEED_TIME": "600"}
# git(1), "Environment variables": these would point git at other repositories or identities.
_LEAKS = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_QUARANTINE_PATH",
    "GIT_WORK_TREE",
)


class GitFailed(Exception):
    """git ended with an exit status that was not expected; ``message`` is its own last word."""

    def __init__(self, args: tuple[str, ...], status: int, stderr: bytes) -> None:
        words = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines()]
        words = [line for line in words if line]
        fatal = [line for line in words if line.startswith(("fatal:", "error:"))]
        self.message = (fatal or words or [f"exit status {status}"])[0]
        self.command = args
        self.status = status
        self.stderr = stderr
        super().__init__(f"git {args[0] if args else ''}: {self.message}")


# What git says when this machine's disk is at fault (wrapper.c, csum-file.c, lockfile.c). What a
# remote says of its own disk comes in lines that start with "remote:".
_DISK = re.compile(
    rb"^(?!remote:).*(?:No space left on device|[Oo]ut of disk ?space|Disk quota exceeded"
    rb"|Read-only file system|couldn't write|sha1 file '.*' write error|insufficient permission"
    rb"|[Uu]nable to create (?:temporary file )?'.*': Permission denied)",
    re.MULTILINE,
)


def failure(args: tuple[str, ...], status: int, stderr: bytes) -> GitFailed | RepositoryUnusable:
    """Return what to raise for a command that failed: RepositoryUnusable when the disk did it."""
    error = GitFailed(args, status, stderr)
    found = _DISK.search(stderr)
    if found is None:
        return error
    return RepositoryUnusable(
        f"git cannot write: {found[0].decode('utf-8', 'replace').strip()}",
        next_step="make room or make the repository writable; nothing is lost by trying again",
    )


@dataclass(frozen=True, slots=True)
class Done:
    """What a finished git command said."""

    status: int
    stdout: bytes
    stderr: bytes


def lines(output: bytes) -> list[str]:
    """Return the lines of what git printed. Only a newline ends one, and names may be any bytes."""
    return output.decode("utf-8", "surrogateescape").split("\n")[:-1]


class Running:
    """A git command at work, with its pipes; a context, at whose end it is not left running."""

    def __init__(self, process: subprocess.Popen[bytes], args: tuple[str, ...]) -> None:
        assert process.stdout and process.stderr
        self._process = process
        self._args = args
        self.stdout: IO[bytes] = process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process.returncode is None:
            self.kill()

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin, "started with an input of its own"
        return self._process.stdin

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """End the command at once; what it wrote is dropped."""
        _kill(self._process)
        self._close()

    def wait(self) -> None:
        """Wait for the command's end. Raises GitFailed, RepositoryUnusable unless it was 0."""
        assert self._process.stderr
        stderr = self._process.stderr.read()
        status = self._process.wait()
        self._close()
        if status != 0:
            raise failure(self._args, status, stderr)

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):  # unsent data of a process that is gone
                    pipe.close()


def _patience() -> dict[str, str]:
    return {name: os.environ.get(name, value) for name, value in _NETWORK.items()}


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Git:
    """git, run in one repository (or in none, for commands that need no repository)."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def run(
        self,
        *args: str,
        input: bytes = b"",
        ok: Container[int] = (0,),
        network: bool = False,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Done:
        """Run ``git ARGS`` to its end.

        ``ok`` are the exit statuses that are an answer; ``network`` lets git read the user's
        configuration; ``timeout`` is in seconds. Raises GitFailed, TimeoutError, CannotWork
        (RepositoryUnusable when the disk is full or read-only).
        """
        process = self._popen(args, network, env)
        try:
            stdout, stderr = process.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.communicate()
            raise TimeoutError(f"git {args[0]} took more than {timeout:g} seconds") from None
        except BaseException:  # we are told to end: what we started ends with us
            _kill(process)
            raise
        if process.returncode not in ok:
            raise failure(args, process.returncode, stderr)
        return Done(process.returncode, stdout, stderr)

    def start(
        self, *args: str, stdin: IO[bytes] | None = None, env: Mapping[str, str] | None = None
    ) -> Running:
        """Start ``git ARGS``; the caller (or ``stdin``) feeds it, and ends it with wait() or kill().

        Raises CannotWork.
        """
        return Running(self._popen(args, False, env, stdin), args)

    def _popen(
        self,
        args: tuple[str, ...],
        network: bool,
        env: Mapping[str, str] | None,
        stdin: IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        for name in _LEAKS:
            os.environ.pop(name, None)
        repository = [f"--git-dir={self._path}"] if self._path else []
        # The owner of a mirror is often another account (git-config(1), safe.directory).
        command = ["git", "-c", "safe.directory=*", *repository, *args]
        try:
            with memory.unbounded():
                if network:
                    talking = {**_ALWAYS, **_patience(), **(env or {})}
                    return _by_gitpython(command, self._path, talking)
                return subprocess.Popen(
                    command,
                    stdin=stdin or subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    cwd=self._path,
                    env={**os.environ, **_ALWAYS, **_SEALED, **(env or {})},
                    start_new_session=True,  # so that its children end with it
                )
        except FileNotFoundError:
            raise CannotWork(
                "git is not installed", next_step="install git 2.30 or newer"
            ) from None


def _by_gitpython(
    command: list[str], where: Path | None, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start ``command``. Raises FileNotFoundError where there is no git."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # no `git version` at import
    from git.cmd import Git as Program
    from git.exc import GitCommandNotFound

    try:
        started = Program(os.fspath(where) if where else None).execute(
            command, istream=subprocess.PIPE, as_process=True, start_new_session=True, env=dict(env)
        )
    except GitCommandNotFound as error:
        raise FileNotFoundError from error
    process = started.proc
    assert process is not None
    started.proc = None  # this object would end the process when it is collected
    return process
