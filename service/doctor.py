"""Which machine is it: what srcgit finds on it, what is missing for which command, what to do."""

from __future__ import annotations

import json
import platform
import re
import shutil
import socket
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from converter import VERSION
from converter.errors import SrcgitError
from converter.git import Git, GitFailed
from service.config import Config
from service.machine import ROOM, troubles, unwritable
from specparse.plan import SandboxError
from specparse.sandbox import PYTHON, Sandbox
from specparse.system_root import SystemRoot

State = Literal["ok", "warning", "missing"]

MAIN = ("plan", "convert", "verify", "export", "listen")  # what needs a sandbox and git
SERVICE = ("listen",)
OLDEST = {"git": (2, 30), "rpm": (4, 16), "bubblewrap": (0, 8)}
LIBRARIES = (
    *("pygit2", "GitPython", "click", "SQLAlchemy", "psycopg", "fedora-messaging", "koji"),
    *("starlette", "uvicorn", "prometheus-client", "structlog", "rich", "tenacity"),
)
PATIENCE = 5.0  # seconds for a broker
# What a sandbox is asked to run: it tells the versions that specs are read with.
_PROBE = """\
import json, subprocess, sys
def first(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]
    except (OSError, IndexError):
        return ""
try:
    import rpm
    told = rpm.__version__
except ImportError as error:
    told = ""
json.dump({
    "python": sys.version.split()[0], "rpm": told, "rpmbuild": first("rpmbuild", "--version"),
    "patch": first("patch", "--version"), "git": first("git", "--version"),
}, sys.stdout)
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``stops`` are the commands that do not work for it."""

    name: str
    state: State
    found: str
    stops: tuple[str, ...] = ()
    do: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return an entry of ``doctor --json``."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """Yield what a person reads."""
        yield f"{self.state:8} {self.name:12} {self.found}"
        if self.stops and self.state != "ok":
            yield (
                f"{'':22}{'not working' if self.state == 'missing' else 'affected'}: "
                + ", ".join(self.stops)
            )
        if self.do:
            yield f"{'':22}{self.do}"


def versions() -> dict[str, str]:
    """Return the versions that a bug report names; nothing is started but git and bubblewrap."""
    found = {"srcgit": VERSION, "python": platform.python_version(), "system": _system()}
    found["kernel"] = platform.release()
    for name, command in (("rpm", "rpm"), ("git", "git"), ("bubblewrap", "bwrap")):
        found[name] = _of_program(command) or "not found"
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not found"
    return found


def examine(config: Config, path: Path | None) -> list[Finding]:
    """Return what is found on this machine; ``path`` is the configuration file, if there is one.

    With a file, the parts of the daemon are looked at as well: broker, journal, Koji's hub.
    """
    looks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        _git,
        lambda: _sandbox(config),
        _cgroups,
        lambda: _state(config),
    ]
    if path is not None:
        looks += [lambda: _journal(config), lambda: _broker(path), lambda: _hub(config)]
    return [finding for look in looks for finding in look()]


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


def _install(fedora: str, debian: str = "") -> str:
    """Return the command that installs packages on a system of this kind."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    kinds = {release.get("ID"), *release.get("ID_LIKE", "").split()}
    return f"apt install {debian or fedora}" if "debian" in kinds else f"dnf install {fedora}"


def _of_program(name: str) -> str:
    """Return the version that a program of this machine tells, or nothing."""
    if name == "git":
        try:
            said = Git().run("--version").stdout.decode("utf-8", "replace")
        except (GitFailed, SrcgitError):
            return ""
    else:
        path = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
        if path is None:
            return ""
        try:
            said = Sandbox(confined=False, directory="/").run(path, "--version").stdout.decode()
        except SandboxError:
            return ""
    found = re.search(r"[0-9]+(?:\.[0-9]+)+", said)
    return found[0] if found else ""


def _is_older(found: str, oldest: tuple[int, int]) -> bool:
    return tuple(map(int, re.findall(r"[0-9]+", found)[:2])) < oldest


def _python() -> Iterator[Finding]:
    found = f"{platform.python_version()} ({sys.executable}) on {_system()}"
    yield Finding("Python", "ok", found)


def _git() -> Iterator[Finding]:
    found = _of_program("git")
    if not found:
        yield Finding("git", "missing", "not found", MAIN, _install("git-core", "git"))
    elif _is_older(found, OLDEST["git"]):
        yield Finding("git", "missing", found, MAIN, "install git 2.30 or newer")
    else:
        yield Finding("git", "ok", found)


def _sandbox(config: Config) -> Iterator[Finding]:
    """Ask the sandbox itself: it runs a program, or says why not."""
    found = _of_program("bwrap")
    if not found:
        yield Finding("bubblewrap", "missing", "not found", MAIN, _install("bubblewrap"))
        return
    yield Finding("bubblewrap", "ok", found)
    yield from _asked("sandbox", SystemRoot(), MAIN)
    for dist, root in sorted(config.roots.items()):
        yield from _asked(f"root {dist}", SystemRoot(root), (f"builds of {dist}",))


