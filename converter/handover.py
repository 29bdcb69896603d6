"""What the process that converts hands to the one that publishes: a statement, and objects.

Who publishes has the keys and believes nothing: a statement is ids, names of refs and the text of the
tag, line by line of the form that it must have. Objects are copied by git, which hashes each of them;
neither configuration nor refs of the other repository are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter.build import Build, Nvr
from converter.conversion import Conversion
from converter.errors import Fate, RepositoryUnusable, SrcgitError, WrongUsage
from converter.git import GitFailed
from converter.odb import Repository

_ID = r"[0-9a-f]{40}"
_WORDS = r"[^\x00-\x1f\x7f]+"
# The trailers of a tag (converter/top.py), each on a line of its own.
_TRAILERS = "|".join(
    (
        f"Pkg-Git: {_WORDS}#{_ID}",
        f"Upstream: {_WORDS} {_ID}",
        f"Archive: {_WORDS} {_ID}",
        "Koji-Build: [0-9]{1,18}",
        f"Variant: {_WORDS}",
        "Patches: [0-9]{1,9}",
        f"(?:Series|Prep)-Tree: {_ID}",
        "Verified: (?:yes|no|not run)",
        f"Converter: srcgit {_WORDS}",
    )
)
_TAG = re.compile(
    rf"object (?P<commit>{_ID})\ntype commit\ntag (?P<tag>{_WORDS})\n"
    rf"tagger [^\x00-\x1f\x7f<>]+ <[^\x00-\x1f\x7f<>]+> [0-9]{{1,12}} [+-][0-9]{{4}}\n\n"
    rf"(?P<nvr>{_WORDS})\n\n(?:(?:{_TRAILERS})\n)+"
)
_BRANCH = re.compile(r"(?!builds/|srcgit/)[A-Za-z0-9][A-Za-z0-9._/+-]*")


class StatementRefused(SrcgitError):
    """A statement is not of the form that it must have: a bug, or not of srcgit's making."""

    exit_code = 70
    fate = Fate.PARKED


@dataclass(frozen=True, slots=True)
class Statement:
    """What is to be published: a tag object without its signature, and what the branches need."""

    build: Build
    commit: str  # the top commit
    base: str  # the commit of upstream, on which a builds/ branch starts
    tag: bytes
    tools: str = ""  # what read and prepared the build (a note, not part of any id)

    @classmethod
    def of(cls, repo: Repository, done: Conversion) -> Statement:
        """Return the statement about a build that ``repo`` has a tag of."""
        data = repo.tag_data(done.tag)
        assert data is not None
        return cls(done.build, done.commit, done.series["base"]["commit"], data, done.tools)

    def as_json(self) -> dict[str, Any]:
        """Return it as the journal keeps it."""
        return {
            "branch": self.build.branch,
            "epoch": self.build.epoch,
            "base": self.base,
            "tag": self.tag.decode(),
            "tools": self.tools,
        }

    @classmethod
    def read(cls, said: object, nvr: str) -> Statement:
        """Read what the journal has about the build ``nvr``. Raises StatementRefused."""
        said = said if isinstance(said, Mapping) else {}
        texts = (said.get(name) for name in ("tag", "branch", "base"))
        tag, branch, base = (text if isinstance(text, str) else "" for text in texts)
        epoch = said.get("epoch")
        found = _TAG.fullmatch(tag) if len(tag) < 100_000 else None
        try:
            name = Nvr.parse(nvr)
        except WrongUsage as error:
            raise _refused(nvr, error.what) from error
        if found is None or found["nvr"] != nvr:
            raise _refused(nvr, "its tag is none of srcgit's")
        ref, _, variant = found["tag"].partition("@")
        if ref != name.ref_name or variant:
            raise _refused(nvr, f"its tag is named {found['tag']:.200}")
        if not _BRANCH.fullmatch(branch) or re.search(r"\.\.|//|/\.|\.lock(/|$)|[./]$", branch):
            raise _refused(nvr, f"not a branch: {branch:.200}")
        if not re.fullmatch(_ID, base):
            raise _refused(nvr, f"not a base: {base:.200}")
        if epoch is not None and (type(epoch) is not int or not 0 <= epoch < 2**32):
            raise _refused(nvr, f"not an epoch: {epoch!r:.200}")
        tools = said.get("tools", "")
        if not isinstance(tools, str) or not re.fullmatch(rf"(?:{_WORDS})?", tools[:1000]):
            raise _refused(nvr, f"not names of tools: {tools!r:.200}")
        build = Build(name, epoch, "", "", branch)
        return cls(build, found["commit"], base, tag.encode(), tools[:1000])


def _refused(nvr: str, why: str) -> StatementRefused:
    return StatementRefused(
        f"what is to be published as {nvr} is refused: {why}",
        where=nvr,
        next_step="convert it again; if that is no help, report it",
    )


def copy(repo: Repository, objects: Path, statement: Statement) -> None:
    """Have the commit of ``statement``, and what it reaches, in ``repo``.

    ``objects`` is the object directory of the repository that it was made in. Raises
    RepositoryUnusable where it is not there.
    """
    if statement.commit in repo.own_objects():
        return
    known = [statement.base] if statement.base in repo else repo.refs("refs/").values()
    asked = [statement.commit, *(f"^{id}" for id in known)]
    try:
        packed = repo.git.run(
            *("pack-objects", "--quiet", "--revs", "--stdout"),
            input="".join(f"{line}\n" for line in asked).encode(),
            env={"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(objects)},
        )
        repo.git.run("index-pack", "--stdin", "--fix-thin", input=packed.stdout)
    except GitFailed as error:
        raise RepositoryUnusable(
            f"what was converted cannot be copied: {error.message}",
            where=str(objects),
            next_step="see whether it can be read, and run git fsck there",
        ) from error
    repo.reopen()
