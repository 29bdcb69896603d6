"""Inside the sandbox: rpm parses the spec, then %prep is run with recording stand-ins.

Started by the system's Python, which has rpm's binding; the standard library and the modules
beside it are all that it uses. Reads a request from standard input and answers on standard output,
both JSON, an object a line; file names travel with surrogateescape. The first line is what rpm made of
the spec, before %prep runs. Lines that say so are early: what was recorded when no patch had come for
a moment. The contents of configuration files follow their lines. The last line is the answer.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from specparse.inside import configs
from specparse.inside.commands import changes, commands, errors, last, looks, unread, written
from specparse.inside.names import ARCHIVE, MOVES_BASE
from specparse.inside.parsing import Refused, Spec, missing_patch, parse, rpm_version
from specparse.inside.paths import BUILD, END, PACKAGE, ROOT, SOURCES, read
from specparse.inside.recording import below, records, relative, trees
from specparse.inside.running import run
from specparse.inside.sources import (
    COPIED,
    KNOWN,
    REAL,
    TOPS,
    fake,
    mark,
    populate,
    setup_names,
)

PR_SET_DUMPABLE = 4  # <linux/prctl.h>
_EARLY = 32 << 20  # bytes of what is told early


def answer(request: dict[str, Any], send: Callable[..., int]) -> None:
    """Parse, run, and ``send`` what came of it. Raises Refused."""
    path = take(request)
    built_with = tuple(request["built_with"])
    spec = Spec(*parse(readable(path), request["arch"], request["macros"], built_with))
    missing_patch(read(path), spec.sources)
    if request.get("only") == "header":
        send(spec.named | {"edits": spec.edits})
        return
    put_in_place(spec)
    send(parsed(spec))  # before %prep runs: nothing of it can be said otherwise later
    told = 0

    def pause() -> None:
        nonlocal told
        if told < _EARLY:
            told += send({"early": True} | recorded(spec))

    status = run(spec.prep, spec.named["name"] or "", pause=pause)
    whole = recorded(spec) | outcome(spec, status)  # first: the configs wait for a reader
    configs.tell(send)
    send(whole)


def take(request: dict[str, Any]) -> str:
    """Lay the package out as rpmbuild would; return the path of its spec. Raises Refused."""
    for directory in ("SOURCES", "BUILD", "BUILDROOT/root"):
        os.makedirs(f"{BUILD}/{directory}")
    path = os.path.join(PACKAGE, request["spec"])
    REAL.update((name, base64.b64decode(data)) for name, data in request["tree"].items())
    KNOWN.update(request["archives"])
    populate(path)
    if not os.path.isfile(path):
        raise Refused("the spec is no file, or a link that leads out of the package", "")
    return path


def readable(path: str) -> str:
    """Return where the spec lies beside its sources, under a name that rpm's binding takes."""
    there = os.path.join(SOURCES, os.path.basename(path))
    try:
        there.encode()
    except UnicodeEncodeError:
        os.symlink(there, f"{BUILD}/renamed.spec")
        return f"{BUILD}/renamed.spec"
    return there


def put_in_place(spec: Spec) -> None:
    """Put something in the place of each archive and each other lookaside file.

    An archive that is in the commit stays where it can be marked; of those that cannot, the main one
    and those whose files are known are made up all the same.
    """
    tops = setup_names(spec.prep)
    declared = sorted((s for s in spec.sources if not s[2]), key=lambda source: source[1] or 0)
    archives = [name for name, _, _ in declared if ARCHIVE.search(name)]
    for name in archives:
        main = name == archives[0]
        there = f"{SOURCES}/{name}"
        held = name in COPIED or (os.path.islink(there) and os.path.exists(there))
        if held and (mark(name, main) or not (main or name in KNOWN)):
            continue
        with contextlib.suppress(OSError):
            os.unlink(there)
        fake(name, tops.get(name), main=main)
    for name, _, is_patch in spec.sources:
        if not is_patch or MOVES_BASE.match(name):
            fake(name)


def parsed(spec: Spec) -> dict[str, Any]:
    """Return what the spec says, before its %prep has run."""
    return {
        **spec.named,
        "rpm": rpm_version(),
        "epoch": spec.epoch,
        "sources": [
            (relative(f"{SOURCES}/{n}")[1:], number, is_patch)
            for n, number, is_patch in spec.sources
        ],
        "urls": spec.urls,
        # Whatever is there and no file of pkg-git, listed by the spec or not.
        "fakes": sorted(set(os.listdir(SOURCES)) - set(held())),
        "tops": TOPS,
        "buildsubdir": spec.buildsubdir,
        "edits": spec.edits,
    }


def recorded(spec: Spec) -> dict[str, Any]:
    """Return what the stand-ins have recorded so far."""
    patches = spec.patches
    return {
        "trees": {
            name: [below(directory, "") for directory, _ in found]
            for name, found in trees(spec.buildsubdir).items()
        },
        "records": records(
            [n for n in [*patches, *held()] if "patch" in n or "diff" in n or n in patches],
            spec.buildsubdir,
        ),
    }


def held() -> list[str]:
    """Return the files of the source directory that pkg-git holds."""
    return [n for n in os.listdir(SOURCES) if os.path.islink(f"{SOURCES}/{n}") or n in COPIED]


def outcome(spec: Spec, status: int) -> dict[str, Any]:
    """Return how %prep ended, and what it did besides patching; ``status`` is the shell's."""
    ran = commands()
    # A trap of its own, or exec, leaves no word of how it ended.
    changed, ended = changes(ran), read(END).decode("ascii", "replace") or f"exit {status}"
    ended = "end" if ended.startswith("end") else ended
    if re.search(rb"prep\.sh: line \d+: syntax error", read(f"{ROOT}/prep.out")):
        ended = "syntax error"  # whatever upstream's files are
    return {
        "end": ended,
        "signal": max(-status, 0),
        "errors": errors()[:200],
        "last": last(ran),
        "changes": [*changed, *written(spec.prep, spec.buildsubdir, changed)],
        "looks": looks(spec.prep, ran, to_its_end=ended in ("end", "exit 0")),
        "unread": unread(spec.patches, ran),
    }


def unreachable() -> None:
    """Keep this process's memory and descriptors from what runs under the same user (prctl(2)).

    Else %prep could answer in its place, through /proc/PID/fd or /proc/PID/mem.
    """
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def main() -> None:
    import rpm  # noqa: F401  before there is a request: a worker may be started ahead of it

    unreachable()
    request = json.load(sys.stdin)
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a spec prints while it is parsed is not an answer

    def send(reply: dict[str, Any], *contents: bytes) -> int:
        size = output.write(json.dumps(reply).encode("ascii") + b"\n")
        output.writelines(contents)
        output.flush()
        return size

    try:
        answer(request, send)
    except Refused as refused:
        send({"refused": list(refused.args)})
    os._exit(0)  # all is said; taking rpm down would be waited for
