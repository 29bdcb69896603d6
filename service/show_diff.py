"""A comparison of two builds for people: as text, and as Markdown (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from converter.comparison.differences import Comparison, Dropped, Gone, Kept, Side
from converter.text import counted
from service.terminal import one_line

_HOW = {
    "patch-id": "the same change",
    "reference": "the patch names it",
    "subject": "same subject and author, another diff",
}
_FACTS = {
    "base_patches": "part of the base",
    "skipped": "not applied",
    "unrepresented": "not represented by a commit",
    "warnings": "warning",
    "tool": "patches are applied with",
}
_EQUAL = re.compile(r"\s*\d+:\s+[0-9a-f]+ =\s")  # git-range-diff(1), "Output stability"


def as_text(found: Comparison) -> str:
    """Return ``found`` for a terminal; no control character of a patch gets there."""
    lines = [f"{found.old.name} -> {found.new.name}", f"base  {_base(found)}"]
    lines += _text_section("added", [(s.patch, _subjects(s)) for s in found.added])
    lines += _text_section(
        "dropped", [(d.side.patch, _fate(d) or _subjects(d.side)) for d in found.dropped]
    )
    lines += _text_changed(found.changed)
    lines += _text_section("renamed", [(k.old.patch, f"-> {k.new.patch}") for k in found.renamed])
    lines += _text_section(
        "moved", [(k.new.patch, f"{k.old.position} -> {k.new.position}") for k in found.moved]
    )
    lines.append(f"unchanged: {counted(found.unchanged, 'patch')}")
    rows = _configuration(found)
    lines += _text_rows(f"configuration: {_config_summary(found)}", rows) if rows else []
    lines += _text_section("spec", [(sign + what, fact) for sign, what, fact in _facts(found)])
    return "\n".join(map(one_line, lines)) + "\n"


def as_markdown(found: Comparison) -> str:
    """Return ``found`` as CommonMark, for a bug, a mail or a page."""
    lines = [f"## {_code(found.old.name)} → {_code(found.new.name)}", ""]
    lines += [f"Base: {_escaped(_base(found))}", ""]
    lines += _list("Added", [(s.patch, _escaped(_subjects(s))) for s in found.added])
    lines += _list(
        "Dropped",
        [(d.side.patch, _escaped(_fate(d) or _subjects(d.side))) for d in found.dropped],
    )
    for kept in found.changed:
        lines += [] if kept is not found.changed[0] else [f"### Changed ({len(found.changed)})", ""]
        lines += [f"- {_code(kept.new.patch)}: {', '.join(kept.what)}"]
        lines += [f"  - {_escaped(line)}" for line in _commits(kept)]
        lines += ["", *_block(_differing(kept.range_diff)), ""]
    lines += _list("Renamed", [(k.old.patch, f"→ {_code(k.new.patch)}") for k in found.renamed])
    lines += _list(
        "Moved", [(k.new.patch, f"{k.old.position} → {k.new.position}") for k in found.moved]
    )
    lines += [f"Unchanged: {counted(found.unchanged, 'patch')}.", ""]
    rows = _configuration(found)
    lines += _list("Configuration", [(name, _escaped(what)) for name, what in rows])
    lines += _list("Spec", [(sign + what, _escaped(fact)) for sign, what, fact in _facts(found)])
    return "\n".join(map(one_line, lines)).rstrip("\n") + "\n"


# -- what is said ---------------------------------------------------------------------------


def _base(found: Comparison) -> str:
    old, new = (side.record["base"] for side in (found.old, found.new))
    step = found.base
    if step.relation == "same":
        return f"{new['rev']} (the same)"
    ahead, behind = (counted(count or 0, "commit") for count in (step.ahead, step.behind))
    how = {
        "forward": f"{ahead} on",
        "back": f"{behind} back",
        "diverged": f"with {ahead} that the first lacks, without {behind} that it has",
        "unknown": "this clone is too shallow to count the commits",
    }[step.relation]
    return f"{old['rev']} -> {new['rev']} ({how})"


def _subjects(side: Side) -> str:
    if not side.subjects:
        return "(no commit)"
    more = len(side.subjects) - 1
    return side.subjects[0] + (f" (and {more} more)" if more else "")


def _fate(dropped: Dropped) -> str:
    """Return where a dropped patch went; "" where that is not known of any commit."""
    if not any(gone.upstream or gone.now_in for gone in dropped.commits):
        return ""
    return "; ".join(_gone(dropped.commits))


def _gone(commits: Iterable[Gone]) -> Iterator[str]:
    for gone in commits:
        if gone.upstream:
            how = f"upstream as {gone.upstream.commit[:12]}, {_HOW[gone.upstream.how]}"
        else:
            how = f"now in {gone.now_in}" if gone.now_in else "dropped"
        yield f"{gone.subject} ({how})"


def _commits(kept: Kept) -> list[str]:
    return [*_gone(kept.gone), *(f"{subject} (added)" for _, subject in kept.came)]


def _differing(range_diff: str) -> list[str]:
    """Return the lines of a range-diff without the commits that are equal."""
    return [line for line in range_diff.splitlines() if not _EQUAL.match(line)]


def _configuration(found: Comparison) -> list[tuple[str, str]]:
    rows = [(file, "new file") for file in found.configs.added]
    rows += [(file, "file dropped") for file in found.configs.dropped]
    for change in found.configs.changes:
        step = f"{change.old or '(absent)'} -> {change.new or '(absent)'}"
        rows.append((change.symbol, f"{step}  {' '.join(found.configs.where(change))}"))
    return rows


def _config_summary(found: Comparison) -> str:
    counts = (
        (len(found.configs.added), "file", " added"),
        (len(found.configs.dropped), "file", " dropped"),
        (len(found.configs.changes), "change", ""),
    )
    return ", ".join(counted(n, what) + became for n, what, became in counts if n)


def _facts(found: Comparison) -> Iterator[tuple[str, str, str]]:
    for sign, facts in (("- ", found.facts_gone), ("+ ", found.facts_new)):
        yield from ((sign, f"{_FACTS[fact.kind]}", fact.text) for fact in facts)


# -- text -----------------------------------------------------------------------------------


def _text_section(title: str, rows: list[tuple[str, str]]) -> list[str]:
    return _text_rows(f"{title}: {len(rows)}", rows) if rows else []


def _text_rows(title: str, rows: list[tuple[str, str]]) -> list[str]:
    width = min(max(len(name) for name, _ in rows), 44)
    return [title, *(f"  {name:<{width}}  {what}" for name, what in rows)]


def _text_changed(changed: Iterable[Kept]) -> list[str]:
    rows = list(changed)
    lines = [f"changed: {len(rows)}"] if rows else []
    for kept in rows:
        lines.append(f"  {kept.new.patch}  ({', '.join(kept.what)})")
        lines += [f"    {line}" for line in _commits(kept)]
        lines += [f"    {line}".rstrip() for line in _differing(kept.range_diff)]
    return lines


# -- Markdown (CommonMark 0.31) -------------------------------------------------------------


def _list(title: str, rows: list[tuple[str, str]]) -> list[str]:
    if not rows:
        return []
    return [
        f"### {title} ({len(rows)})",
        "",
        *(f"- {_code(name)} {what}" for name, what in rows),
        "",
    ]


def _ticks(text: str, least: int) -> str:
    """Return a run of backticks longer than any in ``text`` (sections 4.5 and 6.1)."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)


def _code(text: str) -> str:
    ticks = _ticks(text, 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def _escaped(text: str) -> str:
    """Escape what would be markup, HTML included (section 2.4: any ASCII punctuation may be)."""
    return re.sub(r"([\\`*_\[\]<>&#|~])", r"\\\1", text)


def _block(lines: list[str]) -> list[str]:
    if not lines:
        return []
    fence = "  " + _ticks("\n".join(lines), 3)
    return [f"{fence}diff", *(f"  {line}" for line in lines), fence]
