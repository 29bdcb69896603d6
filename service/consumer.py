"""Intake: a message about a build becomes a row in the journal, or is refused with a reason.

Nothing is converted and nobody is asked here, so a message is held for milliseconds only. A message
only points to a build: what was built, and from which commit, is Koji's word (service/pipeline.py).
"""

from __future__ import annotations

import logging
import re
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema
from koji_fedoramessaging_messages.build import BuildStateChangeV1

from converter.build import Nvr
from converter.errors import WrongUsage
from service.config import TOPIC_PREFIX, Package
from service.database import JournalUnusable
from service.journal import Journal, Row
from service.kinds import elsewhere, key, uploaded, why
from service.koji import COMPLETE, commit_of, same_repository

log = logging.getLogger(__name__)

TOPIC = re.compile(r".*\.buildsys\.build\.state\.change")  # of Koji's messages, on any instance
LARGEST = 250_000  # bytes of a message; Koji's have a few thousand, and refused ones get logged


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Why a message adds no work. ``recorded`` unless it is one of the many about others."""

    why: str
    recorded: bool = True


def decide(body: Mapping[str, Any], packages: Mapping[str, Package]) -> Row | NotTaken:
    """Return the row that a build.state.change message asks for, or why it asks for none.

    ``body`` follows the schema (of which the types are all that it promises).
    """
    package = packages.get(body["name"])
    if package is None or body["new"] != COMPLETE:
        return NotTaken("not a finished build of a configured package", recorded=False)
    if body["instance"] != "primary":
        return NotTaken(why("secondary Koji", f"{body['instance']:.100}"))
    request = body["request"] or []
    options = request[2] if len(request) > 2 and isinstance(request[2], dict) else {}
    release = body["release"]
    if options.get("scratch"):
        return NotTaken(why("scratch"))
    if options.get("draft") or ",draft_" in release:
        return NotTaken(why("draft"))
    try:
        nvr = Nvr.parse(f"{body['name']}-{body['version']}-{release}")
    except WrongUsage as error:
        return NotTaken(f"hostile: {error.what}")
    if nvr.name != package.name:  # a dash in the version moved the borders
        return NotTaken(f"hostile: {nvr} is no build of {package.name}")
    if reason := elsewhere(nvr):
        return NotTaken(reason)
    koji_id = body["build_id"]
    if koji_id is not None and not 0 < koji_id < 2**63:
        return NotTaken(f"hostile: build id {str(koji_id)[:40]}")
    source = request[0] if request else None
    target = request[1] if len(request) > 1 else None
    commit = None
    if source is not None:
        if isinstance(source, str) and uploaded(source):
            return NotTaken(why("uploaded source package"))
        if not isinstance(source, str) or not same_repository(source, package.source):
            return NotTaken(f"hostile: built from {source!r:.300}, not from {package.source}")
        commit = commit_of(source)  # a branch name, in a few; Koji knows, and is asked anyway
    if target is not None and not (
        isinstance(target, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,200}", target)
    ):
        return NotTaken(f"hostile: target {target!r:.300}")
    return Row(str(nvr), package.name, key(nvr), koji_id, commit, target)


class Intake:
    """Takes messages in. What it returns from is acknowledged; JournalUnusable means: hold it."""

    def __init__(
        self, journal: Journal, packages: Mapping[str, Package], prefix: str = TOPIC_PREFIX
    ) -> None:
        """Messages of other topics than those below ``prefix`` are another instance's."""
        self._journal = journal
        self._packages = packages
        self._topic = f"{prefix}.buildsys.build.state.change"
        self._signed = 0.0

    def __call__(self, topic: str, body: object) -> None:
        """Take one message whose body could be read. Raises JournalUnusable."""
        if time.monotonic() - self._signed > 30:
            self._journal.sign("messages", f"last one: {topic}")
            self._signed = time.monotonic()
        if topic != self._topic:
            self._elsewhere(topic, body)
            return
        try:
            self._take(topic, body)
        except JournalUnusable:
            raise
        except Exception as error:  # a bug: never a lost message, nor one that comes for ever
            log.exception("a bug in srcgit: %r", error)
            told = f"a bug in srcgit: {traceback.format_exc(limit=-3)}"
            self._journal.refuse(topic, told, _data(body))

    def refuse(self, topic: str, why: str, data: bytes) -> None:
        """Record a message whose body cannot be read, if it claims to be about a build."""
        if topic == self._topic:
            log.warning("refused", extra={"bytes": len(data), "reason": why[:300]})
            self._journal.refuse(topic, why, data)

    def _elsewhere(self, topic: str, body: object) -> None:
        """Record a message about a build of ours that another instance than the configured sent."""
        name = body.get("name") if isinstance(body, Mapping) else None
        if TOPIC.fullmatch(topic) and isinstance(name, str) and name in self._packages:
            self._journal.refuse(topic, f"not below the topic {self._topic}", _data(body))

    def _take(self, topic: str, body: object) -> None:
        try:
            jsonschema.validate(body, BuildStateChangeV1.body_schema)
        except jsonschema.ValidationError as error:
            self.refuse(topic, f"not the schema of Koji: {error.message[:500]}", _data(body))
            return
        assert isinstance(body, Mapping)
        decision = decide(body, self._packages)
        if isinstance(decision, Row):
            taken = self._journal.add(decision) or self._journal.again(decision, only="ignored")
            log.info("taken in" if taken else "known already", extra={"nvr": decision.nvr})
        elif decision.recorded:
            nvr = f"{body['name']}-{body['version']}-{body['release']}"
            log.info("not taken in", extra={"nvr": nvr, "reason": decision.why})
            self._journal.refuse(topic, decision.why, _data(body))


def _data(body: object) -> bytes:
    return repr(body).encode("utf-8", "replace")
