"""A recording of %prep becomes steps (pure). What it cannot express is listed, never guessed."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from specparse import git_config, options
from specparse.options import OptionError
from specparse.plan import CHANGES, Skipped, Step, Unrepresented

# what a call worked on that is not the tree that is built
_ELSEWHERE = {
    "deleted": "a tree that %prep deletes",
    "moved": "files that %prep has moved out of their archive's directory",
    "around": "several trees at once, from the directory around them",
}


_CHANGED = "changed @"  # before a patch of pkg-git that %prep has edited


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool: where it ran and what it was given.

    ``archive`` is the archive whose unpacked tree it worked in, ``directory`` is below that tree's
    top, ``-d`` and ``-C`` counted in; so is ``repository``, the top of git's work tree, with
    ``./`` before it, or "" for none. ``where`` is "" for the tree that is built, else "deleted",
    "moved" or "copy" and its directory. A file of the source directory is written ``@`` and its path in pkg-git.
    ``config`` is what git is configured with, ``variables`` are those of the environment that matter.
    """

    tool: str
    archive: str
    directory: str
    input: str
    argv: tuple[str, ...]
    repository: str = ""
    where: str = ""
    config: tuple[tuple[str, str], ...] = ()
    variables: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        words = shlex.join([self.tool, *self.argv])
        return words + (f" < {self.input.removeprefix('@')}" if self.input.startswith("@") else "")


@dataclass(frozen=True, slots=True)
class Recording:
    """What %prep did, in order, and the patches that the spec declares."""

    calls: tuple[Call, ...]
    declared: tuple[tuple[str, int | None], ...]  # file, N of PatchN
    moving: frozenset[str]  # patches of the lookaside cache that only move the base
    archive: str  # the main one
    changes: tuple[str, ...]  # other commands that may change the tree


@dataclass(frozen=True, slots=True)
class Interpretation:
    """The steps of the main tree, what they leave out, and what only moves the base."""

    steps: tuple[Step, ...]
    base_patches: tuple[bytes, ...]
    skipped: tuple[Skipped, ...]
    unrepresented: tuple[Unrepresented, ...]
    warnings: tuple[str, ...]


_GIT_VALUE = {"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env"}
# git commands that change the tree as rm, mv and their like do: no patches
_GIT_CHANGES = {"rm", "mv", "clean"}
# git commands that leave the files of the work tree as they are
_GIT_QUIET = {
    "init", "config", "add", "commit", "status", "log", "rev-parse", "gc", "tag", "branch", "diff",
    "describe", "show", "rev-list", "ls-files", "symbolic-ref", "version", "--version", "remote",
    "update-index", "write-tree", "cat-file", "archive", "var", "help", "notes", "update-ref",
    "get-tar-commit-id", "hash-object", "--help", "maintenance", "repack", "prune",
}  # fmt: skip
_ALL = re.compile(r"--all|-[a-z]*a[a-z]*")  # of git commit: what it knows is added first
# unknown macros that apply patches, or bring the tree to apply them to
_PATCHES = re.compile(r"'?%\{?[?!]*(?:\w*patch|(?:auto)?setup\b)", re.IGNORECASE)
_REMOVES = re.compile(r"\b(rm|mv|unlink|delete)\b")


def interpret(recording: Recording) -> Interpretation:
    """Return what the recorded calls mean for the tree of the main archive."""
    made = _Interpreter(recording)
    for call in recording.calls:
        made.take(call)
    return made.finish()


