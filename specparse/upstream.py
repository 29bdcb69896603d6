"""What a spec and the names of its files say about the upstream base (pure).

The kernel's rules were measured over the history of Fedora's kernel: names of files tell the base,
version macros do not. Other packages follow Fedora's guidelines for source URLs, versions and
snapshots, in their forms from 2005 to today.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from specparse.inside.names import ARCHIVE
from specparse.plan import Base

_ENDING = ARCHIVE.pattern
_ARCHIVE = re.compile(rf"(?P<name>.+?)-(?P<version>v?\d.*?){_ENDING}")
_SHA = r"[0-9a-f]{7,40}"
_SHA_SNAPSHOT = re.compile(
    rf"\d{{8}}git({_SHA})|.*?-\d+-g({_SHA})|.*-0\.rc\d+\.\d{{8}}git({_SHA})\.\d+.*|({_SHA})"
)
_RELEASE = re.compile(r"(\d+(?:\.\d+)*)(?:[-~.]?(rc\d+))?")
_BASE_PATCH = re.compile(
    r"patch-(?P<version>(?P<line>(?:\d+\.)+)\d+)"
    r"(?:-(?P<next>\d+)|(?:-(?P<rc>rc\d+))?(?:-git(?P<git>\d+))?)\.(?:xz|bz2|gz|patch)$"
)
_CHANGELOG = re.compile(rf"\bv\d+\.\d+[\w.]*(?:-rc\d+)?-\d+-g({_SHA})\b")


def moves_base(patch: str) -> bool:
    """Tell by its name whether a patch of the lookaside cache takes the kernel to another version."""
    return _BASE_PATCH.fullmatch(patch) is not None


@dataclass(frozen=True, slots=True)
class Spec:
    """What a spec says of its upstream, macros expanded; ``url`` is the main archive's."""

    name: str = ""
    version: str = ""
    release: str = ""
    url: str = ""
    text: str = ""


def base(
    archive: str,
    base_patches: Sequence[str],
    *,
    gitrev: str | None,
    changelog: str,
    spec: Spec = Spec(),
) -> tuple[Base, tuple[str, ...]]:
    """Return the base and warnings about it.

    ``archive`` is the main one's name, ``base_patches`` the lookaside patches in order of
    application, ``gitrev`` the content of pkg-git's file of that name, ``changelog`` the newest
    part of the spec's changelog.
    """
    named = _ARCHIVE.fullmatch(archive)
    if named is None or named["name"] != "linux":
        found, warnings = _of_package(archive, spec)
    else:
        found, warnings = _of_linux(named["version"], archive), []
    for patch in base_patches:
        moved = _BASE_PATCH.fullmatch(patch)
        if moved is None:
            warnings.append(f"{patch} comes from the lookaside cache: its content is not known")
            found = Base("unknown", "", f"{patch} changes the base and is not at hand")
        elif moved["next"] and found.rev != f"v{moved['version']}":
            found = Base("unknown", "", f"{patch} does not fit on {found.rev or 'it'}")
        elif moved["next"]:  # kernel.org's from one stable release to the next: patch-2.6.33.7-8
            found = _linux_tag(moved["line"] + moved["next"], f"the name of {patch}")
        elif moved["git"]:
            found, more = _snapshot(patch, gitrev, changelog)
            warnings += more
        elif moved["rc"] and _is_stable(moved["version"]):
            found = Base("unknown", "", f"{patch}: a stable release candidate has no tag upstream")
        else:
            rc = f"-{moved['rc']}" if moved["rc"] else ""
            found = _linux_tag(_tag_version(moved["version"]) + rc, f"the name of {patch}")
    return found, tuple(warnings)


# -- the kernel ----------------------------------------------------------------------------


def _of_linux(version: str, archive: str) -> Base:
    how = f"the name of {archive}"
    if snapshot := _SHA_SNAPSHOT.fullmatch(version):
        sha = next(group for group in snapshot.groups() if group)
        if re.search(r"[a-f]", sha) or len(sha) > 12 or "git" in version or "-g" in version:
            return Base("commit", sha, how)
    if release := _RELEASE.fullmatch(version.removeprefix("v")):
        rc = f"-{release[2]}" if release[2] else ""
        return _linux_tag(_tag_version(release[1]) + rc, how)
    return Base("unknown", "", f"{how} tells no release and no commit")


