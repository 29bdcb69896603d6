"""The sandbox itself: what it lets in, what it lets out, and when it ends things."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from specparse import sandbox_refusal
from specparse.plan import SandboxError
from specparse.sandbox import Limits, Sandbox

ROOT = Path(__file__).parents[2]


def sh(script: str, **more: object) -> tuple[int, bytes]:
    done = Sandbox(**more).run("/usr/bin/bash", "-c", script)  # type: ignore[arg-type]
    return done.status, done.stdout


def test_only_what_is_bound_is_there(package: Path) -> None:
    (package / "file").write_text("x")
    seen = sh(
        "ls /; ls /in; ls -A /tmp /home /root /etc/shadow 2>&1", read_only=((package, "/in"),)
    )[1]
    assert b"file" in seen
    assert b"srcgit" not in seen
    assert b"No such file" in seen
    assert not {b"work", b"var", b"boot"} & set(seen.split())


def test_read_only_is_read_only_and_writable_is_not(package: Path) -> None:
    for name in ("in", "out"):
        (package / name).mkdir()
    (package / "out").chmod(0o777)
    box = Sandbox(read_only=((package / "in", "/in"),), writable=((package / "out", "/tmp/out"),))
    done = box.run("/usr/bin/bash", "-c", "touch /in/x /usr/x /x; touch /tmp/out/y; id -u; umask")
    assert not os.listdir(package / "in")
    assert os.listdir(package / "out") == ["y"]
    assert done.stdout.split()[0] != b"0"


def test_no_network_no_capabilities_another_host_name() -> None:
    said = sh(
        "cat /proc/net/dev | tail -n +3 | wc -l; grep CapEff /proc/self/status; hostname; ls /proc | grep -c '^[0-9]'"
    )[1].split()
    assert int(said[0]) <= 1  # lo
    assert said[2] == b"0000000000000000"
    assert said[3] == b"srcgit"
    assert int(said[4]) < 10


def test_a_container_of_that_name_is_not_asked_to_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """podman's seccomp filter has no sethostname; bwrap would end there."""
    assert "--hostname" in Sandbox().command("true")
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename="srcgit"))
    assert "--hostname" not in Sandbox().command("true")


@pytest.mark.parametrize(
    "script, limits",
    [
        ("sleep 100", Limits(wall=1)),
        ("trap '' TERM INT HUP; while :; do :; done", Limits(wall=1)),
        ("setsid sleep 100 & exec sleep 100", Limits(wall=1)),
        ("yes", Limits(output=1 << 20)),
    ],
    ids=["sleep", "deaf", "own session", "output"],
)  # fmt: skip
def test_limits_end_it(script: str, limits: Limits) -> None:
    start = time.monotonic()
    done = Sandbox(limits=limits).run("/usr/bin/bash", "-c", script)
    assert done.broke
    assert time.monotonic() - start < 60


def test_a_full_disk_and_a_large_file_are_refused() -> None:
    few = Limits(disk=1 << 20, file=1 << 16)
    status, _ = sh("head -c 100000 /dev/zero > /tmp/large", limits=few)
    assert status != 0
    status, _ = sh(
        "for i in $(seq 40); do head -c 60000 /dev/zero > /tmp/f$i || exit 7; done", limits=few
    )
    assert status == 7


def test_a_missing_directory_is_a_word_about_the_sandbox() -> None:
    with pytest.raises(SandboxError) as caught:
        Sandbox(read_only=((Path("/no/such/place"), "/in"),)).run("/usr/bin/true")
    assert "bwrap" in caught.value.what
    assert "run by hand" in caught.value.next_step


def test_a_missing_bubblewrap_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specparse.sandbox.shutil.which", lambda *_, **__: None)
    with pytest.raises(SandboxError) as caught:
        Sandbox().run("/usr/bin/true")
    assert "install the package" in caught.value.next_step


def test_what_is_heard_is_no_output_and_hearing_does_not_count() -> None:
    heard: list[bytes] = []

    def hear(printed: bytearray) -> None:
        while len(heard) < 2 and b"\n" in printed:
            line, _, rest = bytes(printed).partition(b"\n")
            heard.append(line)
            printed[:] = rest
            time.sleep(2)

    program = "read word; echo one; sleep 0.1; echo $word; echo three"
    with Sandbox(limits=Limits(wall=2)).start("/bin/sh", "-c", program) as running:
        running.give(b"2\n")
        done = running.done(hear)
    assert heard == [b"one", b"2"]
    assert (done.stdout, done.broke) == (b"three\n", "")


def test_nothing_of_the_caller_is_in_its_first_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRCGIT_SECRET", "hunter2")
    status, seen = sh("cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'; true")
    assert status == 0
    assert b"PATH=" in seen
    assert b"hunter2" not in seen


