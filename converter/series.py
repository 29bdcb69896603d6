"""Plan x base -> commits and a report per patch; stops at the first failure and keeps all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from converter import commits, fsck
from converter.commits import Draft, Notes
from converter.engine.apply import Form, Report, Rules, apply
from converter.engine.diff import DiffError
from converter.mailbox.mail import MailError
from converter.objects import Identity
from converter.pkggit import Origin
from converter.stage import Stage
from converter.text import counted, text
from converter.tree import File, Overlay, Tree
from specparse.plan import Step

if TYPE_CHECKING:
    from converter.explode import Explosion, Outcome

_MBOX = b"From "  # enough of one to be known as such


@dataclass(frozen=True, slots=True)
class Written:
    """One commit of the series, by its mark in the stage."""

    mark: int
    author: Identity
    message: bytes
    source: str = ""  # the commit that it was made from: kernel-ark's, or one that git show printed

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


class Series:
    """Patches applied on a stage, one commit for each mail or diff.

    They may become known one after the other. What became of them is in ``patches``, and in
    ``failure`` which one stopped the series, if one did.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        read: Callable[[bytes], bytes],
        origin: Callable[[bytes], Origin],
        committer: tuple[bytes, bytes],
        notes: Callable[[bytes], Notes] = lambda patch: Notes(),
        explode: Callable[[Step], Explosion | None] = lambda step: None,
        progress: Callable[[Step], None] = lambda step: None,
        form: Form = "",
    ) -> None:
        """Begin a series on ``stage``.

        ``read`` gives a patch's content (unpacked), ``origin`` the pkg-git commit that introduced
        it; ``committer`` is a name and an email: the date is the author's, so that ids do not
        depend on when or where the series is applied. ``explode`` gives the commits that a monolith
        consists of. ``form`` is that of the files on the stage (engine.apply.Rules).
        """
        self.patches: list[Patched] = []
        self.failure: Failure | None = None
        self._stage = stage
        self._read = read
        self._origin = origin
        self._committer = committer
        self._notes = notes
        self._explode = explode
        self._progress = progress
        self._form: Form = form
        self._touched: dict[bytes, list[bytes]] = {}  # path -> patches
        self._first, self._first_data = b"", b""  # of the git am call at hand

    def apply(self, steps: Iterable[Step]) -> None:
        """Apply more steps, in order, up to the first failure."""
        for step in steps:
            if self.failure is not None:
                return
            self._progress(step)
            self._apply(step)

    def _apply(self, step: Step) -> None:
        data = self._read(step.patch)
        written: list[Written] = []
        offset = fuzz = 0
        explosion = self._explode(step)
        if step.format_of != self._first:
            self._first = step.format_of
            self._first_data = _MBOX if self._first == b"-" else b""
            if self._first not in (b"", b"-"):
                self._first_data = self._read(self._first)
        introduced = partial(self._origin, step.patch)
        try:
            drafts = commits.drafts(
                step,
                data,
                introduced,
                self._notes(step.patch),
                first=self._first_data if self._first else None,
            )
            for draft, report in _made(
                self._stage, step, self._rules(step), data, drafts, introduced, explosion
            ):
                offset, fuzz = max(offset, report.offset), max(fuzz, report.fuzz)
                if not report.changes and step.tool != "git-am":
                    continue  # patch(1) accepts an empty patch; there is nothing to commit
                _check_for_remotes(self._stage, report.changes)
                when = Identity(*self._committer, draft.author.date)
                mark = self._stage.commit(report.changes, draft.author, when, draft.message)
                written.append(Written(mark, draft.author, draft.message, draft.source))
                for path in report.changes:
                    self._touched.setdefault(path, []).append(step.patch)
        except MailError as error:
            told = f"{error}\n"
            self.failure = self._failed(step, _Refused(str(error), lambda _: told))
        except _Refused as refused:
            self.failure = self._failed(step, refused)
        if written or self.failure is None:
            outcome = explosion.outcome if explosion else None
            self.patches.append(Patched(step, tuple(written), offset, fuzz, outcome))

    def _rules(self, step: Step) -> Rules:
        converts = step.tool == "git-am" or step.in_repository
        return Rules(
            tool=step.tool,
            strip=step.strip,
            fuzz=step.fuzz,
            reverse=step.reverse,
            directory=step.directory,
            options=step.options,
            form=self._form if converts else "",
        )

    def _failed(self, step: Step, refused: _Refused) -> Failure:
        number = f"Patch{step.number}, " if step.number is not None else ""
        done = len(self.patches)
        before = f"after {counted(done, 'patch')}" if done else "the first patch"
        where = f" in {text(step.directory)}/" if step.directory else ""
        heading = f"{text(step.patch)} ({number}{step.tool} -p{step.strip}{where}, {before})"
        if refused.mail:
            heading += f"\n{refused.mail}"
        return Failure(step, refused.reason, f"{heading}\n{refused.explain(self._touched)}")


