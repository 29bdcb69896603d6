"""The real %prep against the converted tree, path by path.

%prep does more than apply patches: it renames COPYING, edits shebangs, makes configurations. So it
runs twice. The proof run is rpmbuild's own, on the base, with nothing replaced. The control run is
the same %prep on the converted tree with the patches passed over. Where both end alike, the
conversion did what the patches do; where both differ from the converted tree, a step of %prep that
is no patch made the difference. Whatever differs between the two is a defect.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from converter.archives.archive import members
from converter.archives.base import Import
from converter.archives.originals import Originals, roomy
from converter.clock import Progress
from converter.engine.attributes import Attributes
from converter.engine.binary import blob_id
from converter.errors import CannotConvert, CannotWork, NoSandbox, SpecDoesNotParse
from converter.objects import Entry
from converter.odb import GitTree, Repository
from converter.pkggit import Package
from converter.start import Start
from converter.text import text
from converter.verification import amhistory, prepsteps, sourcedir, worktree
from converter.verification.amhistory import AmHistory
from converter.verification.sourcedir import Made
from converter.verification.verdict import Difference, Verdict
from specparse.foreign_tree import ForeignTree, ForeignTreeError, remove, scratch_directory
from specparse.plan import Archive, Plan, Prepared, Preparer, SandboxError, SpecError

Files = Mapping[bytes, Entry]
_EMPTY = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"  # git's id of an empty file
T = TypeVar("T")
Left = Callable[[ForeignTree, bytes, Verdict], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is verified: a package, its plan, and the commits that were made of it."""

    package: Package
    plan: Plan
    dist: str
    repository: Repository
    base: str  # commit id
    series: str  # id of the last patch's commit; the base's where there are no patches
    start: Start | None = None  # what the base is made of, where archives are in it
    originals: Originals | None = None  # where the real ones are
    everything: bool = False  # every source is to be the real one, not those archives alone
    prepared: str | None = None  # the commit that says what %prep leaves

    @property
    def beside(self) -> dict[bytes, bytes]:
        """Archives beside the source tree: directory in the converted tree -> path from its top."""
        archives = [imported.archive for imported in self.start.imports] if self.start else []
        return {archive.directory: archive.beside for archive in archives if archive.beside}


def verify(
    subject: Subject,
    prepare: Preparer,
    *,
    scratch: Path | None = None,
    progress: Progress = lambda stage: None,
    left: Left | None = None,
) -> Verdict:
    """Run the package's real %prep, and compare what it leaves with the converted tree.

    ``left`` is called with what it leaves and the source tree's place in that, all of which is gone
    afterwards. ``scratch`` is a directory on a disk with room for three copies of the tree. Raises SpecDoesNotParse,
    CannotConvert, NoSandbox, CannotWork.
    """
    with scratch_directory("srcgit-verify-", scratch or roomy()) as here:
        here.chmod(0o755)  # the sandbox works under another uid
        return _Verification(subject, prepare, here, progress, left).verdict()


