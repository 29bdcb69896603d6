"""The log's lines, as a service writes them and as people see them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
import logging, threading
from service import logs
logs.configure(people={people})
log, other = logging.getLogger("service.test"), logging.getLogger("library")
with logs.about(nvr="kernel-6.1-1.fc41", attempt=2):
    log.info("stage", extra={{"stage": "series", "seconds": 0.25}})
    other.warning('it said "no", twice')
    log.info("not\\ntaken in", extra={{"reason": "\\x1b[2J\\0"}})
    other.info("small talk")
    thread = threading.Thread(target=log.info, args=("elsewhere",))
    thread.start()
    thread.join()
    try:
        {{}}["key"]
    except KeyError:
        log.exception("a bug")
log.error("afterwards")
"""


def lines(people: bool, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(people=people)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_each_line_of_a_service_is_one_event_with_the_build_in_hand() -> None:
    stage, said, hostile, elsewhere, bug, afterwards = lines(False, JOURNAL_STREAM="8:1")
    build = "nvr=kernel-6.1-1.fc41 attempt=2"
    tail = "stage=series seconds=0.25 logger=service.test"
    assert stage == f"<6>level=info event=stage {build} {tail}"
    assert said == f'<4>level=warning event="it said \\"no\\", twice" {build} logger=library'
    assert r"reason=\x1b[2J\x00" in hostile
    assert elsewhere == "<6>level=info event=elsewhere logger=service.test"
    assert bug.startswith(f'<3>level=error event="a bug" {build} logger=service.test exception="Tr')
    assert bug.endswith("KeyError: 'key'\"")
    assert afterwards == "<3>level=error event=afterwards logger=service.test"


def test_without_journald_each_line_has_the_time() -> None:
    assert all(line.startswith("timestamp=20") for line in lines(False))


def test_people_read_the_event_first() -> None:
    stage, said, hostile, *_ = lines(True)
    assert stage == "stage attempt=2 nvr=kernel-6.1-1.fc41 seconds=0.25 stage=series"
    assert said.startswith('it said "no", twice ')
    assert hostile.startswith(r"not\ntaken in ") and r"reason=\x1b[2J\x00" in hostile
