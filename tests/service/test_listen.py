"""``srcgit listen`` itself, from a message on a real broker to a published, announced tag."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.broker import Broker
from tests.builders import sample
from tests.configuration import listening
from tests.hub import Hub
from tests.service.test_bus import ROOT, until
from tests.service.test_cli import git
from tests.service.test_pipeline import NEXT, TODAY, Site


def test_a_message_becomes_a_published_announced_tag(broker: Broker, tmp_path: Path) -> None:
    made = sample(tmp_path)
    broker.queue("listen", "org.fedoraproject.#")
    broker.queue("listen-told", "srcgit.#")
    with Hub() as hub:
        builds = [
            hub.add(TODAY, commit=made.today, target="f41-candidate"),
            hub.add(NEXT, commit=made.next, target="f41-candidate"),
        ]
        site = Site(tmp_path, made, hub)
        site.path.write_text(listening(broker, "listen") + site.path.read_text())
        nothing = {"request": None, "task_id": None, "task": None, "owner": None, "epoch": None}
        broker.send(hub.message(builds[0], **nothing))
        with (tmp_path / "output").open("wb") as output:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "listen", "--config", site.path],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=output,
            )
        try:
            until(lambda: broker.length("listen-told") == 1, 120)
            broker.send(hub.message(builds[1]))
            until(lambda: broker.length("listen-told") == 2, 120)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(120) == 0
        finally:
            daemon.kill()
            daemon.wait()
    (topic, first), (_, second) = broker.take("listen-told")
    assert topic == "srcgit.build.converted"
    assert (first["nvr"], first["owner"], first["base"]) == (TODAY, "jforbes", "v6.12.8")
    assert (second["nvr"], second["previous"], second["added"]) == (NEXT, TODAY, [])
    assert second["commit"] == git(site.places[0], "rev-parse", "f41")
    assert git(site.places[1], "tag").split() == [TODAY, NEXT]
    assert broker.length("listen") == 0
