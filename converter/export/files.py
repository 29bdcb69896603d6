"""And back: the commits of a series, as they are or as somebody changed them, become patch files.

A file comes back byte for byte where its commits are there, in order, with their messages, and
where the file itself, applied below them, makes the very same trees; else git format-patch writes
it anew.
"""

from __future__ import annotations

import os
import posixpath
import re
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from converter.engine.apply import Form
from converter.engine.binary import blob_id
from converter.engine.unpack import UnpackError, pack, unpack
from converter.errors import PatchMissing, WrongUsage
from converter.export import branch
from converter.export.align import Seen, align
from converter.export.branch import Branch
from converter.odb import Repository
from converter.patchid import Patches
from converter.pkggit import Origin
from converter.series import Series
from converter.stage import Stage
from converter.text import text
from specparse.plan import Step

State = Literal["unchanged", "changed", "new"]

# git-format-patch(1): as a person would call it, and the same on every host
_FORMAT = (
    "format-patch", "--stdout", "-1", "--no-numbered", "--zero-commit", "--no-signature",
    "--no-renames", "--binary", "--full-index", "--no-attach", "--no-thread", "--no-cover-letter",
    "--no-color", "--no-ext-diff", "--no-textconv",
)  # fmt: skip
_NOT_OURS = ("--", ".", ":(exclude,top)fedora")
_MOST_BELOW = 20  # new commits below a series; a rebase onto a newer upstream puts more there
_DIRECTORY = "--directory="  # git's own -d
_COMMITTER = (b"srcgit", b"srcgit@localhost")  # of commits that are made for a comparison only


@dataclass(frozen=True, slots=True)
class Item:
    """One patch file of the exported series."""

    step: Step  # its path in pkg-git, and how it is applied
    data: bytes | None  # None: the lookaside cache has it, not pkg-git, and it stays there
    state: State
    commits: tuple[str, ...]
    was: int | None = None  # its position in the build's series
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "patch": text(self.step.patch),
            "state": self.state,
            "commits": list(self.commits),
        }


def items(repo: Repository, made: Branch, originals: Mapping[bytes, bytes]) -> tuple[Item, ...]:
    """Return the patch files of a branch in the order of application.

    ``originals`` are the files of the build's series, as pkg-git has them (path -> content).
    Raises PatchMissing where one of them is not there.
    """
    with tempfile.TemporaryDirectory(prefix="srcgit-") as scratch:
        trial = Repository.create(Path(scratch) / "trial.git")
        trial.borrow(repo)
        return _Exporter(repo, trial, made, originals).items()


def unlike(repo: Repository, commits: Sequence[str], series: Sequence[tuple[Step, bytes]]) -> str:
    """Return why ``series``, applied where ``commits`` start, makes another tree; or ""."""
    if not commits:
        return ""
    files = {step.patch: data for step, data in series}
    start = repo.commit(commits[0]).parents[0]
    with tempfile.TemporaryDirectory(prefix="srcgit-") as scratch:
        trial = Repository.create(Path(scratch) / "trial.git")
        trial.borrow(repo)
        with Stage(trial, start) as stage:
            result = Series(
                stage,
                read=lambda name: unpack(name, files[name]),
                origin=lambda _: Origin("", repo.commit(start).author, b""),
                committer=_COMMITTER,
            )
            result.apply(step for step, _ in series)
            tree = stage.tree_id()
        if result.failure is not None:
            return f"{text(result.failure.step.patch)}: {result.failure.reason}"
        compare = ("diff-tree", "-r", "--name-only", "-z", tree, commits[-1], *_NOT_OURS)
        paths = trial.git.run(*compare).stdout.split(b"\0")[:-1]
    return f"{text(paths[0])} differs" if paths else ""


def dropped(made: Branch, exported: Iterable[Item]) -> tuple[str, ...]:
    """Return the patch files of the build's series that the exported series no longer has."""
    names = {text(item.step.patch) for item in exported}
    entries = dict.fromkeys(entry["patch"] for entry in made.build.record["patches"])
    return tuple(name for name in entries if name not in names)


@dataclass(slots=True)
class _Run:
    """Commits that follow each other and belong into one file."""

    entry: int | None  # position of the file in the build's series
    commits: list[str]


