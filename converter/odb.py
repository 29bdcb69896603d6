"""The object database: the one door to libgit2. What writes in bulk is in stage.py.

Trees are read lazily, one directory at a time, so that work is proportional to the paths that a
patch touches and never to the size of upstream.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Self

from converter.errors import ObjectUnreadable, RepositoryUnusable, TooMuch, TryAgain
from converter.fastimport import NULL_ID
from converter.git import Git, GitFailed, lines
from converter.objects import Commit, Entry, Identity
from converter.safe_paths import MAX_DEPTH
from converter.tree import File

# What libgit2 says of files that are damaged (its odb_loose.c, pack.c, refdb_fs.c, zstream.c).
_UNREADABLE = re.compile(
    r"corrupted|loose object|inflat|data check|invalid (?:code|block|distance|stored)|pack|mismatch"
)

# pygit2 reads all of the machine's certificates when it is imported, which takes its time; nothing
# here asks a remote through it. Any directory will do.
_CERTIFICATES = {"SSL_CERT_FILE": "", "SSL_CERT_DIR": "/"}
_said = {name: os.environ.get(name) for name in _CERTIFICATES}
os.environ.update(_CERTIFICATES)
import pygit2  # noqa: E402
from pygit2.enums import ConfigLevel, FileMode, ObjectType  # noqa: E402

for _name, _value in _said.items():
    os.environ.pop(_name)
    if _value is not None:
        os.environ[_name] = _value

# libgit2 ignores GIT_CONFIG_GLOBAL and would read the user's configuration: nobody's taste may
# change an object id.
for _level in (ConfigLevel.GLOBAL, ConfigLevel.XDG, ConfigLevel.SYSTEM, ConfigLevel.PROGRAMDATA):
    pygit2.settings.search_path[_level] = ""
pygit2.settings.owner_validation = False  # a mirror may belong to another account
# libgit2 keeps 256 MiB of objects and maps packs without end: a long series must not grow.
pygit2.settings.cache_max_size(16 << 20)
pygit2.settings.mwindow_size = 4 << 20
pygit2.settings.mwindow_mapped_limit = 64 << 20
# Nor does git hash what it reads from a pack (packfile.c); it takes longer than the reading.
pygit2.settings.enable_strict_hash_verification(False)


_MAX_COMMIT = 4 << 20  # bytes; the largest of Linux has 50,000
MAX_REFS = 500_000  # a mirror of Linux has 1,000, one with each pull request 100,000
MAX_ENTRIES = (
    2_000_000  # of a tree that is read as a whole; Linux has 97,000, Chromium some 500,000
)
LIBGIT2_ERROR = pygit2.GitError  # of what is damaged; what is missing is a KeyError

Entries = frozenset[tuple[bytes, bytes, bytes]]  # of a tree: mode, name, id
_PARENT = re.compile(rb"^parent ([0-9a-f]+)$", re.MULTILINE)
_TREE_ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)  # git's tree object


_TURNS = 5  # of writing a note, while others write theirs


def _identity(said: pygit2.Signature) -> Identity:
    sign, minutes = ("-", -said.offset) if said.offset < 0 else ("+", said.offset)
    zone = f"{sign}{minutes // 60:02}{minutes % 60:02}"
    return Identity(said.raw_name, said.raw_email, f"{said.time} {zone}".encode())


LENT = "refs/srcgit/lent/"  # in a mirror: commits that converted trees elsewhere stand on
BASE = "refs/srcgit/base/"  # in a converted tree: the commits of upstream that its builds stand on

_BARE = {"HEAD", "config", "description", "hooks", "info", "objects", "refs"}
_TEMPORARY = re.compile(r"_git2_\w+|.*\.lock")  # libgit2's, while a file is written


def _is_used(path: Path) -> bool:
    """Tell whether a directory holds git's objects or refs, whatever else of a repository it lacks."""
    return any(files for part in ("objects", "refs") for _, _, files in os.walk(path / part))


