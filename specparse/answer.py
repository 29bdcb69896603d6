"""What the worker answered becomes a Plan."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container
from pathlib import Path
from typing import Any

from specparse import interpret, upstream
from specparse.inside.names import ARCHIVE
from specparse.interpret import Call, Recording
from specparse.places import Places, related, source_tree
from specparse.plan import Plan, SandboxError, SpecError
from specparse.sandbox import PYTHON, Done

_COMPLAINT = re.compile(r"(?:/bin/)?(?:sh|bash|dash): |.*: (?:No such file|Cannot allocate memory)")
_COMPLAINTS = 5
_COMMENTED = re.compile(r"^((?:#.*\n)+)Patch\d*[^\S\n]*:[^\S\n]*(\S+)", re.MULTILINE)
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


def message(printed: bytearray) -> tuple[dict[str, Any], dict[bytes, bytes]] | None:
    """Take the first message of a worker out of what it printed; None where that is not whole.

    With it come the configuration files that it tells of, by name. Raises SpecError.
    """
    length = printed.find(b"\n")
    if length < 0:
        return None
    told = _object(bytes(printed[:length]))
    sizes = told.get("configs", {})
    if len(printed) < length + 1 + sum(sizes.values()):
        return None
    del printed[: length + 1]
    files = {}
    for name, size in sizes.items():
        files[os.fsencode(name)] = bytes(printed[:size])
        del printed[:size]
    return told, files


def early(
    told: dict[str, Any], package: Path, spec: bytes, arch: str, known: Container[str]
) -> Plan:
    """Return the plan as far as it has come. Raises SpecError."""
    return plan(told | _NO_END, package, spec, arch, known)


def whole(done: Done, reply: dict[str, Any]) -> dict[str, Any]:
    """Return ``reply``, the last message of a worker that is done. Raises SpecError, SandboxError."""
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
    if not reply or done.stdout:
        raise SpecError("the spec disturbed its parser: there is no whole answer")
    if "refused" in reply:
        what, where, *then = reply["refused"]
        then = then or ["such a commit cannot be built"]
        raise SpecError(what, where=where, next_step=then[0])
    # rpm takes a %(...) that failed for an empty one and says nothing: the shell's words tell.
    complaints = [line for line in said if _COMPLAINT.match(line)][:_COMPLAINTS]
    reply["notes"] += [f"while the spec was read: {line[:300]}" for line in complaints]
    return reply


def _object(line: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(line)
    except ValueError:
        raise SpecError("the spec disturbed its parser: the answer is no JSON") from None
    if not isinstance(reply, dict):
        raise SpecError("the spec disturbed its parser: the answer is no object")
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
        )
        for r in reply["records"]
        for source in r["inputs"]
    )
    archive = _main_archive(reply, calls)
    exact = archive in known
    # Where the archive itself is the base, what moves it is a patch like any other.
    fakes = (os.path.basename(name) for name in reply["fakes"])
    moving = frozenset(name for name in fakes if not exact and upstream.moves_base(name))
    places = Places(archive, reply["trees"], reply["tops"], reply["buildsubdir"], exact)
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
        warnings=(*reply["notes"], *meaning.warnings, *warnings),
        comments={} if "early" in reply else comments(text, [name for name, _ in declared]),
        looks=tuple(os.fsencode(name) for name in reply["looks"]),
        unread=tuple(
            left_out.patch
            for left_out in meaning.skipped
            if os.path.basename(os.fsdecode(left_out.patch)) in reply["unread"]
        ),
        unfinished=unfinished,
    )


def _main_archive(reply: dict[str, Any], calls: tuple[Call, ...]) -> str:
    """Return the archive whose tree is built: the first declared of those that could be it."""
    declared = [
        os.path.basename(name)
        for name, number, is_patch in sorted(reply["sources"], key=lambda source: source[1] or 0)
        if not is_patch and ARCHIVE.search(name)
    ]
    trees, used = reply["trees"], {call.archive for call in calls}
    built = [
        name for name in declared if name in trees and related(trees[name][0], reply["buildsubdir"])
    ]
    worked_on = [name for name in declared if name in used]
    unpacked = [name for name in declared if name in trees]
    return next(iter([*built, *worked_on, *unpacked, *declared]), "")


def _unpacks(command: str, archives: Container[str]) -> bool:
    """Tell whether ``command`` does nothing but unpack one of ``archives``."""
    words = command.split()
    return words[0] in ("tar", "unzip") and any(os.path.basename(w) in archives for w in words)


def comments(spec: bytes, patches: list[str]) -> dict[bytes, str]:
    """Return base name of a patch -> the comment lines right above its Patch line, without ``#``."""
    found: dict[bytes, str] = {}
    wanted = {os.path.basename(name) for name in patches}
    for above, file in _COMMENTED.findall(spec.decode("utf-8", "replace")):
        name = file.rpartition("/")[2]
        told = "\n".join(line.lstrip("# ").rstrip() for line in above.splitlines()).strip()
        if name in wanted and told:
            found.setdefault(os.fsencode(name), told)
    return found


def _read(package: Path, name: bytes) -> bytes:
    """Read a file of the package, which may be a link to anywhere: those are not followed."""
    try:
        with open(
            os.open(os.path.join(os.fsencode(package), name), os.O_RDONLY | os.O_NOFOLLOW), "rb"
        ) as file:
            return file.read()
    except OSError:
        return b""


def _short(command: str) -> str:
    first = command.strip().splitlines()[0] if command.strip() else ""
    return first[:200]