class _Verification:
    """One verification at work in its scratch directory."""

    def __init__(
        self,
        subject: Subject,
        prepare: Preparer,
        here: Path,
        progress: Progress,
        left: Left | None,
    ) -> None:
        self._subject = subject
        self._prepare = prepare
        self._here = here
        self._progress = progress
        self._left = left
        self._base = subject.repository.tree(subject.base)
        self._series = subject.repository.tree(subject.series)
        # What the main archive holds, as far as it is made up.
        start = subject.start
        upstream = start.upstream if start is not None and not start.whole else None
        self._upstream = subject.repository.tree(upstream) if upstream else self._base
        self._real: dict[bytes, Path] = {}  # sources that are what their names say
        self._made: list[Made] = []  # others that the control run has changed
        self._theirs: set[bytes] = set()  # paths that these and the real ones bring
        self._touched: set[bytes] = set()  # paths in which runs differ
        self._seconds: dict[str, float] = {}
        self._started = time.perf_counter()

    def verdict(self) -> Verdict:
        was = {e.path: e for e in self._base.walk()}
        want = {e.path: e for e in self._series.walk()}
        touched = {path for path in want.keys() | was.keys() if want.get(path) != was.get(path)}
        self._sources(touched)
        control = self._run(control=True)
        if control.status and (other := prepsteps.missing_directory(control)) is not None:
            # `%setup -n NAME` is how a spec says that its archive holds another directory.
            remove(self._here / "control")
            self._make_main(replace(self._main.place, top=other))
            control = self._run(control=True)
        top = self._top(control)
        passed = self._files("control", top)
        if want and not any(passed.get(path) == entry for path, entry in want.items()):
            raise self._refused(
                control, f"no file of the tree is in {text(top) or 'the build directory'}"
            )

        proof = self._run(control=False)
        if prepsteps.patching(prepsteps.stop(proof)):
            raise self._refused(proof, "%prep stops when it applies the patches itself")
        stopped = prepsteps.stop(proof)
        if stopped and (self._left or self._subject.prepared):
            raise self._refused(proof, "%prep does not come to its end")
        history = self._history(top, self._missing())
        real = self._files("proof", top, keep=self._left is not None)

        want = {path: entry for path, entry in want.items() if path not in self._missing()}
        wrong, backups = self._wrong(want, was, real, passed)
        alive = {entry.id for entry in real.values()}
        unseen = {p for p in touched & want.keys() - real.keys() if want[p].id not in alive}
        restless = set()
        if suspects := wrong & real.keys() & passed.keys():
            # Perhaps %prep never makes these twice alike: a second control run tells.
            self._run(control=True)
            again = self._files("control", top)
            restless = {path for path in suspects if again.get(path) != passed[path]}
            wrong -= restless
            unseen |= restless & touched
        if self._subject.prepared:
            wrong |= self._otherwise(self._subject.prepared, real, restless)
        commands = prepsteps.commands(proof)
        self._lap("compare")
        verdict = Verdict(
            tree=self._series.id,
            differences=tuple(
                _difference(path, want.get(path), real.get(path), path in wrong, commands)
                for path in sorted(want.keys() | real.keys() | wrong)
                if path in wrong or want.get(path) != real.get(path)
            ),
            history=history,
            unseen=() if history else tuple(sorted(unseen)),
            not_compared=tuple(sorted(self._missing())),
            stopped=stopped,
            edits=proof.edits,
            paths=len(want.keys() | real.keys()),
            how=f"{proof.version}: {proof.command}",
            seconds=self._seconds,
            backups=frozenset(backups),
            restless=tuple(sorted(restless)),
        )
        if self._left is not None:
            with self._reading(), ForeignTree(self._here / "proof") as proved:
                self._left(proved, top, verdict)
            remove(self._here / "proof")
        return verdict

    def _otherwise(self, prepared: str, real: Files, apart: Collection[bytes]) -> set[bytes]:
        """Return the paths in which what %prep leaves is not what the commit ``prepared`` says."""
        said = {entry.path: entry for entry in self._subject.repository.tree(prepared).walk()}
        return {
            path
            for path in said.keys() | real.keys()
            if path not in apart
            and path not in self._missing()
            and said.get(path) != real.get(path)
            and not worktree.in_repository(path)
        }

    def _wrong(
        self, want: Files, was: Files, real: Files, passed: Files
    ) -> tuple[set[bytes], set[bytes]]:
        """Return the paths in which the runs differ, ``real`` not being what one wants either.

        And those of the backups that patches leave: they differ, and are no defect.
        """
        wrong: set[bytes] = set()
        backups: set[bytes] = set()
        for path in want.keys() | real.keys() | passed.keys():
            found = real.get(path)
            if found == passed.get(path) or (found is not None and found == want.get(path)):
                continue
            if found is not None and path in want and self._git_wrote(found, want[path]):
                continue
            backup = found is not None and path not in want and self._backup(path, found, was)
            (backups if backup else wrong).add(path)
        return wrong, backups

    def _lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._seconds[stage] = now - self._started
        self._started = now

    # -- the runs --------------------------------------------------------------------------

    def _sources(self, touched: set[bytes]) -> None:
        """Fill the source directory with all but the archives that runs differ in."""
        subject, plan = self._subject, self._subject.plan
        self._progress("making the source archive")
        package = self._here / "package"
        for directory in (package, self._here / "real", self._here / "made"):
            directory.mkdir()
            directory.chmod(0o755)
        subject.package.export(package, subject.plan.spec)
        sourcedir.flatten(package)
        declared = self._asked(
            lambda: self._prepare.declared(package, plan.spec, dist=subject.dist, arch=plan.arch)
        )
        lacking = [n for n in declared if not os.path.lexists(package / os.fsdecode(n))]
        main, others = self._archives(lacking)
        try:
            for name in self._wanted(lacking, main, others):
                self._real[name] = self._here / "real" / os.fsdecode(name)
                assert subject.originals is not None
                shutil.copyfile(subject.originals.file(name), self._real[name])
                self._real[name].chmod(0o644)
                sourcedir.put(self._real[name], package, name)
            self._touched = touched | self._make_others(others, touched)
            self._make_main(main)
            self._put_main(package)
            sourcedir.fill(package, declared, plan.base_patches)
        except OSError as error:
            raise self._no_room(error.strerror or str(error)) from error
        # %prep unpacks it, and may keep a second copy in a git repository of its own.
        if shutil.disk_usage(self._here).free < 2 * self._main.path.stat().st_size:
            raise self._no_room("too little room")
        self._lap("archive")

    def _archives(self, lacking: Sequence[bytes]) -> tuple[Archive, Sequence[Import]]:
        """Return the main archive, and those of the others that are in the base."""
        start, plan = self._subject.start, self._subject.plan
        if start is not None and start.whole:
            return start.imports[0].archive, start.imports[1:]
        others = start.imports if start is not None else ()
        if plan.archives:
            return plan.archives[0], others
        name = next((name for name in lacking if sourcedir.top_of(name)), b"")
        top = sourcedir.top_of(name)
        if top is None:
            raise CannotConvert(
                "the spec declares no source archive that pkg-git lacks",
                where=text(plan.spec),
                next_step="only a package whose upstream comes as an archive can be verified",
            )
        return Archive(name, top), others

    def _wanted(
        self, lacking: Iterable[bytes], main: Archive, others: Iterable[Import]
    ) -> Iterator[bytes]:
        """Yield the names of the sources that are to be the real ones."""
        plan, start = self._subject.plan, self._subject.start
        if start is not None and start.whole:
            yield main.file
        yield from (other.archive.file for other in others)
        made_up = {main.file, *plan.base_patches, *(other.archive.file for other in others)}
        patches = {step.patch for step in plan.steps}
        for name in dict.fromkeys(lacking):
            if name not in made_up and (self._subject.everything or name in patches):
                yield name

    def _make_others(self, others: Iterable[Import], touched: set[bytes]) -> set[bytes]:
        """Make what the control run has in the place of archives that the series changes.

        Returns the paths that no other archive may bring.
        """
        theirs: set[bytes] = set()
        for number, other in enumerate(others):
            place = other.archive
            own = {path for _, path in other.changes.paths} if other.changes else set()
            if place.directory:
                own |= {p for p in touched if p.startswith(place.directory + b"/")}
            theirs |= own
            if own & touched:
                path = self._here / "made" / str(number)
                made = Made(path, place, self._series, (), self._directories(place.file))
                made.finish(self._series, own, (), patched=True)
                self._made.append(made)
        self._theirs = theirs
        return theirs

    def _make_main(self, place: Archive) -> None:
        """Make the main archive; it still lacks its end, the files that runs differ in."""
        elsewhere = tuple(directory + b"/" for directory in self._subject.beside)
        entries = (
            e
            for e in self._upstream.walk()
            if e.path not in self._touched and not e.path.startswith(elsewhere or b"\0")
        )
        directories = self._directories(place.file)
        path = self._here / "made" / "main"
        self._main = Made(path, place, self._upstream, entries, directories)

    def _put_main(self, package: Path) -> None:
        """Let the main archive be a source; a plain tar, unless %prep unpacks it as something else."""
        name, spec = self._main.place.file, self._subject.package.read(self._subject.plan.spec)
        path = self._main.path
        if sourcedir.unpacked_by_hand(spec or b"", name):
            path = sourcedir.compressed(path, name)
        sourcedir.put(path, package, name)

    def _directories(self, name: bytes) -> Iterator[bytes]:
        """Yield the directories of the real archive ``name``, where it is at hand."""
        if name in self._real:
            found = members(self._real[name], name)
            yield from (member.path for member in found if member.kind == "directory")

    def _missing(self) -> set[bytes]:
        return self._main.missing.union(*(made.missing for made in self._made))

    def _no_room(self, why: str) -> CannotWork:
        return CannotWork(
            f"verification needs three times the room of the source tree: {why}",
            where=str(self._here.parent),
            next_step="make room there, or name another directory with TMPDIR",
        )

    def _run(self, *, control: bool) -> Prepared:
        """Run %prep on the base; or, for control, on the converted tree without the patches."""
        subject, plan = self._subject, self._subject.plan
        name = "control" if control else "proof"
        package = self._here / "package"
        if control:
            own = self._touched - self._theirs
            self._main.finish(self._series, own, plan.base_patches, patched=True)
        else:
            self._main.finish(self._upstream, self._touched, plan.base_patches, patched=False)
        self._put_main(package)
        for file, real in self._real.items():
            if not control or file != self._main.place.file:
                sourcedir.put(real, package, file)
        for made in self._made if control else ():
            sourcedir.put(made.path, package, made.place.file)
        self._progress("running %prep" + (" without the patches" if control else ""))
        build = self._here / name
        build.mkdir()
        build.chmod(0o777)  # for the sandbox's user
        run = self._asked(
            lambda: self._prepare.run(
                self._here / "package",
                plan.spec,
                build,
                dist=subject.dist,
                arch=plan.arch,
                control=control,
            )
        )
        self._lap(name)
        return run

    def _files(self, name: str, top: bytes, *, keep: bool = False) -> Files:
        """Return the files that a run left in its source tree; make room again unless to ``keep``."""
        try:
            with self._reading(), ForeignTree(self._here / name) as left:
                found = worktree.scan(left, top)
                for directory, beside in self._subject.beside.items():
                    place = posixpath.normpath(posixpath.join(top, beside))
                    for path, entry in worktree.scan(left, place).items():
                        path = directory + b"/" + path
                        found[path] = replace(entry, path=path)
                return found
        finally:
            if not keep:
                remove(self._here / name)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What %prep leaves is read in the block. Raises CannotConvert where that is impossible."""
        try:
            yield
        except ForeignTreeError as error:
            raise CannotConvert(
                f"what %prep leaves cannot be read: {error.what}",
                where=text(self._subject.plan.spec),
                next_step="look at what the spec does with links, modes and directories",
            ) from error

    def _asked(self, ask: Callable[[], T]) -> T:
        """Return what the port answers, its errors turned into ours."""
        try:
            return ask()
        except SpecError as error:
            raise SpecDoesNotParse(
                error.what, where=error.where, next_step=error.next_step
            ) from error
        except SandboxError as error:
            raise NoSandbox(error.what, where=error.where, next_step=error.next_step) from error

    def _top(self, control: Prepared) -> bytes:
        """Return the source tree's directory below the build directory.

        It is where the patches would have been applied, so the stand-ins tell it. %prep may have
        written the same: only a directory that lies there, and that no link leads to, is taken.
        """
        steps, calls = self._subject.plan.steps, control.calls
        if control.status and len(calls) < len(steps):
            raise self._refused(
                control, f"%prep stops before the last patch ({len(calls)} of {len(steps)})"
            )
        # A call may apply several patches (cat %{patches} | patch), or work in another tree.
        beside = self._subject.beside
        if beside:  # what is applied there, or around both, tells nothing of the tree
            apart = tuple(b"/" + posixpath.basename(path) + b"/" for path in beside.values())
            calls = tuple(c for c in calls if c and not any(a in b"/" + c + b"/" for a in apart))
        below = {step.directory for step in steps if step.directory.split(b"/")[0] not in beside}
        tops = Counter(
            call[: len(call) - len(directory)].rstrip(b"/")
            for call in calls
            for directory in below
            if (b"/" + call).endswith(b"/" + directory if directory else b"")
        )
        with self._reading(), ForeignTree(self._here / "control") as left:
            if tops:
                top = max(tops, key=lambda top: (tops[top], -len(top)))
                if top and left.is_directory(top):  # else it was renamed when it was patched
                    return top
            return self._likely_top(left)

    def _likely_top(self, left: ForeignTree) -> bytes:
        """Return the directory that looks most like the tree, where no patch tells."""
        names = {path for path, _ in self._series.children(b"")}
        best, most = b"", 0
        waiting = deque([b""])
        while waiting:
            here = waiting.popleft()
            children = left.names(here)
            here_too = len(names & children.keys())
            # Older specs keep a pristine twin beside the tree.
            if here_too > most or (here_too == most and b"vanilla-" in best):
                best, most = here, here_too
            if not here or here.count(b"/") < 2:
                inside = here + b"/" if here else b""
                waiting += [inside + name for name in sorted(children) if children[name]]
        return best

    def _refused(self, run: Prepared, what: str) -> CannotConvert | CannotWork:
        """Return the error for a run that did not get through the patches."""
        last = run.errors[-1] if run.errors else f"exit status {run.status}"
        at = prepsteps.stop(run)
        where = f"{at}: {last}" if at else last
        next_step = "run rpmbuild -bp on the package by hand"
        if any("No space left on device" in line for line in run.errors):
            return self._no_room(last)
        # bash(1), "EXIT STATUS": 127 is a command that was not found, and it says so.
        if any("command not found" in line for line in run.errors):
            return CannotWork(f"{what}: this host lacks a tool", where=where, next_step=next_step)
        return CannotConvert(what, where=where, next_step=next_step)

    # -- comparing -------------------------------------------------------------------------

    def _history(self, top: bytes, missing: Collection[bytes]) -> AmHistory | None:
        steps = self._subject.plan.steps
        if not steps or any(step.tool != "git-am" for step in steps):
            return None
        subject = self._subject
        with self._reading(), ForeignTree(self._here / "proof") as left:
            ours = (subject.repository, subject.base, subject.series)
            return amhistory.compare(left, top, *ours, missing, self._here / "history.git")

    def _git_wrote(self, found: Entry, want: Entry) -> bool:
        """Tell whether git wrote ``want`` as ``found`` into its work tree: .gitattributes, eol=crlf."""
        file = self._series.get(want.path)
        if file is None or found.mode != want.mode:
            return False
        written = Attributes(self._series).of(want.path).to_work_tree(file.data)
        return blob_id(written) == found.id.encode()

    def _backup(self, path: bytes, found: Entry, was: Files) -> bool:
        """Tell whether patch(1) left this: a file as it was before a patch, with a suffix.

        quilt(1) keeps its backups apart, in the ``.pc`` of the directory that it works in.
        """
        if b"/.pc/" in b"/" + path:
            return True
        start = path.rfind(b"/") + 2
        for end in (n for n in range(start, len(path)) if path[n] in b".~"):
            original = path[:end]
            trees = self._between()
            versions = (was.get(original), *(tree.entry(original) for tree in trees))
            # Of a file that the patch creates the backup is empty.
            if any(v is not None for v in versions) and any(
                v.id == found.id if v else found.id == _EMPTY for v in versions
            ):
                return True
        return False

    def _between(self) -> Iterator[GitTree]:
        """Yield the tree after each patch, newest first."""
        repository, commit = self._subject.repository, self._subject.series
        while commit != self._subject.base:
            yield repository.tree(commit)
            commit = repository.commit(commit).parents[0]


def _difference(
    path: bytes,
    expected: Entry | None,
    found: Entry | None,
    defect: bool,
    commands: Sequence[prepsteps.Command],
) -> Difference:
    if found is None:
        kind = "deleted"
    elif expected is None:
        kind = "added"
    elif (expected.mode ^ found.mode) & 0o170000:
        kind = "type"
    else:
        kind = "content" if expected.id != found.id else "mode"
    return Difference(path, kind, "" if defect else prepsteps.step(path, commands), defect)
