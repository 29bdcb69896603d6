"""A remote's refs, held against what this repository has published there.

What was published last is recorded below ``refs/srcgit/published/PLACE/``, a ref for each ref there.
Whoever may push to the remote can change what it has; nothing of that is built upon.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from converter.build import Build, Nvr
from converter.errors import LeaseLost, RemoteUnavailable, TryAgain, WrongUsage
from converter.git import Done, GitFailed, lines
from converter.mirror import redacted
from converter.objects import Commit, Identity
from converter.odb import Repository
from converter.signing import Signers
from converter.tree import File

TIMEOUT = 1800.0  # seconds for one push or fetch
TAGS, HEADS, BUILDS = "refs/tags/", "refs/heads/", "refs/heads/builds/"
KEYS = "refs/heads/srcgit/keys"  # whose signatures are ours, for who reads the tree
ALLOWED = b"allowed_signers"
_WHO = Identity(b"srcgit", b"srcgit@srcgit.invalid", b"0 +0000")  # on every host the same


@dataclass(frozen=True, slots=True)
class Finding:
    """A ref of a remote that is not as srcgit left it."""

    ref: str
    what: str
    published: str | None = None  # the id that was published last


class RemoteChanged(TryAgain):
    """A remote has what srcgit did not publish there; nothing is pushed until it is put right."""

    def __init__(self, findings: Sequence[Finding], repo: Repository, url: str) -> None:
        first = findings[0]
        more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
        place = redacted(url)
        step = "find out who changed it"
        if first.published:
            step += (
                f"; to put it back: git -C {repo.path} push --force {place} "
                f"{first.published}:{first.ref}"
            )
        super().__init__(f"{first.what}{more}", where=place, next_step=step)
        self.findings = tuple(findings)


@dataclass(frozen=True, slots=True)
class Remote:
    """The branches and tags of a remote: name -> object id; ``peeled``: tag -> its commit."""

    url: str
    refs: Mapping[str, str]
    peeled: Mapping[str, str]

    def tags_of(self, commit: str) -> list[str]:
        """Return the refs of the annotated tags that name ``commit``."""
        return [ref for ref, id in self.peeled.items() if id == commit]


def read(repo: Repository, url: str) -> Remote:
    """Ask a remote for its branches and tags. Raises RemoteUnavailable."""
    refs: dict[str, str] = {}
    peeled: dict[str, str] = {}
    for line in lines(talk(repo, url, "ls-remote", url, f"{HEADS}*", f"{TAGS}*").stdout):
        id, _, name = line.partition("\t")
        if name.endswith("^{}"):  # what a tag object names (git-ls-remote(1))
            peeled[name.removesuffix("^{}")] = id
        elif name.startswith((HEADS, TAGS)):
            refs[name] = id
    return Remote(url, refs, peeled)


class Record:
    """What this repository knows to be published at one place, as refs of its own."""

    def __init__(self, repo: Repository, url: str) -> None:
        self._repo = repo
        key = hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._prefix = f"refs/srcgit/published/{key}/"
        self.fetched = f"refs/srcgit/fetched/{key}/"  # what was read there, believed or not
        found = repo.refs(self._prefix)
        self.refs = {f"refs/{name.removeprefix(self._prefix)}": id for name, id in found.items()}

    def note(self, refs: Mapping[str, str]) -> None:
        """Record ``refs`` (name -> id) as published."""
        new = {name: id for name, id in refs.items() if self.refs.get(name) != id}
        moves = [
            f"update {self._prefix}{name.removeprefix('refs/')} {id}\n" for name, id in new.items()
        ]
        if moves:
            self._repo.git.run("update-ref", "--stdin", input="".join(moves).encode())
            self.refs |= new


Merge = Callable[[Nvr, str, str], str]  # (NVR, its commit, the merge before) -> the merge
Again = Callable[
    [str, str], str | None
]  # (tag, its commit there) -> the commit of a new conversion


@dataclass(frozen=True, slots=True)
class Trust:
    """When a tag that a remote has, and this repository did not make, is believed.

    With ``signers``, if one of them signed it; without, if ``again`` gives the same commit.
    ``recorded`` tells the id of a tag that another host published, by the journal's word.
    """

    signers: Signers | None = None
    again: Again = lambda tag, commit: None
    recorded: Callable[[str], str | None] = lambda tag: None


NOBODY = Trust()


def compare(repo: Repository, remote: Remote, record: Record) -> list[Finding]:
    """Return what is not as it was published: moved tags, rewritten branches, tips without a tag.

    A ref that is gone, or went back to what was published before, is none: the next push heals it.
    """
    found = []
    tagged = set(remote.peeled.values())
    for ref, id in record.refs.items():
        there = remote.refs.get(ref)
        if there in (None, id) or ref == KEYS:
            continue
        name = ref.partition("/")[2].partition("/")[2]
        if ref.startswith(TAGS):
            what = f"the tag {name} was moved, from {id} to {there}"
        elif ref.startswith(BUILDS):
            if repo.commit_id(there or "") is None or related(repo, id, there or ""):
                continue
            what = f"the branch {name} was rewritten: {there} does not continue {id}"
        elif there in tagged:
            continue
        else:
            what = f"the tip of the branch {name}, {there}, is no build's tag"
        found.append(Finding(ref, what, id))
    return found


def related(repo: Repository, one: str, other: str) -> bool:
    """Tell whether one commit is an ancestor of the other."""
    return is_ancestor(repo, one, other) or is_ancestor(repo, other, one)


def is_ancestor(repo: Repository, old: str, new: str) -> bool:
    """Tell whether the commit ``old`` is in the history of ``new``."""
    return repo.git.run("merge-base", "--is-ancestor", old, new, ok=(0, 1)).status == 0


class Judge:
    """Decides, for one push, which of a remote's tags and branches are believed."""

    def __init__(
        self,
        repo: Repository,
        remote: Remote,
        record: Record,
        trust: Trust,
        in_hand: tuple[str, str, str] = ("", "", ""),
    ) -> None:
        """``in_hand`` is the build that is pushed: its tag's ref, the tag object, the commit."""
        self._repo, self._remote, self._record, self._trust = repo, remote, record, trust
        self._ref, self._tag, self._commit = in_hand

    def believes(self, ref: str) -> bool:
        """Tell whether the tag ``ref`` of the remote is ours; it is then recorded.

        Raises RemoteUnavailable, LeaseLost, and what converting again raises.
        """
        repo, id = self._repo, self._remote.refs[ref]
        commit, name = self._remote.peeled[ref], ref.removeprefix(TAGS)
        ours = repo.ref(ref)
        known = {self._record.refs.get(ref), ours, self._trust.recorded(name)}
        if id in known or (ref, id) == (self._ref, self._tag):
            believed = True
        elif self._trust.signers:
            believed = self.signed(ref)
        else:
            made = repo.commit_id(ours) if ours else self._trust.again(name, commit)
            believed = made == commit
        if believed:
            self.fetch([ref])
            self._record.note({ref: id})
        return believed

    def signed(self, ref: str) -> bool:
        """Tell whether the tag ``ref`` is signed by one of ours, and is the tag of that name."""
        self.fetch([ref])
        data = self._repo.tag_data(self._remote.refs[ref]) or b""
        named = f"\ntag {ref.removeprefix(TAGS)}\n".encode("utf-8", "surrogateescape")
        signers = self._trust.signers
        return (
            signers is not None and named in data.partition(b"\n\n")[0] and signers.verifies(data)
        )

    def tip(self, build: Build) -> None:
        """Check the tip of the build's branch. Raises RemoteChanged; WrongUsage: not srcgit's."""
        ref, package = build.branch_ref, build.nvr.name
        tip = self._remote.refs[ref]
        names = {tag: nvr_of(tag) for tag in self._remote.tags_of(tip)}
        if not any(names.values()):  # compare() has judged those that were ours
            raise not_srcgits(build.branch, tip, redacted(self._remote.url))
        mine = [tag for tag, nvr in names.items() if nvr and nvr.name == package]
        if not mine:
            owner = next(nvr.name for nvr in names.values() if nvr)
            raise another_packages(build.branch, owner, redacted(self._remote.url))
        if not any(self.believes(tag) for tag in mine):
            what = f"the tip of the branch {build.branch} is {mine[0].removeprefix(TAGS)}, {self._doubt()}"
            self.refuse(Finding(ref, what, self._record.refs.get(ref)))

    def _doubt(self) -> str:
        if self._trust.signers:
            return "which none of the allowed signers has signed"
        return "which is not what converting it again gives"

    def builds(self, build: Build, merge: Merge) -> str:
        """Return what a ``builds/`` branch is to be continued from. Raises RemoteChanged.

        Each merge that was added since the last push must be srcgit's own, of a believed build;
        ``merge`` (NVR, its commit, the merge before) makes one. What was there before this repository
        first saw the remote is taken as it was found.
        """
        ref = build.builds_ref
        tip, last = self._remote.refs[ref], self._record.refs.get(ref)
        if last and is_ancestor(self._repo, tip, last):
            return last
        at = tip
        while at != last:
            commit = self._repo.commit(at)
            if not self._is_merge(commit, build.nvr.name, merge):
                what = f"the branch builds/{build.branch} holds {at}, which is no merge of srcgit's"
                self.refuse(Finding(ref, what, last))
            if last is None:
                break
            at = commit.parents[0]
        return tip

    def _is_merge(self, commit: Commit, package: str, merge: Merge) -> bool:
        """Tell whether a commit of a ``builds/`` branch is srcgit's, of a believed build."""
        if len(commit.parents) != 2:
            return False
        previous, top = commit.parents
        tags = self._remote.tags_of(top)
        if top == self._commit and self._ref not in tags:  # its push got no further
            tags.append(self._ref)
        for tag in tags:
            nvr = nvr_of(tag)
            if nvr is None or nvr.name != package or merge(nvr, top, previous) != commit.id:
                continue
            if tag not in self._remote.refs or self.believes(tag):
                return True
        return False

    def keys(self) -> dict[str, str]:
        """Return what the branch of the allowed signers should be (ref -> commit); none: no branch.

        A change of the configuration continues it. Raises RemoteChanged where somebody else changed it.
        """
        repo, signers = self._repo, self._trust.signers
        if signers is None:
            return {}
        there, last = self._remote.refs.get(KEYS), self._record.refs.get(KEYS)
        text = signers.text.encode()
        if there:
            self.fetch([KEYS])
            file = repo.tree(there).get(ALLOWED)
            if file and file.data == text:
                return {KEYS: there}
            if there != last:
                what = "the branch srcgit/keys has other allowed signers than this host's"
                self.refuse(Finding(KEYS, what, last))
        tree = repo.write_tree({ALLOWED: File(0o100644, text)})
        parents = [there] if there else []
        return {KEYS: repo.write_commit(tree, parents, _WHO, _WHO, b"allowed signers of tags\n")}

    def refuse(self, *findings: Finding) -> None:
        """Raise RemoteChanged where there are findings."""
        if findings:
            raise RemoteChanged(findings, self._repo, self._remote.url)

    def fetch(self, refs: Iterable[str]) -> None:
        """Have the objects of the remote's ``refs`` here; refs of our own keep them from git gc.

        Raises RemoteUnavailable; LeaseLost where one moved meanwhile.
        """
        repo, remote = self._repo, self._remote
        lacking = [ref for ref in refs if remote.refs[ref] not in repo]
        if not lacking:
            return
        specs = [f"+{ref}:{self._record.fetched}{ref.removeprefix('refs/')}" for ref in lacking]
        told = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", remote.url, *specs)
        talk(repo, remote.url, *told)
        if not all(remote.refs[ref] in repo for ref in lacking):
            raise LeaseLost(
                "a ref moved while it was read",
                where=redacted(remote.url),
                next_step="run it again",
            )


