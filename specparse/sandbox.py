"""The sandbox: bubblewrap as a list of mounts and limits. The only process starter of specparse.

bwrap(1), setpriv(1) and prlimit(1) are named in one command line, which an error can print for
the reader to run by hand.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import os
import selectors
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from specparse import sandbox_refusal, seccomp
from specparse.plan import SandboxError
from specparse.resource_watch import INTERVAL, Cgroup, Watch
from specparse.system_root import SystemRoot

_PIPE = 1 << 20  # bytes: a worker need not wait for each of its answers to be read
_HOSTNAME = "srcgit"  # what a spec is told on every machine

_MODULES = "/srcgit"
PYTHON = "/usr/bin/python3"  # the system's: rpm's binding is a package of the system


def inside(module: str, modules: str = _MODULES) -> tuple[str, ...]:
    """Return the command that runs main() of specparse.inside's ``module``.

    ``modules`` is where specparse is found; words that follow are main's, from sys.argv[2] on.
    """
    start = f"import sys; sys.path.insert(0, sys.argv[1]); from specparse.inside.{module} import main; main()"
    # -I: nothing of the environment and no user's packages; -B: no files beside ours
    return PYTHON, "-I", "-B", "-c", start, modules


@functools.cache
def our_modules() -> tuple[Path, str]:
    """Return the mount of specparse for inside(): a copy where the sandbox's user reaches no other.

    Root's sandbox runs under another uid, which cannot read below /root or another 0700 directory.
    """
    here = Path(__file__).parent
    if os.geteuid() == 0 and not all(each.stat().st_mode & stat.S_IXOTH for each in here.parents):
        scratch = Path(tempfile.mkdtemp(prefix="srcgit-modules-"))
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
        scratch.chmod(0o755)
        copied = scratch / "specparse"
        shutil.copytree(here, copied)  # with the times, so that what is compiled stays valid
        for parent, _, names in os.walk(copied):
            os.chmod(parent, 0o755)
            for name in names:
                os.chmod(os.path.join(parent, name), 0o644)
        here = copied
    return here, f"{_MODULES}/specparse"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use: seconds, bytes, processes."""

    wall: float = 60  # seconds; the largest kernel spec takes one, more on a busy machine
    cpu: int = 60  # seconds of one process
    memory: int = 2 << 30  # bytes of address space of one process, and of memory of all
    file: int = 512 << 20  # bytes of one file
    processes: int = 400  # of all
    output: int = 128 << 20  # bytes on standard output and standard error
    disk: int = 1 << 30  # bytes in /tmp, which is in memory
    tree: int = 32 << 30  # bytes in each directory that is bound writable


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended: its exit status (negative: a signal), output, and the limit it broke."""

    status: int
    stdout: bytes
    stderr: bytes
    broke: str = ""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """No network, everything read-only but /tmp, no capabilities, few system calls, a user and
    processes of its own.

    ``read_only`` and ``writable`` are (path on this machine, path inside). ``root`` is the system
    that is seen. Without ``confined`` only the limits hold: for a person who says --no-sandbox.
    """

    read_only: tuple[tuple[Path, str], ...] = ()
    writable: tuple[tuple[Path, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    directory: str = "/tmp"
    confined: bool = True
    root: SystemRoot = field(default_factory=SystemRoot)

    def command(self, *program: str, seccomp: int = -1, report: int = -1) -> list[str]:
        """Return the whole command line. Raises SandboxError when a tool of it is missing.

        From the descriptor ``seccomp`` bubblewrap reads the filter of system calls; to ``report``
        it tells that the program has ended.
        """
        limits = self.limits
        limited = [
            "/usr/bin/prlimit" if self.confined else _tool("prlimit", "util-linux"),
            f"--nproc={limits.processes}",
            f"--as={limits.memory}",
            f"--data={limits.memory}",  # srcgit's own limit is for itself
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
            "--disable-userns",
            "--die-with-parent",
            "--new-session",
            "--clearenv",
            "--cap-drop",
            "ALL",
        ]
        if seccomp >= 0:
            words += ["--seccomp", str(seccomp), "--json-status-fd", str(report)]
        if os.uname().nodename != _HOSTNAME:  # in a container that has it, seccomp forbids the call
            words += ["--hostname", _HOSTNAME]
        words += self.root.mounts()
        words += ["--proc", "/proc", "--dev", "/dev", "--size", str(limits.disk), "--tmpfs", "/tmp"]
        for outside, inside in self.writable:
            words += ["--bind", str(outside), inside]
        for outside, inside in self.read_only:
            words += ["--ro-bind", str(outside), inside]
        # Both are in memory and have no size, and so has /dev/shm.
        words += ["--remount-ro", "/dev", "--remount-ro", "/"]
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
        if not self.confined:
            command = self.command(*program)
            process = _started(
                command, env={"PATH": os.defpath, **self.environment}, cwd=self.directory
            )
            return Running(process, self.limits, shlex.join(command), self._watch(process))
        limits, compiled = self.limits, _filter()
        report, reporting = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        filter_ = os.open(compiled, os.O_RDONLY)
        # The kernel counts what is in /tmp as memory.
        cgroup = Cgroup.create(memory=limits.memory + limits.disk, processes=limits.processes)
        try:
            command = self.command(*program, seccomp=filter_, report=reporting)
            # bubblewrap stays as the sandbox's first process: its environment is seen in there.
            process = _started(
                [*cgroup.enter(), *command] if cgroup else command,
                env={"PATH": os.defpath},
                pass_fds=(filter_, reporting),
            )
        except BaseException:
            os.close(report)
            if cgroup:
                cgroup.remove()
            raise
        finally:
            os.close(filter_)
            os.close(reporting)
        by_hand = f"{shlex.join(command)} {filter_}< {shlex.quote(str(compiled))} {reporting}>&2"
        return Running(process, limits, by_hand, self._watch(process), cgroup, report)

    def _watch(self, process: subprocess.Popen[bytes]) -> Watch:
        directories = tuple(outside for outside, _ in self.writable)
        limits = self.limits
        return Watch(process.pid, memory=limits.memory, tree=limits.tree, directories=directories)


class Running:
    """A program in the sandbox, and everything that it started: all of it ends with the context.

    (pid_namespaces(7))
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        limits: Limits,
        command: str,
        watch: Watch,
        cgroup: Cgroup | None = None,
        report: int = -1,
    ) -> None:
        self._process = process
        self._limits = limits
        self._command = command  # to run it by hand
        self._watch = watch
        self._cgroup = cgroup
        self._report = report

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._process:
            _end(self._process)
        if self._cgroup:
            self._cgroup.remove()
        if self._report >= 0:
            os.close(self._report)
            self._report = -1

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
        stdout, stderr = bytearray(), bytearray()
        out = {process.stdout.fileno(): stdout, process.stderr.fileno(): stderr}
        broke, read = "", 0
        look = time.monotonic() + INTERVAL
        with open(os.pidfd_open(process.pid)) as ended, selectors.DefaultSelector() as ready:
            for descriptor in (*out, ended.fileno()):
                ready.register(descriptor, selectors.EVENT_READ)
            while not broke and ready.get_map():  # it may close its pipes and go on
                left = end - time.monotonic()
                if left <= 0:
                    broke = f"{limits.wall:g} seconds"
                for key, _ in ready.select(max(min(left, INTERVAL), 0)):
                    data = os.read(key.fd, 1 << 20) if key.fd in out else b""
                    if not data:
                        ready.unregister(key.fd)
                        continue
                    out[key.fd] += data
                    read += len(data)  # what is taken away counts, too
                    if read > limits.output:
                        broke = f"{limits.output >> 20} MiB of output"
                    if out[key.fd] is stdout:
                        start = time.monotonic()
                        heard(stdout)
                        end += time.monotonic() - start
                if not broke and time.monotonic() >= look:
                    broke = self._watch.broke()
                    look = time.monotonic() + INTERVAL
        if broke:
            _end(process)
        status = process.wait()
        if not broke and self._cgroup and self._cgroup.broke():
            broke = f"{limits.memory >> 20} MiB of memory"
        done = Done(status, bytes(stdout), bytes(stderr), broke)
        if self._report >= 0 and status > 0 and not broke and not self._reported():
            said = (done.stderr.decode("utf-8", "replace").splitlines() or ["no word"])[0]
            cause, step = sandbox_refusal.explain(said)
            raise SandboxError(
                f"the sandbox cannot be had: {cause or said}",
                next_step=f"{step and f'{step}, or '}run by hand to see why: {self._command}",
            )
        return done

    def _reported(self) -> bool:
        """Whether bubblewrap got as far as starting the program: only then it reports its end."""
        with contextlib.suppress(BlockingIOError):
            return b'"exit-code"' in os.read(self._report, 1 << 12)
        return False


def _started(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, **options
        )
    except OSError as error:
        raise SandboxError(
            f"the sandbox cannot be started: {error.strerror}", next_step="install bubblewrap"
        ) from error
    assert process.stdout
    with contextlib.suppress(OSError):  # a user may have only so much of it
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()


def _filter() -> Path:
    machine = os.uname().machine
    found = seccomp.compiled(machine)
    if found is None:
        raise SandboxError(
            f"there is no filter of system calls for {machine}",
            next_step="compile one: python -m tests.specparse.seccomp",
        )
    return found


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
