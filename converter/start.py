"""Where a series starts: at upstream's commit, or at what archives make of it."""

from __future__ import annotations

import fnmatch
import itertools
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from converter import borrowing, upstream
from converter.archives.originals import Originals
from converter.errors import (
    BaseMissing,
    BaseUnknown,
    CannotConvert,
    ChecksumDiffers,
    SpecDoesNotParse,
    WrongUsage,
)
from converter.mirror import Mirror
from converter.odb import GitTree, Repository
from converter.text import text
from converter.upstream import Found
from specparse.plan import Archive, Plan, Skipped, Step, Unrepresented

if TYPE_CHECKING:
    from converter.archives.base import Import
    from converter.archives.unpacked import Unpacked

_LOOKS = 3  # traces at most, for a %prep that looks at the tree
_LOOKED_AT = 1 << 22  # bytes of a file; what decides something is small
_IN_ALL = 1 << 26  # bytes of all that a %prep looks at: it may name a thousand files
_GLOBBED = 5000  # paths that a %prep looks at
_WILD = re.compile(rb"[*?]")
_FILES = 2000  # of an archive, above which a trace knows its directories only

# Which archives make the base: none, whatever a patch wants; those besides the main one that a patch
# touches; all besides the main one; all, the main one in the place of upstream's own files. Where
# there is no upstream, all but for "none".
Use = Literal["none", "touched", "others", "whole"]
Layouts = Mapping[bytes, Sequence[bytes]]  # archive -> the paths in it
Retrace = Callable[[Layouts, Mapping[bytes, bytes]], Plan]  # with what is known of the base's files


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where to look for the base, and which archives may make it."""

    upstreams: tuple[Mirror, ...] = ()
    rev: str | None = None  # --base
    tags: tuple[str, ...] = ()
    archives: Use = "touched"
    standalone: bool = False  # copy the base's objects, do not borrow them

    def whole(self, plan: Plan) -> bool:
        """Tell whether the main archive is the base."""
        nowhere = not self.upstreams and not self.rev and bool(plan.archives)
        return self.archives == "whole" or (nowhere and self.archives != "none")


@dataclass(frozen=True, slots=True)
class Start:
    """The commit on which a series starts, and the plan of the series."""

    plan: Plan
    rev: str  # the tag, the commit or the archive
    commit: str
    upstream: str | None  # the commit of upstream below the archives; None where there is none
    imports: tuple[Import, ...] = ()
    whole: bool = False  # the first import is the main archive
    absent: tuple[bytes, ...] = ()  # archives that may hold what a patch wants, and are not at hand

    def as_json(self) -> dict[str, Any]:
        """Return the ``base`` of series.json."""
        told: dict[str, Any] = {
            "kind": self.plan.base.kind if self.upstream else "archive",
            "rev": self.rev,
            "how": self.plan.base.how if self.upstream else "no upstream has a tag of it",
            "commit": self.commit,
        }
        if self.imports:
            told["upstream"] = self.upstream
            told["archives"] = [
                {**imported.as_json(), "main": self.whole and number == 0}
                for number, imported in enumerate(self.imports)
            ]
        return told


def find(
    repo: Repository,
    plan: Plan,
    wanted: Wanted,
    originals: Originals,
    committer: tuple[bytes, bytes],
    retrace: Retrace,
) -> Start:
    """Return where the series of ``plan`` starts, in ``repo``.

    Archives are fetched only where they make the base. What they hold decides what %prep does, so
    the plan is traced anew with that. Raises SrcgitError of every kind.
    """
    whole = wanted.whole(plan)
    if wanted.archives == "none":
        plan = _without(plan, plan.archives[1:])
    unpacked: dict[bytes, Unpacked] = {}
    layouts: dict[bytes, Sequence[bytes]] = {}
    absent: dict[bytes, None] = {}
    tag = None
    if wanted.archives == "touched" and not whole and plan.archives[1:]:
        tag = _tag(plan, wanted, whole=whole)
    if tag is None and wanted.archives == "touched" and not whole and plan.archives and plan.steps:
        tag = _tag(plan, wanted, whole=whole)
    if tag and (above := _above(plan, originals, tag)):
        whole = True  # upstream's repository is a directory of what the archive has
        how = f"{tag.base.how}; the archive has it in {text(above)}/"
        tag = replace(tag, base=replace(tag.base, how=how))
    while True:
        strange = _strange(plan, originals, tag, layouts) if tag else frozenset()
        archives = _needed(plan, originals, wanted.archives, layouts, strange, whole=whole)
        lacking = [a.file for a in archives if a.file not in unpacked]
        if not lacking and strange:
            lacking = _perhaps(plan, originals, repo, unpacked, absent)
        if not lacking:
            break
        for mirror in wanted.upstreams if not wanted.standalone else ():
            borrowing.borrow(repo, mirror)  # what these have is not stored again
        for name in lacking:
            if name not in unpacked:
                unpacked[name] = originals.unpacked(repo, name)
            layouts[name] = layout(repo, unpacked[name])
        plan = retrace(layouts, {})
    if whole and not archives:
        raise CannotConvert(
            "%prep unpacks no archive into the tree that is built",
            next_step="leave --archive out"
            if wanted.upstreams
            else "name upstream's repository with --upstream",
        )
    tag = tag or _tag(plan, wanted, whole=whole)
    if tag is not None:
        borrowing.take(repo, tag.mirror, tag.commit, standalone=wanted.standalone)
        plan = replace(plan, base=tag.base)
    if not archives:
        assert tag is not None
        tree = repo.tree(tag.commit)
        plan = finished(seeing(plan, tree, lambda files: retrace(layouts, files)), tree)
        if wanted.archives == "none":
            plan = _without(plan, plan.archives[1:])
        return Start(_told(plan, ()), tag.rev, tag.commit, tag.commit, absent=tuple(absent))
    from converter.archives import base

    commit, imports = base.build(
        repo, archives, lambda archive: unpacked[archive.file], tag, committer, whole=whole
    )
    tree = repo.tree(commit)
    plan = finished(seeing(plan, tree, lambda files: retrace(layouts, files)), tree)
    rev = tag.rev if tag else text(archives[0].file)
    upstream_commit = tag.commit if tag else None
    return Start(
        *(_told(plan, archives), rev, commit, upstream_commit, tuple(imports), whole),
        absent=tuple(absent),
    )


def again(
    repo: Repository,
    plan: Plan,
    record: Mapping[str, Any],
    originals: Originals,
    retrace: Retrace,
) -> Start:
    """Return where the series of a converted build starts, by the ``base`` of its series.json.

    Archives are fetched if ``repo`` has forgotten what they hold. Raises SrcgitError of every kind.
    """
    from converter.archives import base

    told = record.get("archives", [])
    imports = tuple(base.read(repo, archive) for archive in told)
    layouts = {
        i.archive.file: layout(repo, originals.unpacked(repo, i.archive.file)) for i in imports
    }
    if layouts:
        plan = retrace(layouts, {})
    tree = repo.tree(record["commit"])
    plan = finished(seeing(plan, tree, lambda files: retrace(layouts, files)))
    upstream_commit = record.get("upstream") if told else record["commit"]
    whole = any(archive["main"] for archive in told)
    return Start(plan, record["rev"], record["commit"], upstream_commit, imports, whole)


def seeing(plan: Plan, base: GitTree, retrace: Callable[[Mapping[bytes, bytes]], Plan]) -> Plan:
    """Return the plan of a %prep that sees the files of ``base`` which it looks at.

    What it sees may make it look further; but not for ever.
    """
    seen: dict[bytes, bytes] = {}
    told = plan.base
    for _ in range(_LOOKS):
        files = dict(_looked_at(base, plan.looks))
        if files.keys() <= seen.keys():
            break
        seen |= files
        plan = retrace(seen)
    return replace(plan, base=told)


def is_final(plan: Plan, wanted: Wanted) -> bool:
    """Tell whether nothing that is still to be seen of the base can make another plan."""
    on_upstream = bool(wanted.upstreams) and not wanted.whole(plan)
    return on_upstream and not plan.looks and not plan.archives[1:]


def finished(plan: Plan, base: GitTree | None = None) -> Plan:
    """Return ``plan``; ``base`` is the tree that its %prep saw.

    Raises SpecDoesNotParse where it ended before its end.
    """
    if plan.unfinished:
        next_step = (
            "it looks at upstream's files, so name upstream's repository with --upstream, "
            "if a file that it wants is not missing from the commit"
        )
        if base is not None:
            words = tuple(filter(None, re.split(r"[\s'\"]+", plan.unfinished)))
            paths = [path for path in plan.looks if re.search(rb"[/.*?]", path)]  # not commands
            named = [path for path in paths if text(path).endswith(words)]
            lacking = [path for path in named if not any(_there(base, path))]
            names = ", ".join(text(path) for path in lacking[:10])
            next_step = f"of what it names, the base lacks: {names}" if names else ""
            next_step = f"{next_step}; compare the base with the spec".removeprefix("; ")
        raise SpecDoesNotParse(
            f"%prep does not get to its end; its last words: {plan.unfinished}",
            where=text(plan.spec),
            next_step=next_step,
        )
    return plan


def _there(base: GitTree, path: bytes) -> Iterator[bool]:
    for found in _globbed(base, path):
        yield base.is_dir(found) or base.entry(found) is not None


def _looked_at(base: GitTree, paths: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    left = _IN_ALL
    named = itertools.chain.from_iterable(_globbed(base, path) for path in paths)
    for path in itertools.islice(named, _GLOBBED):
        if base.is_dir(path):
            yield path + b"/", b""
        elif (file := base.get(path)) is not None and len(file.data) <= min(_LOOKED_AT, left):
            left -= len(file.data)
            yield path, file.data


def _globbed(base: GitTree, pattern: bytes) -> Iterator[bytes]:
    """Yield the paths that a glob finds in ``base``; a path without wildcards as it is."""
    if not _WILD.search(pattern):
        yield pattern
        return
    found = [b""]
    for part in pattern.split(b"/"):
        below = [d + b"/" + part if d else part for d in found]
        if _WILD.search(part):
            below = [
                path
                for directory in found
                for path, _ in base.children(directory)
                if fnmatch.fnmatchcase(path.rpartition(b"/")[2], part)
            ]
        found = below[:_GLOBBED]
    yield from found


def layout(repo: Repository, unpacked: Unpacked) -> tuple[bytes, ...]:
    """Return the paths of what an archive holds; those of directories end in a slash.

    Of an archive with very many files only the directories, and the files at its top.
    """
    paths = [entry.path for entry in repo.tree(unpacked.commit).walk()]
    directories: dict[bytes, None] = {}
    for path in paths:
        at = path.find(b"/")
        while at >= 0:
            directories.setdefault(path[: at + 1])
            at = path.find(b"/", at + 1)
    if len(paths) > _FILES:
        paths = [path for path in paths if path.count(b"/") < 2]
    return (*directories, *paths)


def _tag(plan: Plan, wanted: Wanted, *, whole: bool) -> Found | None:
    """Return the commit of upstream; None where the main archive does without one."""
    if whole and not wanted.upstreams:
        return None
    try:
        return upstream.find(plan.base, wanted.rev, wanted.upstreams, wanted.tags)
    except (BaseMissing, BaseUnknown):
        if whole and wanted.rev is None:
            return None
        raise


def _needed(
    plan: Plan,
    originals: Originals,
    use: Use,
    layouts: Layouts,
    strange: AbstractSet[bytes],
    *,
    whole: bool,
) -> Sequence[Archive]:
    """Return the archives that make the base; ``strange`` are paths that upstream has not."""
    if whole:
        return plan.archives
    if use == "touched":
        return [
            a
            for a in plan.archives[1:]
            if _touched(a, plan.steps, originals)
            or not strange.isdisjoint(_brought(a, layouts.get(a.file, ())))
        ]
    return plan.archives[1:] if use == "others" else ()


def _brought(archive: Archive, paths: Iterable[bytes]) -> Iterator[bytes]:
    """Yield where the ``paths`` of an archive come to lie in the source tree."""
    inside = archive.top + b"/" if archive.top else b""
    for path in paths:
        if path.startswith(inside) and not path.endswith(b"/"):
            yield posixpath.join(archive.directory, path[len(inside) :])


# The names of a file that a patch changes; of one that it creates there is nothing to be found.
_CHANGED = re.compile(
    rb"^--- (\S+)[^\n]*\n\+\+\+ (\S+)[^\n]*\n(?!@@ -0,0 )|^\*\*\* (\S+)[^\n]*\n--- (\S+)[^\n]*\n\*{15}",
    re.MULTILINE,
)
_NEW = re.compile(rb"^\+\+\+ (\S+)|^rename to (\S+)", re.MULTILINE)


def _strange(plan: Plan, originals: Originals, tag: Found, layouts: Layouts) -> AbstractSet[bytes]:
    """Return paths that patches change and that upstream has not: another archive may bring them.

    What is known to lie in an archive's own directory is no riddle.
    """
    tree = tag.repository.tree(tag.commit)
    own = [a.directory + b"/" for a in plan.archives[1:] if a.directory and a.file in layouts]
    made: set[bytes] = set()  # by patches before
    strange: set[bytes] = set()
    for step in plan.steps:
        data = originals.patch(step.patch)
        for found in _CHANGED.finditer(data):
            names = [_placed(step, name) for name in found.groups() if name]
            if not any(
                not name or name in made or tree.entry(name) or name.startswith(tuple(own))
                for name in names
            ):
                strange.update(names)
        made.update(_placed(step, m[1] or m[2]) for m in _NEW.finditer(data))
    return strange


def _above(plan: Plan, originals: Originals, tag: Found) -> bytes:
    """Return the directory of the archive that upstream's repository is; b"" where they are alike.

    All files that patches change must lie there, and none where the patch says.
    """
    tree = tag.repository.tree(tag.commit)
    others = tuple(a.directory + b"/" for a in plan.archives[1:] if a.directory)
    made: set[bytes] = set()
    above: set[bytes] = set()
    for step in plan.steps:
        if step.tool == "patch" and step.strip < 0:
            return b""
        data = originals.patch(step.patch)
        for found in _CHANGED.finditer(data):
            names = [_placed(step, name) for name in found.groups() if name]
            names = [name for name in names if name and not name.startswith(others or b"\0")]
            if any(name in made for name in names):
                continue
            firsts = {
                first
                for name in names
                for first, _, rest in [name.partition(b"/")]
                if rest and tree.entry(rest) and not tree.is_dir(first)
            }
            if not firsts or any(tree.entry(name) for name in names):
                return b""
            above |= firsts
        made.update(_placed(step, m[1] or m[2]) for m in _NEW.finditer(data))
    return above.pop() if len(above) == 1 else b""


def _placed(step: Step, name: bytes) -> bytes:
    """Return the path in the source tree of a ``name`` in a patch; b"" for none."""
    parts = name.split(b"/")
    path = b"/".join(parts[step.strip :] if step.strip >= 0 else parts[-1:])
    return b"" if name == b"/dev/null" else posixpath.normpath(posixpath.join(step.directory, path))


def _perhaps(
    plan: Plan,
    originals: Originals,
    repo: Repository,
    unpacked: dict[bytes, Unpacked],
    absent: dict[bytes, None],
) -> list[bytes]:
    """Unpack the archives that nobody has looked into; return those that could be had."""
    new = []
    for archive in plan.archives[1:]:
        if archive.file in unpacked or archive.file in absent:
            continue
        try:
            unpacked[archive.file] = originals.unpacked(repo, archive.file)
            new.append(archive.file)
        except ChecksumDiffers:
            raise
        except (CannotConvert, WrongUsage):  # a patch that needs it will say so
            absent[archive.file] = None
    return new


def _touched(archive: Archive, steps: Iterable[Step], originals: Originals) -> bool:
    """Tell whether a patch works on what ``archive`` brings, as far as names tell it."""
    inside = archive.directory + b"/"
    if inside == b"/":
        return False  # it lies among the main archive's files
    for step in steps:
        if (step.directory + b"/").startswith(inside):
            return True
        below = step.directory + b"/" if step.directory else b""
        if inside.startswith(below) and _names(originals.patch(step.patch), inside[len(below) :]):
            return True
    return False


def _names(patch: bytes, directory: bytes) -> bool:
    """Tell whether a header of ``patch`` names a file below ``directory``."""
    header = rb"^(?:---|\+\+\+|diff --git|Index:|rename (?:from|to)) (?:.*[ /])?"
    return re.search(header + re.escape(directory), patch, re.MULTILINE) is not None


def _without(plan: Plan, archives: Sequence[Archive]) -> Plan:
    """Return ``plan`` less the patches that work inside of ``archives``."""
    steps, skipped = [], list(plan.skipped)
    for step in plan.steps:
        at = step.directory + b"/"
        inside = next(
            (a for a in archives if a.directory and at.startswith(a.directory + b"/")), None
        )
        if inside is None:
            steps.append(step)
        else:
            skipped.append(
                Skipped(step.patch, f"applied to {text(inside.file)}, which is not fetched")
            )
    return replace(plan, steps=tuple(steps), skipped=tuple(skipped))


def _told(plan: Plan, imported: Iterable[Archive]) -> Plan:
    """Return ``plan`` with the archives that are in no commit among what is not represented."""
    there = {archive.file for archive in imported}
    left_out = [
        Unrepresented(
            text(archive.file),
            f"unpacked in {text(archive.directory) or 'the tree'}, and no patch touches it",
        )
        for archive in plan.archives[1:]
        if archive.file not in there
    ]
    return replace(plan, unrepresented=(*plan.unrepresented, *left_out))
