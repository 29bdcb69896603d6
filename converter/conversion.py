"""A converted build: what was made, as it stands in a repository."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from converter import top
from converter.build import SERIES_JSON, Build, Nvr, tag_name
from converter.errors import CannotConvert, PatchDoesNotApply, WrongUsage
from converter.odb import Repository
from converter.request import Request
from converter.text import text
from specparse.plan import CHANGES

if TYPE_CHECKING:  # what is slow to import, and not needed at once or not at all
    from converter.series import Failure
    from converter.verification.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Conversion:
    """A converted build: its series.json, and the ids of what was written."""

    build: Build
    series: dict[str, Any]
    commit: str
    tree: str
    tag: str  # id of the tag object
    tools: str = ""  # what read the spec and ran its %prep: "rpm 4.18.0"
    verdict: Verdict | None = None  # of a verification that ran now
    seconds: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the contract's ``convert --json``, without ``pushed``."""
        return {
            "nvr": self.series["nvr"],
            "pkg_git": self.series["pkg_git"],
            "base": self.series["base"],
            "branch": self.build.branch,
            "tag": self.build.tag,
            "commit": self.commit,
            "tree": self.tree,
            "series": series_contract(self.series),
            **({"prep": self.series["prep"]} if "prep" in self.series else {}),
            "prepared_with": self.tools,
            "verified": self.series.get("verified", "not run"),
            "verification": self.verdict.as_json() if self.verdict else None,
            "seconds": {stage: round(s, 4) for stage, s in self.seconds.items()},
        }


class SeriesFailed(PatchDoesNotApply):
    """A patch of the series does not apply; what applied before it was kept.

    ``report`` is for people to read, ``series`` the contract's object up to the failure.
    """

    kind = "PatchDoesNotApply"

    def __init__(
        self,
        failure: Failure,
        build: Build,
        record: dict[str, Any],
        absent: Sequence[bytes] = (),
    ) -> None:
        """``absent`` are archives that may hold the file that is missing."""
        next_step = f"see what applied, in the repository of the result: git log {build.failed_ref}"
        if "does not exist" in failure.reason:
            if absent:
                names = ", ".join(map(text, absent))
                next_step += f"; {names} may hold it: name a place of it with --lookaside"
            if record["base"]["kind"] != "archive":
                next_step += (
                    "; the released archive may have more files than upstream's tag: --archive"
                )
        super().__init__(
            f"{text(failure.step.patch)}: {failure.reason}",
            where=f"{build.pkg_git}#{build.commit}",
            next_step=next_step,
        )
        base = record["base"]
        start = f"{base['rev'] or base['commit']} ({base['how']})"
        self.report = f"{failure.report}The series starts at {start}.\n" + _besides(record)
        self.series = series_contract(record)


def _besides(record: dict[str, Any]) -> str:
    """Return what %prep may have done before a patch that applies only after it (dos2unix, sed)."""
    did = [u["command"].splitlines()[0] for u in record["unrepresented"] if u["why"] == CHANGES]
    if not did:
        return ""
    lines = [f"  {command[:200]}" for command in did[:3]]
    lines += [f"  and {len(did) - 3} more"] if len(did) > 3 else []
    told = "%prep changes files besides, perhaps before this patch; the series is without that:"
    return "\n".join([told, *lines, ""])


def series_contract(record: dict[str, Any]) -> dict[str, Any]:
    """Return the ``series`` object of ``convert --json`` from a series.json."""
    patches = [
        {
            "patch": patch["patch"],
            "commits": patch["commits"],
            "offset": patch["applied"]["offset"],
            "fuzz": patch["applied"]["fuzz"],
        }
        for patch in record["patches"]
    ]
    return {**record["series"], "patches": patches}


def find(repo: Repository, nvr: Nvr, variant: str = "") -> Conversion | None:
    """Return the conversion that the tag of ``nvr`` stands for, read from the tree itself.

    None where there is no such tag. Raises CannotConvert for a tag that is not srcgit's.
    """
    tag = repo.ref(f"refs/tags/{tag_name(nvr, variant)}")
    if tag is None:
        return None
    message = repo.tag_message(tag)  # None where it is not annotated: not srcgit's
    commit = None if message is None else repo.commit_id(tag)
    file = repo.tree(commit).get(SERIES_JSON) if commit else None
    try:
        record = json.loads(file.data if file else b"")
        koji_id = top.trailers(message or b"").get("Koji-Build")
        build = Build(
            nvr,
            record["epoch"],
            record["pkg_git"]["url"],
            record["pkg_git"]["commit"],
            record["branch"],
            int(koji_id) if koji_id else None,
            variant,
        )
    except (ValueError, KeyError, TypeError):
        raise CannotConvert(
            f"the tag {tag_name(nvr, variant)} exists and is not srcgit's",
            where=str(repo.path),
            next_step="choose another --repo; srcgit never moves a tag",
        ) from None
    assert commit
    tools = repo.note(top.PREPARED, commit).strip().removeprefix("Prepared-With: ")
    return Conversion(build, record, commit, repo.commit(commit).tree, tag, tools)


def checked(
    done: Conversion, commit: str, repo: Repository, request: Request | None = None
) -> Conversion:
    """Return ``done``, which must have been made from pkg-git commit ``commit``, as asked for.

    Raises CannotConvert for another commit, WrongUsage for another ``with_prep``.
    """
    if done.build.commit != commit:
        raise CannotConvert(
            f"the tag {done.build.tag} was made from pkg-git commit {done.build.commit[:12]}, "
            f"not {commit[:12]}",
            where=str(repo.path),
            next_step="ask Koji which commit was built; a tag is never moved",
        )
    if request is not None and request.with_prep and "prep" not in done.series:
        raise WrongUsage(
            f"{done.build.tag} was converted without what %prep does besides patching",
            where=str(repo.path),
            next_step="choose another --repo; a tag is never moved",
        )
    return done
