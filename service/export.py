"""``srcgit export``: a branch's series as patch files, in an empty directory or in pkg-git itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from converter import start
from converter.build import Nvr
from converter.errors import SrcgitError
from converter.export import branch
from converter.export import files as export
from converter.export.branch import Branch
from converter.export.checkout import Checkout
from converter.export.files import Item, free, step_of
from converter.export.patchfiles import package, patch_files
from converter.mirror import Mirror, is_url
from converter.odb import GitTree, Repository
from converter.pkggit import Package, PkgGit
from converter.text import counted, text
from specparse import patchlines
from specparse.plan import Plan, PlanError, Step, Tracer

_QUILT_KNOWS = ("-E", "-N", "-l", "--binary")  # options of patch(1) that change a result


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and what is left to do by hand."""

    wanted: str
    made: Branch
    items: tuple[Item, ...]
    dropped: tuple[str, ...]
    directory: Path
    written: tuple[str, ...]
    spec: str
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what ``export --json`` prints."""
        return {
            "nvr": str(self.made.build.nvr),
            "commit": self.made.tip,
            "directory": str(self.directory),
            "patches": [item.as_json() for item in self.items],
            "dropped": list(self.dropped),
            "spec": self.spec,
            "written": list(self.written),
            "warnings": list(self.warnings),
        }


def run(
    repo: Repository,
    wanted: str,
    directory: Path,
    *,
    base: str | None,
    pkg_git: Sequence[str],
    cache: Path,
    trace: Tracer,
) -> Exported:
    """Export ``wanted`` (converter.export.branch.read) to ``directory``.

    The original patch files are looked for in ``directory`` itself, in ``pkg_git`` (URLs, paths)
    and where series.json says. Raises SrcgitError of every kind.
    """
    made = branch.read(repo, wanted, base)
    record = made.build.record
    place = Checkout(directory)
    places = list(_places(place, [*pkg_git, record["pkg_git"]["url"]], cache))
    had = patch_files(record, places)
    items = export.items(repo, made, had)
    dropped = export.dropped(made, items)
    writer = _Writer(repo, made, items, place)
    below = repo.tree(record["base"]["commit"])
    files, warnings = writer.files(_Trial(record, place, places, dropped, below, trace))
    warnings += [warning for item in items for warning in item.warnings]
    warnings += [f"{c[:12]} changes nothing, and is no patch" for c in made.empty]
    written = [text(name) for name in place.write(files)]
    if writer.in_place:
        warnings += _remove(place, dropped, had)
    return Exported(
        wanted,
        made,
        items,
        dropped,
        place.path,
        tuple(written),
        record["spec"],
        tuple(dict.fromkeys(warnings)),
    )


def _places(place: Checkout, named: Sequence[str], cache: Path) -> list[Mirror | Path]:
    """Return where pkg-git may be, the nearest first."""
    places: list[Mirror | Path] = []
    if place.is_git:
        places.append(Mirror.of(str(place.path), Repository(place.path)))
    places.append(place.path)
    for location in named:
        path = Path(location).expanduser()
        if not is_url(location) and path.is_dir() and not _is_repository(path):
            places.append(path)
        else:
            places.append(Mirror(location, cache))
    return places


def _is_repository(path: Path) -> bool:
    try:
        Repository(path)
    except SrcgitError:
        return False
    return True


class _Writer:
    """The files of an export: patches, and the spec or the series file that lists them."""

    def __init__(
        self, repo: Repository, made: Branch, items: Sequence[Item], place: Checkout
    ) -> None:
        self._repo = repo
        self._made = made
        self._items = items
        self._place = place
        self._entries: Sequence[Mapping[str, Any]] = made.build.record["patches"]
        self._list = made.build.record["spec"].encode()
        self._is_queue = not self._list.endswith(b".spec")
        # A queue is known by its list, wherever it lies: debian/patches is no top of a repository.
        self.in_place = place.is_git or (self._is_queue and place.read(self._list) is not None)

    def files(self, trial: _Trial) -> tuple[dict[bytes, bytes], list[str]]:
        """Return the files to write, and what is left to do by hand."""
        files = {item.step.patch: item.data for item in self._items if item.data is not None}
        steps = [item.step for item in self._items]
        files[self._list], trouble = self._current()
        trouble += [
            f"{text(item.step.patch)} is in the lookaside cache, and stays there"
            for item in self._items
            if item.data is None and not self.in_place
        ]
        if self._is_queue:
            files[self._list] = self._edited_series(files[self._list])
        else:
            if not self._place.is_git:
                queue, doubts = self._series()
                files |= queue
                trouble += doubts
            trouble += self._edit_spec(files, steps, trial)
        return files, trouble

    def _series(self) -> tuple[dict[bytes, bytes], list[str]]:
        """Return a series file, and a copy of what %prep applies twice: quilt takes a name once.

        And what is to be said of it, where quilt makes another tree of that than %prep does.
        """
        build = self._made.build
        lines = [f"# {build.nvr} on {build.record['base']['rev']}"]
        copies: dict[bytes, bytes] = {}
        names = {item.step.patch for item in self._items}
        seen = set[bytes]()
        series = []
        for item in self._items:
            name = item.step.patch
            if name in seen:
                name = free(name, names)
                names.add(name)
                copies |= {name: item.data} if item.data is not None else {}
            seen.add(name)
            step = _for_quilt(replace(item.step, patch=name), item.data or b"")
            series.append((step, item.data or b""))
            lines.append(_line(step))
        why = "" if any(item.data is None for item in self._items) else self._unlike(series)
        doubts = [f"the series file: as quilt applies it, {why}"] if why else []
        return copies | {b"series": "".join(f"{line}\n" for line in lines).encode()}, doubts

    def _unlike(self, series: Sequence[tuple[Step, bytes]]) -> str:
        return export.unlike(self._repo, self._made.commits, series)

    def _edit_spec(
        self, files: dict[bytes, bytes], steps: Sequence[Step], trial: _Trial
    ) -> list[str]:
        """Edit the spec in ``files`` until its %prep applies ``steps``; return what is left to do."""
        built = [step_of(e, e["patch"].encode()) for e in self._entries]
        wanted = list(map(_applied, steps))
        if list(map(_applied, built)) == wanted and files[self._list] == self._built():
            return []
        name = text(self._list)
        try:
            now = built if files[self._list] == self._built() else trial.steps(files)
        except PlanError:
            now = built
        edited = patchlines.edit_spec(
            files[self._list],
            [(_base_name(step), step.number) for step in now],
            [_base_name(step) for step in steps],
            self._forward(),
        )
        files[self._list] = edited.text
        try:
            planned = list(map(_applied, trial.steps(files, final=True)))
        except PlanError as error:
            told = f"{name} does not plan any more: {error.what}; edit it by hand"
        else:
            if planned == wanted:
                return []
            n = next(n for n, pair in enumerate(zip_longest(planned, wanted)) if len(set(pair)) > 1)
            [one], [two] = (each[n : n + 1] or ["nothing more"] for each in (planned, wanted))
            told = f"{name}: patch {n + 1} of %prep is {one}, not {two}: edit it by hand"
        return [*edited.trouble, told]

    def _forward(self) -> set[str]:
        """Return the patches that were applied with -R, and no longer are."""
        was = {n: entry["reverse"] for n, entry in enumerate(self._entries)}
        items = (item for item in self._items if item.was is not None and was[item.was])
        return {_base_name(item.step) for item in items if not item.step.reverse}

    def _edited_series(self, series: bytes) -> bytes:
        new = {text(item.step.patch): _line(item.step) for item in self._items}
        old = {
            entry["patch"]: _line(step_of(entry, entry["patch"].encode()))
            for entry in self._entries
        }
        other = {name for name, line in new.items() if old.get(name, line) != line}
        return patchlines.edit_series(series, old, new, other).text

    def _current(self) -> tuple[bytes, list[str]]:
        """Return the list before the patches' changes: the branch's, or the checkout's own."""
        built = self._built()
        mine = self._file(self._made.tip)
        mine = built if mine is None else mine
        here = self._place.read(self._list) if self.in_place else None
        if here is None or here == built:
            return mine, []
        if mine not in (built, here):
            told = f"{text(self._list)} was changed both here and on the branch, below fedora/"
            return here, [f"{told}: see what the branch has, too"]
        return here, []

    def _built(self) -> bytes:
        return self._file(self._made.build.commit) or b""

    def _file(self, commit: str) -> bytes | None:
        name = "fedora/" + text(self._list).rpartition("/")[2]
        # The git program and not libgit2: it fetches what a blobless clone lacks.
        done = self._repo.git.run("cat-file", "blob", f"{commit}:{name}", ok=(0, 128))
        return done.stdout if done.status == 0 else None