class _Exporter:
    def __init__(
        self, repo: Repository, trial: Repository, made: Branch, originals: Mapping[bytes, bytes]
    ) -> None:
        self._repo = repo
        self._trial = trial
        self._commits = made.commits
        self._base = made.base
        self._form = _form(made.build.record["base"])
        self._record = made.build.record
        self._entries: Sequence[Mapping[str, Any]] = self._record["patches"]
        # Names in series.json are for people: what is no UTF-8 is shown as \xNN.
        self._originals = {text(path): (path, data) for path, data in originals.items()}
        self._files = [self._original(entry) for entry in self._entries]
        self._taken = {path for path, _ in self._files}

    def items(self) -> tuple[Item, ...]:
        made: list[Item] = []
        written: set[int] = set()
        runs = self._runs()
        self._check_base(runs)
        for run in runs:
            if run.entry is None or run.entry in written:
                made.append(self._new(run, made[-1].step if made else None))
            else:
                written.add(run.entry)
                made.append(self._old(run.entry, run.commits))
        self._add_silent(made)
        return tuple(self._apart(made))

    def _check_base(self, runs: Sequence[_Run]) -> None:
        """Raise WrongUsage where so much lies below the build's own patches that it is upstream's."""
        first = next((n for n, run in enumerate(runs) if run.entry is not None), len(runs))
        below = [commit for run in runs[:first] for commit in run.commits]
        if len(below) > _MOST_BELOW and self._base is None:
            raise WrongUsage(
                f"{len(below)} commits, up to {below[-1][:12]}, lie below the first of the build's",
                where=self._commits[-1][:12],
                next_step="if they are upstream's, name the last of them with --base REV; "
                f"if they are patches, too, --base {self._record['base']['commit'][:12]}",
            )

    def _original(self, entry: Mapping[str, Any]) -> tuple[bytes, bytes | None]:
        found = self._originals.get(entry["patch"])
        blob = entry.get("blob", "")  # absent in older trees, null for what pkg-git lacks
        if blob is None:
            return entry["patch"].encode(), None
        if found is None or (blob and blob != blob_id(found[1]).decode()):
            raise PatchMissing(
                f"the original of {entry['patch']} is not at hand",
                where="{url}#{commit}".format(**self._record["pkg_git"]),
                next_step="name a pkg-git, or a directory, that has it: --pkg-git URL|PATH",
            )
        return found

    # -- which commits belong to which file ------------------------------------------------

    def _runs(self) -> list[_Run]:
        """Cut the branch into files.

        What came to stand between two commits of one file becomes part of it, unless that is of
        another file.
        """
        owners = self._owners()
        runs: list[_Run] = []
        for commit, entry in zip(self._commits, owners, strict=True):
            start = len(runs) - 1
            while start >= 0 and runs[start].entry is None:
                start -= 1
            if entry is not None and start >= 0 and runs[start].entry == entry:
                between = [c for run in runs[start + 1 :] for c in run.commits]
                runs[start].commits += [*between, commit]
                del runs[start + 1 :]
            else:
                runs.append(_Run(entry, [commit]))
        return runs

    def _owners(self) -> list[int | None]:
        """Return for each commit of the branch the entry of series.json whose commit it was."""
        known = [
            (commit["commit"], position)
            for position, entry in enumerate(self._entries)
            for commit in entry["commits"]
        ]
        old, new = {id for id, _ in known}, set(self._commits)
        diffs = Patches(self._repo, old ^ new)
        one, two = (
            [self._seen(id, diffs) for id in ids]
            for ids in ((id for id, _ in known), self._commits)
        )
        found = align(one, two)
        return [known[found[n]][1] if n in found else None for n in range(len(self._commits))]

    def _seen(self, id: str, diffs: Patches) -> Seen:
        commit = self._repo.commit(id)
        return Seen(id, commit.author, commit.message, diffs.lines(id))

    # -- the files -------------------------------------------------------------------------

    def _old(self, entry: int, commits: Sequence[str]) -> Item:
        """Return a file of the build's series, as it was if that makes these commits."""
        path, data = self._files[entry]
        step = step_of(self._entries[entry], path)
        were = [commit["commit"] for commit in self._entries[entry]["commits"]]
        if were != list(commits) and "exploded" in self._entries[entry]:
            return self._monolith(entry, commits)
        same = [_words(self._repo, c) for c in were] == [_words(self._repo, c) for c in commits]
        if were == list(commits) or (same and data and self._made(step, data, commits)[0]):
            return Item(step, data, "unchanged", tuple(commits), entry)
        # A file that was applied with -R is written as any other.
        return self._written(replace(step, reverse=False), commits, "changed", entry, like=data)

    def _monolith(self, entry: int, commits: Sequence[str]) -> Item:
        """Return the one diff of a monolith that was taken apart; it holds no messages."""
        path, data = self._files[entry]
        step = step_of(self._entries[entry], path)
        if data and not unlike(self._repo, commits, [(step, data)]):
            return Item(step, data, "unchanged", tuple(commits), entry)
        # redhat/scripts/genspec.sh of kernel-ark
        options = (
            "diff",
            "--binary",
            "--no-renames",
            "--stat",
            "-p",
            "--no-color",
            "--no-ext-diff",
        )
        between = (f"{commits[0]}^", commits[-1], *_NOT_OURS)
        data = self._repo.git.run(*options, *between).stdout
        why = unlike(self._repo, commits, [(step, data)])
        told = [f"{text(path)}: {step.tool} cannot make the tree from it: {why}"] if why else []
        told += [
            f"{text(path)} is one diff again; the list of its commits beside it stays as it is"
        ]
        return Item(step, data, "changed", tuple(commits), entry, tuple(told))

    def _new(self, run: _Run, near: Step | None) -> Item:
        """Return a new file, applied as the one before it, or as the first of all."""
        if near is None:
            near = (
                step_of(self._entries[0], self._files[0][0])
                if self._entries
                else Step(b"", "patch")
            )
        directory, slash, _ = near.patch.rpartition(b"/")
        if run.entry is None:
            stem = self._stem(run.commits[0])
        else:  # a part of that file, which something of another file has cut in two
            stem = re.sub(rb"\.\w+$", b"", self._files[run.entry][0].rpartition(b"/")[2])
        step = replace(near, number=None, reverse=False, format_of=b"")
        step = replace(step, patch=self._free(directory + slash + stem + b".patch"))
        inside = directory_of(step) + b"/" if directory_of(step) else b""
        paths = [path for commit in run.commits for path in branch.changes(self._repo, commit)]
        if any(not path.startswith(inside) for path in branch.source(paths)):
            options = tuple(o for o in step.options if not o.startswith(_DIRECTORY))
            step = replace(step, directory=b"", options=options)
        return self._written(step, run.commits, "new", None)

    def _beside(self, inside: bytes) -> str:
        """Return the directory of the archive beside the source tree that a patch works on, or ""."""
        first = text(inside.partition(b"/")[0])
        archives = self._record["base"].get("archives", ())
        return first if any(a.get("beside") and a["directory"] == first for a in archives) else ""

    def _stem(self, commit: str) -> bytes:
        """Return the name that git format-patch gives, with a number if most of the files have one."""
        subject = self._repo.git.run("show", "-s", "--format=%f", commit).stdout.strip()[:52]
        names = [path.rpartition(b"/")[2] for path in self._taken]
        numbers = [int(found[1]) for name in names if (found := re.match(rb"(\d{4})-", name))]
        if 2 * len(numbers) > len(names):
            return b"%04d-%b" % (max(numbers) + 1, subject)
        return subject or b"patch"

    def _free(self, path: bytes, own: bytes = b"") -> bytes:
        """Return ``path``, or a name near it that no file of the series has; it is taken now."""
        if path != own:
            path = free(path, self._taken)
        self._taken.add(path)
        return path

    def _written(
        self,
        step: Step,
        commits: Sequence[str],
        state: State,
        was: int | None,
        like: bytes | None = None,
    ) -> Item:
        """Let git write the commits as one file, for the step's tool; compressed as ``like`` is."""
        inside = directory_of(step)
        options = [f"--relative={inside.decode()}"] if inside else []
        below = "x/" * (step.strip - 1)
        prefix = [f"--src-prefix=a/{below}", f"--dst-prefix=b/{below}"]
        if own := self._beside(inside):  # perhaps it is applied from the directory around it
            # "./" counts for -p2 there, and is nothing to -p0 and -p1 around it.
            above = {1: "", 2: "./"}.get(step.strip, "a/" + "x/" * (step.strip - 2))
            prefix = [f"--src-prefix={above}{own}/", f"--dst-prefix={above}{own}/"]
        options += prefix if step.strip else ["--no-prefix"]
        data = b"".join(
            self._repo.git.run(*_FORMAT, *options, commit, *_NOT_OURS).stdout for commit in commits
        )
        data = data if like is None else pack(step.patch, like, data)
        name, short = text(step.patch), ", ".join(commit[:12] for commit in commits)
        warnings: tuple[str, ...] = ()
        trees, words = self._made(step, data, commits)
        if not trees:
            warnings = (f"{name}: {step.tool} cannot make the tree of {short} from it",)
        elif not words:
            warnings = (f"{name}: author or message of {short} do not survive {step.tool}",)
        return Item(step, data, state, tuple(commits), was, warnings)

    def _add_silent(self, made: list[Item]) -> None:
        """Put the files that make no commit (empty ones) behind the file that they stood behind."""
        for position, entry in enumerate(self._entries):
            if not entry["commits"]:
                path, data = self._files[position]
                item = Item(step_of(entry, path), data, "unchanged", (), position)
                before = [
                    n for n, each in enumerate(made) if each.was is not None and each.was < position
                ]
                made.insert(max(before, default=-1) + 1, item)

    def _apart(self, made: Sequence[Item]) -> Iterator[Item]:
        """Give a file that is applied twice, and no longer as the same file, a second name."""
        names = {item.step.patch: item.data for item in reversed(made)}
        names |= {item.step.patch: item.data for item in made if item.state == "unchanged"}
        for item in made:
            if names[item.step.patch] != item.data:
                item = replace(item, step=replace(item.step, patch=self._free(item.step.patch)))
                names[item.step.patch] = item.data
            yield item

    # -- the proof -------------------------------------------------------------------------

    def _made(self, step: Step, data: bytes, commits: Sequence[str]) -> tuple[bool, bool]:
        """Tell whether srcgit makes the trees of these commits of the file, and their words, too."""
        first = self._repo.commit(commits[0])
        try:
            plain = unpack(step.patch, data)
        except UnpackError:
            return False, False
        with Stage(self._trial, first.parents[0]) as stage:
            result = Series(
                stage,
                read=lambda _: plain,
                origin=lambda _: Origin("", first.author, b""),
                committer=_COMMITTER,
                form=self._form,
            )
            result.apply([step])
            ids = stage.ids(w.mark for patched in result.patches for w in patched.commits)
        self._trial = Repository(self._trial.path)  # libgit2 looks for new packs when it opens
        pairs = list(zip(ids, commits, strict=False))
        trees = len(ids) == len(commits) and all(
            _does(self._trial, made) == _does(self._repo, commit) for made, commit in pairs
        )
        return trees, all(
            _words(self._trial, made) == _words(self._repo, commit) for made, commit in pairs
        )


