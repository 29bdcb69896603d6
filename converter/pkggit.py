"""pkg-git at a commit, read from the object database; who introduced each file, and when."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from converter.errors import PkgGitInvalid, RepositoryUnusable, TooMuch, WrongUsage
from converter.git import GitFailed, lines
from converter.mirror import Mirror
from converter.objects import Commit, Entry, Identity
from converter.odb import GitTree, Repository
from converter.safe_paths import MAX_PATH, why_unsafe
from converter.text import text
from converter.tree import SUBMODULE

DEVELOPMENT = ("rawhide", "main", "master")
_LARGE = 16 << 20  # bytes of a file that is not read as a whole to be exported
_MAX_READ = 128 << 20  # bytes of a file that is read as a whole: a patch's (engine/unpack.py)
_MAX_SPEC = 16 << 20  # bytes; the kernel's has 0.4 MB
_MAX_ENTRIES = 500_000  # of a directory of pkg-git; the kernel's configs/ has 10,000
_MAX_CHANGES = 20_000_000  # files that pkg-git's history changes, in all; the kernel's has 900,000
_BETWEEN_WORDS = bytes.maketrans(b"/\"'=", b"    ")  # as white space is
_RELEASE_BRANCH = re.compile(r"f(\d+)(?:/master)?")


def branch_name(ref: str) -> str:
    """Return the name of a branch, whether it is one here or a remote's."""
    return re.sub(r"^refs/(heads/|remotes/[^/]+/)", "", ref)


def release_of(branch: str) -> int | None:
    """Return the Fedora release whose branch of pkg-git is called so; f12/master was, until 2010."""
    found = _RELEASE_BRANCH.fullmatch(branch)
    return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a file of pkg-git comes from: a commit, its author, what it said."""

    commit: str  # "" where the package is no repository of its own
    author: Identity
    message: bytes
    told_by: str = ""  # what author and date are taken from, where that is no commit


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who added a file, and who gave it the content that it has."""

    introduced: Origin
    changed: Origin


