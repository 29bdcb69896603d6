"""``make test-systems``: the tests on other systems: Debian's releases, in roots made by debootstrap.

    python3 -m tests.systems [--shape ci|all] [--cache DIR] [--minutes N] [SYSTEM...]

A root is made once and kept; it is made anew after two weeks (sid moves), and its venv when
pyproject.toml or .ci/install change. Each run copies the checkout (HEAD and the working tree) into
the root, to /root/srcgit and to a 0700 home of an ordinary user, and has an empty environment.
A system that cannot be had (mirrors, a broken sid) is named and not tested; tests that fail, fail.
Root only: the roots are entered by pivot_root, since a chroot forbids user namespaces. Needs
debootstrap and git, and nothing of the venv.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
MIRROR = "http://deb.debian.org/debian"
KEPT_FOR = 14 * 86400
HALF_AN_HOUR = 1800
SLOW = 124  # timeout(1)'s: a test that hangs ends by itself, so the machine is too busy
USER, UID = "tester", 1234
VENV = "/opt/srcgit-venv"
VENV_OF = ("pyproject.toml", ".ci/install", "converter/__init__.py")
# What makes the mirrors and registries reachable here makes them reachable in there.
NETWORK = ("etc/apt/apt.conf.d", "etc/pip.conf", "etc/resolv.conf", "etc/hosts", "etc/ssl/certs")
NETWORK_VARIABLES = {"http_proxy", "https_proxy", "no_proxy", "all_proxy"}

# What depends on rpm, git and Python, and on no service.
PARTS = """
tests/specparse tests/packages tests/oracle tests/test_documents.py tests/test_seal.py
tests/converter/test_git.py tests/converter/test_mail.py tests/converter/test_pkggit.py
tests/converter/test_verify.py tests/converter/test_convert_verify.py
tests/converter/test_with_prep.py tests/service/test_cli.py tests/service/test_cli_archives.py
tests/service/test_cli_bases.py tests/service/test_cli_series.py tests/service/test_cli_verify.py
tests/service/test_srpm.py tests/service/test_terminal.py
"""
EVERYTHING = "tests"


@dataclass(frozen=True)
class Step:
    """What is run in a system: ``tests``, as root in /root or as a user in a 0700 home."""

    system: str
    user: str
    tests: str

    def __str__(self) -> str:
        what = "the whole suite" if self.tests == EVERYTHING else "what depends on the system"
        return f"{self.system}, as {self.user}: {what}"


SHAPES = {
    "ci": [
        Step("trixie", USER, PARTS),
        Step("sid", "root", PARTS),
    ],
    "all": [
        Step(system, user, EVERYTHING)
        for system in ("bookworm", "trixie", "sid")
        for user in ("root", USER)
    ],
}

ENTER = """
set -e
mount --bind "$R" "$R"
mount -t proc proc "$R/proc"
mount -t sysfs sys "$R/sys"
mount --rbind /dev "$R/dev"
mkdir -p "$R/.old"
cd "$R"
pivot_root . .old
cd /
umount -l /.old
exec env -i $VARIABLES "$@"
"""
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


# One cell each of docs/systems.md.
VERSIONS = r"""
of() { "$@" 2>&1 | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1; }
. /etc/os-release
printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$PRETTY_NAME" "$(of rpm --version)" \
    "$(of git --version)" "$(of /usr/bin/python3 --version)" "$(of patch --version)" \
    "$(of bwrap --version)" "$(date +%F)"