def _asked(name: str, root: SystemRoot, stops: tuple[str, ...]) -> Iterator[Finding]:
    try:
        done = Sandbox(root=root).run(PYTHON, "-I", "-c", _PROBE)
        told = json.loads(done.stdout)
    except SandboxError as error:
        yield Finding(name, "missing", error.what, stops, error.next_step)
        return
    except ValueError:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"{done.status}"]
        yield Finding(name, "missing", f"a program fails in it: {said[-1]}", stops)
        return
    where = "" if root.directory == Path("/") else f" of {root.directory}"
    yield Finding(name, "ok", f"a program runs in it (user namespaces, seccomp){where}")
    rpm, python = told["rpm"], told["python"]
    if not rpm:
        yield Finding(
            f"rpm{where}",
            "missing",
            f"{PYTHON} ({python}) has no rpm binding",
            stops,
            _install("python3-rpm rpm-build", "python3-rpm rpm"),
        )
    elif _is_older(rpm, OLDEST["rpm"]):
        yield Finding(f"rpm{where}", "missing", rpm, stops, "install rpm 4.16 or newer")
    else:
        yield Finding(f"rpm{where}", "ok", f"{rpm}, read by Python {python}")
    for tool, needed in (("rpmbuild", ("verify",)), ("patch", ("verify",))):
        if not told[tool]:
            do = _install("rpm-build", "rpm") if tool == "rpmbuild" else _install(tool)
            yield Finding(f"{tool}{where}", "warning", "not found", needed, do)


def _cgroups() -> Iterator[Finding]:
    from specparse.resource_watch import Cgroup

    cgroup = Cgroup.create(memory=1 << 30, processes=100)
    if cgroup is None:
        yield Finding(
            "cgroup",
            "warning",
            "none is delegated: memory of a sandbox is watched, a few times a second",
            do="as a service: Delegate=yes; by hand: systemd-run --user --scope -p Delegate=yes",
        )
        return
    cgroup.remove()
    yield Finding("cgroup", "ok", "bounds a sandbox as a whole")


def _state(config: Config) -> Iterator[Finding]:
    """The directories that are written: mirrors, repositories."""
    for path in dict.fromkeys((config.state, *(p.repo.parent for p in config.packages.values()))):
        there = next(each for each in (path, *path.parents) if each.exists())
        if told := [*unwritable(there)]:
            yield Finding(
                "state", "missing", told[0], ("convert", "listen"), "set state, or --repo"
            )
            continue
        free = shutil.disk_usage(there).free
        room = f"{path}, {free / 2**30:.1f} GiB free"
        if free < ROOM:
            yield Finding("state", "missing", room, ("convert", "listen"), "make room")
        elif free < 10 << 30:
            yield Finding(
                "state", "warning", room, ("convert",), "a mirror of Linux takes some 6 GiB"
            )
        else:
            yield Finding("state", "ok", room)


def _journal(config: Config) -> Iterator[Finding]:
    from service.journal import Journal

    try:
        journal = Journal(config.journal)
    except SrcgitError as error:
        yield Finding(
            "journal", "missing", f"{error.what} [{error.where}]", SERVICE, error.next_step
        )
        return
    try:
        wrong = troubles(config, journal)
        rows = sum(journal.counts().values())
    except SrcgitError as error:
        yield Finding(
            "journal", "missing", f"{error.what} [{error.where}]", SERVICE, error.next_step
        )
        return
    finally:
        journal.close()
    yield Finding("journal", "ok", f"{rows} builds")
    for trouble in wrong:
        yield Finding("repositories", "missing", trouble, SERVICE, "srcgit status tells more")


def _broker(path: Path) -> Iterator[Finding]:
    """Whether somebody listens there; who may log in, `srcgit listen` finds out."""
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    url = document.get("amqp_url", "amqp://?connection_attempts=3&retry_delay=5")
    parts = urlsplit(str(url))
    host, secure = unquote(parts.hostname or "localhost"), parts.scheme == "amqps"
    try:
        port = parts.port or (5671 if secure else 5672)
        socket.create_connection((host, port), PATIENCE).close()
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        yield Finding(
            "broker",
            "missing",
            f"{host}: {told}",
            SERVICE,
            "see amqp_url in the configuration, the network and the broker",
        )
        return
    yield Finding("broker", "ok", f"{host}:{port} takes connections")


def _hub(config: Config) -> Iterator[Finding]:
    from service.koji import Koji

    try:
        Koji(config.koji, timeout=10, attempts=1).answers()
    except SrcgitError as error:
        yield Finding(
            "hub", "missing", error.what, ("listen", "backfill", "status"), error.next_step
        )
        return
    yield Finding("hub", "ok", config.koji)
