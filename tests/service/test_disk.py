"""Disks that are full or read-only: everything stops with its reason, nothing is lost, and it
resumes. The disks are small tmpfs mounts that bubblewrap makes for one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.journal import Journal
from tests.broker import Broker
from tests.builders import Sample
from tests.hub import Hub
from tests.service.test_bus import ROOT, Daemon, until
from tests.service.test_pipeline import TODAY, Site


@pytest.fixture
def daemon(broker: Broker, tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(broker, tmp_path)
    yield daemon
    daemon.close()


def on_small_disk(where: Path, size: int) -> list[str]:
    where.mkdir(exist_ok=True)
    small = ["--size", str(size), "--tmpfs", str(where)]
    return ["bwrap", "--die-with-parent", "--dev-bind", "/", "/", *small]


def test_a_full_disk_under_the_journal_leaves_the_messages_on_the_queue(
    daemon: Daemon, broker: Broker, hub: Hub
) -> None:
    first = hub.message(hub.add("kernel-6.12.1-1.fc41"))
    second = hub.message(hub.add("kernel-6.12.2-1.fc41"))
    state = daemon.directory / "state"
    daemon.start(wrapper=on_small_disk(state, 600_000))
    broker.send(first)
    until(lambda: b"kernel-6.12.1" in daemon.tags())
    inside = daemon.inside(state)
    with (inside / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
        while True:
            filler.write(bytes(4096))
    broker.send(second)
    assert daemon.wait(120) == 5
    assert "the journal cannot be used: database or disk is full" in daemon.said()
    until(lambda: broker.length(daemon.queue) == 1)
    daemon.start(wrapper=on_small_disk(state, 10_000_000))
    until(lambda: b"kernel-6.12.2" in daemon.tags())
    daemon.end()
    assert broker.length(daemon.queue) == 0


def test_a_read_only_journal_leaves_the_messages_on_the_queue(
    daemon: Daemon, broker: Broker, hub: Hub
) -> None:
    Journal(daemon.journal_url).close()
    broker.send(hub.message(hub.add("kernel-6.12.1-1.fc41")))
    state = str(daemon.directory / "state")
    daemon.start(wrapper=["bwrap", "--dev-bind", "/", "/", "--ro-bind", state, state])
    assert daemon.wait(120) == 5
    assert "the journal cannot be used" in daemon.said()
    assert broker.length(daemon.queue) == 1
    daemon.start()
    until(lambda: b"kernel-6.12.1" in daemon.tags())
    assert daemon.end() == 0


@pytest.mark.parametrize("room", [4_096, 16_384, 28_672, 40_960, 49_152])
def test_a_full_disk_under_the_repository_is_this_machines_fault_until_there_is_room(
    made: Sample, hub: Hub, tmp_path: Path, room: int
) -> None:
    """Whatever runs out of room first: creating it, writing objects, moving refs."""
    hub.add(TODAY, commit=made.today, target="f41-candidate")
    site = Site(tmp_path, made, hub)
    state = tmp_path / "one"
    program = (
        "import sys, json; from pathlib import Path; from service.config import load;"
        "from service.journal import Row; from service.pipeline import pipeline;"
        "from service.worker import judge\n"
        "filler = Path(sys.argv[3], 'filler'); filler.write_bytes(bytes(int(sys.argv[4])))\n"
        "for _ in range(2):\n"
        " try: outcome = pipeline(load(Path(sys.argv[1])))(Row(sys.argv[2], 'kernel', 'k'), print)\n"
        " except Exception as error: outcome = judge(error)\n"
        " print(json.dumps([outcome.fate.name, outcome.reason])); filler.unlink(missing_ok=True)"
    )
    size = 1 << 20
    done = subprocess.run(
        [
            *on_small_disk(state, size),
            *(sys.executable, "-c", program, site.path, TODAY, state, str(size - room)),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert [fate for fate, _ in answers] == ["STOP", "DONE"], done.stdout
