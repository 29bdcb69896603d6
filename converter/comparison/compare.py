"""Two published builds compared: what became of the patches, the base and the configuration.

Reads tags of one repository, any clone of the published tree; pkg-git and Koji are not needed.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from converter.build import SERIES_JSON, Nvr, tag_name
from converter.comparison import configs, pairs
from converter.comparison.differences import (
    BaseStep,
    Comparison,
    Dropped,
    Fact,
    Gone,
    Kept,
    Published,
    Side,
    Upstreamed,
)
from converter.errors import WrongUsage
from converter.git import GitFailed
from converter.odb import Repository
from converter.patchid import Patches
from converter.references import references
from converter.text import text

CONFIGS = "fedora/configs"
# git-range-diff(1) is porcelain: these would change what it shows (git-config(1)).
_PLAIN_DIFF = (
    "core.abbrev=12",
    "diff.algorithm=myers",
    "diff.context=3",
    "diff.interHunkContext=0",
    "diff.mnemonicPrefix=false",
    "diff.noprefix=false",
    "diff.renames=true",
)
_ID = re.compile(r"[0-9a-f]{40}")
_UNSURE = Upstreamed("", "")


def compare(repo: Repository, old: str, new: str) -> Comparison:
    """Return what differs between two builds that ``repo`` has tags of: NVRs, or NVR@VARIANT.

    Raises WrongUsage.
    """
    one, two = named(repo, old), named(repo, new)
    left, right = _sides(one.record), _sides(two.record)
    patches = _read(repo, left, right)
    matched = pairs.match(
        [(side.patch, patches.ids(side.commits)) for side in left],
        [(side.patch, patches.ids(side.commits)) for side in right],
    )
    where = {patches.id(c): side.patch for side in reversed(right) for c in side.commits}
    gone = {i: _without(patches, left[i], right[j]) for i, j in matched}
    gone |= {i: left[i].commits for i in range(len(left)) if i not in gone}
    upstream = _upstreamed(
        repo, patches, one, two, [c for commits in gone.values() for c in commits]
    )

    def tell(i: int) -> tuple[Gone, ...]:
        subjects = dict(zip(left[i].commits, left[i].subjects, strict=True))
        return tuple(
            Gone(c, subjects[c], upstream.get(c), where.get(patches.id(c))) for c in gone[i]
        )

    kept = []
    for (i, j), moved in zip(matched, pairs.moved([j for _, j in matched]), strict=True):
        what = patches.differences(left[i].commits, right[j].commits)
        range_diff = _range_diff(repo, left[i], right[j]) if what else ""
        subjects = dict(zip(right[j].commits, right[j].subjects, strict=True))
        came = tuple((c, subjects[c]) for c in _without(patches, right[j], left[i]))
        kept.append(Kept(left[i], right[j], what, moved, range_diff, tell(i), came))
    old_rows, new_rows = {i for i, _ in matched}, {j for _, j in matched}
    facts_one, facts_two = _facts(one.record), _facts(two.record)
    return Comparison(
        old=one,
        new=two,
        base=_base_step(repo, one.base, two.base),
        added=tuple(side for j, side in enumerate(right) if j not in new_rows),
        dropped=tuple(Dropped(s, tell(i)) for i, s in enumerate(left) if i not in old_rows),
        kept=tuple(kept),
        configs=configs.compare(repo, f"{one.commit}:{CONFIGS}", f"{two.commit}:{CONFIGS}"),
        facts_gone=tuple((facts_one - facts_two).elements()),
        facts_new=tuple((facts_two - facts_one).elements()),
    )


def named(repo: Repository, build: str) -> Published:
    """Read the build that ``build`` names: an NVR or NVR@VARIANT. Raises WrongUsage."""
    nvr, _, variant = build.partition("@")
    return published(repo, Nvr.of_ref(nvr), variant)


def published(repo: Repository, nvr: Nvr, variant: str = "") -> Published:
    """Read the build that the tag of ``nvr`` stands for.

    Raises WrongUsage when there is no such tag, or when it is not srcgit's.
    """
    name = tag_name(nvr, variant)
    tag = repo.ref(f"refs/tags/{name}")
    if tag is None:
        raise WrongUsage(
            f"no tag {name}",
            where=str(repo.path),
            next_step="fetch the published tags, convert the build, or name another --repo",
        )
    commit = repo.commit_id(tag) if repo.tag_message(tag) is not None else None
    record = _record(repo, commit) if commit else None
    if commit is None or record is None:
        raise WrongUsage(
            f"the tag {name} is not srcgit's: no {text(SERIES_JSON)} in it that can be read",
            where=str(repo.path),
            next_step="name two builds that srcgit converted",
        )
    _check_depth(repo, nvr, record)
    return Published(nvr, commit, record)


def _check_depth(repo: Repository, nvr: Nvr, record: Mapping[str, Any]) -> None:
    """Raise WrongUsage where a shallow clone lacks commits, or the parent of one."""
    name = repo.git.run("rev-parse", "--git-path", "shallow").stdout.rstrip(b"\n")
    shallow = Path(os.fsdecode(name))  # gitrepository-layout(5): a commit id in each line
    cut = set(shallow.read_text().split()) if shallow.exists() else set()
    for commit in (c for side in _sides(record) for c in side.commits):
        if commit in cut or repo.commit_id(commit) is None:
            raise WrongUsage(
                f"this clone is too shallow: it lacks commits of {nvr}",
                where=str(repo.path),
                next_step="git fetch --unshallow",
            )


def _record(repo: Repository, commit: str) -> Mapping[str, Any] | None:
    try:
        # The git program and not libgit2: it fetches what a blobless clone lacks.
        record = json.loads(
            repo.git.run("cat-file", "blob", f"{commit}:{text(SERIES_JSON)}").stdout
        )
        ids = [record["base"]["commit"], *(c for side in _sides(record) for c in side.commits)]
        return record if record["base"]["rev"] and all(map(_ID.fullmatch, ids)) else None
    except (GitFailed, ValueError, KeyError, TypeError):
        return None


def _sides(record: Mapping[str, Any]) -> list[Side]:
    return [
        Side(
            patch["patch"],
            position,
            patch["number"],
            tuple(commit["commit"] for commit in patch["commits"]),
            tuple(commit["subject"] for commit in patch["commits"]),
        )
        for position, patch in enumerate(record["patches"], 1)
    ]


def _read(repo: Repository, left: Iterable[Side], right: Iterable[Side]) -> Patches:
    """Read the commits that only one of the two series has."""
    one = {commit for side in left for commit in side.commits}
    two = {commit for side in right for commit in side.commits}
    return Patches(repo, one ^ two)


def _without(patches: Patches, old: Side, new: Side) -> tuple[str, ...]:
    """Return the commits of ``old`` that ``new`` lacks, by change and by subject."""
    changes = Counter(map(patches.id, new.commits))
    left = []
    for commit, subject in zip(old.commits, old.subjects, strict=True):
        if changes[patches.id(commit)] > 0:
            changes[patches.id(commit)] -= 1
        else:
            left.append((commit, subject))
    subjects = Counter(
        subject
        for commit, subject in zip(new.commits, new.subjects, strict=True)
        if changes[patches.id(commit)] > 0
    )
    gone = []
    for commit, subject in left:
        if subjects[subject] > 0:
            subjects[subject] -= 1
        else:
            gone.append(commit)
    # One commit for one commit is a new version, whatever it is called now.
    return () if len(old.commits) == len(new.commits) == 1 else tuple(gone)


def _reaches(repo: Repository, commit: str, tip: str) -> bool:
    asked = repo.git.run("merge-base", "--is-ancestor", commit, tip, ok=(0, 1, 128))
    return asked.status == 0


def _upstreamed(
    repo: Repository, patches: Patches, one: Published, two: Published, gone: Iterable[str]
) -> dict[str, Upstreamed]:
    """Return the commits of ``gone`` that upstream has between the two bases."""
    gone = list(gone)
    if one.base == two.base or not gone:
        return {}
    found: dict[str, Upstreamed] = {}
    for commit, (upstream, how) in patches.between(one.base, two.base, gone).items():
        found[commit] = Upstreamed(upstream, how)
    for commit, names in _named(repo, one, gone).items():
        if found.get(commit, _UNSURE).how == "patch-id":
            continue
        for name in names:
            named = repo.commit_id(name)
            if named and _reaches(repo, named, two.base) and not _reaches(repo, named, one.base):
                found[commit] = Upstreamed(named, "reference")
    return found


def _named(repo: Repository, one: Published, gone: Iterable[str]) -> dict[str, list[str]]:
    """Return the upstream commits that each commit of ``gone``, or its patch, says it is from."""
    names = {c: references([text(repo.commit(c).message)])["upstream"] for c in gone}
    for patch in one.record["patches"]:
        ids = [each["commit"] for each in patch["commits"]]
        if len(ids) == 1 and ids[0] in names:
            names[ids[0]] = [*names[ids[0]], *(patch.get("upstream") or ())]
    return names


def _range_diff(repo: Repository, old: Side, new: Side) -> str:
    """Return the diff of the diff, as git-range-diff(1) shows it; "" where a side has no commit."""
    if not old.commits or not new.commits:
        return ""
    single = len(old.commits) == len(new.commits) == 1
    out = repo.git.run(
        *(word for setting in _PLAIN_DIFF for word in ("-c", setting)),
        "range-diff",
        "--no-color",
        "--no-notes",
        # A patch and its new version belong together, however little they share.
        f"--creation-factor={999 if single else 60}",
        f"{old.commits[0]}^..{old.commits[-1]}",
        f"{new.commits[0]}^..{new.commits[-1]}",
    )
    return text(out.stdout)


def _base_step(repo: Repository, old: str, new: str) -> BaseStep:
    if old == new:
        return BaseStep(0, 0)
    shallow = repo.git.run("rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
    if shallow:
        return BaseStep(None, None)
    counted = repo.git.run("rev-list", "--count", "--left-right", f"{old}...{new}", ok=(0, 128))
    if counted.status:
        return BaseStep(None, None)
    behind, ahead = map(int, counted.stdout.split())
    return BaseStep(ahead, behind)


def _facts(record: Mapping[str, Any]) -> Counter[Fact]:
    """Return what the spec does besides patches."""
    return Counter(_each_fact(record))


def _each_fact(record: Mapping[str, Any]) -> Iterator[Fact]:
    for patch in record.get("base_patches", ()):
        yield Fact("base_patches", patch)
    for skipped in record.get("skipped", ()):
        yield Fact("skipped", f"{skipped['patch']}: {skipped['why']}")
    nvr = Nvr.parse(record["nvr"])
    for change in record.get("unrepresented", ()):
        # Another version or release in a command is no change of what is done.
        command = change["command"].replace(f"{nvr.version}-{nvr.release}", "%{version}-%{release}")
        command = command.replace(nvr.version, "%{version}")
        yield Fact("unrepresented", f"{command}: {change['why']}")
    for warning in record.get("warnings", ()):
        yield Fact("warnings", warning)
    for tool in sorted({patch["tool"] for patch in record["patches"]}):
        yield Fact("tool", tool)
