"""The sandbox: bubblewrap as a list of mounts and limits. The only process starter of specparse.

bwrap(1), setpriv(1) and prlimit(1) are named in one command line, which an error can print for
the reader to run by hand.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from specparse.plan import SandboxError

_PIPE = 1 << 20  # bytes: a worker need not wait for each of its answers to be read
_SYSTEM = ("/usr", "/etc/alternatives", "/etc/rpm", "/etc/ld.so.cache", "/etc/ld.so.conf.d")
_HOSTNAME = "srcgit"  # what a spec is told on every machine
_MERGED = ("bin", "lib", "lib32", "lib64", "sbin")

_MODULES = "/srcgit"
OURS = (Path(__file__).parent, f"{_MODULES}/specparse")  # to be mounted for inside()
PYTHON = "/usr/bin/python3"  # the system's: rpm's binding is a package of the system


def inside(module: str, modules: str = _MODULES) -> tuple[str, ...]:
    """Return the command that runs main() of specparse.inside's ``module``.

    ``modules`` is where specparse is found; words that follow are main's, from sys.argv[2] on.
    """
    start = f"import sys; sys.path.insert(0, sys.argv[1]); from specparse.inside.{module} import main; main()"
    # -I: nothing of the environment and no user's packages; -B: no files beside ours
    return PYTHON, "-I", "-B", "-c", start, modules


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use: seconds, bytes, processes."""

    wall: float = 60  # seconds; the largest kernel spec takes one, more on a busy machine
    cpu: int = 60  # seconds of one process
    memory: int = 2 << 30  # bytes of address space of one process
    file: int = 512 << 20  # bytes of one file
    processes: int = 400
    output: int = 128 << 20  # bytes on standard output and standard error
    disk: int = 1 << 30  # bytes in /tmp, where no directory is bound there


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended: its exit status (negative: a signal), output, and the limit it broke."""

    status: int
    stdout: bytes
    stderr: bytes
    broke: str = ""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """No network, the system read-only, an empty /tmp, a user and processes of its own.

    ``read_only`` and ``writable`` are (path on this machine, path inside). Without ``confined``
    only the limits hold: for a person who says --no-sandbox.
    """

    read_only: tuple[tuple[Path, str], ...] = ()
    writable: tuple[tuple[Path, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    directory: str = "/tmp"
    confined: bool = True

    def command(self, *program: str) -> list[str]:
        """Return the whole command line. Raises SandboxError when a tool of it is missing."""
        limits = self.limits
        limited = [
            _tool("prlimit", "util-linux"),
            f"--nproc={limits.processes}",
            f"--as={limits.memory}",
            f"--fsize={limits.file}",
            f"--cpu={limits.cpu}",
            "--core=0",
        ]
        if not self.confined:
            return [*limited[:1], *limited[2:], "--", *program]
        words = [
            _tool("bwrap", "bubblewrap"),
            "--unshare-all",
            "--unshare-user",
            "--die-with-parent",
            "--new-session",
            "--clearenv",
            "--cap-drop",
            "ALL",
        ]
        if os.uname().nodename != _HOSTNAME:  # in a container that has it, seccomp forbids the call
            words += ["--hostname", _HOSTNAME]
        for path in _SYSTEM:
            words += ["--ro-bind-try", path, path]
        for name in _MERGED:
            link = Path("/", name)
            if link.is_symlink():
                words += ["--symlink", f"usr/{name}", f"/{name}"]
            elif link.is_dir():
                words += ["--ro-bind", str(link), str(link)]
        words += ["--proc", "/proc", "--dev", "/dev", "--size", str(limits.disk), "--tmpfs", "/tmp"]
        for outside, inside in self.writable:
            words += ["--bind", str(outside), inside]
        for outside, inside in self.read_only:
            words += ["--ro-bind", str(outside), inside]
        for name, value in {
            "PATH": "/usr/bin:/usr/sbin",
            "LC_ALL": "C.UTF-8",
            **self.environment,
        }.items():
            words += ["--setenv", name, value]
        words += ["--chdir", self.directory, "--", *limited, "--", *program]
        return [*_other_user(), *words]

    def run(self, *program: str) -> Done:
        """Run ``program`` to its end or to the first limit. Raises SandboxError."""
        with self.start(*program) as running:
            return running.done()

    def start(self, *program: str) -> Running:
        """Start ``program``. Raises SandboxError."""
        command = self.command(*program)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=None if self.confined else {"PATH": os.defpath, **self.environment},
                cwd=None if self.confined else self.directory,
            )
        except OSError as error:
            raise SandboxError(
                f"the sandbox cannot be started: {error.strerror}", next_step="install bubblewrap"
            ) from error
        assert process.stdout
        with contextlib.suppress(OSError):  # a user may have only so much of it
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE)
        return Running(process, self.limits, shlex.join(command))


class Running:
    """A program in the sandbox, and everything that it started: all of it ends with the context.

    (pid_namespaces(7))
    """

    def __init__(self, process: subprocess.Popen[bytes], limits: Limits, command: str) -> None:
        self._process = process
        self._limits = limits
        self._command = command  # to run it by hand

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._process:
            _end(self._process)

    def give(self, input: bytes) -> None:
        """Write its standard input, all of it."""
        assert self._process.stdin
        try:
            self._process.stdin.write(input)
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # its exit status says why

    def done(self, heard: Callable[[bytearray], None] = lambda printed: None) -> Done:
        """Wait for its end or the first limit, from now on. Raises SandboxError.

        ``heard`` is called with what it has printed whenever that is more. What it takes away is
        no output, the time that it takes does not count, and what it raises is passed on.
        """
        process, limits = self._process, self._limits
        assert process.stdin and process.stdout and process.stderr
        if not process.stdin.closed:
            self.give(b"")
        end = time.monotonic() + limits.wall
        stdout = bytearray()
        out: dict[object, bytearray] = {process.stdout: stdout, process.stderr: bytearray()}
        broke, read = "", 0
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            ready.register(process.stderr, selectors.EVENT_READ)
            while ready.get_map() and not broke:
                left = end - time.monotonic()
                if left <= 0:
                    broke = f"{limits.wall:g} seconds"
                for key, _ in ready.select(max(left, 0)):
                    data = os.read(key.fd, 1 << 20)
                    out[key.fileobj] += data
                    if not data:
                        ready.unregister(key.fileobj)
                    read += len(data)  # what is taken away counts, too
                    if read > limits.output:
                        broke = f"{limits.output >> 20} MiB of output"
                    if data and key.fileobj is process.stdout:
                        start = time.monotonic()
                        heard(stdout)
                        end += time.monotonic() - start
        if broke:
            _end(process)
        else:
            try:
                process.wait(max(end - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                broke = f"{limits.wall:g} seconds"
                _end(process)
        done = Done(process.wait(), bytes(out[process.stdout]), bytes(out[process.stderr]), broke)
        if done.stderr.startswith((b"bwrap: ", b"setpriv: ", b"prlimit: ")):
            said = done.stderr.decode("utf-8", "replace").splitlines()[0]
            raise SandboxError(
                f"the sandbox cannot be had: {said}",
                next_step=f"allow user namespaces, or run by hand to see why: {self._command}",
            )
        return done


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()


def _tool(name: str, package: str) -> str:
    path = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if path is None:
        raise SandboxError(f"{name} is not installed", next_step=f"install the package {package}")
    return path


def _other_user() -> list[str]:
    """Root is not bound by RLIMIT_NPROC, so it becomes somebody with no other process."""
    if os.geteuid() != 0:
        return []
    someone = 1_000_000_000 + os.getpid()
    return [
        _tool("setpriv", "util-linux"),
        f"--reuid={someone}",
        f"--regid={someone}",
        "--clear-groups",
        "--inh-caps=-all",
    ]