def _for_quilt(step: Step, data: bytes) -> Step:
    """Return ``step`` as quilt's push has it: patch(1) with an option -p, and -f."""
    strip = step.strip
    if strip < 0:  # patch takes the last part of each name
        names = set(re.findall(rb"^(?:\+\+\+|---) ([^\t\n]+)", data, re.MULTILINE))
        strip = max((name.count(b"/") for name in names - {b"/dev/null"}), default=1)
    options = tuple(option for option in step.options if option in _QUILT_KNOWS)
    return Step(
        step.patch,
        "patch",
        strip=strip,
        fuzz=max(step.fuzz, 2),
        reverse=step.reverse,
        directory=export.directory_of(step),
        options=(*options, "-f"),
    )


def _line(step: Step) -> str:
    """Return the line of a quilt series for ``step``: the defaults are -p1 and patch's own fuzz."""
    words = [text(step.patch)]
    words += [f"-p{step.strip}"] if step.strip != 1 else []
    words += [f"-F{step.fuzz}"] if step.fuzz > 2 else []
    words += ["-R"] if step.reverse else []
    words += ["-d", text(step.directory)] if step.directory else []
    words += [option for option in step.options if option in _QUILT_KNOWS]
    return " ".join(words)


class _Trial:
    """pkg-git as it will be after the export, to be traced."""

    def __init__(
        self,
        record: Mapping[str, Any],
        place: Checkout,
        places: Sequence[Mirror | Path],
        dropped: Sequence[str],
        base: GitTree,
        trace: Tracer,
    ) -> None:
        self._base = base
        self._record = record
        self._place = place
        self._places = places
        self._dropped = dropped
        self._trace = trace

    def steps(self, files: Mapping[bytes, bytes], *, final: bool = False) -> tuple[Step, ...]:
        """Return what %prep applies with ``files`` in pkg-git, at last without what was dropped.

        Raises PlanError.
        """
        base = self._package()
        if base is None:
            raise PlanError("no pkg-git is at hand to try it")
        spec = self._record["spec"].encode()
        changed = self._place.changes() if self._place.is_git else {}
        gone = [name for name, data in changed.items() if data is None]
        dist = Nvr.parse(self._record["nvr"]).dist or ""

        def write(scratch: Path) -> None:
            base.export(scratch, spec)
            there = Checkout(scratch)
            for name in [*gone, *(patch.encode() for patch in self._dropped if final)]:
                there.remove(name)
            there.write({name: data for name, data in changed.items() if data is not None})
            there.write(files)
            # The sandbox reads it under another uid, whatever the umask is here.
            for path in scratch.rglob("*"):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() else 0o644)

        def traced(base_files: Mapping[bytes, bytes]) -> Plan:
            asked = {"dist": dist, "arch": self._record["arch"]}
            return self._trace(write, spec, **asked, base_files=base_files)

        plan = start.seeing(traced({}), self._base, traced)
        if plan.unfinished:
            raise PlanError(f"%prep does not get to its end: {plan.unfinished}")
        return plan.steps

    def _package(self) -> Package | None:
        if self._place.is_git:
            mirror = Mirror.of(str(self._place.path), Repository(self._place.path))
            if head := mirror.commit_id("HEAD"):
                return PkgGit(mirror).at(head)
        found = (package(self._record, each) for each in self._places if isinstance(each, Mirror))
        return next(filter(None, found), None)


