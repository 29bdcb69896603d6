"""What srcgit tells the bus: a schema class for each of its messages, and how one is filled in.

Registered under the entry point group ``fedora.messages``; topics get the bus's own prefix
(``org.fedoraproject.prod.``) from ``topic_prefix`` in the configuration.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from fedora_messaging.message import ERROR, INFO, Message

if TYPE_CHECKING:  # whoever gets our messages loads this module, and need not have SQLAlchemy
    from service.journal import Row

_SCHEMA_URL = "http://fedoraproject.org/message-schema/v1/"
_NAMES = {"type": "array", "items": {"type": "string"}}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_COMMON: dict[str, Any] = {
    "package": {"type": "string", "description": "name of the source package"},
    "nvr": {"type": "string", "description": "name-version-release of the build"},
    "koji_id": {"type": ["integer", "null"], "description": "Koji's id of the build"},
    "owner": {**_TEXT_OR_NULL, "description": "who built it in Koji"},
    "pkg_git_commit": {**_TEXT_OR_NULL, "description": "full id of the commit that was built"},
    "url": {**_TEXT_OR_NULL, "description": "where people can read more"},
}


class _BuildMessage(Message):
    """What the messages about a build have in common."""

    @property
    def app_name(self) -> str:
        return "srcgit"

    @property
    def app_icon(self) -> str:
        return "https://apps.fedoraproject.org/img/icons/git-logo.png"

    @property
    def url(self) -> str | None:
        """Where people can read more."""
        found: str | None = self.body["url"]
        return found

    @property
    def nvr(self) -> str:
        """The build's name-version-release."""
        return str(self.body["nvr"])

    @property
    def packages(self) -> list[str]:
        return [self.body["package"]]

    @property
    def usernames(self) -> list[str]:
        return [self.body["owner"]] if self.body["owner"] else []

    @property
    def agent_name(self) -> str | None:
        """The person whose build caused this."""
        found: str | None = self.body["owner"]
        return found


class BuildConvertedV1(_BuildMessage):
    """A build has been converted and published."""

    topic = "srcgit.build.converted"
    severity = INFO
    body_schema: ClassVar[dict[str, Any]] = {
        "$id": f"{_SCHEMA_URL}srcgit.build.converted",
        "$schema": "http://json-schema.org/draft-04/schema#",
        "description": "A package build was converted to a source tree and published.",
        "type": "object",
        "properties": {
            **_COMMON,
            "branch": {"type": "string", "description": "branch of the source tree"},
            "commit": {"type": "string", "description": "full id of the top commit"},
            "tag": {"type": "string", "description": "name of the tag"},
            "base": {**_TEXT_OR_NULL, "description": "upstream revision, e.g. v6.12.8"},
            "patches": {"type": "integer", "description": "number of patches in the series"},
            "previous": {**_TEXT_OR_NULL, "description": "NVR of the build compared with"},
            "added": {**_NAMES, "description": "patches that the previous build did not have"},
            "dropped": {**_NAMES, "description": "patches that only the previous build had"},
            "changed": {**_NAMES, "description": "patches with another content"},
        },
        "required": [*_COMMON, "branch", "commit", "tag", "added", "dropped", "changed"],
    }

    @property
    def summary(self) -> str:
        changes = [
            f"{len(self.body[what])} {what}"
            for what in ("added", "dropped", "changed")
            if self.body[what]
        ]
        told = f"; patches: {', '.join(changes)}" if changes else ""
        return f"{self.nvr} was published as a source tree (branch {self.body['branch']}{told})"

    def __str__(self) -> str:
        lines = [f"{self.summary}.", "", f"Tag:    {self.body['tag']}"]
        lines += [f"Commit: {self.body['commit']}"]
        if self.body.get("base"):
            lines += [f"Base:   {self.body['base']}"]
        for what in ("added", "dropped", "changed"):
            if self.body[what]:
                since = f" since {self.body['previous']}" if self.body.get("previous") else ""
                lines += ["", f"Patches {what}{since}:"]
                lines += [f"  {name}" for name in self.body[what]]
        if self.url:
            lines += ["", self.url]
        return "\n".join([*lines, ""])


class BuildFailedV1(_BuildMessage):
    """A build cannot be converted."""

    topic = "srcgit.build.failed"
    severity = ERROR
    body_schema: ClassVar[dict[str, Any]] = {
        "$id": f"{_SCHEMA_URL}srcgit.build.failed",
        "$schema": "http://json-schema.org/draft-04/schema#",
        "description": "A package build could not be converted to a source tree.",
        "type": "object",
        "properties": {
            **_COMMON,
            "reason": {"type": "string", "description": "why, in one line"},
            "error": {"type": "string", "description": "class of the error"},
            "where": {"type": "string", "description": "file, commit or place at fault"},
            "next": {"type": "string", "description": "what can be done about it"},
            "report": {"type": "string", "description": "the details, for people"},
        },
        "required": [*_COMMON, "reason", "error", "where", "next"],
    }

    @property
    def summary(self) -> str:
        return f"{self.nvr} could not be converted to a source tree: {self.body['reason']}"

    def __str__(self) -> str:
        lines = [f"{self.summary}", ""]
        lines += [f"{name}: {self.body[name]}" for name in ("where", "next") if self.body[name]]
        if self.body.get("report"):
            lines += ["", self.body["report"]]
        if self.url:
            lines += ["", self.url]
        return "\n".join([*lines, ""])


def announcement(row: Row) -> Message:
    """Return the message that tells the outcome of a settled build.

    Its id is made from the build and the outcome: whoever gets it twice can tell.
    """
    evidence = row.evidence
    body: dict[str, Any] = {
        "package": row.package,
        "nvr": row.nvr,
        "koji_id": row.koji_id,
        "owner": evidence.get("owner"),
        "pkg_git_commit": row.commit,
        "url": evidence.get("url"),
    }
    message: Message
    if row.state == "done":
        body |= _converted(evidence)
        message = BuildConvertedV1(body=body)
    else:
        error = evidence.get("error", {})
        body |= {
            "reason": row.outcome,
            "error": error.get("class", ""),
            "where": error.get("where", ""),
            "next": error.get("next", ""),
            "report": evidence.get("report", "")[:10_000],
        }
        message = BuildFailedV1(body=body)
    message.id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"srcgit:{row.nvr}:{row.state}:{row.settled}"))
    return message


def _converted(evidence: Mapping[str, Any]) -> dict[str, Any]:
    changes = evidence.get("changes", {})
    return {
        "branch": evidence["branch"],
        "commit": evidence["top"],
        "tag": evidence["tag"],
        "base": evidence.get("base"),
        "patches": evidence.get("patches", 0),
        "previous": changes.get("previous"),
        "added": changes.get("added", []),
        "dropped": changes.get("dropped", []),
        "changed": changes.get("changed", []),
    }
