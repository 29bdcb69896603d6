"""What the worker answered becomes a Plan."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container
from functools import lru_cache
from pathlib import Path
from typing import Any

from specparse import interpret, upstream
from specparse.foreign_tree import ForeignTree
from specparse.inside.names import ARCHIVE
from specparse.interpret import Call, Recording
from specparse.macros import BUILD, SOURCES
from specparse.places import Places, related, source_tree
from specparse.plan import Plan, SandboxError, SpecError
from specparse.sandbox import PYTHON, Done

_COMPLAINT = re.compile(r"(?:/bin/)?(?:sh|bash|dash): |.*: (?:No such file|Cannot allocate memory)")
_COMPLAINTS = 5
_DECLARED = re.compile(r"Patch\d*[^\S\n]*:[^\S\n]*(\S+)")
# what it lacks, as if %prep had come to its end
_NO_END = {
    "end": "end",
    "signal": 0,
    "errors": (),
    "last": "",
    "changes": (),
    "looks": (),
    "unread": (),
}
# a shell's status for SIGKILL, SIGXCPU and SIGXFSZ
_LIMIT_HIT = {128 + 9, 128 + 24, 128 + 25}


_NO_TEXT = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")  # other surrogates stand for bytes
_MAX_FILE = 64 << 20  # bytes of a spec
_VERSION = re.compile(r"[0-9A-Za-z.~^+-]{1,40}")
_LINE = 16 << 20  # bytes of a message; those of 600 patches are 0.3
# The kinds of messages: key -> what its value is. [T] is any number of T, {str: T} any names with T.
_RECORD = {
    "tool": str,
    "archive": str,
    "directory": str,
    "repository": str,
    "where": str,
    "inputs": [str],
    "argv": [str],
    "config": [(str, str)],
    "variables": [str],
}
_HEADER = {"name": str, "version": str, "release": str, "edits": [str]}
_PARSED = {
    **_HEADER,
    "rpm": str,
    "epoch": int | None,
    "sources": [(str, int | None, bool)],
    "urls": {str: str},
    "fakes": [str],
    "tops": {str: str},
    "buildsubdir": str,
}
_RECORDED = {"trees": {str: [str]}, "records": [_RECORD]}
_WHOLE = {
    **_RECORDED,
    "end": str,
    "signal": int,
    "errors": [(int, str)],
    "last": str,
    "changes": [str],
    "looks": [str],
    "unread": [str],
}
_MESSAGES: tuple[Any, ...] = (
    {"configs": {str: int}},
    _PARSED,
    {"early": bool, **_RECORDED},
    _WHOLE,
    _HEADER,
    {"refused": [str]},
)


class Messages:
    """What a worker says, message by message. A spec may have had its hands in it: all is checked."""

    def __init__(self) -> None:
        self._searched = 0  # bytes that are no whole line
        self._begun: dict[str, Any] | None = None  # a line whose contents are to come
        self._parsed: dict[str, Any] | None = None  # what was said before %prep ran

    def next(self, printed: bytearray) -> tuple[dict[str, Any], dict[bytes, bytes]] | None:
        """Take the next message out of what was ``printed``; None where that is not whole.

        With it come the configuration files that it tells of, by name. Raises SpecError.
        """
        if self._begun is None:
            length = printed.find(b"\n", self._searched)
            self._searched = len(printed)
            if (self._searched if length < 0 else length) > _LINE:
                raise _disturbed("a message is too long")
            if length < 0:
                return None
            said = _told(bytes(printed[:length]))
            del printed[: length + 1]
            self._searched = 0
            if "tops" in said:
                if self._parsed is not None:
                    raise _disturbed("the spec was read twice")
                if not _VERSION.fullmatch(said["rpm"]):  # it goes into a note, as a line
                    raise _disturbed("rpm has no version")
                self._parsed = said
                return self.next(printed)
            self._begun = self._whole(said) if "trees" in said else said
        sizes = self._begun.get("configs", {})
        if len(printed) < sum(sizes.values()):
            return None
        told, self._begun = self._begun, None
        files = {}
        for name, size in sizes.items():
            files[os.fsencode(name)] = bytes(printed[:size])
            del printed[:size]
        return told, files

    def _whole(self, recorded: dict[str, Any]) -> dict[str, Any]:
        """Return what was recorded with what the spec says, which comes from before."""
        if self._parsed is None:
            raise _disturbed("%prep ran before the spec was read")
        trees = recorded["trees"]
        if not all(trees.values()) or not trees.keys() <= self._parsed["tops"].keys():
            raise _disturbed("the answer has trees of nowhere")
        return {**recorded, **self._parsed, "edits": [*self._parsed["edits"]]}

    @property
    def all_taken(self) -> bool:
        """Whether no message has only begun."""
        return self._begun is None


def _told(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        raise _disturbed("the answer is no JSON") from None
    if not any(_fits(told, kind) for kind in _MESSAGES):
        raise _disturbed("the answer is none of a worker's")
    if any(size < 0 for size in told.get("configs", {}).values()):
        raise _disturbed("the answer is none of a worker's")
    message: dict[str, Any] = told
    return message


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, dict) and str in kind:
        return isinstance(value, dict) and all(
            _fits(name, str) and _fits(each, kind[str]) for name, each in value.items()
        )
    if isinstance(kind, dict):
        return (
            isinstance(value, dict)
            and value.keys() == kind.keys()
            and all(_fits(value[key], each) for key, each in kind.items())
        )
    if isinstance(kind, list):
        return isinstance(value, list) and all(_fits(each, kind[0]) for each in value)
    if isinstance(kind, tuple):
        return isinstance(value, list) and len(value) == len(kind) and all(map(_fits, value, kind))
    if isinstance(value, str):
        return kind is str and not _NO_TEXT.search(value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _disturbed(why: str) -> SpecError:
    return SpecError(f"the spec disturbed its parser: {why}")


def early(
    told: dict[str, Any], package: Path, spec: bytes, arch: str, known: Container[str]
) -> Plan:
    """Return the plan as far as it has come. Raises SpecError."""
    return plan(told | _NO_END, package, spec, arch, known)


def whole(
    done: Done, messages: Messages, replies: list[dict[str, Any]], key: str
) -> dict[str, Any]:
    """Return the last message of a worker that is done: the one of ``replies``, which has ``key``.

    Raises SpecError, SandboxError.
    """
    if done.broke:
        raise SpecError(
            f"parsing the spec and tracing its %prep took more than {done.broke}",
            next_step="look for a loop or a wait in the spec",
        )
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if done.status != 0:
        if any("No module named 'rpm'" in line for line in said):
            raise SandboxError(
                f"rpm's Python binding is missing for {PYTHON}",
                next_step="install python3-rpm",
            )
        raise SpecError(
            f"the spec ended its parser (status {done.status}): {said[-1] if said else 'no word'}",
            next_step="it may use too much memory or time; look at its macros",
        )
    if len(replies) != 1 or done.stdout or not messages.all_taken:
        raise _disturbed("there is no whole answer")
    [reply] = replies
    if "refused" in reply:
        parts: list[str] = [*reply["refused"], "", "", ""]
        what, where, then = parts[:3]
        raise SpecError(what, where=where, next_step=then or "such a commit cannot be built")
    if key not in reply:
        raise _disturbed("there is no whole answer")
    # rpm takes a %(...) that failed for an empty one and says nothing: the shell's words tell.
    complaints = [line for line in said if _COMPLAINT.match(line)][:_COMPLAINTS]
    reply["complaints"] = [f"while the spec was read: {_theirs(line)[:300]}" for line in complaints]
    return reply


def plan(
    reply: dict[str, Any], package: Path, spec: bytes, arch: str, known: Container[str]
) -> Plan:
    """Return the plan that the worker's answer amounts to; ``known`` archives were given to it.

    Raises SpecError.
    """
    calls = tuple(
        Call(
            r["tool"],
            r["archive"],
            r["directory"],
            source,
            tuple(r["argv"]),
            repository=r["repository"],
            where=r["where"],
            config=tuple((key, value) for key, value in r["config"]),
            variables=tuple(r["variables"]),
        )
        for r in reply["records"]
        for source in r["inputs"]
    )
    archive = _main_archive(reply)
    exact = archive in known
    # Where the archive itself is the base, what moves it is a patch like any other.
    fakes = (os.path.basename(name) for name in reply["fakes"])
    moving = frozenset(name for name in fakes if not exact and upstream.moves_base(name))
    places = Places(
        *(archive, reply["trees"], reply["tops"], reply["buildsubdir"], exact),
        names=lambda patch: _names(_read(package, os.fsencode(patch))),
    )
    seen, archives = source_tree(calls, places)
    ended = [command for status, command in reply["errors"] if status in _LIMIT_HIT]
    if ended or reply["signal"]:
        raise SpecError(
            f"%prep broke a limit (time, memory, size): {_short([*ended, reply['last']][0])}",
            next_step="look for a loop in it",
        )
    unfinished = "" if reply["end"] in ("end", "exit 0") else _short(reply["last"]) or "none"
    if unfinished and not (reply["looks"] and reply["end"].startswith("exit ")):
        raise SpecError(
            f"%prep does not get to its end; its last words: {unfinished}",
            next_step="a file that it wants may be missing from the commit",
        )
    lost = [command for _, command in reply["errors"] if command.startswith(("cd ", "pushd "))]
    if exact and lost:
        raise SpecError(
            f"%prep does not find its way in {archive}: {_short(lost[0])}",
            next_step="compare the archive with the spec's %setup",
        )
    declared = [(name, number) for name, number, is_patch in reply["sources"] if is_patch]
    changes = tuple(c for c in reply["changes"] if not _unpacks(c, known))
    recording = Recording(tuple(seen), tuple(declared), moving, archive, changes)
    meaning = interpret.interpret(recording)
    text = _read(package, spec)
    told = text.decode("utf-8", "replace")
    gitrev = _read(package, b"gitrev").decode("ascii", "replace") or None
    base, warnings = upstream.base(
        archive,
        [os.fsdecode(name) for name in meaning.base_patches],
        gitrev=gitrev,
        changelog=told.partition("%changelog")[2][:4000],
        spec=upstream.Spec(
            reply["name"], reply["version"], reply["release"], reply["urls"].get(archive, ""), told
        ),
    )
    return Plan(
        name=reply["name"],
        epoch=reply["epoch"],
        version=reply["version"],
        release=reply["release"],
        spec=spec,
        arch=arch,
        base=base,
        archives=tuple(archives),
        base_patches=meaning.base_patches,
        steps=meaning.steps,
        skipped=meaning.skipped,
        unrepresented=meaning.unrepresented,
        warnings=(*reply.get("complaints", ()), *meaning.warnings, *warnings),
        edits=tuple(reply["edits"]),
        comments=comments(text, [name for name, _ in declared]),
        looks=tuple(os.fsencode(name) for name in reply["looks"]),
        unread=tuple(
            left_out.patch
            for left_out in meaning.skipped
            if os.path.basename(os.fsdecode(left_out.patch)) in reply["unread"]
        ),
        unfinished=unfinished,
    )


def _main_archive(reply: dict[str, Any]) -> str:
    """Return the archive whose tree is built: the first declared of those that could be it."""
    declared = [
        os.path.basename(name)
        for name, number, is_patch in sorted(reply["sources"], key=lambda source: source[1] or 0)
        if not is_patch and ARCHIVE.search(name)
    ]
    trees = reply["trees"]
    built = [
        name for name in declared if name in trees and related(trees[name][0], reply["buildsubdir"])
    ]
    unpacked = [name for name in declared if name in trees]
    return next(iter([*built, *unpacked, *declared]), "")


def _unpacks(command: str, archives: Container[str]) -> bool:
    """Tell whether ``command`` does nothing but unpack one of ``archives``."""
    words = command.split()
    return words[:1] in (["tar"], ["unzip"]) and any(os.path.basename(w) in archives for w in words)


def comments(spec: bytes, patches: list[str]) -> dict[bytes, str]:
    """Return base name of a patch -> the comment lines right above its Patch line, without ``#``."""
    wanted = {os.fsencode(os.path.basename(name)) for name in patches}
    return {name: told for name, told in _comments(spec).items() if name in wanted}


