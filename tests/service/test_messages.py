"""The announcements: valid by their own schema, readable in a notification, known to the library."""

from __future__ import annotations

from typing import Any

from fedora_messaging.message import get_class

from service.journal import Row
from service.messages import BuildConvertedV1, BuildFailedV1, announcement

EVIDENCE: dict[str, Any] = {
    "owner": "jforbes",
    "url": "https://koji.example.org/koji/buildinfo?buildID=7",
    "branch": "f41",
    "tag": "kernel-6.12.8-200.fc41",
    "top": "1" * 40,
    "base": "v6.12.8",
    "patches": 3,
    "changes": {
        "previous": "kernel-6.12.7-200.fc41",
        "added": ["new.patch"],
        "dropped": [],
        "changed": ["a.patch", "b.patch"],
    },
}


def row(**others: Any) -> Row:
    values: dict[str, Any] = {
        "koji_id": 7,
        "commit": "c" * 40,
        "state": "done",
        "evidence": EVIDENCE,
        "settled": 9.0,
    }
    return Row("kernel-6.12.8-200.fc41", "kernel", "kernel.fc41", **(values | others))


def test_a_converted_build_reads_well_and_is_valid() -> None:
    message = announcement(row())
    message.validate()
    assert isinstance(message, BuildConvertedV1)
    assert message.topic == "srcgit.build.converted"
    assert message.summary == (
        "kernel-6.12.8-200.fc41 was published as a source tree"
        " (branch f41; patches: 1 added, 2 changed)"
    )
    assert "Patches added since kernel-6.12.7-200.fc41:\n  new.patch\n" in str(message)
    assert (message.app_name, message.agent_name, message.url) == (
        "srcgit",
        "jforbes",
        EVIDENCE["url"],
    )
    assert (message.packages, message.usernames) == (["kernel"], ["jforbes"])
    assert message.app_icon.startswith("https://")
    assert message.body["changed"] == ["a.patch", "b.patch"]


def test_a_failed_build_says_why_where_and_what_next() -> None:
    error = {"class": "PatchDoesNotApply", "what": "x", "where": "mm/slab.c", "next": "see git log"}
    failed = row(
        state="failed", outcome="hunk 3 does not fit", evidence={"error": error, "report": "@@"}
    )
    message = announcement(failed)
    message.validate()
    assert isinstance(message, BuildFailedV1)
    assert message.summary == (
        "kernel-6.12.8-200.fc41 could not be converted to a source tree: hunk 3 does not fit"
    )
    assert "where: mm/slab.c\nnext: see git log\n\n@@\n" in str(message)
    assert message.agent_name is None and message.usernames == []


def test_a_newer_or_an_older_sender_is_still_understood() -> None:
    """Fields may come; those that are not required may be missing. Anything else is a V2."""
    for message in (announcement(row()), announcement(row(state="failed", outcome="x"))):
        required = message.body_schema["required"]
        least = {name: message.body[name] for name in required} | {"new": {"unknown": 1}}
        other = type(message)(body=least)
        other.validate()
        assert (other.summary, other.url) == (message.summary, message.url)
        assert str(other).startswith(message.summary)


def test_the_same_outcome_has_the_same_id_and_another_has_another() -> None:
    assert announcement(row()).id == announcement(row()).id
    assert announcement(row()).id != announcement(row(state="failed", outcome="x")).id


def test_the_classes_are_registered_under_their_entry_points() -> None:
    assert get_class("srcgit.build.converted.V1") is BuildConvertedV1
    assert get_class("srcgit.build.failed.V1") is BuildFailedV1