def _form(base: Mapping[str, Any]) -> Form:
    """Return the form of the files that a series starts on (engine.apply.Rules)."""
    archived = base["kind"] == "archive" or any(a["main"] for a in base.get("archives", ()))
    return "files" if archived else "git"


def _does(repo: Repository, commit: str) -> dict[bytes, tuple[str, str] | None]:
    done = branch.changes(repo, commit)
    return {path: done[path] for path in branch.source(done)}


def _words(repo: Repository, id: str) -> tuple[object, ...]:
    """Return author and message, as far as they count."""
    commit = repo.commit(id)
    return commit.author, Seen(id, commit.author, commit.message, b"").text


def directory_of(step: Step) -> bytes:
    """Return the directory that a patch's names are below."""
    given = [option.removeprefix(_DIRECTORY) for option in step.options if _DIRECTORY in option]
    inside = posixpath.normpath(posixpath.join(step.directory, *map(os.fsencode, given)))
    return b"" if inside == b"." else inside


def free(path: bytes, taken: Container[bytes]) -> bytes:
    """Return ``path``, with a number before its suffix where it is taken."""
    stem, dot, suffix = path.rpartition(b".")
    number = 1
    while path in taken:
        number += 1
        path = b"%b-%d%b%b" % (stem, number, dot, suffix)
    return path


def step_of(entry: Mapping[str, Any], path: bytes) -> Step:
    """Return the step that an entry of series.json stands for."""
    return Step(
        path,
        entry["tool"],
        entry["number"],
        entry["strip"],
        entry["fuzz"],
        entry["reverse"],
        entry["directory"].encode(),
        tuple(entry["options"]),
    )