@lru_cache(maxsize=2)  # a plan is made again and again while %prep goes on
def _comments(spec: bytes) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    above: list[str] = []
    for line in spec.decode("utf-8", "replace").split("\n"):
        if line.startswith("#"):
            above += line.splitlines()
            continue
        if above and (declared := _DECLARED.match(line)):
            name = declared[1].rpartition("/")[2]
            told = "\n".join(each.lstrip("# ").rstrip() for each in above).strip()
            if told:
                found.setdefault(os.fsencode(name), told)
        above.clear()
    return found


def _read(package: Path, name: bytes) -> bytes:
    """Read a file of the package, which may be a link to anywhere: those are not followed."""
    with ForeignTree(package) as files:
        return files.read(name, _MAX_FILE) or b""


_NAMED = re.compile(rb"^(?:---|\+\+\+) (\S+)", re.MULTILINE)


def _names(patch: bytes) -> list[str]:
    """Return the names of files in a patch's headers."""
    return [os.fsdecode(name) for name in _NAMED.findall(patch) if name != b"/dev/null"]


# Names of the sandbox's own: its directories, the tools and functions in the place of others.
_OURS = re.compile(
    rf"{re.escape(SOURCES)}/|{re.escape(BUILD)}/(?:BUILD/)?|/tmp/standin/"
    r"|(?<!\S)(?:\./)?srcgit\.tree(?!\S)|\bsrcgit_standin (?=\w)|\bbuiltin (?=cd|pushd)"
)


def _theirs(said: str) -> str:
    """Return what %prep or a tool said, as it would say it outside of the sandbox."""
    return _OURS.sub("", said)


def _short(command: str) -> str:
    command = _theirs(command)
    first = command.strip().splitlines()[0] if command.strip() else ""
    return first[:200]
