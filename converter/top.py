"""The top commit and the tag of a build: what a plain clone shows of where its tree comes from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from converter.build import SERIES_JSON, Build
from converter.errors import CannotConvert
from converter.objects import Commit
from converter.pkggit import Package, Provenance
from converter.references import references
from converter.safe_paths import why_unsafe
from converter.text import text
from converter.tree import File
from specparse.plan import CHANGES, Plan, Step

if TYPE_CHECKING:
    from converter.series import Patched
    from converter.verification.prepared import Prepared


# Notes on the top commits: which rpm read the spec, in which root. It differs from host to host, and
# the tag's id must not.
PREPARED = "refs/notes/srcgit/prepared"


def series_json(
    build: Build,
    plan: Plan,
    base: Mapping[str, Any],
    tree: str,
    patches: Iterable[tuple[Patched, str | None, list[str], Provenance | None]],
) -> dict[str, Any]:
    """Return ``fedora/series.json``: all that is needed to tell how the tree came about.

    ``base`` is Start.as_json(); ``tree`` the tree after the last patch; ``patches`` come with the
    blob id of the file, the ids of their commits and their provenance.
    """
    listed = [_patch_json(plan, *patch) for patch in patches]
    commits = [commit["commit"] for patch in listed for commit in patch["commits"]]
    return {
        "nvr": str(build.nvr),
        "epoch": build.epoch,
        "branch": build.branch,
        "pkg_git": {"url": build.pkg_git, "commit": build.commit},
        "spec": text(plan.spec),
        "arch": plan.arch,
        **({"variant": build.variant} if build.variant else {}),
        "base": base,
        "base_patches": [text(patch) for patch in plan.base_patches],
        "series": {"commit": commits[-1] if commits else base["commit"], "tree": tree},
        "patches": listed,
        "skipped": [{"patch": text(s.patch), "why": s.why} for s in plan.skipped],
        "unrepresented": [{"command": u.command, "why": u.why} for u in plan.unrepresented],
        "warnings": list(plan.warnings),
        "verified": "not run",
    }


def _patch_json(
    plan: Plan,
    patched: Patched,
    blob: str | None,
    ids: list[str],
    provenance: Provenance | None,
) -> dict[str, Any]:
    step = patched.step
    comment = plan.comments.get(step.patch.rpartition(b"/")[2], "")
    commits = [
        {
            "commit": id,
            "author": text(b"%s <%s>" % (written.author.name, written.author.email)),
            "subject": text(written.subject),
            **({"source": written.source} if written.source else {}),
        }
        for written, id in zip(patched.commits, ids, strict=True)
    ]
    told = [comment, *(text(written.message) for written in patched.commits)]
    if provenance is not None:
        told.append(text(provenance.introduced.message))  # what became the spec's changelog entry
    return {
        **step_json(step),
        "options": list(step.options),
        "blob": blob,
        "commits": commits,
        "applied": {"offset": patched.offset, "fuzz": patched.fuzz},
        **({"exploded": patched.exploded.as_json()} if patched.exploded else {}),
        "introduced": _origin_json(provenance, "introduced"),
        "changed": _origin_json(provenance, "changed"),
        "comment": comment,
        **references(told, text(step.patch.rpartition(b"/")[2])),
    }


def step_json(step: Step) -> dict[str, Any]:
    """Return a step as ``plan --json`` and series.json both show it."""
    return {
        "patch": text(step.patch),
        "number": step.number,
        "tool": step.tool,
        "strip": step.strip,
        "fuzz": step.fuzz,
        "reverse": step.reverse,
        "directory": text(step.directory),
    }


def _origin_json(provenance: Provenance | None, which: str) -> dict[str, str] | None:
    if provenance is None:
        return None
    origin = provenance.introduced if which == "introduced" else provenance.changed
    author = origin.author
    return {
        "commit": origin.commit,
        "author": text(b"%s <%s>" % (author.name, author.email)),
        "date": text(author.date),
    }


def files(package: Package, plan: Plan, series: Mapping[str, Any]) -> dict[bytes, File]:
    """Return what the top commit adds: the spec, the configs, series.json, below ``fedora/``.

    Raises CannotConvert for a configuration file whose name leads elsewhere.
    """
    spec = package.read(plan.spec)
    assert spec is not None
    record = json.dumps(series, indent=2, ensure_ascii=False, sort_keys=False) + "\n"
    added = {
        b"fedora/" + plan.spec.rpartition(b"/")[2]: spec,
        SERIES_JSON: record.encode("utf-8", "surrogateescape"),
    }
    for name, data in plan.configs.items():
        if why_unsafe(name, link=False) or b"/" in name:
            raise CannotConvert(f"a configuration file has an impossible name: {text(name)!r}")
        added[b"fedora/configs/" + name] = data
    return {path: file(data) for path, data in sorted(added.items())}


def file(data: bytes) -> File:
    """Return a file as the top commit adds it."""
    return File(0o100644, data)


def commit_message(build: Build, pkg_git_commit: Commit) -> bytes:
    """Return the NVR as subject, the pkg-git commit's text as body."""
    title = f"{build.nvr} ({build.variant})" if build.variant else str(build.nvr)
    return f"{title}\n\n".encode() + pkg_git_commit.message


def with_prep(series: Mapping[str, Any], prepared: Prepared) -> dict[str, Any]:
    """Return series.json with what %prep does besides patching, now that a commit stands for it."""
    left_out = [u for u in series["unrepresented"] if u["why"] != CHANGES]
    return {**series, "unrepresented": left_out, "prep": prepared.as_json()}


def tag_message(build: Build, series: Mapping[str, Any], version: str) -> bytes:
    """Return the tag's message: the NVR, then the trailers of the contract."""
    base = series["base"]
    archives = [archive for archive in base.get("archives", ()) if archive["commit"]]
    trailers = [
        f"Pkg-Git: {build.pkg_git}#{build.commit}",
        f"Upstream: {base['rev']} {base.get('upstream') or base['commit']}",
        *(f"Archive: {archive['archive']} {archive['commit']}" for archive in archives),
        *([f"Koji-Build: {build.koji_id}"] if build.koji_id is not None else []),
        *([f"Variant: {build.variant}"] if build.variant else []),
        f"Patches: {len(series['patches'])}",
        f"Series-Tree: {series['series']['tree']}",
        *([f"Prep-Tree: {series['prep']['tree']}"] if "prep" in series else []),
        f"Verified: {series['verified']}",
        f"Converter: srcgit {version}",
    ]
    return "\n".join([str(build.nvr), "", *trailers, ""]).encode()


def trailers(message: bytes) -> dict[str, str]:
    """Return the trailers of a tag's message."""
    last = message.decode("utf-8", "replace").rstrip().rpartition("\n\n")[2]
    pairs = (line.partition(": ") for line in last.splitlines())
    return {key: value for key, separator, value in pairs if separator}
