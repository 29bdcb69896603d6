"""What newer tools do otherwise than srcgit: one row for each change.

srcgit follows GNU patch 2.7.6 and git 2.39, whatever the host has and whenever a build was made: two
hosts of one service must agree. The differential tests leave out what a row names where the host's
tool is as new; test_tool_changes.py holds both ends of each row to the tool that is there.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

Version = tuple[int, ...]
Tool = Literal["patch", "git-apply", "git-am"]  # as converter.engine.apply.Rules has them


@dataclass(frozen=True, slots=True)
class Change:
    """``tool``, from version ``since`` on, differs for diffs or mails of which ``affects`` is true.

    ``source`` is where that is written down or was seen.
    """

    name: str
    tool: Tool
    since: Version
    source: str
    affects: Callable[[bytes, tuple[str, ...]], bool]


@cache
def version(program: str) -> Version:
    """Return the version of ``patch`` or ``git`` on this host."""
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    found = re.search(r"\d+(\.\d+)+", said.stdout)
    assert found, said.stdout
    return tuple(map(int, found[0].split(".")))


def changed(tool: str, data: bytes, options: tuple[str, ...] = ()) -> Change | None:
    """Return the change that makes this host's ``tool`` differ from srcgit on ``data``."""
    for change in CHANGES:
        newer = version(change.tool.partition("-")[0]) >= change.since
        if newer and change.tool == tool and change.affects(data, options):
            return change
    return None


def _matches(pattern: bytes) -> Callable[[bytes, tuple[str, ...]], bool]:
    compiled = re.compile(pattern, re.MULTILINE)
    return lambda data, options: compiled.search(data) is not None


def _message_id(data: bytes, options: tuple[str, ...]) -> bool:
    asked = [o for o in options if re.fullmatch(r"-[a-z]*m[a-z]*|--(no-)?message-id", o)]
    return bool(asked) and not asked[-1].startswith("--no")


CHANGES = (
    Change(
        "white space in a range",
        "patch",
        (2, 8),
        "NEWS of 2.8: patches can now contain sequences of spaces and tabs around line numbers",
        _matches(rb"^(@@|\*\*\*|---)( ?[\t ]*[-+]?\d+(,\d+)?)?([ \t]{2,}|\t)[-+]?\d"),
    ),
    Change(
        "an empty line without a newline",
        "patch",
        (2, 8, 1),
        'seen in --verbose of 2.8.1: the hunk applies, "Ignoring the trailing garbage" follows',
        _matches(rb"^[-+ ]\n\\"),
    ),
    Change(
        "no newline, said before any line",
        "git-apply",
        (2, 53),
        "git 3a4eb5ad2e (apply: revamp the parsing of incomplete lines)",
        _matches(rb"^@@ [^\n]*\n\\"),
    ),
    Change(
        "no newline, said before any line",
        "git-am",
        (2, 53),
        "git 3a4eb5ad2e (apply: revamp the parsing of incomplete lines)",
        _matches(rb"^@@ [^\n]*\n\\"),
    ),
    Change(
        "Message-ID: in capitals",
        "git-am",
        (2, 41),
        "git ba4324c4e1 (e-mail workflow: Message-ID is spelled with ID in both capital letters)",
        _message_id,
    ),
    Change(
        "a broken encoded word behind a good one",
        "git-am",
        (2, 50),
        "git 56f1cd10f4 (mailinfo: fix pointential memory leak if `decode_header` failed)",
        _matches(rb"^[A-Za-z-]+:.*=\?[^?\s]+\?[bqBQ]\?[^?]*\?=.*=\?"),
    ),
)
