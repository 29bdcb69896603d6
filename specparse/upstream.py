"""Names of what %prep unpacks and applies become the upstream base (pure).

The rules were measured over the history of Fedora's kernel: names of files tell the base, version
macros do not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from specparse.plan import Base

_ARCHIVE = re.compile(r"(?P<name>.+?)-(?P<version>v?\d.*?)\.(?:tar(?:\.\w+)?|tgz|tbz2?|txz|zip)$")
_SHA = r"[0-9a-f]{7,40}"
_SHA_SNAPSHOT = re.compile(
    rf"\d{{8}}git({_SHA})|.*?-\d+-g({_SHA})|.*-0\.rc\d+\.\d{{8}}git({_SHA})\.\d+.*|({_SHA})"
)
_RELEASE = re.compile(r"(\d+(?:\.\d+)*)(?:[-~.]?(rc\d+))?")
_BASE_PATCH = re.compile(
    r"patch-(?P<version>\d+(?:\.\d+)+)(?:-(?P<rc>rc\d+))?(?:-git(?P<git>\d+))?\.(?:xz|bz2|gz|patch)$"
)
_CHANGELOG = re.compile(rf"\bv?\d+\.\d+[\w.]*(?:-rc\d+)?-\d+-g({_SHA})\b")


def base(
    archive: str,
    base_patches: Sequence[str],
    *,
    gitrev: str | None,
    changelog: str,
) -> tuple[Base, tuple[str, ...]]:
    """Return the base and warnings about it.

    ``archive`` is the main one's name, ``base_patches`` the lookaside patches in order of
    application, ``gitrev`` the content of pkg-git's file of that name, ``changelog`` the newest
    part of the spec's changelog.
    """
    named = _ARCHIVE.fullmatch(archive)
    if named is None:
        return Base("unknown", "", f"no version in the name of {archive or 'any archive'}"), ()
    found = _of_archive(named["version"], archive)
    warnings: list[str] = []
    for patch in base_patches:
        moved = _BASE_PATCH.fullmatch(patch)
        if moved is None:
            warnings.append(f"{patch} comes from the lookaside cache: its content is not known")
            found = Base("unknown", "", f"{patch} changes the base and is not at hand")
        elif moved["git"]:
            found, more = _snapshot(patch, gitrev, changelog)
            warnings += more
        elif moved["rc"] and _is_stable(moved["version"]):
            found = Base("unknown", "", f"{patch}: a stable release candidate has no tag upstream")
        else:
            rc = f"-{moved['rc']}" if moved["rc"] else ""
            found = Base("tag", f"v{_tag_version(moved['version'])}{rc}", f"the name of {patch}")
    return found, tuple(warnings)


def _of_archive(version: str, archive: str) -> Base:
    how = f"the name of {archive}"
    if snapshot := _SHA_SNAPSHOT.fullmatch(version):
        sha = next(group for group in snapshot.groups() if group)
        if re.search(r"[a-f]", sha) or len(sha) > 12 or "git" in version or "-g" in version:
            return Base("commit", sha, how)
    if release := _RELEASE.fullmatch(version.removeprefix("v")):
        rc = f"-{release[2]}" if release[2] else ""
        return Base("tag", f"v{_tag_version(release[1])}{rc}", how)
    return Base("unknown", "", f"{how} tells no release and no commit")


def _tag_version(version: str) -> str:
    """Upstream's tag of X.Y.0 is vX.Y, since Linux 3.0."""
    parts = version.split(".")
    if len(parts) == 3 and parts[2] == "0" and int(parts[0]) >= 3:
        parts.pop()
    return ".".join(parts)


def _is_stable(version: str) -> bool:
    parts = [int(part) for part in version.split(".")]
    return len(parts) >= (4 if parts[0] < 3 else 3) and parts[-1] > 0


def _snapshot(patch: str, gitrev: str | None, changelog: str) -> tuple[Base, list[str]]:
    """A -git patch: its commit is in the file gitrev, else in the newest changelog entry."""
    told = _CHANGELOG.search(changelog)
    if gitrev and re.fullmatch(_SHA, gitrev.strip()):
        sha = gitrev.strip()
        if told and not sha.startswith(told[1]) and not told[1].startswith(sha):
            return Base("commit", sha, f"gitrev, for {patch}"), [
                f"gitrev says {sha[:12]}, the changelog {told[1]}"
            ]
        return Base("commit", sha, f"gitrev, for {patch}"), []
    if told:
        return Base("commit", told[1], f"the changelog, for {patch}"), []
    return Base("unknown", "", f"{patch} is a snapshot of a commit that nothing names"), []