"""


class Unavailable(Exception):
    """A system that cannot be had here and now; the text says why."""


@dataclass
class System:
    """A root of one of Debian's suites below ``cache``."""

    suite: str
    cache: Path
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.path = self.cache / self.suite
        self.log = self.cache / f"{self.suite}.log"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One run at a time. Raises Unavailable after half an hour."""
        with open(self.cache / f"{self.suite}.lock", "w") as lock:
            until = time.monotonic() + HALF_AN_HOUR
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise Unavailable("another run has had it for half an hour") from None
                    time.sleep(1)
            yield

    def prepare(self, mirror: str) -> None:
        """Make the root and its venv, where they are not there yet. Raises Unavailable."""
        made = self.path / "made"
        if not made.exists() or time.time() - made.stat().st_mtime > KEPT_FOR:
            try:
                self._make(mirror)
            except Unavailable as error:
                if not made.exists():
                    raise
                say(f"{self.suite}: {error}; its root of {time.ctime(made.stat().st_mtime)} serves")
        wanted = hashlib.sha256(b"\0".join((ROOT / name).read_bytes() for name in VENV_OF))
        stamp = self.path / "venv-of"
        if not stamp.exists() or stamp.read_text() != wanted.hexdigest():
            stamp.unlink(missing_ok=True)
            self.copy("root")
            mend = "dpkg --configure -a"  # an installation that was cut off
            tries(
                f"{self.suite}: installing srcgit's packages",
                lambda: self.run(
                    "root", f"{mend}; CFLAGS=-O0 .ci/install {VENV} test", log=self.log
                ),
            )
            stamp.write_text(wanted.hexdigest())

    def _make(self, mirror: str) -> None:
        new = self.cache / f"{self.suite}.new"
        include = "--include=git,make,ca-certificates"

        def debootstrap() -> int:
            shutil.rmtree(new, ignore_errors=True)
            command = ["debootstrap", "--variant=minbase", include, self.suite, str(new), mirror]
            with open(self.log, "wb") as log:
                return subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
                ).returncode

        tries(f"{self.suite}: debootstrap", debootstrap)
        (new / "etc/dpkg/dpkg.cfg.d/unsafe-io").write_text("force-unsafe-io\n")  # many times faster
        for name in NETWORK:
            source, target = Path("/", name), new / name
            if source.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cp", "-rLn", f"{source}/.", str(target)], check=False)
            elif source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        bundle = "etc/ssl/certs/ca-certificates.crt"
        if Path("/", bundle).exists():
            shutil.copyfile(Path("/", bundle), new / bundle)
        with open(new / "etc/passwd", "a") as users, open(new / "etc/group", "a") as groups:
            users.write(f"{USER}:x:{UID}:{UID}::{home(USER)}:/bin/bash\n")
            groups.write(f"{USER}:x:{UID}:\n")
        (new / "made").touch()
        shutil.rmtree(self.path, ignore_errors=True)
        new.rename(self.path)

    def copy(self, user: str) -> None:
        """Give ``user`` a copy of the checkout, as a fresh clone with what is not committed yet."""
        for left in (self.path / "root", self.path / "home", self.path / "tmp"):
            shutil.rmtree(left, ignore_errors=True)
            left.mkdir()
        (self.path / "tmp").chmod(0o1777)
        (self.path / "root").chmod(0o700)
        place = self.path / home(user).lstrip("/")
        place.mkdir(exist_ok=True)
        copy = place / "srcgit"
        git = ["git", "-c", "safe.directory=*", "-c", "core.hooksPath=/dev/null"]
        subprocess.run(
            [*git, "clone", "--quiet", "--no-local", f"file://{ROOT}", str(copy)], check=True
        )
        listed = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout
        there = [
            name for name in names.split(b"\0") if name and (ROOT / os.fsdecode(name)).exists()
        ]
        for name in set(names.split(b"\0")) - set(there) - {b""}:
            (copy / os.fsdecode(name)).unlink(missing_ok=True)
        tar = ["tar", "-C", str(ROOT), "--null", "--no-recursion", "-T", "-", "-cf", "-"]
        data = subprocess.run(tar, input=b"\0".join(there), check=True, capture_output=True)
        subprocess.run(["tar", "-C", str(copy), "-xf", "-"], input=data.stdout, check=True)
        (copy / ".venv").symlink_to(VENV)
        # What pip has built stays, as in a home that is used.
        cache = self.path / f"var/cache/pip-{user}"
        cache.mkdir(exist_ok=True)
        (place / ".cache").mkdir()
        (place / ".cache/pip").symlink_to(f"/{cache.relative_to(self.path)}")
        place.chmod(0o700)
        owner = "0:0" if user == "root" else f"{UID}:{UID}"
        subprocess.run(["chown", "-hR", owner, str(place), str(cache)], check=True)

    def run(
        self,
        user: str,
        command: str,
        *,
        place: str = "",
        log: Path | None = None,
        limit: int = HALF_AN_HOUR,
    ) -> int:
        """Run a shell's ``command`` in the copy, in an empty environment; return its status.

        The copy is that of ``user``, or of the user ``place``.

        Its output is this process's, or ``log``'s. It ends, and all its children, after ``limit``
        seconds.
        """
        become = []
        if user != "root":
            become = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"]
        shell = ["sh", "-c", f"cd {home(place or user)}/srcgit && {command}"]
        inherited = [f"{k}={v}" for k, v in os.environ.items() if k.lower() in NETWORK_VARIABLES]
        variables = [PATH, f"HOME={home(user)}", *inherited]
        # A pid namespace of its own: what the command leaves running ends with it.
        unshare = ["unshare", "-m", "-p", "-f", "--kill-child", "--propagation", "private"]
        enter = ENTER.replace("$VARIABLES", shlex.join(variables))
        with open(log or os.devnull, "ab") as output:
            process = subprocess.Popen(
                [*unshare, "sh", "-c", enter, "sh", *become, *shell],
                env={"PATH": PATH.removeprefix("PATH="), "R": str(self.path)},
                stdin=subprocess.DEVNULL,
                stdout=output if log else None,
                stderr=subprocess.STDOUT if log else None,
            )
            try:
                return process.wait(limit)
            except subprocess.TimeoutExpired:
                say(f"{self.suite}: killed after {limit // 60} minutes")
                return SLOW
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()

    def versions(self) -> str:
        """Return what is installed there, as a row of docs/systems.md begins."""
        log = self.cache / f"{self.suite}.versions"
        log.unlink(missing_ok=True)
        self.run("root", VERSIONS, log=log)
        return log.read_text().strip()


def home(user: str) -> str:
    return "/root" if user == "root" else f"/home/{user}"


def say(text: str) -> None:
    print(f"test-systems: {text}", flush=True)


def tries(what: str, attempt: object) -> None:
    """Call ``attempt`` until it returns 0, three times. Raises Unavailable."""
    assert callable(attempt)
    for pause in (10, 60, None):
        say(what)
        status = attempt()
        if status == 0:
            return
        if pause is not None:
            say(f"{what}: status {status}; again in {pause} seconds")
            time.sleep(pause)
    raise Unavailable(f"{what} failed three times")


def test(system: System, step: Step) -> int:
    """Run make demo and make test as ``step`` says; return the status."""
    system.copy(step.user)
    stamps = f"touch {VENV}/.installed {VENV}/.installed-tests"
    install = f".ci/install {VENV} test && {stamps} && chown -hR {step.user}: ."
    if status := system.run("root", install, place=step.user, log=system.log):
        return status
    tested = shlex.quote(" ".join(step.tests.split()))
    # Interrupted, pytest says what failed so far.
    limited = f"timeout -s INT -k 120 {HALF_AN_HOUR} make test TESTED={tested}"
    return system.run(step.user, f"make demo >/dev/null && {limited}", limit=2 * HALF_AN_HOUR)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="all")
    parser.add_argument("--cache", type=Path, default=Path("/var/cache/srcgit-systems"))
    parser.add_argument("--mirror", default=MIRROR)
    parser.add_argument("--minutes", type=int, default=0, help="begin no system after so long")
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help="bookworm, trixie, sid")
    parser.add_argument("--row", action="store_true", help="print this host's row and end")
    asked = parser.parse_args()
    if asked.row:
        return subprocess.run(["sh", "-c", VERSIONS], check=False).returncode
    if os.getuid():
        sys.exit("test-systems: only root may enter roots by pivot_root; run it as root")
    if not shutil.which("debootstrap", path=PATH):
        sys.exit("test-systems: install debootstrap")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what runs in a root ends with us
    asked.cache.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    steps = [s for s in SHAPES[asked.shape] if not asked.systems or s.system in asked.systems]
    failed, untested = [], []
    for step in steps:
        if asked.minutes and time.monotonic() - begun > asked.minutes * 60:
            untested.append(f"{step}: no time left")
            continue
        system = System(step.system, asked.cache)
        try:
            with system.locked():
                start = time.monotonic()
                system.prepare(asked.mirror)
                say(f"{step}; {system.versions()}; ready after {time.monotonic() - start:.0f} s")
                start = time.monotonic()
                status = test(system, step)
                say(f"{step}: status {status}, {time.monotonic() - start:.0f} s")
                if status == SLOW:
                    untested.append(f"{step}: not done within half an hour")
                elif status:
                    failed.append(f"{step}: status {status}")
        except Unavailable as error:
            untested.append(f"{step}: {error} (see {system.log})")
    for line in untested:
        say(f"NOT TESTED: {line}")
    for line in failed:
        say(f"FAILED: {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
