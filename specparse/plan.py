"""The plan of a package's ``%prep``: plain frozen values, shared by every other module.

File names are bytes, relative to the top of pkg-git, as git stores them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Tool = Literal["git-am", "git-apply", "patch"]
BaseKind = Literal["tag", "commit", "unknown"]


class PlanError(Exception):
    """No plan can be made. ``what`` happened, ``where``, and what to do ``next_step``."""

    def __init__(self, what: str, *, where: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.next_step = next_step


class SpecError(PlanError):
    """The spec is at fault: it does not parse, its %prep does not end, or it breaks a limit."""


class SandboxError(PlanError):
    """This machine is at fault: the sandbox or rpm's binding cannot be had."""


@dataclass(frozen=True, slots=True)
class Base:
    """The upstream revision on which the series starts.

    ``rev`` is a tag name (``v4.15``), a possibly abbreviated commit id, or, when the kind is
    ``unknown``, the empty string; ``how`` says in words what it was read from.

    Upstreams spell tags in many ways. ``versions`` (spellings of one, the likeliest first) and
    ``names`` (what upstream may call itself) are for finding the tag among theirs. Where ``guess``
    is set, ``rev`` only shows the commonest spelling; else it is the tag's own name.
    """

    kind: BaseKind
    rev: str
    how: str
    versions: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    guess: bool = False


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that %prep unpacks in the source tree.

    Its files below ``top`` (b"" is all of it) come to lie in ``directory``, below the top of the
    source tree. Where they are unpacked ``beside`` that tree and patched there, this is the path from
    its top (``../tests-1.2``), and ``directory`` the place that the converted tree has for them.
    """

    file: bytes
    top: bytes = b""
    directory: bytes = b""
    beside: bytes = b""


@dataclass(frozen=True, slots=True)
class Step:
    """One patch file applied by one command of ``%prep``, in the order of application."""

    patch: bytes
    tool: Tool
    number: int | None = None  # N of PatchN; None for a Source or an undeclared file
    strip: int = 1  # -1: patch without -p takes the last part of a name
    fuzz: int = 0  # lines; 0 for git
    reverse: bool = False
    directory: bytes = b""  # below the top of the source tree; b"" is the top
    options: tuple[str, ...] = ()  # other flags that change the result, e.g. ("--keep-cr",)
    # git am takes all files of a call for what the first is, and standard input ("-") for an mbox:
    format_of: bytes = b""  # that first file, where it is another
    in_repository: bool = False  # git apply in a work tree of git's, where .gitattributes count


@dataclass(frozen=True, slots=True)
class Skipped:
    """A declared patch that %prep does not apply to the tree, and why."""

    patch: bytes
    why: str


CHANGES = "changes the tree and is no patch"  # why most of %prep's commands are not represented


@dataclass(frozen=True, slots=True)
class Unrepresented:
    """Something that %prep does to the tree and that no commit of the series stands for.

    With ``applies`` it is a patch, so a series without it would not be what %prep applies.
    """

    command: str
    why: str
    applies: bool = False


@dataclass(frozen=True, slots=True)
class Header:
    """What a spec calls the build it makes."""

    name: str
    version: str
    release: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What %prep would apply, and on which base."""

    name: str
    epoch: int | None
    version: str
    release: str
    spec: bytes
    arch: str
    base: Base
    archives: tuple[Archive, ...] = ()  # the main one first, then in order of unpacking
    base_patches: tuple[bytes, ...] = ()  # lookaside patches that only move the base
    steps: tuple[Step, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    unrepresented: tuple[Unrepresented, ...] = ()
    warnings: tuple[str, ...] = ()
    comments: dict[bytes, str] = field(default_factory=dict)  # patch -> comment above its line
    looks: tuple[bytes, ...] = ()  # files of the upstream tree that %prep tests, reads or searches
    unread: tuple[bytes, ...] = ()  # declared, and nothing that %prep runs so much as names it
    configs: dict[bytes, bytes] = field(default_factory=dict)  # configs/ as the trace left it
    # The words with which %prep ended before its end, having looked at files of upstream's that were
    # made up: what it does with the real ones (``looks``) is not known.
    unfinished: str = ""
    # What was changed in the spec so that those tools read it: another rpm needs other changes, for the
    # same plan.
    edits: tuple[str, ...] = field(default=(), compare=False)
    tools: str = ""  # what read and ran it: "rpm 4.18.0", "rpm 4.20.1, root fc41 of 2026-12-01"


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What the caller does while a package is traced: a trace waits for other programs."""

    begun: Callable[[], None] = lambda: None  # while the spec is parsed
    # While %prep goes on, with the plan as far as it has come; each time with more. What comes
    # later may change it: only the plan that is returned counts.
    so_far: Callable[[Plan], None] = lambda plan: None
    # With each of the plan's configs, when %prep has ended.
    configs: Callable[[Mapping[bytes, bytes]], None] = lambda made: None


class Tracer(Protocol):
    """Makes the plan of one package: the port through which converter uses specparse."""

    def __call__(
        self,
        export: Callable[[Path], None],
        spec: bytes,
        *,
        dist: str,
        arch: str,
        archives: Mapping[bytes, Sequence[bytes]] = ...,
        base_files: Mapping[bytes, bytes] = ...,
        meanwhile: Meanwhile | None = None,
    ) -> Plan:
        """Return the plan of ``spec``, a path among the files of pkg-git.

        ``export`` writes these below a directory. ``dist`` is the release's dist tag with its dot
        (``.fc28``). ``archives`` are what is known of archives: the paths in them, those of
        directories with a slash at the end; where the main one is known, it is the base that
        patches move. ``base_files`` are those of a plan's ``looks`` that the base has (path ->
        content), directories with a slash at the end. Raises PlanError.
        """
        ...


class Reader(Protocol):
    """Reads a spec without running its ``%prep``: all that a build's name needs."""

    def __call__(
        self, export: Callable[[Path], None], spec: bytes, *, dist: str, arch: str
    ) -> Header:
        """Return what ``spec`` calls its build; see Tracer. Raises PlanError."""
        ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run of the real ``%prep`` said; what it did is below its build directory."""

    command: str  # to run it again by hand
    version: str  # of what ran it: "rpm 4.18.0", "rpm 4.20.1, root fc41 of 2026-12-01"
    status: int  # rpmbuild's exit status; 0 is success
    trace: tuple[str, ...]  # the commands of %prep, as `set -x` printed them
    errors: tuple[str, ...]  # the last lines on standard error that are no commands
    edits: tuple[str, ...] = ()  # what was changed in the spec so that this rpm reads it
    calls: tuple[bytes, ...] = ()  # control run: the directory of each patch not applied, in order


class Preparer(Protocol):
    """Runs ``%prep`` for real: the port through which converter verifies."""

    def declared(self, package: Path, spec: bytes, *, dist: str, arch: str) -> tuple[bytes, ...]:
        """Return the base names of the spec's sources and patches, as declared. Raises PlanError."""
        ...

    def run(
        self, package: Path, spec: bytes, build: Path, *, dist: str, arch: str, control: bool
    ) -> Prepared:
        """Run ``rpmbuild -bp`` on ``spec`` below ``package``, with ``build`` as its only output.

        A ``control`` run applies no patches but those that move the base: their files hold the
        word ``srcgit-base-patch``. Raises PlanError.
        """
        ...