@pytest.mark.parametrize(
    "place", ["/", "/dev", "/dev/shm", "/etc", "/srcgit", "/run", "/proc", "/usr"]
)
def test_only_tmp_can_be_written(place: str, package: Path) -> None:
    status, _ = sh(f"touch {place}/x || mkdir {place}/y", read_only=((package, "/srcgit/in"),))
    assert status != 0


@pytest.mark.parametrize(
    "hog",
    [
        "x = bytearray(150 << 20)",  # of its own
        "import mmap; x = mmap.mmap(-1, 150 << 20); [x.write(bytes(1 << 20)) for _ in range(150)]",  # shared
    ],
)
def test_memory_is_limited_for_all_processes_together(hog: str) -> None:
    few = Limits(memory=300 << 20)
    program = (
        f"for n in 1 2 3; do /usr/bin/python3 -c '{hog}; import time; time.sleep(30)' & done; wait"
    )
    done = Sandbox(limits=few).run("/usr/bin/bash", "-c", program)
    assert done.broke == "300 MiB of memory"


def test_what_closes_its_output_is_looked_after_all_the_same() -> None:
    few = Limits(memory=100 << 20, wall=30)
    hog = "exec >&- 2>&-; for n in 1 2; do /usr/bin/python3 -c 'x = bytearray(70 << 20); import time; time.sleep(25)' & done; wait"
    assert Sandbox(limits=few).run("/usr/bin/bash", "-c", hog).broke == "100 MiB of memory"
    done = Sandbox(limits=Limits(wall=1)).run("/usr/bin/bash", "-c", "exec >&- 2>&-; sleep 100")
    assert done.broke == "1 seconds"


def test_a_directory_that_is_bound_has_a_limit(package: Path) -> None:
    package.chmod(0o777)
    box = Sandbox(writable=((package, "/out"),), limits=Limits(tree=10 << 20, file=8 << 20))
    fill = "for n in $(seq 40); do head -c 4M /dev/urandom > /out/$n; sleep 0.2; done"
    assert box.run("/usr/bin/bash", "-c", fill).broke == "10 MiB of disk"


def test_a_spec_cannot_speak_in_bubblewraps_name() -> None:
    """Else it would be this machine that is at fault, and the daemon would stop for it."""
    done = Sandbox().run("/usr/bin/bash", "-c", "echo 'bwrap: no namespaces' >&2; exit 1")
    assert (done.status, done.stderr) == (1, b"bwrap: no namespaces\n")


@pytest.mark.parametrize(
    ("said", "settings", "cause", "step"),
    [
        (
            "bwrap: No permissions to create new namespace, likely because the kernel does not allow "
            "non-privileged user namespaces.",
            {"user/max_user_namespaces": "0"},
            "user.max_user_namespaces is 0",
            "sysctl",
        ),
        (
            "bwrap: setting up uid map: Permission denied",
            {"kernel/apparmor_restrict_unprivileged_userns": "1"},
            "apparmor_restrict_unprivileged_userns is 1",
            "AppArmor",
        ),
        (
            "bwrap: Creating new namespace failed: Operation not permitted",
            {},
            "forbidden here",
            "allow",
        ),
        (
            "bwrap: Can't mount proc on /newroot/proc: Operation not permitted",
            {},
            "/proc",
            "unmask",
        ),
        ("bwrap: Unknown option --disable-userns", {}, "--disable-userns", "0.8 or newer"),
        (
            "bwrap: Can't find source path /root/x/specparse: Permission denied",
            {},
            "cannot reach /root/x/specparse",
            "TMPDIR",
        ),
        ("bwrap: something else", {}, "", ""),
    ],
)
def test_the_cause_is_told(
    said: str,
    settings: dict[str, str],
    cause: str,
    step: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in settings.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    monkeypatch.setattr(sandbox_refusal, "_SYSCTL", tmp_path)
    monkeypatch.setattr(sandbox_refusal, "_CONTAINER", ())
    told = sandbox_refusal.explain(said)
    assert cause in told[0]
    assert step in told[1]


def test_a_sandbox_of_root_reaches_modules_below_a_closed_directory(tmp_path: Path) -> None:
    """As on a new server, in /root: the modules are copied to where its user reads them."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(ROOT / "specparse", closed / "specparse")
    script = (
        "from specparse.sandbox import Sandbox, inside, our_modules\n"
        "box = Sandbox(read_only=(our_modules(),))\n"
        "print(box.run(*inside('worker')).stderr.decode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=closed, capture_output=True, text=True, check=True
    )
    assert "JSONDecodeError" in done.stdout  # it got as far as reading its request
    assert "Permission denied" not in done.stdout