def _linux_tag(version: str, how: str) -> Base:
    """The kernel's tag is vX.Y and no other: nothing is to be learned."""
    return Base("tag", f"v{version}", how, versions=(version,))


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
    """A -git patch: its commit is in the file gitrev, else in the newest changelog entry.

    Until autumn 2011 (306 commits of the kernel's pkg-git) neither names it: kernel.org had it in a
    file beside the snapshot, which pkg-git does not know.
    """
    name = re.escape(patch.removeprefix("patch-").rpartition(".")[0])
    # "Linux 3.3-rc2-git5 (upstream SHA)" until early 2012, then "Linux v3.3-rc4-152-gSHA"
    form = rf"(?<![\w.]){name}(?: snapshot)? \((?:upstream )?({_SHA})(?: upstream)?\)"
    told = re.search(form, changelog)
    told = told or _CHANGELOG.search(changelog)
    if gitrev and re.fullmatch(_SHA, gitrev.strip()):
        sha = gitrev.strip()
        if told and not sha.startswith(told[1]):
            return Base("commit", sha, f"gitrev, for {patch}"), [
                f"gitrev says {sha[:12]}, the changelog {told[1]}"
            ]
        return Base("commit", sha, f"gitrev, for {patch}"), []
    if told:
        return Base("commit", told[1], f"the changelog, for {patch}"), []
    told_there = f"kernel.org's {patch.rpartition('.')[0]}.id has it"
    return Base(
        "unknown", "", f"{patch} is a snapshot, and pkg-git names no commit; {told_there}"
    ), []


# -- any other package ---------------------------------------------------------------------

