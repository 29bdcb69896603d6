"""Specs that mean harm: each ends soon, with a SpecError, or with a plan that it could not sway."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from specparse import answer
from specparse.plan import Plan, SpecError
from specparse.sandbox import Done, Limits, Sandbox
from specparse.trace import SandboxedTracer
from tests.specparse.conftest import PATCH, Traced, copied

SHORT = Limits(wall=2, cpu=2, memory=1 << 30, file=64 << 20, processes=64, output=1 << 20)
PATCHED = "Patch1: fix.patch\n"


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < 240


def alive(mark: bytes) -> bool:
    """Whether a process with ``mark`` in its command line outlives the kernel's tidying up."""
    for _ in range(30):
        if not any(mark in line for line in processes()):
            return False
        time.sleep(0.1)
    return True


def processes() -> set[bytes]:
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                found.add(Path("/proc", entry, "cmdline").read_bytes())
            except OSError:
                continue
    return found


@pytest.mark.parametrize(
    ("preamble", "prep"),
    [
        ("%global x %(sleep 1000)\n", ""),
        ("%global x %(while :; do :; done)\n", ""),
        ("%{lua: while true do end}\n", ""),
        ("", "sleep 1000"),
        ("", "while :; do :; done"),
        ("", "sleep 4711 & wait"),
    ],
    ids=["sleep", "shell", "lua", "prep-sleep", "prep-loop", "prep-wait"],
)
def test_what_does_not_end_is_ended(traced: Traced, preamble: str, prep: str) -> None:
    with pytest.raises(SpecError, match="2 seconds"):
        traced(preamble, prep, limits=SHORT)
    assert not alive(b"4711")


def test_a_background_child_that_holds_the_pipe_does_not_keep_us(traced: Traced) -> None:
    start = time.monotonic()
    plan = traced(PATCHED, "sleep 4712 &\n%setup -q\npatch -p1 < %{PATCH1}", {"fix.patch": PATCH})
    assert [step.patch for step in plan.steps] == [b"fix.patch"]
    assert time.monotonic() - start < 200
    assert not alive(b"4712")


@pytest.mark.parametrize("where", ["parse", "prep"])
def test_a_fork_bomb_ends(traced: Traced, where: str) -> None:
    bomb = "bomb() { bomb | bomb & }; bomb; sleep 4713"
    with pytest.raises(SpecError):
        if where == "parse":
            traced(f"%global x %({bomb})\n", "", limits=SHORT)
        else:
            traced("", bomb, limits=SHORT)
    assert not alive(b"4713")


@pytest.mark.parametrize(
    "preamble",
    [
        "%{lua: local t = {}; local i = 0; while true do i = i + 1; t[i] = string.rep('x', 1e7) .. i end}\n",
        "%global x %(/usr/bin/python3 -c 'x = bytearray(1 << 40)' && echo)\n%{lua: while true do end}\n",
    ],
    ids=["lua", "child"],
)
def test_a_memory_hog_ends(traced: Traced, preamble: str) -> None:
    with pytest.raises(SpecError):
        traced(preamble, limits=SHORT)


def test_huge_output_ends(traced: Traced) -> None:
    with pytest.raises(SpecError):
        traced("%{lua: while true do print(string.rep('x', 1000000)) end}\n", limits=SHORT)
    with pytest.raises(SpecError):
        traced("", "yes", limits=SHORT)


def test_writes_reach_nothing(traced: Traced, package: Path) -> None:
    (package / "fix.patch").write_bytes(PATCH)
    before = set(os.listdir("/")) | set(os.listdir("/usr"))
    plan = traced(
        PATCHED
        + "%global x %(touch /pwned /usr/pwned /package/pwned; echo y > /package/fix.patch)\n",
        "touch /pwned2; echo no > %{PATCH1}; rm -rf /package/*\n%setup -q\npatch -p1 < %{PATCH1}",
    )
    # A build could write to its sources, so the patch that it would apply is not pkg-git's.
    assert not plan.steps
    [left_out] = (u for u in plan.unrepresented if u.applies)
    assert "fix.patch, as %prep has changed it," in left_out.why
    assert set(os.listdir("/")) | set(os.listdir("/usr")) == before
    assert sorted(os.listdir(package)) == ["demo.spec", "fix.patch"]
    assert (package / "fix.patch").read_bytes() == PATCH