class PkgGit:
    """The package's own repository: a spec, loose patches, a ``sources`` file."""

    def __init__(self, mirror: Mirror) -> None:
        self.url = mirror.location
        self._mirror = mirror
        self._holders: dict[str, list[str]] = {}  # asked for twice, and git walks history for it
        self._development: dict[str, bool] = {}
        self._asking = threading.Lock()

    @property
    def repository(self) -> Repository:
        return self._mirror.repository

    def resolve(self, rev: str) -> str:
        """Return the full id of the commit ``rev``. Raises PkgGitInvalid when there is none."""
        found = self._mirror.commit_id(rev)
        if found is None:
            raise PkgGitInvalid(
                f"pkg-git has no commit {rev!r}",
                where=self.url,
                next_step="check the commit id; a local repository may need a git fetch",
            )
        return found

    def at(self, commit: str) -> Package:
        return Package(self, commit)

    def holders(self, commit: str) -> list[str]:
        """Return the branches (without refs/heads/ or refs/remotes/x/) that hold ``commit``."""
        if commit not in self._holders:
            self._holders[commit] = self._holders_among(commit, "refs/heads", "refs/remotes")
        return self._holders[commit]

    def in_development(self, commit: str) -> bool:
        """Tell whether rawhide holds ``commit``; one walk, where holders() takes one a branch."""
        with self._asking:
            if commit not in self._development:
                heads = [
                    f"refs/{where}/{name}"
                    for name in DEVELOPMENT
                    for where in ("heads", "remotes/*")
                ]
                known = self._holders.get(commit) or self._holders_among(commit, *heads)
                self._development[commit] = any(name in DEVELOPMENT for name in known)
            return self._development[commit]

    def look_ahead(self, commit: str) -> None:
        """Find out beside other work what branch_of() will ask."""

        def ask() -> None:
            with contextlib.suppress(Exception):  # branch_of() will meet it, too
                self.in_development(commit)

        threading.Thread(target=ask, daemon=True).start()

    def _holders_among(self, commit: str, *patterns: str) -> list[str]:
        out = self.repository.git.run(
            "for-each-ref", f"--contains={commit}", "--format=%(refname)", *patterns
        ).stdout
        return sorted(set(map(branch_name, lines(out))))

    def dist_of(self, commit: str, branch: str | None = None) -> str:
        """Derive the dist tag from the branches that hold ``commit``.

        The lowest fNN names it: a later release branches off after the commit. Where only the
        development branch has it, the next release is meant. Raises WrongUsage when unknown, which
        asks for the published ``branch``, too, where branch_of() would be asked and not know it.
        """
        holders = self.holders(commit)
        releases = _releases(holders)
        if releases:
            return f".fc{min(releases)}"
        developed = any(name in DEVELOPMENT for name in holders)
        if developed:
            everyone = _releases(
                branch_name(ref)
                for prefix in ("refs/heads", "refs/remotes")
                for ref in self.repository.refs(prefix)
            )
            if everyone:
                return f".fc{max(everyone) + 1}"
        told = branch or developed or len(holders) == 1
        raise WrongUsage(
            f"no fNN branch of pkg-git tells the release of commit {commit[:12]}",
            where=self.url,
            next_step="say it with --dist .fcNN or --nvr NVR"
            + ("" if told else "; to convert it, with --branch NAME as well"),
        )

    def _meant(self, commit: str, release: str | None) -> bool:
        """Tell whether the branch of ``release``, or of development, is known to hold ``commit``."""
        if release is None:
            return self.in_development(commit)
        number = int(release.removeprefix("f"))
        return number in _releases(self.holders(commit))

    def branch_of(self, commit: str, dist: str, target: str | None = None) -> str:
        """Derive the published branch from the branches that hold ``commit`` and the build target.

        Rawhide's commits are in rawhide and in every release branched off later, so rawhide wins
        where it holds the commit, unless the build target (``f41-candidate``, ``f41-build-...``)
        names a release that holds it, too: a release fast-forwarded to rawhide's commit. A mirror in
        which the target's branch lacks the commit is brought up to date: it may have come there by
        another branch first. Raises WrongUsage when no branch answers, RemoteUnavailable.
        """
        targeted = re.match(r"(f\d+)-(?!rebuild)", target or "")
        if target and not self._meant(commit, targeted and targeted[1]) and self._mirror.fetch():
            self._holders.clear()
            self._development.clear()
        if not targeted and self.in_development(commit):
            return "rawhide"
        holders = self.holders(commit)
        release = dist.removeprefix(".").replace("fc", "f", 1)
        held = {f"f{number}" for number in _releases(holders)}
        if targeted and targeted[1] in held:
            return targeted[1]
        if self.in_development(commit):
            return "rawhide"
        if release in held:
            return release
        if held:
            return min(held, key=lambda name: int(name[1:]))
        if named := _named_by(dist, holders):
            return named
        if len(holders) == 1:
            return holders[0]
        raise WrongUsage(
            f"no branch of pkg-git that holds commit {commit[:12]} names the release "
            f"({', '.join(holders) or 'no branch holds it'})",
            where=self.url,
            next_step="say it with --branch NAME",
        )


# How distributions other than Fedora name the branch of a dist tag: c9s, el9 or r9 for .el9,
# el-9.2 or r9.2 for .el9_2, 8.3 for .xcpng8.3
_DIST = re.compile(r"\.?(?P<system>[a-z]+)(?P<number>\d+(?:[._]\d+)*)")


def _named_by(dist: str, branches: Iterable[str]) -> str | None:
    """Return the branch, of ``branches``, that a dist tag names; None where it is none or several."""
    told = _DIST.fullmatch(dist)
    if told is None:
        return None
    number = re.escape(told["number"].replace("_", "."))
    forms = [rf"{told['system']}-?{number}", number]
    if told["system"] == "el":
        forms.append(rf"(?:c|r|a|el|rhel|epel|imports/c)-?{number}s?")
    for form in forms:
        named = [name for name in branches if re.fullmatch(form, name)]
        if named:
            return named[0] if len(named) == 1 else None
    return None