def _is_unmade(path: Path) -> bool:
    """Tell whether nothing is at ``path``, or only what a making that was cut off has left."""
    if not path.exists():
        return True
    if not path.is_dir():
        return False
    names = {name for name in os.listdir(path) if not _TEMPORARY.fullmatch(name)}
    if _is_used(path):
        return False
    whole = all((path / name).is_dir() for name in ("objects", "refs"))
    for name in ("HEAD", "config"):
        file = path / name
        if file.is_file() and file.stat().st_size == 0 and names <= _BARE:
            file.unlink()
        whole = whole and file.is_file()
    return names <= _BARE and not whole


class Repository:
    """A git repository, read through libgit2; refs move in transactions of ``git update-ref``.

    Ids are 40 hexadecimal digits. What writes raises RepositoryUnusable where it cannot.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path``. Raises RepositoryUnusable when it is not a repository."""
        self._where = path
        _ = self._repo

    @cached_property
    def _repo(self) -> pygit2.Repository:
        try:
            return pygit2.Repository(os.fspath(self._where))
        except (pygit2.GitError, OSError) as error:
            if _is_used(self._where):
                raise self._damaged(str(error)) from None
            raise RepositoryUnusable(
                f"not a git repository ({error})"
                if self._where.exists()
                else "there is no such repository",
                where=str(self._where),
                next_step="check the path",
            ) from None

    def _damaged(self, what: str) -> ObjectUnreadable:
        return ObjectUnreadable(
            f"the repository is damaged: {what}",
            where=str(self._where),
            next_step="restore it from a copy, or mend what git fsck finds there",
        )

    @cached_property
    def path(self) -> Path:
        """Where it is."""
        return Path(self._repo.path)

    @cached_property
    def git(self) -> Git:
        """git, run there."""
        return Git(self.path)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Open ``path``, made as an empty bare repository first where nothing is there.

        What is left of such a making that was cut off, by a full disk or a kill, is nothing.
        """
        if not _is_unmade(path):
            return cls(path)
        new = not path.exists()
        try:
            pygit2.init_repository(os.fspath(path), bare=True)
            return cls(path)
        except (pygit2.GitError, OSError, RepositoryUnusable) as error:
            if new and _is_unmade(path):  # nobody else has made it meanwhile
                shutil.rmtree(path, ignore_errors=True)
            raise RepositoryUnusable(
                f"cannot create the repository: {error}",
                where=str(path),
                next_step="make room, make it writable, or choose another --repo",
            ) from None

    @staticmethod
    def when_needed(path: Path) -> Repository:
        """Open ``path``; where nothing is there, make it as create() does when it is needed.

        A conversion that fails before leaves nothing behind, and none waits for the disk.
        """
        return _Later(path) if _is_unmade(path) else Repository(path)

    def borrow(self, other: Repository) -> None:
        """Read the objects of ``other`` through alternates instead of copying them.

        gitrepository-layout(5), objects/info/alternates.
        """
        objects = os.fsencode((other.path / "objects").resolve())
        alternates = self.path / "objects" / "info" / "alternates"
        try:
            known = alternates.read_bytes().splitlines() if alternates.exists() else []
            if objects not in known and other.path.resolve() != self.path.resolve():
                alternates.parent.mkdir(exist_ok=True)
                beside = alternates.with_name(f"alternates.{os.getpid()}")
                try:
                    beside.write_bytes(b"".join(line + b"\n" for line in [*known, objects]))
                    os.replace(beside, alternates)  # nobody ever reads a part of it
                    # git gc would drop what is here as well as there; `srcgit maintain` sees to it.
                    with suppress(pygit2.GitError):  # locked: another process says the same
                        self._repo.config["gc.auto"] = 0
                finally:
                    beside.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None
        self.reopen()  # alternates are read once

    def reopen(self) -> None:
        """See what was changed under libgit2's hands: alternates, packs, where history ends."""
        self._repo = pygit2.Repository(os.fspath(self.path))

    @property
    def lenders(self) -> list[Path]:
        """The object directories that are read besides its own, as its alternates name them."""
        alternates = self.path / "objects" / "info" / "alternates"
        if not alternates.exists():
            return []
        told = [line for line in alternates.read_bytes().splitlines() if line[:1] not in b"#"]
        return [self.path / "objects" / os.fsdecode(line) for line in told]

    def hold(self, commit: str) -> None:
        """Keep ``commit``, and all that it reaches, from git-gc(1): somebody borrows it."""
        name = f"{LENT}{commit}"
        with self.writing():
            if self.ref(name) is None:
                try:
                    self._repo.references.create(name, commit)
                except (ValueError, pygit2.GitError):
                    if Repository(self.path).ref(name) is None:  # no other process was quicker
                        raise

    # -- reading ---------------------------------------------------------------------------

    def commit_id(self, rev: str) -> str | None:
        """Return the full id of the commit that ``rev`` names, or None where there is none.

        Raises RepositoryDamaged where a ref of that name holds what is not there or not readable.
        """
        try:
            found = self._repo.revparse_single(rev)
            return str(found.peel(pygit2.Commit).id)
        except ValueError:  # no revision, an ambiguous one, of no commit
            return None
        except KeyError:
            if (id := self._full_ref(rev)) and id not in self._repo:
                raise self._damaged(f"{rev} names {id}, which is missing") from None
            return None
        except pygit2.GitError as error:
            if _UNREADABLE.search(str(error)):
                raise self._damaged(str(error)) from None
            return None

    def _full_ref(self, name: str) -> str | None:
        return self.ref(name) if name.startswith("refs/") else None

    def commits_that_begin(self, prefix: str) -> list[str]:
        """Return the ids of the commits that ``prefix``, hexadecimal digits, may abbreviate.

        libgit2 takes an abbreviation for ambiguous where a tree or a file begins with it, too.
        """
        done = self.git.run("rev-parse", f"--disambiguate={prefix}", ok=(0, 128))
        ids = done.stdout.decode("ascii").split()
        return sorted(id for id in ids if isinstance(self._repo[id], pygit2.Commit))

    def commit(self, id: str) -> Commit:
        """Read the commit ``id``; raises KeyError where there is none, TooMuch for one of a book."""
        if (size := self._repo.odb.read_header(pygit2.Oid(hex=id))[1]) > _MAX_COMMIT:
            raise TooMuch(
                f"a commit of {size >> 20} MiB",
                where=f"{self.path} {id}",
                next_step="look at the commit; srcgit does not read it",
            )
        commit = self._repo[id]
        assert isinstance(commit, pygit2.Commit)
        return Commit(
            id=str(commit.id),
            tree=str(commit.tree_id),
            parents=tuple(map(str, commit.parent_ids)),
            author=_identity(commit.author),
            committer=_identity(commit.committer),
            message=commit.raw_message,
        )

    def ref(self, name: str) -> str | None:
        """Return the object id that the ref ``name`` holds, unpeeled, or None."""
        try:
            return str(self._repo.references[name].target)
        except KeyError:
            return None

    def refs(self, prefix: str) -> dict[str, str]:
        """Return name -> object id (unpeeled) of the refs below ``prefix``.

        Raises TooMuch where there are more than MAX_REFS.
        """
        form = ("--format=%(objectname) %(refname)", f"--count={MAX_REFS + 1}")
        out = self.git.run("for-each-ref", *form, prefix).stdout
        found = {name: id for id, name in (line.split(" ", 1) for line in lines(out))}
        if len(found) > MAX_REFS:
            raise TooMuch(
                f"more than {MAX_REFS} refs below {prefix}",
                where=str(self.path),
                next_step="name a repository with fewer, or delete some",
            )
        return found

    def tag_message(self, id: str) -> bytes | None:
        """Return the message of the annotated tag object ``id``; None for any other object."""
        tag = self._repo.get(id)
        return tag.raw_message if isinstance(tag, pygit2.Tag) else None

    def tag_data(self, id: str) -> bytes | None:
        """Return the bytes of the annotated tag object ``id``; None for any other object."""
        tag = self._repo.get(id)
        return tag.read_raw() if isinstance(tag, pygit2.Tag) else None

    def tree(self, commit: str) -> GitTree:
        """Return the tree of the commit ``commit``, an id. Raises KeyError where there is none."""
        return GitTree(self._repo, self.commit(commit).tree)

    def __contains__(self, id: str) -> bool:
        """Tell whether the object ``id`` is here or borrowed."""
        return id in self._repo

    def own_objects(self) -> OwnObjects:
        """Return what is here and not only borrowed, as it stands now."""
        return OwnObjects(self.path / "objects")

    def leads_to(self, id: str) -> tuple[str, tuple[str, ...]]:
        """Return the tree and the parents that a commit names, even where history is cut off here;
        of an annotated tag no tree, and what it is of.

        Raises KeyError where there is none.
        """
        kind, data = self._repo.read(id)
        head = data.partition(b"\n\n")[0]
        if kind == ObjectType.TAG:
            return "", (head[7:47].decode(),)  # object <id>
        named = _PARENT.findall(head)
        return head[5:45].decode(), tuple(id.decode() for id in named)  # tree <id>

    def new_objects(self, old: str | None, new: str, known: dict[str, Entries]) -> Iterator[str]:
        """Yield the ids of the trees and files that the tree ``new`` has and ``old`` has not.

        Each directory is held against the one of the same name. ``known`` keeps what was read.
        Raises KeyError where a tree is missing.
        """
        todo = [(old, new)]
        while todo:
            before, after = todo.pop()
            if before == after:
                continue
            yield after
            was, now = self._entries(before, known), self._entries(after, known)
            had = {name: raw.hex() for mode, name, raw in was - now if mode == b"40000"}
            for mode, name, raw in now - was:
                if mode == b"40000":
                    todo.append((had.get(name), raw.hex()))
                elif mode != b"160000":
                    yield raw.hex()

    def _entries(self, tree: str | None, known: dict[str, Entries]) -> Entries:
        if tree is None:
            return frozenset()
        if tree not in known:
            known[tree] = frozenset(_TREE_ENTRY.findall(self._repo.read(tree)[1]))
        return known[tree]

    # -- writing ---------------------------------------------------------------------------

    def write_tree(self, files: Mapping[bytes, File]) -> str:
        """Write ``files`` as a tree; return its id. For small trees: every entry is written."""
        below: dict[bytes, dict[bytes, File]] = {}
        with self.writing():
            builder = self._repo.TreeBuilder()
            for path, file in files.items():
                name, _, rest = path.partition(b"/")
                if rest:
                    below.setdefault(name, {})[rest] = file
                else:
                    id = self._repo.create_blob(file.data)
                    builder.insert(os.fsdecode(name), id, FileMode(file.mode))
            for name, inside in below.items():
                id = pygit2.Oid(hex=self.write_tree(inside))
                builder.insert(os.fsdecode(name), id, FileMode.TREE)
            return str(builder.write())

    def write_tag(
        self,
        target: str,
        name: str,
        tagger: Identity,
        message: bytes,
        sign: Callable[[bytes], bytes] | None = None,
    ) -> str:
        """Write an annotated tag object (no ref) for the commit ``target``; return its id.

        ``sign`` returns the object's bytes with a signature.
        """
        data = b"object %s\ntype commit\ntag %s\ntagger %s\n\n%s" % (
            target.encode(),
            name.encode(),
            bytes(tagger),
            message,
        )
        return self.write_tag_object(sign(data) if sign else data)

    def write_tag_object(self, data: bytes) -> str:
        """Write the bytes of an annotated tag object (no ref); return its id."""
        with self.writing():
            return str(self._repo.write(ObjectType.TAG, data))

    def write_commit(
        self,
        tree: str,
        parents: Iterable[str],
        author: Identity,
        committer: Identity,
        message: bytes,
    ) -> str:
        """Write a commit object (no ref); return its id."""
        said = [b"tree " + tree.encode(), *(b"parent " + p.encode() for p in parents)]
        said += [b"author " + bytes(author), b"committer " + bytes(committer), b"", message]
        with self.writing():
            return str(self._repo.write(ObjectType.COMMIT, b"\n".join(said)))

    def write_note(self, ref: str, commit: str, text: str) -> None:
        """Say ``text`` of a commit on ``ref`` (refs/notes/...), in the place of what it said before.

        A note is part of no id (git-notes(1)): it says what may differ from host to host.
        """
        who = pygit2.Signature(
            "srcgit", "srcgit@srcgit.invalid", 0, 0
        )  # as reproducible as it can be
        with self.writing():
            for _ in range(_TURNS):
                try:
                    self._repo.create_note(text, who, who, commit, ref, True)
                    return
                except pygit2.GitError:  # another worker has just written one
                    time.sleep(0.05)
            self._repo.create_note(text, who, who, commit, ref, True)

    def note(self, ref: str, commit: str) -> str:
        """Return what ``ref`` (refs/notes/...) says of a commit, "" for nothing."""
        try:
            return str(self._repo.lookup_note(commit, ref).message)
        except KeyError:
            return ""

    def move_refs(self, moves: Mapping[str, tuple[str | None, str | None]]) -> None:
        """Move refs (name -> (old id, new id); None is "absent"), all of them or none.

        Raises TryAgain when a ref no longer holds its old id (git-update-ref(1), --stdin).
        """
        updates = [
            f"update {name} {new or NULL_ID} {old or NULL_ID}\n"
            for name, (old, new) in moves.items()
            if old != new
        ]
        if not updates:
            return
        try:
            self.git.run(
                "update-ref", "--stdin", input="".join(["start\n", *updates, "commit\n"]).encode()
            )
        except GitFailed as error:
            raise TryAgain(
                f"a ref was moved by somebody else: {error.message}",
                where=str(self.path),
                next_step="run the same command again",
            ) from error

    def point_head(self, ref: str) -> None:
        """Let HEAD name the branch ``ref`` where the one that it names does not exist.

        A clone would check nothing out. Raises RepositoryUnusable.
        """
        with self.writing():
            if self._repo.head_is_unborn:
                self._repo.set_head(ref)

    def _unwritable(self, error: OSError) -> RepositoryUnusable:
        return RepositoryUnusable(
            f"cannot be written: {error.strerror}",
            where=str(self.path),
            next_step="make the repository writable, or choose another --repo",
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write in the block: what keeps it from that is raised as RepositoryUnusable."""
        try:
            yield
        except (pygit2.GitError, OSError) as error:
            raise RepositoryUnusable(
                f"cannot be written: {error}",
                where=str(self.path),
                next_step="make room or make the repository writable, then run it again",
            ) from None


class OwnObjects:
    """The objects in one object directory, without those of its alternates."""

    def __init__(self, objects: Path) -> None:
        where = os.fspath(objects)
        self._backends = (pygit2.OdbBackendPack(where), pygit2.OdbBackendLoose(where, 0, False))

    def __contains__(self, id: object) -> bool:
        oid = pygit2.Oid(hex=str(id))
        return any(backend.exists(oid) for backend in self._backends)


class _Later(Repository):
    """A repository that is not made yet: no ref is there before anything else is asked of it."""

    def __init__(self, path: Path) -> None:
        self._where = path

    @cached_property
    def _repo(self) -> pygit2.Repository:
        return Repository.create(self._where)._repo

    def ref(self, name: str) -> str | None:
        return super().ref(name) if "_repo" in vars(self) else None


class GitTree:
    """A tree object with the files below it; a converter.tree.Tree."""

    def __init__(self, repo: pygit2.Repository, id: str) -> None:
        self._repo = repo
        self.id = id
        self._trees: dict[bytes, pygit2.Tree | None] = {b"": self._as_tree(repo[id])}

    @staticmethod
    def _as_tree(obj: object) -> pygit2.Tree | None:
        return obj if isinstance(obj, pygit2.Tree) else None

    def _directory(self, path: bytes) -> pygit2.Tree | None:
        unknown = []
        while path not in self._trees:  # no recursion: a path may be of any depth
            unknown.append(path)
            path = path.rpartition(b"/")[0]
        tree = self._trees[path]
        for path in reversed(unknown):
            entry = self._child(tree, path.rpartition(b"/")[2])
            is_tree = entry is not None and entry.filemode == FileMode.TREE
            tree = self._as_tree(self._repo[entry.id]) if entry and is_tree else None
            if tree is not None and len(tree) > MAX_ENTRIES:
                raise self._too_much(f"more than {MAX_ENTRIES} entries in {os.fsdecode(path)!r}")
            self._trees[path] = tree
        return tree

    def _lookup(self, path: bytes) -> pygit2.Object | None:
        parent, _, name = path.rpartition(b"/")
        return self._child(self._directory(parent), name)

    @staticmethod
    def _child(tree: pygit2.Tree | None, name: bytes) -> pygit2.Object | None:
        if tree is None or not name:
            return None
        try:
            return tree[os.fsdecode(name)]  # FSConverter takes any bytes this way
        except KeyError:
            return None

    def entry(self, path: bytes) -> Entry | None:
        """Return the file (not directory) at ``path``."""
        found = self._lookup(path)
        if found is None or found.filemode == FileMode.TREE:
            return None
        return Entry(path, int(found.filemode), str(found.id))

    def is_dir(self, path: bytes) -> bool:
        return self._directory(path) is not None

    def get(self, path: bytes) -> File | None:
        """Return the file at ``path``. Raises RepositoryUnusable when its blob is missing."""
        found = self._lookup(path)
        if found is None or isinstance(found, pygit2.Tree):
            return None
        mode = int(found.filemode)
        if mode == FileMode.COMMIT:
            return File(mode, str(found.id).encode())
        assert isinstance(found, pygit2.Blob)
        try:
            return File(mode, found.data)
        except KeyError:
            raise self._lacks(path, str(found.id)) from None

    def blob(self, entry: Entry) -> bytes:
        """Return the content of ``entry``. Raises RepositoryUnusable when it is missing."""
        found = self._repo.get(entry.id)
        if not isinstance(found, pygit2.Blob):
            raise self._lacks(entry.path, entry.id)
        return found.data

    def size(self, entry: Entry) -> int:
        """Return the size of ``entry`` in bytes. Raises RepositoryUnusable when it is missing."""
        try:
            return int(self._repo.odb.read_header(pygit2.Oid(hex=entry.id))[1])
        except KeyError:
            raise self._lacks(entry.path, entry.id) from None

    def _lacks(self, path: bytes, id: str) -> RepositoryUnusable:
        return RepositoryUnusable(
            f"the content of {os.fsdecode(path)} is missing (blob {id})",
            where=self._repo.path,
            next_step="complete this repository with git fetch --refetch, or name another one",
        )

    def below(self, directory: bytes) -> GitTree | None:
        """Return the tree at ``directory``; None where there is none."""
        tree = self._directory(directory)
        return None if tree is None else GitTree(self._repo, str(tree.id))

    def children(self, directory: bytes) -> Iterator[tuple[bytes, bool]]:
        """Yield (path, is it a directory) for each child of ``directory``."""
        prefix = directory + b"/" if directory else b""
        for child in self._directory(directory) or ():
            yield prefix + (child.raw_name or b""), child.filemode == FileMode.TREE

    def entries(self, directory: bytes) -> dict[bytes, Entry]:
        """Return path -> Entry for each child of ``directory``, directories among them."""
        prefix = directory + b"/" if directory else b""
        return {
            (path := prefix + (child.raw_name or b"")): Entry(
                path, int(child.filemode), str(child.id)
            )
            for child in self._directory(directory) or ()
        }

    def walk(
        self,
        directory: bytes = b"",
        names: Container[bytes] | None = None,
        limit: int = MAX_ENTRIES,
    ) -> Iterator[Entry]:
        """Yield each file below ``directory``, in git's order; with ``names``, only those so called.

        Raises TooMuch where that means looking at more than ``limit`` entries: a few trees that
        hold each other several times are a tree of any size.
        """
        tree = self._directory(directory)
        if tree is not None:
            seen = [0]
            yield from self._walk(
                tree.id, directory + b"/" if directory else b"", names, seen, limit
            )

    def _walk(
        self,
        id: pygit2.Oid | str,
        prefix: bytes,
        names: Container[bytes] | None,
        seen: list[int],
        limit: int,
    ) -> Iterator[Entry]:
        if prefix.count(b"/") > MAX_DEPTH:
            raise self._too_much(f"directories nest more than {MAX_DEPTH} deep")
        # Read raw: an object for each entry would take five times as long.
        entries = _TREE_ENTRY.findall(self._repo.read(id)[1])
        seen[0] += len(entries)
        if seen[0] > limit:
            raise self._too_much(f"more than {limit} files and directories")
        for mode, name, raw in entries:
            if mode == b"40000":
                yield from self._walk(raw.hex(), prefix + name + b"/", names, seen, limit)
            elif names is None or name in names:
                yield Entry(prefix + name, int(mode, 8), raw.hex())

    def _too_much(self, what: str) -> TooMuch:
        return TooMuch(
            f"a git tree holds too much: {what}",
            where=f"{self._repo.path} {self.id}",
            next_step="look at the tree; srcgit does not read it",
        )
