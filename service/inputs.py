"""What a person may give in the place of a build: a plain quilt queue, a source RPM."""

from __future__ import annotations

import atexit
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converter import loose, upstream
from converter.archives.originals import roomy
from converter.build import Nvr
from converter.errors import NoSandbox, PkgGitInvalid, WrongUsage
from converter.mirror import Mirror
from converter.objects import Identity
from converter.odb import Repository
from converter.request import ARCH, Request
from converter.tree import File
from specparse import quilt, srpm
from specparse.foreign_tree import remove
from specparse.plan import Base, Plan, SandboxError, SpecError


@dataclass(frozen=True, slots=True)
class Queue:
    """A quilt queue, read; a specparse.plan.Tracer that has its answer."""

    plan: Plan

    def __call__(self, *_: object, **__: object) -> Plan:
        return self.plan


def queue(path: Path, guards: Iterable[str], shared: dict[str, Any]) -> tuple[Request, Queue]:
    """Read the queue at ``path``: a directory with a file ``series``, or such a file itself.

    ``shared`` are the fields of the Request that other options gave. The queue's date is its
    base's, so that the same queue on the same base gives the same ids. Raises WrongUsage,
    PatchMissing, PkgGitInvalid, BaseMissing.
    """
    directory, file = (path, "series") if os.path.isdir(path) else (path.parent, path.name)
    if not os.path.isfile(directory / file):
        raise WrongUsage(f"no file named {file}", where=str(directory))
    name = re.sub(r"[^A-Za-z0-9._+-]", "_", directory.resolve().name).strip(".-_") or "series"
    version = re.sub(r"[^A-Za-z0-9._+~^]", "_", shared["base"] or "0").removeprefix("v")
    nvr = shared["nvr"] or Nvr.parse(f"{name}-{version}-1")
    series = loose.read(directory, [file.encode()])
    try:
        plan = quilt.plan(
            series[file.encode()].data,
            nvr.name,
            nvr.version,
            nvr.release,
            file=file.encode(),
            symbols=guards,
        )
    except quilt.SeriesError as error:
        raise WrongUsage(str(error), where=str(directory / file)) from None
    files = series | loose.read(directory, [step.patch for step in plan.steps])
    when = b"0 +0000"
    if shared["base"]:
        base = upstream.find(Base("unknown", "", ""), shared["base"], shared["upstreams"])
        when = base.repository.commit(base.commit).author.date
    author = Identity(shared["committer"][0], shared["committer"][1], when)
    mirror, commit = _pkg_git(str(path), files, author, f"The series {name}\n".encode())
    shared |= {
        "nvr": nvr,
        "dist": "",
        "arch": ARCH,
        "branch": shared["branch"] or name,
        "loose": True,
    }
    return Request(mirror, commit, spec=plan.spec, **shared), Queue(plan)


def numbered(request: Request, queue: Queue, repo: Repository) -> tuple[Request, Queue]:
    """Give a queue that ``repo`` has in another state the next release."""
    assert request.nvr is not None
    nvr = loose.release(repo, request.nvr, request.rev)
    return replace(request, nvr=nvr), Queue(replace(queue.plan, release=nvr.release))


def source_rpm(
    path: Path, shared: dict[str, Any], configured: Callable[[str], Mapping[str, Any]]
) -> Request:
    """Take the source RPM at ``path`` apart, into a pkg-git of one commit: its changelog's newest.

    ``shared`` are the fields of the Request that other options gave, ``configured`` gives those of
    a package by its name. Raises WrongUsage, PkgGitInvalid, NoSandbox.
    """
    scratch = _scratch()
    try:
        told, directory = srpm.unpack(path, scratch)
    except SpecError as error:
        raise PkgGitInvalid(error.what, where=str(path), next_step="get it again") from None
    except SandboxError as error:
        raise NoSandbox(error.what, where=error.where, next_step=error.next_step) from None
    except OSError as error:
        raise WrongUsage(f"cannot be read: {error.strerror}", where=str(path)) from None
    nvr = Nvr.parse(told.nvr)
    if shared["nvr"] not in (None, nvr):
        raise WrongUsage(f"it is {nvr}, not {shared['nvr']}", where=str(path))
    who = re.match(r"\s*([^<]*?)\s*<([^<>\s]*)>", told.author)
    name, email = (word.encode() for word in who.groups()) if who else shared["committer"]
    author = Identity(name, email, b"%d +0000" % told.date)
    message = f"{nvr}\n\n{told.text}".strip() + "\n"
    mirror, commit = loose.taken_in(
        str(path), directory, author, message.encode(), scratch / "loose.git"
    )
    dist = nvr.dist or ""
    branch = shared["branch"] or dist.removeprefix(".").replace("fc", "f", 1) or nvr.name
    shared |= {"nvr": nvr, "dist": dist, "branch": branch, "loose": True, **configured(nvr.name)}
    told_by = "the newest changelog entry of the source RPM, which holds it" if who else ""
    return Request(mirror, commit, told_by=told_by, **shared)


def _pkg_git(
    location: str, files: dict[bytes, File], author: Identity, message: bytes
) -> tuple[Mirror, str]:
    return loose.as_pkg_git(location, files, author, message, _scratch() / "loose.git")


def _scratch() -> Path:
    """Return a directory that lasts as long as this process."""
    scratch = Path(tempfile.mkdtemp(prefix="srcgit-", dir=roomy()))
    atexit.register(remove, scratch)  # the sandbox may have written there
    return scratch