def _base_name(step: Step) -> str:
    return text(step.patch).rpartition("/")[2]


def _applied(step: Step) -> str:
    return f"{step.tool} {_line(replace(step, options=(), fuzz=0))}"


def _remove(place: Checkout, dropped: Sequence[str], had: Mapping[bytes, bytes]) -> list[str]:
    """Remove what was dropped from a checkout, unless it is no longer the build's."""
    left = []
    for path, data in had.items():
        if text(path) in dropped and (here := place.read(path)) is not None:
            if here == data:
                place.remove(path)
            else:
                left.append(f"{text(path)} was dropped, but was changed here: left alone")
    return left


def show(done: Exported) -> list[str]:
    """Return the export in lines, for people to read."""
    states = [item.state for item in done.items]
    counts = [f"{states.count(state)} {state}" for state in ("unchanged", "changed", "new")]
    counts.append(f"{len(done.dropped)} dropped")
    lines = [f"{done.wanted}: {counted(len(done.items), 'patch')}, {', '.join(counts)}"]
    for item in done.items:
        if item.state != "unchanged":
            commits = counted(len(item.commits), "commit")
            lines.append(f"  {item.state:<8} {text(item.step.patch)}  ({commits})")
    lines += [f"  dropped  {patch}" for patch in done.dropped]
    lines.append(f"{counted(len(done.written), 'file')} written in {done.directory}")
    return lines
