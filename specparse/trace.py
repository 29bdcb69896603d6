"""pkg-git's files and a release's macros become a Plan: the sandbox is started here, once."""

from __future__ import annotations

import base64
import json
import os
import re
import tempfile
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from specparse import interpret, macros, upstream
from specparse.interpret import Call, Recording
from specparse.places import Places, related, source_tree
from specparse.plan import Header, Meanwhile, Plan, SandboxError, SpecError
from specparse.sandbox import Beside, Done, Limits, Sandbox
from specparse.standin import ARCHIVE, STANDIN_SHELL

_PYTHON = "/usr/bin/python3"  # the system's: rpm's binding is a package of the system
_ARCHIVE = re.compile(ARCHIVE)
_COMPLAINT = re.compile(r"(?:/bin/)?(?:sh|bash|dash): |.*: (?:No such file|Cannot allocate memory)")
_COMPLAINTS = 5
_EARLY = b'{"early": true'  # what a worker's answer starts with that is not its last
# what it lacks, as if %prep had come to its end
_NO_END = {
    "end": "end",
    "signal": 0,
    "errors": (),
    "last": "",
    "changes": (),
    "looks": (),
    "unread": (),
    "configs": {},
}
# a shell's status for SIGKILL, SIGXCPU and SIGXFSZ
_LIMIT_HIT = {128 + 9, 128 + 24, 128 + 25}


@dataclass(frozen=True, slots=True)
class SandboxedTracer:
    """A specparse.plan.Tracer; ``sandboxed`` is False only for a person who asked for it."""

    sandboxed: bool = True
    limits: Limits = field(default_factory=Limits)
    defined: Mapping[str, str] = field(default_factory=dict)  # by a person: macro -> body

    def __call__(
        self,
        package: Path,
        spec: bytes,
        *,
        dist: str,
        arch: str,
        archives: Mapping[bytes, Sequence[bytes]] = {},
        base_files: Mapping[bytes, bytes] = {},
        meanwhile: Meanwhile | None = None,
    ) -> Plan:
        """Return the plan of ``spec``. Raises SpecError, SandboxError."""
        request: dict[str, Any] = {
            "spec": os.fsdecode(spec),
            "arch": arch,
            "tree": {
                os.fsdecode(name): base64.b64encode(data).decode()
                for name, data in base_files.items()
            },
            "archives": {
                os.fsdecode(name): [os.fsdecode(path) for path in paths]
                for name, paths in archives.items()
            },
        }
        known = frozenset(request["archives"])
        meanwhile = meanwhile or Meanwhile()

        def heard(line: bytes) -> bool:
            if not line.startswith(_EARLY):
                return False
            early = plan(_object(line) | _NO_END, package, spec, arch, known)
            if early.steps:
                meanwhile.so_far(early)
            return True

        beside = Beside(meanwhile.starting, meanwhile.begun, heard)
        reply = self._ask(package, dist, request, beside)
        return plan(reply, package, spec, arch, known)

    def header(self, package: Path, spec: bytes, *, dist: str, arch: str) -> Header:
        """Return what ``spec`` calls its build: a specparse.plan.Reader. Raises PlanError."""
        request = {"spec": os.fsdecode(spec), "arch": arch, "tree": {}, "archives": {}}
        reply = self._ask(package, dist, request | {"only": "header"}, Beside())
        return Header(reply["name"], reply["version"], reply["release"])

    def _ask(
        self, package: Path, dist: str, request: dict[str, Any], beside: Beside
    ) -> dict[str, Any]:
        if self.sandboxed:
            table = macros.macros(dist, request["arch"]) | dict(self.defined)
            return _reply(self._confined(package, request | {"macros": table}, beside))
        with tempfile.TemporaryDirectory(prefix="srcgit-") as root:
            table = macros.macros(dist, request["arch"], build=f"{root}/build") | dict(self.defined)
            return _reply(self._free(package, root, request | {"macros": table}, beside))

    def _confined(self, package: Path, request: dict[str, Any], beside: Beside) -> Done:
        mounts = (package, "/package"), (Path(__file__).parent, "/srcgit/specparse"), *_shells()
        return _answer(Sandbox(mounts, limits=self.limits), "/srcgit", request, beside)

    def _free(self, package: Path, root: str, request: dict[str, Any], beside: Beside) -> Done:
        environment = {
            "LC_ALL": "C.UTF-8",
            "SRCGIT_PACKAGE": str(package.absolute()),
            "SRCGIT_ROOT": root,
        }
        sandbox = Sandbox(
            environment=environment, limits=self.limits, directory=root, confined=False
        )
        return _answer(sandbox, str(Path(__file__).parents[1].absolute()), request, beside)


