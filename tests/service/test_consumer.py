"""Intake decides: which messages become work, which do not, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.config import load
from service.consumer import Intake, NotTaken, decide
from service.database import JournalUnusable
from service.journal import Journal, Row
from tests.broker import TOPIC
from tests.hub import SHA, Hub

PACKAGES = load(None).packages
NVR = "kernel-6.12.8-200.fc41"


def body(hub: Hub, nvr: str = NVR, **others: Any) -> dict[str, Any]:
    return hub.message(hub.add(nvr, target="f41-candidate"), **others)


def test_an_ordinary_build_is_known_without_asking_koji(hub: Hub) -> None:
    message = body(hub)
    assert decide(message, PACKAGES) == Row(
        NVR, "kernel", "kernel.fc41", message["build_id"], SHA, "f41-candidate"
    )
    row = decide(message | {"build_id": None}, PACKAGES)
    assert isinstance(row, Row) and row.koji_id is None
    assert hub.calls == []


@pytest.mark.parametrize(
    "nothing",
    [
        {"request": None, "task_id": None, "task": None, "owner": None, "epoch": None},
        {"request": [None, None, {}]},
        {"request": []},
        {"epoch": "2", "owner": None, "request": None},
    ],
)
def test_what_the_message_does_not_tell_is_left_to_koji(hub: Hub, nothing: Any) -> None:
    row = decide(body(hub, **nothing), PACKAGES)
    assert isinstance(row, Row)
    assert (row.nvr, row.commit, row.target) == (NVR, None, None)
    assert row.koji_id


def test_a_branch_name_in_the_request_is_not_the_commit(hub: Hub) -> None:
    source = "git+https://src.fedoraproject.org/rpms/kernel.git#rawhide"
    row = decide(body(hub, request=[source, "rawhide", {}]), PACKAGES)
    assert isinstance(row, Row) and row.commit is None


@pytest.mark.parametrize(
    ("nvr", "others", "why"),
    [
        (NVR, {"request": [None, "f41", {"scratch": True}]}, "scratch: "),
        (NVR, {"request": [None, "f41", {"draft": True}]}, "draft: "),
        ("kernel-6.12.8-200.fc41,draft_7", {"request": None}, "draft: "),
        ("kernel-5.14-1.module+el8+9+d4b2", {}, "modular"),
        ("kernel-5.14-1.module_f31+9+d4b2", {}, "modular"),
        ("kernel-6.12.8-200.eln145", {}, "any other dist (.eln145): ignored"),
        ("kernel-5.14.0-70.el9", {}, "any other dist (.el9): ignored"),
        ("kernel-6.12.8-200", {}, "no dist tag"),
        ("kernel-6.12.8-200.xcpng8", {}, "no dist tag"),
        (NVR, {"instance": "s390"}, "secondary Koji (s390): "),
        (
            NVR,
            {"request": ["cli-build/1.fUqa/kernel-6.src.rpm", "f41", {}]},
            "uploaded source package: ",
        ),
        (NVR, {"request": ["git+https://example.org/k#" + SHA, "f41", {}]}, "hostile"),
        (NVR, {"request": [5, "f41", {}]}, "hostile: built from 5, not from"),
        (NVR, {"request": [None, 5, {}]}, "hostile: target 5"),
        (NVR, {"request": [None, "f41 x", {}]}, "hostile: target 'f41 x'"),
        (NVR, {"request": [None, "f" * 202, {}]}, "hostile: target"),
        (NVR, {"version": "6-1"}, "hostile: kernel-6"),
        (NVR, {"version": "$(id)"}, "hostile"),
        (NVR, {"build_id": -1}, "hostile: build id -1"),
        (NVR, {"build_id": 0}, "hostile: build id 0"),
        (NVR, {"build_id": 2**63}, "hostile: build id"),
    ],
)
def test_each_other_kind_of_build_has_its_stated_reason(
    hub: Hub, nvr: str, others: Any, why: str
) -> None:
    decision = decide(body(hub, nvr, **others), PACKAGES)
    assert isinstance(decision, NotTaken) and decision.recorded
    assert why in decision.why


@pytest.mark.parametrize("state", [0, 2, 3, 4])
def test_unfinished_builds_and_other_packages_are_passed_over_in_silence(
    hub: Hub, state: int
) -> None:
    for message in (body(hub, new=state), body(hub, "bash-5-1.fc41")):
        decision = decide(message, PACKAGES)
        assert isinstance(decision, NotTaken) and not decision.recorded


def test_a_build_that_was_ignored_unfinished_is_taken_when_its_own_message_comes(
    hub: Hub, journal: Journal
) -> None:
    intake = Intake(journal, PACKAGES)
    for state, after in (("ignored", "waiting"), ("failed", "failed")):
        intake(TOPIC, body(hub))
        held = journal.claim("w", 60)
        assert held and journal.settle(held, state, "unfinished", {})  # type: ignore[arg-type]
        intake(TOPIC, body(hub))
        assert journal.counts() == {after: 1}


def test_a_bug_in_intake_is_recorded_and_does_not_stop_it(
    hub: Hub, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = Intake(journal, PACKAGES)
    message = body(hub)
    with monkeypatch.context() as broken:
        broken.setattr("service.consumer.decide", lambda *_: 1 / 0)
        intake(TOPIC, message)
    [refused] = journal.refused()
    assert "ZeroDivisionError" in refused.why and NVR.split("-")[1] in refused.excerpt
    intake(TOPIC, message)
    assert journal.counts() == {"waiting": 1}


def test_what_is_not_taken_is_recorded_with_its_reason_if_it_might_be_ours(
    hub: Hub, journal: Journal
) -> None:
    intake = Intake(journal, PACKAGES)
    for message in (body(hub, new=0), body(hub, "bash-5-1.fc41"), body(hub, instance="s390")):
        intake(TOPIC, message)
    intake("org.fedoraproject.prod.other", {})
    [refused] = journal.refused()
    assert refused.why.startswith("secondary Koji (s390)") and NVR.split("-")[1] in refused.excerpt
    intake(TOPIC, {"name": "kernel"})
    assert journal.refused()[0].why.startswith("not the schema of Koji: ")
    assert journal.counts() == {}


def test_of_many_messages_only_one_in_half_a_minute_is_a_sign_of_life(
    hub: Hub, journal: Journal
) -> None:
    intake = Intake(journal, PACKAGES)
    for topic in (TOPIC, "org.fedoraproject.prod.other"):
        intake(topic, body(hub))
    [sign] = journal.signs()
    assert (sign.name, sign.doing) == ("messages", f"last one: {TOPIC}")


def test_intake_is_idempotent_and_durable_or_it_raises(hub: Hub, tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{tmp_path}/j.sqlite")
    intake = Intake(journal, PACKAGES)
    for _ in range(3):
        intake(TOPIC, body(hub))
    assert journal.counts() == {"waiting": 1}
    with journal._transaction() as connection:
        connection.exec_driver_sql("DROP TABLE builds")
    with pytest.raises(JournalUnusable):
        intake(TOPIC, body(hub))
    journal.close()


@pytest.mark.parametrize(
    ("topic", "taken", "recorded"),
    [
        (TOPIC, True, False),
        (TOPIC.replace(".prod.", ".stg."), False, True),
        (f"x.{TOPIC}", False, True),
        (TOPIC.replace("org.fedoraproject", "org-fedoraproject"), False, True),
        (f"{TOPIC}.x", False, False),
        ("org.fedoraproject.prod.git.receive", False, False),
    ],
)
def test_only_topics_below_the_configured_prefix_are_taken(
    hub: Hub, tmp_path: Path, topic: str, taken: bool, recorded: bool
) -> None:
    journal = Journal(f"sqlite:///{tmp_path}/j")
    Intake(journal, PACKAGES)(topic, body(hub))
    assert (journal.find(NVR) is not None, len(journal.refused()) == 1) == (taken, recorded)
    Intake(journal, PACKAGES, "org.fedoraproject.stg")(topic, body(hub, "kernel-6.13.0-1.fc41"))
    staging = topic == TOPIC.replace(".prod.", ".stg.")
    assert (journal.find("kernel-6.13.0-1.fc41") is not None) == staging
    journal.close()