_MACRO = re.compile(
    rf"^[ \t]*%(?:global|define)[ \t]+(\w+)[ \t]+({_SHA})[ \t]*$", re.MULTILINE | re.IGNORECASE
)
_OF_COMMIT = re.compile(r"commit|sha|hash|git|rev|snap", re.IGNORECASE)
# XenServer's and XCP-ng's: the commit of pkg-git's own origin is no upstream commit
_NOT_UPSTREAM = re.compile(r"speccommit|branding|downstream", re.IGNORECASE)
_XEN_SOURCE = re.compile(r"^%(?:global|define)\s+package_srccommit\s+([^\s%]+)\s*$", re.MULTILINE)
_NAMES_COMMIT = re.compile(r"commit|sha|hash", re.IGNORECASE)
# A day, whatever the macro is called: gitdate, git_snapshot, commitdate
_DAY = re.compile(r"20[0-3]\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_NUMBER = re.compile(r"\d{1,11}")  # of a revision or a snapshot: no commit id
# A release says that the source is a snapshot: 0.3.20240101gitabcdef1, 3.20240101svn; a version
# says it since 2018: 1.2^20240101git1234567, 1.2~20240101.1234567
_DATE = r"20\d{6}(?![0-9a-f])"
_SNAPSHOT_SHA = re.compile(
    rf"(?:(?<![a-z])git\.?(?:{_DATE}\.)?|[\^~]\d+(?:\.|git))(?!{_DATE})({_SHA})(?![0-9a-z])"
)
_SNAPSHOT = re.compile(r"(?:^|[.^~])(?:20\d{6}|(?:20\d{6}\.?)?(?:git|svn|hg|cvs|bzr)\w*)(?=[-.]|$)")
_FORGES = re.compile(r"https?://(?:[\w.-]+\.)?(?:github|gitlab|codeberg|pagure|bitbucket)[\w.-]*/")
_REF_IN_URL = (
    re.compile(r"[?&;]at=(?P<ref>[^&;]+)"),  # Bitbucket's server
    re.compile(r"[?&;]h=(?P<ref>[^&;]+)"),  # gitweb
    re.compile(r"/releases/download/(?P<ref>.+)/[^/]+$"),
    re.compile(r"/archive/(?P<ref>(?:refs/\w+/)?[^/]+)/[^/]*$"),
    re.compile(rf"/archive/(?P<ref>refs/\w+/.+?|[^/]+?){_ENDING}"),
    re.compile(rf"/(?:\+archive|get)/(?P<ref>.+?){_ENDING}"),
    re.compile(rf"/(?:tarball|zipball)/(?P<ref>{_SHA})(?:/.*)?$"),  # GitHub takes any name after it
    re.compile(r"/(?:tarball|zipball|tar\.gz|zip)/(?P<ref>.+)$"),
)
_BRANCHES = re.compile(r"(?:refs/heads/.*|master|main|trunk|devel|develop|HEAD|tip)")


def _of_package(archive: str, spec: Spec) -> tuple[Base, list[str]]:
    """Weigh what there is: the surest first."""
    stem = ARCHIVE.sub("", archive)
    name, version = _split(stem, spec.version)
    commits = _commits(spec.text)
    repository = _repository(spec.url)
    plain = _plain(spec.version)
    # An archive of another version than the package's is what it says: patches make the rest.
    versions = tuple(dict.fromkeys(v for v in (version, plain) if v and _agree(v, version)))
    names = tuple(dict.fromkeys(n for n in (name, spec.name, repository) if n))

    if told := _XEN_SOURCE.search(spec.text):
        return _ref(told[1], "package_srccommit", commits, versions, names), []
    if ref := _ref_of_url(spec):
        if not _BRANCHES.fullmatch(ref):
            return _ref(ref, "the URL of the source", commits, versions, names), []
        if not commits:
            return Base("unknown", "", f"the URL of the source names {ref}: it moves"), []
    if sha := _commit_in(stem, commits):
        return Base("commit", _whole(sha, commits), f"the name of {archive}"), []

    edition = f"{spec.version}-{spec.release}"
    if told := _SNAPSHOT_SHA.search(spec.version) or _SNAPSHOT_SHA.search(spec.release):
        made = Base("commit", _whole(told[1], commits), f"the snapshot {edition}")
        doubt = [f"{archive} has the name of a release, {edition} that of a snapshot"]
        return made, doubt if version == plain else []
    if commits and version != plain:
        [sha, *others] = dict.fromkeys(commits.values())
        if not others:
            return Base("commit", sha, f"the macro {next(iter(commits))}"), []
    if _SNAPSHOT.search(edition) and version != plain:
        return Base("unknown", "", f"{edition} is a snapshot of a commit that nothing names"), []
    if not archive or not versions:
        return Base("unknown", "", f"no version in the name of {archive or 'any archive'}"), []
    how = f"the name of {archive}" if version else f"the spec's version; {archive} tells none"
    return Base("tag", f"v{versions[0]}".replace("~", "-"), how, versions, names, guess=True), []


def _split(stem: str, version: str) -> tuple[str, str]:
    """Return the name and the version in an archive's name; the spec's version where it is there."""
    plain = _plain(version)
    for spelling in (plain, plain.replace("~", "-"), plain.replace("~", "")):
        at = stem.rfind(spelling) if spelling else -1
        if at > 0 and not stem[at - 1].isdigit():
            rest = stem[at + len(spelling) :]
            if not re.match(r"\.?\d", rest):
                return re.sub(r"[-_.]v?$", "", stem[:at]), plain
    found = re.fullmatch(r"(.+?)[-_]v?(\d.*)", stem)
    return (found[1], found[2]) if found else (stem, "")


def _plain(version: str) -> str:
    """Return the version without what says that it is a snapshot (Fedora, "Versioning")."""
    return re.sub(r"\^.*|~20\d{6}.*|~git.*", "", version)


def _commits(text: str) -> dict[str, str]:
    """Return macro -> commit id, of the macros that a spec defines as such."""
    return {
        name: value
        for name, value in _MACRO.findall(text.partition("%changelog")[0])
        if _OF_COMMIT.search(name)
        and not _NOT_UPSTREAM.search(name)
        and not (_NUMBER.fullmatch(value) and not _NAMES_COMMIT.search(name))
        and not _DAY.fullmatch(value)
    }


def _ref(
    ref: str, how: str, commits: dict[str, str], versions: tuple[str, ...], names: tuple[str, ...]
) -> Base:
    name = re.sub(r"^(?:refs/)?tags/", "", ref)
    if _commit_in(name, commits) == name:
        return Base("commit", _whole(name, commits), how)
    return Base("tag", name, how, versions, names)


def _ref_of_url(spec: Spec) -> str:
    """Return what a forge's URL asks for; "" where that cannot be told."""
    url = spec.url.partition("#")[0]
    refs = [] if "%{" in url else [unquote(m["ref"]) for p in _REF_IN_URL if (m := p.search(url))]
    numbers = re.findall(r"\d+", _plain(spec.version))
    sure = [r for r in refs if re.fullmatch(_SHA, r) or _BRANCHES.fullmatch(r) or _has(numbers, r)]
    sure += [r for r in refs if r.startswith("refs/") or _FORGES.match(url)]
    return sure[0] if sure else ""


def _has(numbers: list[str], ref: str) -> bool:
    return bool(numbers) and _within(numbers, re.findall(r"\d+", ref))


def _within(some: list[str], numbers: list[str]) -> bool:
    length = len(some)
    return any(numbers[at : at + length] == some for at in range(len(numbers) - length + 1))


def _agree(version: str, archive: str) -> bool:
    """Tell whether the archive's version may be another spelling.

    72_1-src of 72.1, 366 of 3.6.6, 3500200 of 3.50.2.
    """
    one, other = re.findall(r"\d+", version), re.findall(r"\d+", archive)
    if not other or _within(one, other) or _within(other, one):
        return True
    return re.fullmatch("0*".join(one) + "0*", "".join(other)) is not None


def _repository(url: str) -> str:
    found = re.match(
        r"https?://[^/]+/(?:[^/]+/)+?([^/]+?)(?:\.git)?/(?:-/)?(?:archive|releases)/", url
    )
    return found[1] if found else ""


def _commit_in(text: str, commits: dict[str, str]) -> str:
    """Return the commit id that is a part of a name; a number or a word alone is none."""
    for part in _parts(text):
        if re.fullmatch(_SHA, part) and (
            len(part) == 40
            or (re.search(r"[0-9]", part) and re.search(r"[a-f]", part))
            or any(commit.startswith(part) for commit in commits.values())
        ):
            return part
    return ""


def _parts(text: str) -> Iterator[str]:
    for part in re.split(r"[-_.+~^/]", text):
        yield part
        if snapshot := re.fullmatch(r"(?:\d{8})?git(.+)|g(.+)", part):
            yield snapshot[1] or snapshot[2]


def _whole(sha: str, commits: dict[str, str]) -> str:
    """Return the full id of an abbreviated one, where a macro has it."""
    whole = {commit for commit in commits.values() if len(commit) == 40 and commit.startswith(sha)}
    return whole.pop() if len(whole) == 1 else sha
