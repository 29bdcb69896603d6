"""Which command of %prep made a difference: read from what ``set -x`` printed (pure)."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from converter.text import text
from specparse.plan import Prepared

_IDLE = frozenset(("[", "[[", "echo", "local", "case", "for", "test", "grep", "export", "set"))
_APPLIES = re.compile(r"(?:patch|git\b.*\b(?:am|apply)|Apply\w*Patch)\b")


def patching(command: str) -> bool:
    """Tell whether ``command`` applies a patch."""
    return _APPLIES.match(command) is not None


def missing_directory(run: Prepared) -> bytes | None:
    """Return the directory that %prep did not find in what it had unpacked, if that stopped it."""
    last = shlex.split(run.trace[-1]) if run.trace else []
    if len(last) == 2 and last[0] == "cd" and "/" not in last[1].strip("/"):
        return os.fsencode(last[1].strip("/"))
    return None


@dataclass(frozen=True, slots=True)
class Command:
    """A command of %prep that applies no patch, and the last part of its directory."""

    line: str
    words: tuple[str, ...]
    directory: str


def commands(run: Prepared) -> list[Command]:
    """Return what %prep did besides patching, without rpm's own commands at the end."""
    trace = run.trace
    if "RPM_EC=0" in trace:  # rpm 4.18, macros.in, ___build_post
        trace = trace[: trace.index("RPM_EC=0")]
    found, directory = [], ""
    for line in dict.fromkeys(trace):
        try:
            words = shlex.split(line)
        except ValueError:
            words = line.split()
        if words[:1] == ["cd"]:
            directory = posixpath.basename(words[-1].rstrip("/"))
        elif words and words[0] not in _IDLE and "=" not in words[0] and not patching(line):
            found.append(Command(line, tuple(words), directory))
    return found


def stop(run: Prepared) -> str:
    """Return the command at which %prep stopped; "" when it ran to its end."""
    if run.status == 0:
        return ""
    return run.trace[-1] if run.trace else "the start"


def step(path: bytes, commands: Sequence[Command]) -> str:
    """Return the last of the commands that speak most closely of ``path``; "" where none does.

    For people: that %prep makes the difference is known from the control run.
    """
    whole = text(path)
    best, rank = "", 1
    for command in commands:
        this = _closeness(command, whole)
        if this >= rank:
            best, rank = command.line, this
    return best


def _closeness(command: Command, path: str) -> int:
    """Return how closely a command speaks of ``path``: 0 not at all, 4 by its full name."""
    parent, base = posixpath.split(path)
    tool = command.words[0]
    names = [word.removeprefix("./").rstrip("/") for word in command.words[1:]]
    if path in names:
        return 4
    if tool == "find":
        acts = "-exec" in names or "-delete" in names
        patterns = [names[n + 1] for n, word in enumerate(names[:-1]) if word in ("-name", "-path")]
        return 3 if acts and any(fnmatch.fnmatchcase(base, p) for p in patterns) else 0
    if any(posixpath.basename(name) == base for name in names):
        return 3
    if any(name and path.startswith(name + "/") for name in names):
        return 2
    # What a script that pkg-git brought along does within is not in the trace; nor what make does.
    script = tool.startswith("./") and posixpath.basename(parent) == command.directory
    return int(script or tool == "make")