class _Interpreter:
    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._numbers: dict[str, int | None] = {}
        for name, number in recording.declared:
            self._numbers.setdefault(name, number)
        self._steps: list[Step] = []
        self._base_patches: list[bytes] = []
        self._elsewhere: dict[str, str] = {}  # patch -> why it is no step
        self._unrepresented: list[Unrepresented] = []
        self._warnings: list[str] = []
        self._imported: list[tuple[str, Step]] = []  # by quilt, and not pushed yet
        self._quilted: list[tuple[str, str]] = []  # (archive, directory) that quilt has a series in
        self._unadded = False  # whether a patch was applied that git's index does not have

    def take(self, call: Call) -> None:
        try:
            if call.tool == "patch":
                self._patch(call)
            elif call.tool == "git":
                self._git(call)
            elif call.tool == "quilt":
                self._quilt(call)
            elif call.tool == "hg" and call.argv[:1] not in (("init",), ("add",), ("commit",)):
                self._leave_out(call, "hg is not understood")
        except OptionError as error:
            self._leave_out(call, str(error))

    def _patch(self, call: Call) -> None:
        if options.PATCH.read(call.argv).changes_nothing:
            return
        options.environment("patch", call.variables)
        step, source = patch_step(call.argv, place=call.directory)
        self._add(call, source or call.input, step)

    def _git(self, call: Call) -> None:
        argv, config = list(call.argv), [*call.config]
        while argv and argv[0].startswith("-"):
            option = argv.pop(0)
            value = argv.pop(0) if option in _GIT_VALUE and argv else ""
            config += git_config.given(option, value)
        if not argv:
            return
        command, *rest = argv
        if command == "add" or (command == "commit" and any(map(_ALL.fullmatch, rest))):
            self._unadded = False
        if command == "am":
            self._git_am(call, rest, config)
        elif command == "apply":
            self._git_apply(call, rest, config)
        elif command not in _GIT_QUIET and not _makes_branch(command, rest):
            self._leave_out(
                call, f"git {command} is not understood", applies=command not in _GIT_CHANGES
            )

    def _git_am(self, call: Call, rest: Sequence[str], config: Iterable[tuple[str, str]]) -> None:
        given = options.AM.read(rest)
        if given.changes_nothing:
            return
        options.environment("git", call.variables)
        words = (*git_config.words("am", config, given), *given.words())
        strip = _number(given.value("-p"), default=1)
        # git am works from the top of its work tree, wherever it is started.
        top = _bytes(call.repository.removeprefix("./"))
        step = Step(b"", "git-am", strip=strip, directory=top, options=words)
        sources = given.operands or ("-",)
        if sources[0] == "-":
            step = replace(step, format_of=b"-")
        for source in sources:
            self._add(call, source, step)
            known = posixpath.basename(sources[0]) not in self._recording.moving
            if sources[0].startswith("@") and known:
                step = replace(step, format_of=_bytes(sources[0][1:]))

    def _git_apply(
        self, call: Call, rest: Sequence[str], config: Iterable[tuple[str, str]]
    ) -> None:
        given = options.APPLY.read(rest)
        if given.changes_nothing and "--apply" not in given:
            return
        options.environment("git", call.variables)
        words = (*git_config.words("apply", config, given), *given.words())
        if call.repository and call.repository.removeprefix("./") != call.directory:
            # git-apply(1): "paths outside the directory are ignored"
            raise OptionError("git apply inside of a directory of a repository")
        # With --index git refuses more: a file that it does not have, or that changed since. But one
        # that %prep removed it takes from the index, which an earlier patch may not have reached.
        indexed = "--index" in given or "-3" in given
        if indexed and self._unadded and any(map(_REMOVES.search, self._recording.changes)):
            raise OptionError("it brings back what was removed, without the patches before")
        step = Step(
            b"",
            "git-apply",
            strip=_number(given.value("-p"), default=1),
            reverse="-R" in given,
            directory=_bytes(call.directory),
            options=words,
            in_repository=bool(call.repository),
        )
        for source in given.operands or (call.input,):
            self._add(call, source, step, indexed=indexed)

    def _quilt(self, call: Call) -> None:
        """What ``%autosetup -S quilt`` calls: ``import -pN FILE`` and ``push`` (rpm's macros.in)."""
        command, *rest = call.argv or ("",)
        options.environment("quilt", call.variables)
        if command == "import":
            given = options.QUILT_IMPORT.read(rest)
            given.words()  # none, or what is not followed
            # quilt's push: patch -pN --backup --prefix=... -f, with patch's own fuzz
            strip = _number(given.value("-p"), default=1)
            top = _bytes(self._quilt_top(call))
            step = Step(b"", "patch", strip=strip, fuzz=2, directory=top, options=("-f",))
            self._imported += [(source, step) for source in given.operands]
        elif command == "push" and self._imported and not {*rest} - {"-q"}:
            self._add(call, *self._imported.pop(0))
        elif command not in ("new", "series", "applied", "top", "setup", "refresh", "--version"):
            self._leave_out(call, f"quilt {command} is not understood")

    def _quilt_top(self, call: Call) -> str:
        """Return the directory that quilt works in: the first above that it has worked in, or its own.

        quilt's scripts/patchfns looks for .pc from the current directory upwards.
        """
        here = "" if call.directory == "." else call.directory
        above = [top for archive, top in self._quilted if archive == call.archive]
        found = [top for top in above if not top or f"{here}/".startswith(f"{top}/")]
        if not found:
            self._quilted.append((call.archive, here))
        return max(found, key=len, default=here)

    def _add(self, call: Call, source: str, step: Step, *, indexed: bool = False) -> None:
        """Add ``step`` for the file ``source``, if it is a patch of the main tree."""
        if source == "-":
            source = call.input
        if source == "empty":
            self._warnings.append(f"{call.line[:200]} was given nothing through its pipe")
            return
        if not source.startswith("@"):
            what = "what comes through its pipe" if source == "pipe" else source
            if source.startswith(_CHANGED):
                what = f"{source.removeprefix(_CHANGED)}, as %prep has changed it,"
            self._leave_out(call, f"{what} is no file of pkg-git")
            return
        name = source[1:]
        base = posixpath.basename(name)
        if call.archive != self._recording.archive:
            self._elsewhere[name] = f"applied to the tree of {call.archive or 'no archive'}"
            place = call.archive or _ELSEWHERE.get(call.where, "a directory of its own")
            self._leave_out(call, f"works on {place}")
            return
        if call.where:
            place = _ELSEWHERE.get(call.where, f"a {call.where}")
            self._elsewhere[name] = f"applied to {place}"
            if call.where != "deleted":
                self._leave_out(call, f"works on {place}")
            return
        if base in self._recording.moving:
            self._base_patches.append(_bytes(name))
            return
        self._steps.append(replace(step, patch=_bytes(name), number=self._numbers.get(name)))
        self._unadded |= not indexed and step.tool != "git-am"

    def _leave_out(self, call: Call, why: str, *, applies: bool = True) -> None:
        if call.archive != self._recording.archive:
            applies = call.where in ("moved", "around")
        elif call.where:
            applies = False
        self._unrepresented.append(Unrepresented(call.line[:500], why, applies))

    def finish(self) -> Interpretation:
        applied = {step.patch for step in self._steps} | set(self._base_patches)
        skipped = [
            Skipped(
                _bytes(name), self._elsewhere.get(name, "declared, and %prep does not apply it")
            )
            for name in self._numbers
            if _bytes(name) not in applied
        ]
        self._unrepresented += [
            Unrepresented(
                command,
                "a macro that is not known here"
                if command.lstrip("'").startswith("%")
                else CHANGES,
                applies=bool(_PATCHES.match(command)),
            )
            for command in self._recording.changes
        ]
        return Interpretation(
            tuple(self._steps),
            tuple(self._base_patches),
            tuple(skipped),
            tuple(self._unrepresented),
            tuple(self._warnings),
        )