def _releases(branches: Iterable[str]) -> set[int]:
    return {number for name in branches if (number := release_of(name)) is not None}


class Package:
    """The files of one commit of pkg-git."""

    def __init__(self, pkg_git: PkgGit, commit: str) -> None:
        self.commit: Commit = pkg_git.repository.commit(commit)
        self.url = pkg_git.url
        self._repository = pkg_git.repository
        self._tree: GitTree = pkg_git.repository.tree(commit)
        self._specs: dict[bytes, bytes] = {}
        self._seen: dict[bytes, dict[bytes, Entry]] = {}  # spec -> what its build can see

    def entry(self, path: bytes) -> Entry | None:
        """Return the entry of the file at ``path``."""
        return self._tree.entry(path)

    def read(self, path: bytes) -> bytes | None:
        """Return the content of ``path``, links inside the package followed once; None if absent."""
        if path in self._specs:
            return self._specs[path]
        entry = self._entry(path)
        if entry is not None and (size := self._tree.size(entry)) > _MAX_READ:
            raise TooMuch(
                f"{text(path)} has {size >> 20} MiB",
                where=f"{self.url}#{self.commit.id}",
                next_step="look at the file; srcgit does not read it",
            )
        data = None if entry is None else self._tree.blob(entry)
        if data is not None and path.endswith(b".spec"):  # read again and again
            self._specs[path] = data
        return data

    def blob(self, path: bytes) -> str | None:
        """Return the id of the content of ``path``, as read() finds it."""
        entry = self._entry(path)
        return None if entry is None else entry.id

    def _entry(self, path: bytes) -> Entry | None:
        entry = self.entry(path)
        if entry is not None and entry.mode == 0o120000:
            target = self._target(entry)
            entry = self.entry(os.path.normpath(os.path.join(os.path.dirname(path), target)))
        return None if entry is None or entry.mode == SUBMODULE else entry

    def _target(self, link: Entry) -> bytes:
        """Return where a link leads. Raises PkgGitInvalid for what symlink(2) would not take."""
        target = self._tree.blob(link) if self._tree.size(link) <= MAX_PATH else b""
        if not target or b"\0" in target:
            raise PkgGitInvalid(
                f"pkg-git holds an impossible link: {text(link.path)!r}",
                where=f"{self.url}#{self.commit.id}",
                next_step="look at the commit with git fsck",
            )
        return target

    def size(self, path: bytes) -> int:
        """Return how many bytes read() would return; 0 where it returns None."""
        entry = self._entry(path)
        return 0 if entry is None else self._tree.size(entry)

    def source(self, name: bytes) -> bytes | None:
        """Return the path of the file that rpm's source directory has as ``name``, if it is here."""
        places = (directory + name for directory in (b"", b"SOURCES/", b"SPECS/"))
        return next((path for path in places if self.entry(path)), None)

    def metadata(self) -> list[bytes]:
        """Return the paths of RHEL's lists of sources, ``.NAME.metadata``."""
        return [path for path in self._tree.entries(b"") if re.fullmatch(rb"\..+\.metadata", path)]

    def save(self, path: bytes, file: Path) -> None:
        """Write the content of ``path`` to ``file``, in parts: it may be an archive of any size."""
        entry = self.entry(path)
        assert entry is not None
        if entry.mode == 0o120000:
            file.write_bytes(self.read(path) or b"")
            return
        with open(file, "wb") as out:
            self._copy(entry, out)

    def _copy(self, entry: Entry, file: IO[bytes]) -> None:
        with self._repository.git.start("cat-file", "blob", entry.id) as git:
            git.stdin.close()
            while data := git.stdout.read(1 << 20):
                file.write(data)
            git.wait()

    def spec(self, name: str | None) -> bytes:
        """Return the path of the spec: at the top or in SPECS/; of several, the one named ``name``.

        Raises PkgGitInvalid where there is none or no telling which, or one beyond all measure.
        """
        specs = [
            path
            for directory in (b"", b"SPECS")
            for path, entry in self._tree.entries(directory).items()
            if path.endswith(b".spec") and entry.mode != 0o040000
        ]
        named = [p for p in specs if name and os.path.basename(p) == os.fsencode(name) + b".spec"]
        chosen = specs if len(specs) == 1 else named
        if len(chosen) == 1:
            if (size := self.size(chosen[0])) > _MAX_SPEC:  # it is read as a whole, several times
                raise PkgGitInvalid(
                    f"{text(chosen[0])} has {size >> 20} MiB, and is no spec",
                    where=f"{self.url}#{self.commit.id}",
                    next_step="give a commit that has a spec",
                )
            return chosen[0]
        names = ", ".join(sorted(p.decode("utf-8", "backslashreplace") for p in specs))
        raise PkgGitInvalid(
            f"several specs: {names}" if specs else "no spec",
            where=f"{self.url}#{self.commit.id}",
            next_step="name the package with --nvr" if specs else "give a commit that has a spec",
        )

    def used(self, spec: bytes) -> Mapping[bytes, Entry]:
        """Return the files that a build of ``spec`` can see.

        rpm's source directory is flat: of a subdirectory (the kernel's configs/ has 10,000 files)
        only what the spec names counts.
        """
        if spec not in self._seen:
            text = self.read(spec) or b""
            words = set(text.translate(_BETWEEN_WORDS).split())
            whole = set(re.findall(rb"(?:_sourcedir\}?|RPM_SOURCE_DIR\}?)/([^\s/\"']+)/?", text))
            self._seen[spec] = {entry.path: entry for entry in self._used(words, whole)}
        return self._seen[spec]

    def _used(self, words: set[bytes], whole: set[bytes]) -> Iterator[Entry]:
        for directory in (b"", b"SOURCES", b"SPECS"):
            entries = self._tree.entries(directory)
            yield from (entry for entry in entries.values() if entry.mode != 0o040000)
        for path, entry in self._tree.entries(b"").items():
            if entry.mode == 0o040000:
                yield from self._tree.walk(path, None if path in whole else words, _MAX_ENTRIES)

    def export(self, directory: Path, spec: bytes) -> None:
        """Write what a build of ``spec`` can see below ``directory``; links stay links.

        Raises PkgGitInvalid for a tree that git itself would not check out.
        """
        top = os.fsencode(directory)
        files = [entry for entry in self.used(spec).values() if entry.mode != SUBMODULE]
        try:
            for entry in sorted(files, key=lambda e: e.mode == 0o120000):  # links last: no way out
                if why_unsafe(entry.path, link=entry.mode == 0o120000):
                    raise FileExistsError
                target = os.path.join(top, entry.path)
                self._make(top, os.path.dirname(entry.path))
                if entry.mode == 0o120000:
                    os.symlink(self._target(entry), target)
                    continue
                with open(target, "xb") as file:
                    if self._tree.size(entry) < _LARGE:
                        file.write(self._tree.blob(entry))
                    else:
                        self._copy(entry, file)
                # Another user reads them in the sandbox, whatever the umask is here.
                os.chmod(target, 0o755 if entry.mode & 0o111 else 0o644)
        except OSError as error:
            if error.errno not in (None, errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise
            raise PkgGitInvalid(
                f"pkg-git holds an impossible file name: {text(entry.path)!r}",
                where=f"{self.url}#{self.commit.id}",
                next_step="look at the commit with git fsck",
            ) from None

    @staticmethod
    def _make(top: bytes, directory: bytes) -> None:
        path = top
        for part in directory.split(b"/") if directory else ():
            path = os.path.join(path, part)
            if os.path.islink(path):  # a damaged tree has two entries of one name
                raise FileExistsError
            if not os.path.isdir(path):
                os.mkdir(path)
                os.chmod(path, 0o755)

    def history(self, spec: bytes) -> History:
        """Start reading who introduced each file of the flat directories that a build can see.

        The answer is awaited when first asked for.
        """
        flat = (b"", b"SOURCES", b"SPECS")
        files = {p: e for p, e in self.used(spec).items() if os.path.dirname(p) in flat}
        return History(self._repository, self.commit.id, files)


class History:
    """Who introduced and who last changed each file, from one pass over all commits.

    Runs beside other work. Newest first, so the first commit that gave a file its present content
    is the one that last changed it, and the first that added it is the one that introduced it.
    """

    def __init__(self, repository: Repository, commit: str, files: Mapping[bytes, Entry]) -> None:
        self._repository = repository
        self._commit = commit
        self._files = files.keys()
        self._wanted = {path: entry.id.encode() for path, entry in files.items()}
        self._changed: dict[bytes, str] = {}
        self._introduced: dict[bytes, str] = {}
        self._failure: BaseException | None = None
        self._news = threading.Condition()
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def of_all(self, files: Mapping[bytes, Entry]) -> History:
        """Return a history that ``files`` are in, too: begun anew for one in a subdirectory."""
        missing = files.keys() - self._files
        return History(self._repository, self._commit, files) if missing else self

    def only(self, files: Mapping[bytes, Entry]) -> History:
        """Return the history of ``files`` alone: it ends as soon as it has met them all."""
        history = self.of_all(files)
        with history._news:
            for path in history._files - files.keys():
                history._wanted.pop(path, None)
        return history

    def _read(self) -> None:
        try:
            self._scan()
        except GitFailed as error:
            self._failure = RepositoryUnusable(
                f"pkg-git's history cannot be read: {error.message}",
                where=str(self._repository.path),
                next_step="see git fsck, or clone it anew",
            )
        except BaseException as error:  # handed to the thread that asks
            self._failure = error
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _scan(self) -> None:
        # diff-tree rather than log: it need not look into directories that hold nothing wanted.
        git = self._repository.git
        deep = ["-r"] if any(b"/" in path for path in self._files) else []
        with (
            git.start("rev-list", "--no-merges", self._commit) as commits,
            git.start(
                *("diff-tree", "--stdin", *deep, "-z", "--root", "--no-renames", "--no-abbrev"),
                stdin=commits.stdout,
            ) as diffs,
        ):
            self._follow(diffs.stdout)
            if self._wanted:  # all of history was read; else the rest of it is left
                diffs.wait()  # first: where it failed, rev-list waits for somebody to read
                commits.wait()

    def _follow(self, diffs: IO[bytes]) -> None:
        """Read what git diff-tree prints, as far as it is needed."""
        commit, fields, rest = "", b"", b""
        wanted = self._wanted
        left = 2 * _MAX_CHANGES  # a change is told in two tokens
        while wanted and (chunk := diffs.read(1 << 18)):
            *tokens, rest = (rest + chunk).split(b"\0")
            left -= len(tokens)
            if left < 0 or len(rest) > len(chunk) + MAX_PATH:
                raise TooMuch(
                    f"pkg-git's history changes more than {_MAX_CHANGES} files, or one of an endless name",
                    where=f"{self._repository.path} {self._commit}",
                    next_step="look at the commit; srcgit does not read it",
                )
            with self._news:
                for token in tokens:
                    if fields:
                        path, seen, fields = token, fields, b""
                        blob = wanted.get(path)
                        if blob is None:
                            continue
                        if path not in self._changed and seen[56:96] == blob:
                            self._changed[path] = commit
                        if seen[1:7] in (b"000000", b"040000"):  # there was no such file before
                            self._introduced[path] = commit
                            if path in self._changed:
                                del wanted[path]
                    elif token[:1] == b":":
                        fields = token
                    else:
                        commit = token.decode("ascii")
                self._news.notify_all()

    def of(self, path: bytes) -> Provenance | None:
        """Return the provenance of ``path``; None when no commit (only a merge) shows it.

        Raises RepositoryUnusable.
        """
        with self._news:
            self._news.wait_for(lambda: self._ended or path not in self._wanted)
        if self._failure is not None:
            raise self._failure
        changed = self._changed.get(path)
        introduced = self._introduced.get(path, changed)
        if changed is None or introduced is None:
            return None
        return Provenance(self._origin(introduced), self._origin(changed))

    def _origin(self, commit: str) -> Origin:
        read = self._repository.commit(commit)
        return Origin(commit, read.author, read.message)
