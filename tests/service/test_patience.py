"""Work that outlasts the broker's patience: a first clone, and a conversion, are neither lost nor
done twice. The broker's limits are real ones, made short; the git server and the remote are slow.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pika.exceptions import ChannelClosedByBroker

from converter.errors import RemoteUnavailable
from converter.mirror import Mirror
from service import worker
from service.config import Retry, load
from service.daemon import _keep_preparing, _prepared
from service.journal import Journal
from service.koji import Koji
from service.status import status
from tests.broker import Broker, running
from tests.builders import Source, sample
from tests.configuration import kernel, listening, table
from tests.httpgit import HttpGit
from tests.hub import Hub
from tests.service.test_bus import ROOT, until
from tests.service.test_cli import git
from tests.service.test_pipeline import NEXT, TODAY

HEARTBEAT = 2  # seconds; a connection that is silent for two of them is closed
PATIENCE = 4  # seconds for which a message may be held without an acknowledgement
SLOW = 9  # seconds that the first clone, and each push, take


@pytest.fixture(scope="module")
def impatient() -> Iterator[Broker]:
    settings = {
        "heartbeat": HEARTBEAT,
        "consumer_timeout": PATIENCE * 1000,
        "channel_tick_interval": 1000,  # the timeout is looked at this often; else every minute
    }
    with running(settings) as broker:
        yield broker


def test_the_broker_is_as_impatient_as_it_is_meant_to_be(impatient: Broker) -> None:
    impatient.queue("held")
    impatient.send({})
    refused = pytest.raises(ChannelClosedByBroker, match="delivery acknowledgement")
    with refused, impatient.channel() as channel:
        if impatient.version(channel) >= (4, 3):
            pytest.skip("classic queues of RabbitMQ 4.3 have no consumer_timeout")
        for _ in channel.consume("held", inactivity_timeout=1):  # and no ack
            continue
    assert impatient.length("held") == 1


def test_a_slow_clone_and_slow_conversions_lose_nothing_and_do_nothing_twice(
    impatient: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sample(tmp_path)
    public = Source(tmp_path / "public.git")
    hook = public.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ncat >> {tmp_path}/pushes\nsleep {SLOW}\n")
    hook.chmod(0o755)
    slow = tmp_path / "slow"  # git-config(1), uploadpack.packObjectsHook
    slow.write_text(f'#!/bin/sh\nsleep {SLOW}\nexec "$@"\n')
    slow.chmod(0o755)
    impatient.queue("slow", "org.fedoraproject.#")
    impatient.queue("slow-told", "srcgit.#")
    with HttpGit(tmp_path, {"uploadpack.packObjectsHook": str(slow)}) as server, Hub() as hub:
        source = f"git+https://src.fedoraproject.org/rpms/kernel.git#{made.today}"
        today = hub.add(TODAY, commit=made.today, source=source, target="f41-candidate")
        following = hub.add(NEXT, commit=made.next, target="f41-candidate")
        config = tmp_path / "slow.toml"
        config.write_text(
            listening(impatient, "slow", prefetch=1)
            + table(koji=hub.url, state=tmp_path / "state")
            + kernel(
                pkg_git=made.pkg_git.path,
                upstreams=[f"{server.url}/linux.git"],
                push=[public.path],
            )
        )
        impatient.send_all([hub.message(build) for build in (today, following, today)])
        settings = load(config)

        def start() -> subprocess.Popen[bytes]:
            with (tmp_path / "output").open("ab") as output:
                return subprocess.Popen(
                    [sys.executable, "-m", "service.cli", "listen", "--config", config],
                    cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                    stdout=output,
                    stderr=output,
                )

        daemon = start()
        try:
            journal = Journal(settings.journal)
            cloning = f"preparing: looking at {server.url}/linux.git"
            until(lambda: any(sign.doing == cloning for sign in journal.signs()))
            daemon.terminate()
            assert daemon.wait(SLOW / 2) == 0  # at once, and with nothing that goes on alone
            assert list(journal.signs()) == []
            assert not [path for path in Path("/proc").glob("[0-9]*") if cloned_by(path, tmp_path)]
            daemon = start()
            began = time.monotonic()
            until(lambda: any(sign.doing == cloning for sign in journal.signs()))
            seen = status(settings, journal, Koji(hub.url))
            assert (seen.deaf, seen.exit_code) == ([], 1)  # a restart would mend nothing
            assert seen.wrong[0].endswith(cloning)
            assert (journal.counts(), impatient.length("slow")) == ({}, 3)
            until(lambda: impatient.length("slow-told") == 2, 120)
            assert time.monotonic() - began > 3 * SLOW
            assert journal.counts() == {"done": 2}
            assert [row.attempts for row in journal.rows()] == [1, 1]
            journal.close()
            daemon.terminate()
            assert daemon.wait(120) == 0
        finally:
            daemon.kill()
            daemon.wait()
    assert impatient.length("slow") == 0
    assert git(public.path, "tag").split() == [TODAY, NEXT]
    assert len((tmp_path / "pushes").read_text().splitlines()) == 6  # three refs, twice
    said = (tmp_path / "output").read_text()
    assert said.count("Successfully registered AMQP consumer") == 1, said  # never a second time
    assert said.count("known already") == 1
    assert "missed heartbeats" not in impatient.log()


def cloned_by(process: Path, directory: Path) -> bool:
    """Tell whether a process is a git fetch into a mirror below ``directory``."""
    try:
        words = (process / "cmdline").read_bytes()
    except OSError:  # it has ended
        return False
    return b"fetch" in words and f"--git-dir={directory}/state/mirrors".encode() in words


def test_a_server_that_falls_silent_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nsleep 30\n")
    silent.chmod(0o755)
    Source(tmp_path / "linux.git").commit({"a": "b"}, "c\n")
    monkeypatch.setenv("GIT_HTTP_LOW_SPEED_TIME", "1")
    with HttpGit(tmp_path, {"uploadpack.packObjectsHook": str(silent)}) as server:
        start = time.monotonic()
        with pytest.raises(RemoteUnavailable):
            _ = Mirror(f"{server.url}/linux.git", tmp_path / "mirrors").repository
        assert time.monotonic() - start < 25


def test_what_could_not_be_prepared_is_tried_until_it_can(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "REST", Retry(first=0.01))
    attempts: list[int] = []

    def prepare(progress: Callable[[str], None]) -> None:
        attempts.append(1)
        progress("looking")
        if len(attempts) < 4:
            raise RemoteUnavailable("no answer")

    assert not _prepared(prepare, journal, "host:1")
    [sign] = journal.signs()
    assert (sign.name, sign.doing, sign.halted) == ("host:1 intake", "preparing: looking", False)
    _keep_preparing(prepare, threading.Event())
    assert len(attempts) == 4