def nvr_of(ref: str) -> Nvr | None:
    """Return the NVR that a tag's ref names, with or without a variant; None: it is no build's."""
    try:
        return Nvr.of_ref(ref.removeprefix(TAGS).partition("@")[0])
    except WrongUsage:
        return None


def not_srcgits(branch: str, tip: str, where: str) -> WrongUsage:
    """Return the error for a branch that somebody else has made."""
    return WrongUsage(
        f"the branch {branch} exists there and is not srcgit's ({tip})",
        where=where,
        next_step="choose another repository or --branch, or rename that one; it is never overwritten",
    )


def another_packages(branch: str, owner: str, where: str) -> WrongUsage:
    """Return the error for a branch of another package."""
    return WrongUsage(
        f"the branch {branch} exists there and is the package {owner}'s",
        where=where,
        next_step="choose another repository or --branch: each package has one of its own",
    )


def talk(repo: Repository, url: str, *args: str, ok: tuple[int, ...] = (0,)) -> Done:
    """Run git with a remote. Raises RemoteUnavailable for any exit status that is not ``ok``."""
    try:
        return repo.git.run(*args, ok=ok, network=True, timeout=TIMEOUT)
    except (GitFailed, TimeoutError) as error:
        raise RemoteUnavailable(
            redacted(str(getattr(error, "message", error))),
            where=redacted(url),
            next_step="check the address and the network, then run it again",
        ) from error