class _Refused(Exception):
    """A patch does not apply; ``mail`` says which of several it was."""

    def __init__(self, reason: str, explain: Callable[[Mapping[bytes, list[bytes]]], str]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.explain = explain
        self.mail = ""


def _made(
    stage: Stage,
    step: Step,
    rules: Rules,
    data: bytes,
    drafts: Sequence[Draft],
    origin: Callable[[], Origin],
    explosion: Explosion | None,
) -> Iterator[tuple[Draft, Report]]:
    """Yield the commits of one patch file; each is on the stage before the next is asked for.

    Raises _Refused.
    """
    if step.tool == "git-am":
        for number, draft in enumerate(drafts, 1):
            try:
                report = _checked(stage, rules, draft.diff)
            except _Refused as refused:
                if len(drafts) > 1:
                    refused.mail = f"mail {number} of {len(drafts)}: {text(draft.subject)}"
                raise
            yield draft, report
        return
    whole = _checked(stage, rules, data)
    if explosion is not None:
        yield from explosion.drafts(stage, whole, drafts[0])
    elif len(drafts) == 1:
        yield drafts[0], whole
    elif made := _mail_by_mail(stage, rules, drafts, whole):
        yield from made
    else:
        why = "Its mails, applied one by one, do not add up to what the whole file does."
        yield commits.as_one(step, data, origin, why), whole


def _check_for_remotes(tree: Tree, changes: Mapping[bytes, File | None]) -> None:
    """Raise _Refused for a file with which no remote that has receive.fsckObjects takes a push."""
    for path, file in changes.items():
        if file is None or b".git" not in path.rpartition(b"/")[2].lower():
            continue
        if why := fsck.why_refused(path, tree.get(path), file):
            raise _plain_refusal(f"{text(path)}: git fsck refuses it: {why}")


def _plain_refusal(told: str) -> _Refused:
    """Return a refusal that no further analysis explains."""
    return _Refused(told, lambda _: f"{told}\n")


def _mail_by_mail(
    stage: Stage, rules: Rules, drafts: Iterable[Draft], whole: Report
) -> list[tuple[Draft, Report]]:
    """Apply each mail by itself; [] unless that comes to what the tool does with the whole file."""
    view = Overlay(stage)
    made = []
    try:
        for draft in drafts:
            report = _checked(view, rules, draft.diff)
            view.edit(report.changes)
            made.append((draft, report))
    except _Refused:
        return []
    return made if view.same_as(whole.changes) else []


def _checked(tree: Tree, rules: Rules, diff: bytes) -> Report:
    try:
        report = apply(diff, tree, rules)
    except DiffError as error:
        from converter.engine.explain import damage

        told = damage(diff, error)
        raise _Refused(str(error), lambda _: told) from None
    if report.ok:
        return report

    def tell(history: Mapping[bytes, list[bytes]]) -> str:
        from converter.engine.explain import explain

        return explain(diff, tree, rules, report, touched_by=history)

    raise _Refused(str(report.failure), tell)
