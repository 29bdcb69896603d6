"""Results for people: a plan, a conversion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from converter.text import clipped, counted, text
from service.terminal import say
from specparse.plan import CHANGES

if TYPE_CHECKING:
    from converter.conversion import Conversion
    from converter.planning import Planned
    from converter.upstream import Found


def print_plan(planned: Planned, found: Found | str, *, whole: bool) -> None:
    from converter.planning import warnings

    made = planned.plan
    say(f"{planned.nvr}  pkg-git {planned.package.commit.id[:12]}")
    guess = ", or as upstream spells it" if made.base.guess else ""
    if whole and made.archives:
        named = f"; upstream's {made.base.rev}{guess}" if made.base.rev else ""
        say(f"base  {text(made.archives[0].file)}, the archive itself{named}")
    elif isinstance(found, str):
        say(f"base  {made.base.rev or 'unknown'}{guess}  ({made.base.how})")
    else:
        say(f"base  {found.rev}  {found.commit[:12]} of {found.location}  ({found.base.how})")
    for archive in made.archives[1:]:
        say(f"      {text(archive.file)} is unpacked in the tree")
    for patch in made.base_patches:
        say(f"      {text(patch)} is part of the base")
    are = "is" if len(made.steps) == 1 else "are"
    say(f"{counted(len(made.steps), 'patch')} {are} applied:")
    for step in made.steps:
        number = "" if step.number is None else f"Patch{step.number}"
        flags = [f"-p{step.strip}"] if step.strip >= 0 else []
        flags += [f"-F{step.fuzz}"] if step.tool == "patch" else []
        flags += ["-R"] if step.reverse else []
        flags += [f"in {text(step.directory)}"] if step.directory else []
        say(f"  {number:>10}  {step.tool} {' '.join(flags)}  {text(step.patch)}")
    for title, rows in (
        ("not applied:", [(text(s.patch), s.why) for s in made.skipped]),
        (
            "applied in a way that cannot be told, so that convert refuses:",
            [(u.command, u.why) for u in made.unrepresented if u.applies],
        ),
        (
            "not represented by a commit, as it changes the tree and is no patch:",
            [(clipped(u.command), "") for u in made.unrepresented if u.why == CHANGES],
        ),
        (
            "not represented by a commit:",
            [
                (clipped(u.command), u.why)
                for u in made.unrepresented
                if not u.applies and u.why != CHANGES
            ],
        ),
        ("warnings:", [(warning, "") for warning in warnings(planned, found)]),
        ("changed in the spec, so that this rpm reads it:", [(edit, "") for edit in made.edits]),
    ):
        if rows:
            say(title)
        for what, why in rows:
            say(f"  {what}" + (f"  ({why})" if why else ""))


_TOLD = 5  # patches of a kind; of old kernels %prep passes over two hundred


def left_out(skipped: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Say which patches %prep does not apply to the tree, a line for each reason or patch."""
    for why, group in groupby(sorted(skipped, key=lambda s: s["why"]), key=lambda s: s["why"]):
        names = [each["patch"] for each in group]
        more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
        yield f"not applied: {', '.join(names[:_TOLD])}{more} ({why})"


def print_conversion(done: Conversion, repo: Path) -> None:
    patches = done.series["patches"]
    commits = sum(len(patch["commits"]) for patch in patches)
    base = done.series["base"]
    say(
        f"{done.build.nvr}: {counted(len(patches), 'patch')}, {counted(commits, 'commit')} on {base['rev']} "
        f"({base['commit'][:12]})"
    )
    for held in base.get("archives", ()):
        where = f" in {held['directory']}/" if held["directory"] else ""
        kinds = [f"{held[k]} {k}" for k in ("added", "changed", "removed") if held.get(k)]
        differs = ", ".join(kinds) if held["commit"] else "as upstream has it"
        say(f"       {held['archive']}{where}" + (f"  ({differs})" if differs else ""))
    for patch in patches:
        if told := patch.get("exploded"):
            made = sum("source" in commit for commit in patch["commits"])
            rest = ", and a residue" if told["residue"] else ""
            say(f"       {patch['patch']}: {made} of {told['listed']} listed commits{rest}")
    if told := done.series.get("prep"):
        files = sum(step["files"] for step in told["steps"])
        say(
            f"       %prep changes {files} files besides"
            + (f" ({told['commit'][:12]})" if files else "")
        )
    say(f"branch {done.build.branch}  {done.commit}")
    say(f"tag    {done.build.tag}")
    say(f"tree   {done.tree}, after the series {done.series['series']['tree']}")
    if done.verdict:
        say(*done.verdict.lines(done.build.tag))
    if done.tools:
        say(f"with   {done.tools}")
    say(f"in     {repo}")
