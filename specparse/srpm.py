"""A source RPM becomes a directory of files: rpm reads it in the sandbox, nothing is believed."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specparse.plan import SandboxError, SpecError
from specparse.sandbox import Limits, Sandbox, inside, our_modules

MAX_SIZE = 2 << 30  # bytes, unpacked; Fedora's kernel has 0.2, its largest some 1.5
_LIMITS = Limits(wall=300, cpu=300, file=MAX_SIZE)


@dataclass(frozen=True, slots=True)
class Srpm:
    """What the header of a source RPM says: its NVR, and the newest changelog entry."""

    nvr: str
    author: str  # "Name <address> - version", as spec files have it; "" where there is none
    date: int  # seconds since the epoch: of the entry, or of the build where there is none
    text: str


def unpack(path: Path, scratch: Path, limit: int = MAX_SIZE) -> tuple[Srpm, Path]:
    """Take the source RPM at ``path`` apart below ``scratch``; return what it is, and its files.

    Raises SpecError for what is no good source RPM, SandboxError, OSError where it is not there.
    """
    scratch.chmod(0o755)  # the sandbox works under another uid
    copy, out = scratch / "package.src.rpm", scratch / "files"
    shutil.copyfile(path, copy)
    copy.chmod(0o644)
    out.mkdir()
    out.chmod(0o777)
    box = Sandbox(
        read_only=((copy, "/srpm"), our_modules()),
        writable=((out, "/out"),),
        limits=_LIMITS,
    )
    done = box.run(*inside("unsrpm"), str(limit))
    copy.unlink()
    if done.broke:
        raise SpecError(f"taking the source RPM apart took more than {done.broke}")
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if any("No module named 'rpm'" in line for line in said):
        raise SandboxError("rpm's Python binding is missing", next_step="install python3-rpm")
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
        if "refused" in answer:
            raise SpecError(f"no source RPM to work with: {answer['refused']}")
        entry = (answer["changelog"] or [["", answer["built"], ""]])[0]
        nvr = "-".join(answer[part] for part in ("name", "version", "release"))
        return Srpm(nvr, entry[0], int(entry[1]), entry[2]), out
    except (ValueError, KeyError, TypeError):
        why = said[-1] if said else f"status {done.status}"
        raise SpecError(f"no source RPM to work with: {why}") from None
