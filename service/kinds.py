"""Which builds are converted, and why the others are not: one table (README.md has the same)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from converter.build import Nvr

# The fate of each kind of build that is not converted. Some of them only Koji can tell, when it is
# asked; of scratch builds it sends no message of ours at all.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "draft": "ignored; backfill finds it when it is promoted",
        "unfinished": "ignored; its own message comes when it is complete",
        "scratch": "ignored: no build of the distribution",
        "imported": "ignored: no pkg-git commit stands for it",
        "uploaded source package": "ignored: no pkg-git commit stands for it",
        "modular": "ignored: it has no branch of its own in pkg-git",
        "ELN, EPEL, RHEL, any other dist": "ignored: not of a Fedora release",
        "no dist tag": "ignored: not of a Fedora release",
        "secondary Koji": "ignored: not of Fedora's own Koji",
    }
)
_FEDORA = re.compile(r"\.fc[0-9]+")
_MODULE = re.compile(r"\.module[+_]")


def why(kind: str, what: str = "") -> str:
    """Return the reason for which a build of ``kind`` is left alone, ``what`` told in it."""
    return f"{kind}{f' ({what})' if what else ''}: {KINDS[kind]}"


def elsewhere(nvr: Nvr) -> str:
    """Return why a build is of no Fedora release, or nothing when it is of one."""
    if _MODULE.search(nvr.release):
        return why("modular")
    if nvr.dist is None:
        return why("no dist tag", nvr.release)
    if not _FEDORA.fullmatch(nvr.dist):
        return why("ELN, EPEL, RHEL, any other dist", nvr.dist)
    return ""


def uploaded(source: str) -> bool:
    """Tell whether a build's source is a source package, by its place in Koji or its name."""
    return source.startswith("cli-build/") or source.endswith(".src.rpm")


def key(nvr: Nvr) -> str:
    """Return the journal's key for a build: rows of one key are converted one at a time.

    It need not be the branch, which only pkg-git and the target tell: builds of one release mostly
    share one, and pushes with leases do the rest.
    """
    return f"{nvr.name}{nvr.dist}"