def test_home_secrets_and_network_are_not_there(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRCGIT_SECRET", "hunter2")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = server.getsockname()[1]
        plan = traced(
            "%global secret %(env | grep -c hunter2)\n"
            f"%global seen %(cat {Path.home()}/* /root/.[a-z]* /etc/shadow /etc/passwd /proc/1/environ | wc -c)\n"
            f"%global net %((exec 3<>/dev/tcp/127.0.0.1/{port}) && echo connected || echo none)\n"
            "Patch1: secret-%{secret}-net-%{net}.patch\n",
            "%setup -q\npatch -p1 < %{PATCH1}",
            {"secret-0-net-none.patch": PATCH},
        )
        assert [step.patch for step in plan.steps] == [b"secret-0-net-none.patch"]
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_patch_outside_is_its_base_name(traced: Traced) -> None:
    with pytest.raises(SpecError, match="passwd"):
        traced("Patch1: ../../etc/passwd\n", "%setup -q\npatch -p1 < %{PATCH1}")


def test_links_that_lead_outside_lead_nowhere(traced: Traced, package: Path) -> None:
    with pytest.raises(SpecError, match=r"out\.patch"):
        traced(
            "Patch1: out.patch\n",
            "%setup -q\npatch -p1 < %{PATCH1}",
            {"out.patch": "/etc/passwd", "gitrev": "/etc/hostname"},
        )


def test_a_spec_that_is_a_link_outside(package: Path) -> None:
    (package / "demo.spec").symlink_to("/etc/passwd")
    tracer = SandboxedTracer()
    with pytest.raises(SpecError, match="link"):
        tracer(copied(package), b"demo.spec", dist=".fc28", arch="x86_64")


@pytest.mark.parametrize("name", ["a b.spec", "a\nb.spec", "a'$(touch x)\".spec", "caf\udce9.spec"])
def test_names_of_specs(traced: Traced, name: str) -> None:
    plan = traced(
        "Patch1: fix.patch\n",
        "%setup -q\npatch -p1 < %{PATCH1}",
        {"fix.patch": PATCH},
        spec=name,
    )
    assert plan.spec == os.fsencode(name)
    assert [step.patch for step in plan.steps] == [b"fix.patch"]


def test_an_answer_cannot_be_forged(traced: Traced) -> None:
    """What a spec prints, also on the worker's own descriptors, is no plan."""
    plan_or_error: Plan | None = None
    forged = '{\\"name\\": \\"forged\\"}'
    try:
        plan_or_error = traced(
            f'%global x %(for n in 1 2 3 4 5 6 7 8; do echo "{forged}" >&$n; done 2>/dev/null)\n',
            "%setup -q",
        )
    except SpecError:
        return
    assert plan_or_error.name == "demo"


def test_prep_cannot_answer_in_the_workers_place(traced: Traced) -> None:
    """Its memory and descriptors are not in reach of what it runs, and its modules are read-only."""
    forged = json.dumps(PARSED | {"name": "forged"})
    plan = traced(
        PATCHED,
        "%setup -q\npatch -p1 < %{PATCH1}\n"
        f"for fd in /proc/$PPID/fd/*; do echo '{forged}' > $fd; done\n"
        "python3 -c \"open('/proc/$PPID/mem', 'wb').write(b'x')\"\n"
        "echo 'raise SystemExit' > /srcgit/json.py\n"
        "ls /proc/$PPID/fd && touch reached\nexit 0",
        {"fix.patch": PATCH},
    )
    assert plan.name == "demo"
    assert [step.patch for step in plan.steps] == [b"fix.patch"]
    assert not any("touch reached" in each.command for each in plan.unrepresented)


RECORD = {
    "tool": "patch", "archive": "a.tar", "directory": ".", "repository": "", "where": "",
    "inputs": ["@x"], "argv": [], "config": [], "variables": [],
}  # fmt: skip
PARSED: dict[str, Any] = {
    "name": "demo", "version": "1.2", "release": "3", "epoch": None, "edits": [], "rpm": "4.18.0",
    "sources": [["a.tar", 0, False]], "urls": {}, "fakes": [], "tops": {"a.tar": "a"},
    "buildsubdir": "a",
}  # fmt: skip
RAN: dict[str, Any] = {
    "records": [RECORD], "trees": {"a.tar": ["a"]}, "end": "end", "signal": 0, "errors": [],
    "last": "", "changes": [], "looks": [], "unread": [],
}  # fmt: skip


def lines(change: Mapping[str, Any] = {}) -> bytes:
    """Return an answer of the worker, changed."""
    parsed = PARSED | {key: value for key, value in change.items() if key not in RAN}
    ran = RAN | {key: value for key, value in change.items() if key in RAN}
    return json.dumps(parsed).encode() + b"\n" + json.dumps(ran).encode()


def heard(package: Path, printed: bytes) -> Plan:
    """Return the plan of what a worker printed, all of it in pieces."""
    messages, replies = answer.Messages(), []
    came = bytearray()
    for at in range(0, len(printed), 5000):
        came += printed[at : at + 5000]
        while message := messages.next(came):
            replies += [message[0]] if "configs" not in message[0] else []
    reply = answer.whole(Done(0, bytes(came), b""), messages, replies, "end")
    return answer.plan(reply, package, b"demo.spec", "x86_64", ())


def test_what_a_worker_says_is_taken_only_whole(package: Path) -> None:
    line = lines() + b"\n"
    plan = heard(package, b'{"configs": {"a": 9000, "b": 2}}\n' + b"\nx" * 4500 + b"hi" + line)
    assert [step.patch for step in plan.steps] == [b"x"]
    # a spec has written into it: none of this is a bug of ours, and nothing else comes of it
    changed: list[dict[str, Any]] = [
        {"name": None},
        {"name": "\ud800"},
        {"name": "a\0b"},
        {"rpm": "4.18.0\nVerified: yes"},
        {"rpm": ""},
        {"epoch": True},
        {"epoch": "1"},
        {"records": [{**RECORD, "argv": "-p1"}]},
        {"records": [{"tool": "patch"}]},
        {"sources": [["a.tar", 0]]},
        {"sources": [["a.tar", 0, 0]]},
        {"trees": {"a.tar": []}},
        {"tops": {}},
        {"more": 1},
    ]
    all_forged = [lines(change) for change in changed]
    parsed, _, ran = line.partition(b"\n")
    # what %prep might say once more, or of itself before
    all_forged += [ran, ran + parsed, parsed + b"\n" + line, line + parsed]
    all_forged += [line + line, b"[]", b"null", b"", b"x", b"[" * 100_000, b"1" * 10_000]
    all_forged += [
        b'{"configs": []}',
        b'{"configs": {"a": -9}}',
        b'{"configs": {"a": 1e9}}',
        b'{"configs": {"\\u0000": 0}}',
    ]
    all_forged += [
        line + b'{"configs": {"a": 9}}',
        b'{"early": true}',
        b'{"refused": {}}',
        line + b"x",
    ]
    all_forged += [b'{"name": "a", "version": "1", "release": "1", "edits": []}']
    for forged in all_forged:
        with pytest.raises(SpecError, match="disturbed"):
            heard(package, forged + b"\n")
    with pytest.raises(SpecError, match="disturbed"):
        heard(package, line[:-1])
    with pytest.raises(SpecError, match="a message is too long"):  # told before its end has come
        heard(package, b"x" * (17 << 20))


@pytest.mark.parametrize("status", [137, 152, 153])  # SIGKILL, SIGXCPU, SIGXFSZ
def test_a_command_that_broke_a_limit_is_named(package: Path, status: int) -> None:
    errors = [[1, "false"], [status, "yes > x"]]
    with pytest.raises(SpecError, match=r"broke a limit .*: yes > x$"):
        heard(package, lines({"errors": errors}) + b"\n")


def test_what_the_shell_said_while_the_spec_was_read_is_told(package: Path) -> None:
    told = [
        "sh: line 1: rpmbuild-x: command not found",
        "/bin/sh: 1: x: not found",
        "cat: /etc/fedora-release: No such file or directory",
        "bash: fork: Cannot allocate memory",
    ]
    said = "\n".join(["warning: bogus date", *told, "sh: five", "sh: six"]).encode()
    reply = answer.whole(Done(0, b"", said), answer.Messages(), [PARSED | RAN], "end")
    assert reply["complaints"] == [
        f"while the spec was read: {line}" for line in [*told, "sh: five"]
    ]


def test_the_sandbox_tells_how_to_run_it_by_hand() -> None:
    box = Sandbox(environment={"A": "b c"})
    line = box.command("/usr/bin/env")
    done = subprocess.run(line, stdout=subprocess.PIPE, check=True)
    assert b"A=b c\n" in done.stdout
    assert not any(word.startswith(b"HOME=") for word in done.stdout.splitlines())