def patch_step(argv: Sequence[str], place: str | None = None) -> tuple[Step, str]:
    """Return what ``patch ARGV`` does, and the input that it names, or "".

    ``place`` is the directory to which the stand-in has followed ``-d``. Raises OptionError for what
    cannot be expressed as a step.
    """
    given = options.PATCH.read(argv)
    if given.operands:
        raise OptionError("the file to patch is named: the patch's own names do not count")
    shortened = (w for w in argv if w.startswith("--di") and not w.startswith("--directory"))
    if place is not None and any(shortened):
        raise OptionError("--directory by a short name is not understood")
    step = Step(
        patch=b"",
        tool="patch",
        strip=_number(given.value("-p"), default=-1),
        fuzz=_number(given.value("-F"), default=2),
        reverse="-R" in given,
        directory=_directory(given.value("-d") or ".") if place is None else _below(place),
        options=tuple(dict.fromkeys(given.words())),
    )
    return step, given.value("-i") or ""


def _number(word: str | None, *, default: int) -> int:
    if word is None:
        return default
    if not re.fullmatch(r"\d{1,3}", word):
        raise OptionError(f"not a number: {word}")
    return int(word)


def _directory(asked: str) -> bytes:
    inside = posixpath.normpath(asked)
    if inside.startswith(("/", "..")):
        raise OptionError(f"leads out of the tree: {asked}")
    return _below(inside)


def _below(place: str) -> bytes:
    return b"" if place == "." else _bytes(place)


def _makes_branch(command: str, rest: Sequence[str]) -> bool:
    """Tell whether this is ``git checkout -b NAME``, which leaves the files as they are."""
    names = [word for word in rest if not word.startswith("-")]
    return (
        command in ("checkout", "switch") and len(names) == 1 and bool({"-b", "-B", "-c"} & {*rest})
    )


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
