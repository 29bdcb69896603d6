"""pkg-git's files and a release's macros become a Plan: a worker in the sandbox, one for each."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from specparse import macros
from specparse.inside.paths import STANDIN_SHELL
from specparse.inside.standin import NEVER_RUN
from specparse.plan import Header, Meanwhile, Plan, SandboxError, Step
from specparse.sandbox import Limits, Running, Sandbox, inside, our_modules
from specparse.scratch import scratch_root
from specparse.system_root import NO_ROOTS, Roots, SystemRoot


@dataclass(frozen=True, slots=True)
class SandboxedTracer:
    """A specparse.plan.Tracer; ``sandboxed`` is False only for a person who asked for it."""

    sandboxed: bool = True
    limits: Limits = field(default_factory=Limits)
    defined: Mapping[str, str] = field(default_factory=dict)  # by a person: macro -> body
    # Write the files in memory, where there is room: not for what may be killed again and again, since
    # what it leaves there stays until the machine is started anew.
    in_memory: bool = False
    roots: Roots = NO_ROOTS  # the system that a release's specs are read and prepared with
    _waiting: list[_Worker] = field(default_factory=list, repr=False, compare=False)

    def ahead(self) -> None:
        """Start the sandbox of the next trace now, so that it need not be waited for then.

        Which root that needs is known only with the release.
        """
        if self.roots.by_dist and not self.roots.every:
            return
        with contextlib.suppress(SandboxError):  # which that trace tells
            self._waiting.append(self._worker(""))

    def close(self) -> None:
        """End what was started ahead and not used."""
        while self._waiting:
            self._waiting.pop().close()

    def __call__(
        self,
        export: Callable[[Path], None],
        spec: bytes,
        *,
        dist: str,
        arch: str,
        archives: Mapping[bytes, Sequence[bytes]] = {},
        base_files: Mapping[bytes, bytes] = {},
        meanwhile: Meanwhile | None = None,
    ) -> Plan:
        """Return the plan of ``spec``. Raises SpecError, SandboxError, and what ``export`` raises."""
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
        meanwhile = meanwhile or Meanwhile()
        with contextlib.closing(self._asked(export, dist, request)) as worker:
            from specparse import answer  # imported while the worker works

            meanwhile.begun()
            of = (worker.package, spec, arch, frozenset(request["archives"]))
            configs: dict[bytes, bytes] = {}
            replies: list[dict[str, Any]] = []
            messages = answer.Messages()
            known: tuple[Step, ...] = ()

            def heard(printed: bytearray) -> None:
                nonlocal known
                while message := messages.next(printed):
                    told, files = message
                    if "configs" in told:
                        configs.update(files)
                        meanwhile.configs(files)
                    elif "early" not in told:
                        replies.append(told)
                    else:
                        early = answer.early(told, *of)
                        # What is no more than was known would be work for nothing, again and again.
                        if early.steps[: len(known)] == known != early.steps:
                            known = early.steps
                            meanwhile.so_far(early)

            done = worker.running.done(heard)
            reply = answer.whole(done, messages, replies, "end")
            tools = worker.root.described(reply["rpm"])
            return replace(answer.plan(reply, *of), configs=configs, tools=tools)

    def header(
        self, export: Callable[[Path], None], spec: bytes, *, dist: str, arch: str
    ) -> Header:
        """Return what ``spec`` calls its build: a specparse.plan.Reader. Raises PlanError."""
        from specparse import answer

        request = {"spec": os.fsdecode(spec), "arch": arch, "tree": {}, "archives": {}}
        replies: list[dict[str, Any]] = []
        messages = answer.Messages()

        def heard(printed: bytearray) -> None:
            while message := messages.next(printed):
                replies.append(message[0])

        with contextlib.closing(self._asked(export, dist, request | {"only": "header"})) as worker:
            reply = answer.whole(worker.running.done(heard), messages, replies, "name")
        return Header(reply["name"], reply["version"], reply["release"])

    def _asked(self, export: Callable[[Path], None], dist: str, request: dict[str, Any]) -> _Worker:
        """Return a worker that has its files and its request."""
        worker = self._waiting.pop() if self._waiting else self._worker(dist)
        try:
            export(worker.package)
            table = macros.macros(dist, request["arch"], **worker.build) | dict(self.defined)
            more = {"macros": table, "built_with": macros.built_with(dist)}
            worker.running.give(json.dumps(request | more).encode())
        except BaseException:
            worker.close()
            raise
        return worker

    def _worker(self, dist: str) -> _Worker:
        room = scratch_root(in_memory=self.in_memory)
        root = self.roots.of(dist) if self.sandboxed else SystemRoot()
        return _Worker(sandboxed=self.sandboxed, limits=self.limits, room=room, root=root)


class _Worker:
    """A worker that waits for its request, and the directory where it finds the package's files."""

    def __init__(self, *, sandboxed: bool, limits: Limits, room: str, root: SystemRoot) -> None:
        """Work in a directory of its own below ``room``. Raises SandboxError."""
        self._scratch = tempfile.TemporaryDirectory(prefix="srcgit-", dir=room)
        scratch = Path(self._scratch.name)
        scratch.chmod(0o755)  # the sandbox reads it under another uid
        self.package = scratch / "package"
        self.package.mkdir()
        self.package.chmod(0o755)
        self.root = root
        self.build: dict[str, str] = {}  # where rpm's build directory is, if that is here
        if sandboxed:
            command = inside("worker")
            mounts = (
                (self.package, "/package"),
                our_modules(),
                *_shells(root),
                *_tools(root, scratch),
            )
            sandbox = Sandbox(mounts, limits=limits, root=root)
        else:
            command = inside("worker", str(Path(__file__).parents[1].absolute()))
            own = scratch / "root"
            own.mkdir()
            self.build["build"] = f"{own}/build"
            environment = {
                "LC_ALL": "C.UTF-8",
                "SRCGIT_PACKAGE": str(self.package),
                "SRCGIT_ROOT": str(own),
            }
            sandbox = Sandbox(
                environment=environment, limits=limits, directory=str(own), confined=False
            )
        try:
            self.running: Running = sandbox.start(*command)
        except SandboxError:
            self._scratch.cleanup()
            raise

    def close(self) -> None:
        """End the worker; its directory goes with it."""
        with self.running:
            pass
        self._scratch.cleanup()


_TOOL = """\
#!/bin/sh
tool=${0##*/}
[ ! -e /tmp/standin/$tool ] || exec /tmp/standin/$tool "$@"
exec /run/srcgit/$tool "$@"
"""


def _tools(root: SystemRoot, scratch: Path) -> tuple[tuple[Path, str], ...]:
    """What is called by its path, or with another PATH, is the stand-in, once %prep runs."""
    tool = scratch / "tool"
    tool.write_text(_TOOL)
    tool.chmod(0o755)
    mounts: list[tuple[Path, str]] = []
    for name in NEVER_RUN:
        path = f"/usr/bin/{name}"
        real = root.outside(path)
        if real.is_file() and not real.is_symlink():
            mounts += [(real, f"/run/srcgit/{name}"), (tool, path)]
    return tuple(mounts)


def _shells(root: SystemRoot) -> tuple[tuple[Path, str], ...]:
    """Fedora's sh is bash, Debian's is dash: what is called sh in there is bash."""
    if root.shell == "bash":
        return ()
    shell = root.real("/bin/sh")
    return (root.outside(shell), STANDIN_SHELL), (root.outside("/usr/bin/bash"), shell)
