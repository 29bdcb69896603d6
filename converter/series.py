"""Plan x base -> commits and a report per patch; stops at the first failure and keeps all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from converter import commits
from converter.apply import Report, Rules, apply
from converter.commits import Draft
from converter.diff import DiffError
from converter.explain import explain
from converter.explode import Explosion, Outcome
from converter.mail import MailError
from converter.odb import Identity, Stage
from converter.pkggit import Origin
from converter.tree import Overlay, Tree
from specparse.plan import Step

_MBOX = b"From "  # enough of one to be known as such


@dataclass(frozen=True, slots=True)
class Written:
    """One commit of the series, by its mark in the stage."""

    mark: int
    author: Identity
    message: bytes
    source: str = ""  # the commit of kernel-ark that it was made from

    @property
    def subject(self) -> bytes:
        return self.message.split(b"\n", 1)[0]


@dataclass(frozen=True, slots=True)
class Patched:
    """One patch file, applied: its commits, and how far its hunks had moved."""

    step: Step
    commits: tuple[Written, ...]
    offset: int  # lines, the largest of any hunk
    fuzz: int  # lines, the largest of any hunk
    exploded: Outcome | None = None  # of a monolith that was taken apart


@dataclass(frozen=True, slots=True)
class Failure:
    """The patch that stopped the series: the reason in a line, and the whole report."""

    step: Step
    reason: str
    report: str


@dataclass(frozen=True, slots=True)
class Series:
    """What became of a series."""

    patches: tuple[Patched, ...]
    failure: Failure | None


def run(
    stage: Stage,
    steps: Iterable[Step],
    *,
    read: Callable[[bytes], bytes],
    origin: Callable[[bytes], Origin],
    committer: tuple[bytes, bytes],
    notes: Callable[[bytes], str] = lambda patch: "",
    explode: Callable[[Step], Explosion | None] = lambda step: None,
    progress: Callable[[Step], None] = lambda step: None,
) -> Series:
    """Apply ``steps`` in order on ``stage``, one commit for each mail or diff.

    ``read`` gives a patch's content (unpacked), ``origin`` the pkg-git commit that introduced it;
    ``committer`` is a name and an email: the date is the author's, so that ids do not depend on
    when or where the series is applied. ``explode`` gives the commits that a monolith consists of.
    """
    patches: list[Patched] = []
    history: dict[bytes, list[bytes]] = {}
    first, first_data = b"", b""  # of the git am call at hand
    for step in steps:
        progress(step)
        data = read(step.patch)
        written: list[Written] = []
        offset = fuzz = 0
        failure = None
        explosion = explode(step)
        if step.format_of != first:
            first = step.format_of
            first_data = _MBOX if first == b"-" else read(first) if first else b""
        introduced = origin(step.patch)
        try:
            drafts = commits.drafts(
                step, data, introduced, notes(step.patch), first=first_data if first else None
            )
            for draft, report in _apply(stage, step, data, drafts, introduced, explosion):
                offset, fuzz = max(offset, report.offset), max(fuzz, report.fuzz)
                if not report.changes and step.tool != "git-am":
                    continue  # patch(1) accepts an empty patch; there is nothing to commit
                when = Identity(*committer, draft.author.date)
                mark = stage.commit(report.changes, draft.author, when, draft.message)
                written.append(Written(mark, draft.author, draft.message, draft.source))
                for path in report.changes:
                    history.setdefault(path, []).append(step.patch)
        except MailError as error:
            failure = Failure(step, str(error), f"{error}\n")
        except _Refused as refused:
            failure = Failure(step, refused.reason, refused.explain(history))
        if written or failure is None:
            outcome = explosion.outcome if explosion else None
            patches.append(Patched(step, tuple(written), offset, fuzz, outcome))
        if failure is not None:
            return Series(tuple(patches), failure)
    return Series(tuple(patches), None)


class _Refused(Exception):
    """A patch does not apply."""

    def __init__(self, reason: str, explain: Callable[[Mapping[bytes, list[bytes]]], str]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.explain = explain


def _apply(
    stage: Stage,
    step: Step,
    data: bytes,
    drafts: Sequence[Draft],
    origin: Origin,
    explosion: Explosion | None,
) -> Iterator[tuple[Draft, Report]]:
    """Yield the commits of one patch file; each is on the stage before the next is asked for.

    Raises _Refused.
    """
    if step.tool == "git-am":
        for draft in drafts:
            yield draft, _checked(stage, step, draft.diff)
        return
    whole = _checked(stage, step, data)
    if explosion is not None:
        yield from explosion.drafts(stage, whole, drafts[0])
    elif len(drafts) == 1:
        yield drafts[0], whole
    elif made := _mail_by_mail(stage, step, drafts, whole):
        yield from made
    else:
        why = "Its mails, applied one by one, do not add up to what the whole file does."
        yield commits.as_one(step, data, origin, why), whole


def _mail_by_mail(
    stage: Stage, step: Step, drafts: Iterable[Draft], whole: Report
) -> list[tuple[Draft, Report]]:
    """Apply each mail by itself; [] unless that comes to what the tool does with the whole file."""
    view = Overlay(stage)
    made = []
    try:
        for draft in drafts:
            report = _checked(view, step, draft.diff)
            view.edit(report.changes)
            made.append((draft, report))
    except _Refused:
        return []
    return made if view.same_as(whole.changes) else []


def _checked(tree: Tree, step: Step, diff: bytes) -> Report:
    rules = Rules(
        tool=step.tool,
        strip=step.strip,
        fuzz=step.fuzz,
        reverse=step.reverse,
        directory=step.directory,
        options=step.options,
    )
    try:
        report = apply(diff, tree, rules)
    except DiffError as error:
        raise _Refused(str(error), lambda _, text=str(error): text) from None  # type: ignore[misc]
    if report.ok:
        return report

    def tell(history: Mapping[bytes, list[bytes]]) -> str:
        return explain(diff, tree, rules, report, touched_by=history)

    raise _Refused(str(report.failure), tell)