def _answer(sandbox: Sandbox, modules: str, request: dict[str, Any], beside: Beside) -> Done:
    # -I: nothing of the environment and no user's packages; -B: no files beside ours
    start = "import sys; sys.path.insert(0, sys.argv[1]); from specparse.worker import main; main()"
    command = (_PYTHON, "-I", "-B", "-c", start, modules)
    return sandbox.run(*command, input=json.dumps(request).encode(), beside=beside)


def _shells() -> tuple[tuple[Path, str], ...]:
    """Fedora's sh is bash, Debian's is dash: what is called sh in there is bash."""
    shell = Path("/bin/sh").resolve()
    if shell.name == "bash":
        return ()
    return (shell, STANDIN_SHELL), (Path("/usr/bin/bash"), str(shell))


def _reply(done: Done) -> dict[str, Any]:
    """Return the worker's answer. Raises SpecError, SandboxError."""
    if done.broke:
        raise SpecError(
            f"parsing the spec and tracing its %prep took more than {done.broke}",
            next_step="look for a loop or a wait in the spec",
        )
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if done.status != 0:
        if any("No module named 'rpm'" in line for line in said):
            raise SandboxError(
                f"rpm's Python binding is missing for {_PYTHON}",
                next_step="install python3-rpm",
            )
        raise SpecError(
            f"the spec ended its parser (status {done.status}): {said[-1] if said else 'no word'}",
            next_step="it may use too much memory or time; look at its macros",
        )
    line, _, contents = done.stdout.partition(b"\n")
    reply = _object(line)
    if "refused" in reply:
        what, where, *then = reply["refused"]
        then = then or ["such a commit cannot be built"]
        raise SpecError(what, where=where, next_step=then[0])
    reply["configs"] = _parts(reply.get("configs", {}), contents)
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


def _parts(sizes: Mapping[str, int], contents: bytes) -> dict[bytes, bytes]:
    """Return what lies in ``contents`` one after the other."""
    parts, at = {}, 0
    for name, size in sizes.items():
        parts[os.fsencode(name)] = contents[at : at + size]
        at += size
    return parts


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
        comments=comments(text, [name for name, _ in declared]),
        looks=tuple(os.fsencode(name) for name in reply["looks"]),
        unread=tuple(
            left_out.patch
            for left_out in meaning.skipped
            if os.path.basename(os.fsdecode(left_out.patch)) in reply["unread"]
        ),
        configs=reply["configs"],
        unfinished=unfinished,
    )


def _main_archive(reply: dict[str, Any], calls: tuple[Call, ...]) -> str:
    """Return the archive whose tree is built: the first declared of those that could be it."""
    declared = [
        os.path.basename(name)
        for name, number, is_patch in sorted(reply["sources"], key=lambda source: source[1] or 0)
        if not is_patch and _ARCHIVE.search(name)
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
    """Return patch -> the comment lines right above its Patch line."""
    found: dict[bytes, str] = {}
    above: list[str] = []
    wanted = {os.path.basename(name) for name in patches}
    for line in spec.decode("utf-8", "replace").splitlines():
        if line.startswith("#"):
            above.append(line.lstrip("# ").rstrip())
            continue
        declared = re.match(r"Patch\d*\s*:\s*(\S+)", line)
        if declared:
            name = declared[1].rpartition("/")[2]
            told = "\n".join(above).strip()
            if name in wanted and told:
                found.setdefault(os.fsencode(name), told)
        above = []
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
