"""Errors: each class fixes an exit code and the fate of a message; each says what to do next.

Names of the subclasses are part of the JSON contract (``error.class``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import ClassVar

from converter.text import text


class Fate(Enum):
    """What becomes of a build (and so of its message) after an attempt."""

    DONE = "done"  # converted and published, or so before
    CONVERTED = "converted"  # to be published by another process
    NOT_OURS = "not ours"  # ignored, with a reason
    FAILED = "failed"  # cannot be converted: recorded with evidence, announced
    LATER = "later"  # due again after a growing delay
    STOP = "stop"  # this machine cannot work: claim nothing more, rows stay
    PARKED = "parked"  # a bug in srcgit: recorded, set aside for a person


class SrcgitError(Exception):
    """Base of all errors that srcgit expects. An instance of no subclass is never raised."""

    exit_code: ClassVar[int] = 70
    fate: ClassVar[Fate] = Fate.PARKED
    kind: ClassVar[str] = ""  # the name in JSON, where it is not the class's own

    def __init__(self, what: str, *, where: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.next_step = next_step

    def as_json(self) -> dict[str, str]:
        """Return the contract's ``error`` object."""
        return {
            "class": self.kind or type(self).__name__,
            "what": self.what,
            "where": self.where,
            "next": self.next_step,
        }


class CannotConvert(SrcgitError):
    """The package is at fault: trying again gives the same answer."""

    exit_code = 1
    fate = Fate.FAILED


class WrongUsage(SrcgitError):
    """The command line or the configuration is at fault."""

    exit_code = 2
    fate = Fate.FAILED


class DifferenceFound(SrcgitError):
    """Verification found that the converted tree is not what %prep leaves."""

    exit_code = 3
    fate = Fate.FAILED


class TryAgain(SrcgitError):
    """The world is at fault, for now: network, lock, an upstream tag not there yet."""

    exit_code = 4
    fate = Fate.LATER


class CannotWork(SrcgitError):
    """This machine is at fault: no sandbox, no disk, no credentials."""

    exit_code = 5
    fate = Fate.STOP


class SpecDoesNotParse(CannotConvert):
    """rpm or %prep refuses the spec."""


class PatchMissing(CannotConvert):
    """The plan names a patch that pkg-git lacks."""


class PatchDoesNotApply(CannotConvert):
    """A hunk does not fit, or a patch is malformed, or leaves the tree."""


class BaseUnknown(CannotConvert):
    """The spec does not tell the upstream revision, and --base was not given."""


class ChecksumDiffers(CannotConvert):
    """A file of the lookaside cache is not the one that pkg-git names."""


class ArchiveRefused(CannotConvert):
    """An archive is damaged, is of no known kind, or would write outside of its directory."""


class TooMuch(CannotConvert):
    """The package is larger than srcgit takes: a git tree's entries or depth, memory, a message."""


class PkgGitInvalid(CannotConvert):
    """No such commit in pkg-git, no spec in it, or several."""


class BaseMissing(TryAgain):
    """Upstream does not have the revision (yet)."""


class LeaseLost(TryAgain):
    """Somebody else moved a ref between our look and our push."""


class RemoteUnavailable(TryAgain):
    """A remote did not answer, or refused for a reason that may pass."""


class NoSandbox(CannotWork):
    """bubblewrap cannot be had."""


class RepositoryUnusable(CannotWork):
    """The repository for the result cannot be read or written (not a repository, read-only, full)."""


class RepositoryDamaged(RepositoryUnusable):
    """A repository's files are missing, cut off or empty."""


class ObjectUnreadable(RepositoryDamaged):
    """An object, a ref or the repository itself cannot be read, for a reason that is not known yet."""

    kind = "RepositoryDamaged"


@contextmanager
def on_this_machine() -> Iterator[None]:
    """A full or read-only disk is this machine's fault, not a bug: CannotWork for OSError."""
    try:
        yield
    except OSError as error:
        raise CannotWork(
            error.strerror or str(error),
            where=text(os.fsencode(error.filename)) if error.filename else "",
            next_step="make room, or make it writable; then run it again",
        ) from error
