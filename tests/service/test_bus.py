"""The daemon on a real RabbitMQ: nothing hostile stops it, nothing is lost, everything is told."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from converter.git import Git
from service.journal import Journal, Row, Sign
from tests.broker import SCHEMA, TOPIC, Broker
from tests.configuration import listening, table
from tests.hub import Hub

ROOT = Path(__file__).parents[2]
PKG_GIT = "https://src.fedoraproject.org/rpms/kernel.git"
_numbers = count()


def until(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait for ``condition`` to be true, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.05)
    return found


class Daemon:
    """``srcgit listen`` in a process of its own, with a queue, a journal and a repository."""

    def __init__(self, broker: Broker, directory: Path, journal: str = "") -> None:
        self.broker = broker
        self.queue = f"srcgit{next(_numbers)}"
        self.told = f"{self.queue}-told"
        self.directory = directory
        self.repository = directory / "out.git"
        self.journal_url = journal or f"sqlite:///{directory}/state/journal.sqlite"
        self.output = directory / "output"
        self._process: subprocess.Popen[bytes] | None = None
        Git().run("init", "-q", "--bare", str(self.repository))
        broker.queue(self.queue, "org.fedoraproject.#")
        broker.queue(self.told, "srcgit.#")
        self.config = directory / "srcgit.toml"
        self.config.write_text(
            listening(broker, self.queue)
            + table(state=directory / "state", journal=self.journal_url, lease=2)
            + table("retry", first=0.1, cap=0.5)
        )

    def start(self, wrapper: Sequence[str] = ()) -> None:
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *wrapper,
                    sys.executable,
                    "-m",
                    "tests.service.daemon",
                    self.config,
                    self.repository,
                ],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def tags(self) -> bytes:
        """The names of the tags that were made, one a line."""
        return Git(self.repository).run("tag").stdout

    def inside(self, path: Path) -> Path:
        """Return the path by which a mount of the wrapped daemon is seen from here."""
        assert self._process is not None
        parent = self._process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return Path(f"/proc/{(children or [str(parent)])[0]}/root{path}")

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def end(self, number: int = signal.SIGTERM, seconds: float = 20.0) -> int:
        """Send a signal and return the exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self.wait(seconds)

    def wait(self, seconds: float = 20.0) -> int:
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        finally:
            self._process.kill()
            self._process.wait()

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Link:
    """A way to the broker that can be cut: then each connection is closed as soon as it is made."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._whole = False
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def mend(self) -> None:
        self._whole = True

    def cut(self) -> None:
        self._whole = False
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        for end in [self._listener, *self._ends]:
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                here, _ = self._listener.accept()
                if not self._whole:
                    here.close()
                    continue
                there = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [here, there]
                for ends in ((here, there), (there, here)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    @staticmethod
    def _pass_on(from_: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while data := from_.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def link(broker: Broker, daemon: Daemon) -> Iterator[Link]:
    """The only way of the daemon to its broker, which is cut at first."""
    link = Link(broker.port)
    text = daemon.config.read_text()
    daemon.config.write_text(text.replace(f":{broker.port}/", f":{link.port}/"))
    yield link
    link.close()


@pytest.fixture
def daemon(broker: Broker, tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(broker, tmp_path)
    yield daemon
    daemon.close()


@pytest.fixture
def records(daemon: Daemon) -> Iterator[Journal]:
    journal = Journal(daemon.journal_url)
    yield journal
    journal.close()


def test_a_finished_build_becomes_a_tag_and_is_announced_once(
    daemon: Daemon, records: Journal, broker: Broker, hub: Hub
) -> None:
    build = hub.add("kernel-6.12.8-200.fc41", target="f41-candidate")
    failing = hub.add("kernel-6.12.9-fail.fc41", target="f41-candidate")
    hub.add("bash-5-1.fc41")
    bodies = [hub.message(each) for each in hub.builds] + [hub.message(build)]
    broker.send_all([*bodies, hub.message(build, new=3)])
    daemon.start()
    until(lambda: records.counts() == {"done": 1, "failed": 1})
    until(lambda: broker.length(daemon.told) == 2)
    told = dict(broker.take(daemon.told))
    assert told["srcgit.build.converted"]["nvr"] == build["nvr"]
    assert told["srcgit.build.failed"]["nvr"] == failing["nvr"]
    row = records.find(build["nvr"])
    assert row and (row.target, row.koji_id) == ("f41-candidate", build["id"])
    assert Git(daemon.repository).run("tag").stdout.split() == [build["nvr"].encode()]
    assert daemon.end() == 0
    assert broker.length(daemon.queue) == 0
    assert [sign.name for sign in records.signs()] == ["messages"]  # it is gone, and not in trouble


HOSTILE: list[tuple[str, bytes | dict[str, Any], dict[str, Any]]] = [
    ("no JSON", b"{", {}),
    ("no UTF-8", b'{"name": "\xff"}', {}),
    ("an encoding that nobody knows", b"{}", {"encoding": "utf-99"}),
    ("a list", b"[]", {}),
    ("nested too deep", b'{"name":' * 60_000 + b"1" + b"}" * 60_000, {}),
    ("ten megabytes", b'{"name": "' + b"x" * 10_000_000 + b'"}', {}),
    ("wrong schema", {"name": ["kernel"]}, {}),
    ("wrong schema, none named", {"name": "kernel", "new": "1"}, {"schema": None}),
    ("wrong schema, an unknown one named", {"new": 1}, {"schema": "no.such.V1"}),
    ("shell metacharacters", {"version": "$(id)"}, {}),
    ("shell command", {"version": "v;rm -rf ~"}, {}),
    ("a newline", {"release": "1.fc41\nx"}, {}),
    ("a path", {"version": "../../x"}, {}),
    ("NUL", {"release": "1\0.fc41"}, {}),
    ("half a surrogate pair", {"release": "\ud800.fc41"}, {}),
    ("a huge build id", {"build_id": 10**400}, {}),
    ("an option", {"request": ["--upload-pack=touch /tmp/x#" + "a" * 40, "f41", {}]}, {}),
    ("ext::", {"request": ["ext::sh -c id#" + "a" * 40, "f41", {}]}, {}),
    ("file://", {"request": ["file:///etc#" + "a" * 40, "f41", {}]}, {}),
    ("elsewhere", {"request": ["git+https://evil.example/rpms/kernel#" + "a" * 40, "f41", {}]}, {}),
    ("a target that is none", {"request": [PKG_GIT + "#" + "a" * 40, "../x y", {}]}, {}),
    ("a request of nonsense", {"request": [{"x": 1}, 7, "y"]}, {}),
]


def test_hostile_messages_are_refused_recorded_and_acknowledged_and_work_goes_on(
    daemon: Daemon, records: Journal, broker: Broker, hub: Hub
) -> None:
    good = hub.message(hub.add("kernel-6.12.8-200.fc41"))
    bad = hub.add("kernel-6.12.9-200.fc41")
    for name, body, how in HOSTILE:
        complete = name.startswith("wrong schema") or isinstance(body, bytes)
        broker.send(
            body if complete or isinstance(body, bytes) else hub.message(bad, **body), **how
        )
    broker.send(b"\xff", topic="org.fedoraproject.prod.git.receive", schema=None)
    broker.send(good)
    daemon.start()
    until(lambda: records.counts() == {"done": 1})
    assert daemon.end() == 0
    refused = records.refused(limit=100)
    assert [message.topic for message in refused] == [TOPIC] * len(HOSTILE)
    assert not any("a bug" in message.why for message in refused)
    assert sum("hostile: " in message.why for message in refused) == len(HOSTILE) - 9
    assert broker.length(daemon.queue) == 0
    assert daemon.output.stat().st_size < 100_000  # no bodies in the log
    assert SCHEMA


def test_a_message_stays_on_the_queue_while_the_journal_cannot_be_written(
    daemon: Daemon, records: Journal, broker: Broker, hub: Hub
) -> None:
    """Read-only for everybody, root included: a lock that no one gives up, found out in time."""
    blocker = sqlite3.connect(daemon.directory / "state/journal.sqlite", isolation_level=None)
    blocker.execute("DROP TABLE builds")
    broker.send(hub.message(hub.add("kernel-6.12.8-200.fc41")))
    daemon.start()
    assert daemon.wait() == 5
    assert "the journal cannot be used" in daemon.said()
    blocker.close()
    until(lambda: broker.length(daemon.queue) == 1)


def test_the_daemon_ends_at_once_when_told_and_its_build_is_due_again(
    daemon: Daemon, records: Journal, broker: Broker, hub: Hub
) -> None:
    build = hub.add("kernel-6.12.8-hang.fc41")
    broker.send(hub.message(build))
    daemon.start()
    until(lambda: records.counts() == {"running": 1})
    start = time.monotonic()
    assert daemon.end() == 0
    assert time.monotonic() - start < 60
    assert records.counts() == {"waiting": 1}


def test_a_missing_queue_ends_the_daemon_with_a_reason(daemon: Daemon, broker: Broker) -> None:
    with broker.channel() as channel:
        channel.queue_delete(daemon.queue)
    daemon.start()
    assert daemon.wait(120) == 5
    assert "NOT_FOUND" in daemon.said()


@pytest.mark.parametrize("after", [0.0, 0.02, 0.1])
def test_a_stop_while_it_connects_is_a_stop(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: float
) -> None:
    """As systemd stops it: from READY=1 on, at any moment."""
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(60)
        daemon.start()
        assert systemd.recv(100) == b"READY=1"
        time.sleep(after)
        assert daemon.end() == 0, daemon.said()


def test_a_broker_that_cannot_be_reached_is_told_and_waited_for(
    daemon: Daemon, records: Journal, broker: Broker, hub: Hub, link: Link
) -> None:
    """From the start, with something to announce; and again while it consumes."""
    build = hub.add("kernel-6.12.8-200.fc41")
    broker.send(hub.message(build))
    records.add(Row("kernel-6.1-fail.fc41", "kernel", "kernel.fc41"))
    daemon.start()

    def sign() -> Sign:
        return next(s for s in records.signs() if s.name.endswith("intake"))

    until(lambda: records.counts() == {"failed": 1})
    until(lambda: "handshake" in sign().doing)
    assert sign().halted and sign().doing.startswith("not consuming: no connection to the broker")
    time.sleep(6)  # it has looked for something to announce
    assert broker.length(daemon.told) == 0
    link.mend()
    until(lambda: broker.length(daemon.told) == 2)
    assert records.counts() == {"failed": 1, "done": 1}
    until(lambda: sign().doing == "consuming")
    link.cut()
    until(lambda: sign().halted)
    link.mend()
    broker.send(hub.message(hub.add("kernel-6.12.9-200.fc41")))
    until(lambda: records.counts() == {"failed": 1, "done": 2})
    link.cut()
    until(lambda: daemon.said().count("registered AMQP consumer") == 2)
    time.sleep(2)  # into the attempts to connect
    assert daemon.end() == 0
    assert "Unhandled" not in daemon.said() and "Traceback" not in daemon.said(), daemon.said()
    assert daemon.said().count("handshake") == 2  # once for each time, not for each attempt


@pytest.mark.parametrize(
    ("right", "wrong", "word"),
    [
        ("guest:guest@", "guest:wrong@", "check your connection and authentication parameters"),
        ("amqp://guest:guest@127.0.0.1", "amqps://guest:guest@localhost", "wrong version number"),
    ],
)
def test_why_a_broker_refuses_a_connection_is_in_the_log(
    daemon: Daemon, right: str, wrong: str, word: str
) -> None:
    daemon.config.write_text(daemon.config.read_text().replace(right, wrong))
    daemon.start()
    until(lambda: word in daemon.said() and "no connection to the broker" in daemon.said())
    assert daemon.end() == 0
    assert "Unhandled" not in daemon.said()
