"""An empty Debian machine with a real systemd, booted here by systemd-nspawn, thrown away after.

The root is made once by debootstrap (and kept in /var/tmp): minbase, python3, systemd, and the
packages that the role lists, read from the role itself, because the machine has no way out: its
network is its own. What the role forgets to list is missing. Each boot gets an overlay in memory.
Needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import yaml

T = TypeVar("T")
ROLE = Path(__file__).parents[2] / "ansible/roles/srcgit"
CACHE = Path("/var/tmp/srcgit-converge")
SUITE = "bookworm"
EMPTY = ["python3", "python3-apt", "systemd", "systemd-sysv", "dbus", "ca-certificates"]
# Not the role's work, but needed in there: the services that a site has.
OTHERS = ["openssh-server", "postgresql", "rabbitmq-server"]
SERVICES = ["epmd.socket", "postgresql.service", "rabbitmq-server.service", "ssh.service"]
# Started by the role, by the test, or not at all.
DISABLED = ["nginx.service", "fcgiwrap.socket", "epmd.service", *SERVICES]
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLONE_NEWNET = 0x40000000


def packages() -> list[str]:
    """Return what the role would install on this distribution."""
    lists = yaml.safe_load((ROLE / "vars/Debian.yml").read_text())
    named = ("__srcgit_packages", "__srcgit_venv_packages", "__srcgit_nginx_packages")
    return sorted({package for name in named for package in lists[name]})


def empty() -> Path:
    """Return the root of a machine with nothing on it, made when it is not there yet."""
    return _kept("empty", EMPTY, _debootstrap)


def root() -> Path:
    """Return the same with the packages that the role would install."""

    def install(new: Path) -> None:
        _run("cp", "-a", "--reflink=auto", str(empty()), str(new))
        policy = new / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")  # start nothing while installing
        policy.chmod(0o755)
        _inside(new, "apt-get", "-qq", "install", "--no-install-recommends", *packages(), *OTHERS)
        _inside(new, "apt-get", "clean")
        policy.unlink()
        _run("systemctl", f"--root={new}", "disable", "-q", *DISABLED)

    return _kept("root", EMPTY + packages() + OTHERS + DISABLED, install)


def _debootstrap(new: Path) -> None:
    include = f"--include={','.join(EMPTY)}"
    _run("debootstrap", "--variant=minbase", include, SUITE, str(new))
    for name in ("/etc/apt/apt.conf.d", "/etc/apt/sources.list.d", "/etc/resolv.conf"):
        _run("cp", "-rL", "--", name, str((new / name.lstrip("/")).parent))
    (new / "etc/apt/sources.list").unlink(missing_ok=True)
    (new / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")  # an installer's work
    _inside(new, "apt-get", "-qq", "update")
    _run(
        "systemctl", f"--root={new}", "disable", "-q", "apt-daily.timer", "apt-daily-upgrade.timer"
    )


def _kept(kind: str, asked: Sequence[str], make: Callable[[Path], None]) -> Path:
    """Return the directory made of ``asked``, from the cache or anew, then without older ones."""
    path = CACHE / f"{kind}-{hashlib.sha256(' '.join(asked).encode()).hexdigest()[:12]}"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        for old in CACHE.glob(f"{kind}[-.]*"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        new = CACHE / f"{kind}.new"
        make(new)
        new.rename(path)
    return path


def _inside(root: Path, *command: str) -> None:
    """Run a command in ``root``, where this system's TMPDIR and the like mean nothing."""
    _run("chroot", str(root), "env", "-i", PATH, "DEBIAN_FRONTEND=noninteractive", *command)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


class Machine:
    """A booted machine: commands run in it as root, threads and processes in its network."""

    def __init__(self, root: Path, *binds: Path, beside: Machine | None = None) -> None:
        """Boot ``root``; ``binds`` are seen inside, read-only, at the same paths.

        A machine ``beside`` another shares its network, and nothing else: what listens on localhost
        there is reached on localhost here.
        """
        mounts = [f"--bind-ro={path}" for path in binds]
        network = "--private-network"
        if beside:
            network = f"--network-namespace-path=/proc/{beside.pid}/ns/net"
        # A /run of its own, or nspawn registers with a systemd that is not there.
        boot = 'mount -t tmpfs tmpfs /run && exec systemd-nspawn "$@"'
        name = "srcgit-beside" if beside else "srcgit-converge"
        nspawn = ["--quiet", "--boot", "--register=no", "--keep-unit", network]
        nspawn += ["--volatile=overlay", f"--directory={root}", f"--hostname={name}"]
        self._log = open(CACHE / f"{root.name}-{name}.log", "wb")  # noqa: SIM115
        self._nspawn = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", boot, "sh", *nspawn, *mounts],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._others: list[subprocess.Popen[bytes]] = []
        self.pid: int = 0
        try:
            self.pid = int(until(self._first, 20))
            until(lambda: self.run("systemctl", "is-system-running").strip() == "running", 60)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for process in self._others:
            os.killpg(process.pid, signal.SIGKILL)  # `git daemon` is a child of git
            process.wait()
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)  # pid 1 of its namespace: all others go with it
        self._nspawn.kill()
        self._nspawn.wait()
        self._log.close()

    def _first(self) -> str:
        """Return the id of the machine's systemd, once it is there; other children of nspawn pass."""
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        for child in children.read_text().split():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    return child
        return ""

    @property
    def enter(self) -> Sequence[str]:
        """The words before a command that make it one of the machine's own."""
        clean = ["env", "-i", PATH]
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"]
        return ["nsenter", f"--target={self.pid}", *spaces, "--", *clean, "HOME=/root"]

    def run(self, *command: str, ok: bool = False, timeout: float = 120) -> str:
        """Run a command inside; return its output. With ``ok``, a failure fails the test."""
        done = subprocess.run(
            [*self.enter, *command], capture_output=True, text=True, check=False, timeout=timeout
        )
        assert not ok or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file inside, readable by all, its directory made where there is none."""
        script = 'mkdir -p "$(dirname "$1")" && cat > "$1" && chmod 644 "$1"'
        command = [*self.enter, "sh", "-c", script, "sh", path]
        subprocess.run(command, input=text, text=True, check=True)

    def here(self, function: Callable[[], T]) -> T:
        """Call ``function`` in a thread that sees the machine's network and this one's files."""
        answers: list[T] = []

        def call() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/proc/{self.pid}/ns/net") as space:
                assert libc.setns(space.fileno(), CLONE_NEWNET) == 0
            answers.append(function())

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        assert answers, "the function failed: see the thread's traceback"
        return answers[0]

    def serve(self, *command: str, **environment: str) -> None:
        """Start a program of this system in the machine's network, until the machine is closed."""
        self._others.append(self._in_network(command, environment))

    def ask(self, *command: str, **environment: str) -> None:
        """Run a program of this system in the machine's network, to its end."""
        assert self._in_network(command, environment).wait(60) == 0

    def _in_network(
        self, command: Sequence[str], environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        network = ["nsenter", f"--target={self.pid}", "--net", "--"]
        environ = {**os.environ, **environment}
        return subprocess.Popen([*network, *command], env=environ, start_new_session=True)


def until(condition: Callable[[], Any], seconds: float) -> Any:
    """Return the first true answer of ``condition``; fail when there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:g} seconds")
