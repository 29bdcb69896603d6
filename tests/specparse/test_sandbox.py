"""The sandbox itself: what it lets in, what it lets out, and when it ends things."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from specparse.plan import SandboxError
from specparse.sandbox import Limits, Sandbox


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
    assert time.monotonic() - start < 10


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
