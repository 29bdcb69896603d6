"""Which patch a package applies where: on each architecture, with each of its build conditions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from converter import planning
from converter.clock import Progress
from converter.errors import CannotConvert, WrongUsage
from converter.planning import Planned
from converter.request import Request
from converter.text import counted, text
from specparse.plan import Step, Tracer

# What Fedora builds for, or built for; a spec's ExclusiveArch and %ifarch speak of these.
ARCHES = ("x86_64", "aarch64", "ppc64le", "s390x", "i686", "armv7hl", "ppc64", "riscv64")
_CONDITION = re.compile(
    r"^[^\S\n]*%bcond(?:_with|_without)?\s+(\w+)|(?<!\w)_(?:with|without)_(\w+)", re.MULTILINE
)
_DISTRIBUTION = re.compile(r"%\{\??!?\??rhel\b|\brhel\b")
_EL = ".el10"


def options(
    having: Iterable[str], lacking: Iterable[str], defines: Iterable[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return rpmbuild's --with, --without and --define as macros, and as words of a tag.

    Raises WrongUsage.
    """
    macros: dict[str, str] = {}
    words = []
    for way, names in (("with", having), ("without", lacking)):
        for name in names:
            if not re.fullmatch(r"\w+", name):
                raise WrongUsage(f"not a build condition: {name!r}")
            macros[f"_{way}_{name}"] = f"--{way}-{name}"
            words.append(f"{way}-{name}")
    for define in defines:
        name, _, body = define.strip().partition(" ")
        if not re.fullmatch(r"[A-Za-z_]\w{2,}", name) or not body.strip():
            raise WrongUsage(f"not a definition: {define!r}", next_step="give 'MACRO BODY'")
        macros[name] = body.strip()
        short = re.sub(r"[^A-Za-z0-9_-]", lambda m: f"%{ord(m[0]):02X}", body.strip())
        words.append(f"{name}={short}")
    return macros, tuple(words)


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to build the package, and what %prep applies then."""

    name: str
    steps: tuple[Step, ...]
    base: str
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Variants:
    """All of them; the first is the one that was asked for."""

    nvr: str
    all: tuple[Variant, ...]

    def groups(self) -> list[list[Variant]]:
        """Return the variants by what they apply, those that agree with the first one first."""
        groups: dict[object, list[Variant]] = {}
        for variant in self.all:
            key = (tuple(map(_line, variant.steps)), variant.base, variant.trouble)
            groups.setdefault(key, []).append(variant)
        return list(groups.values())

    def rows(self) -> dict[str, list[str]]:
        """Return patch -> how each group applies it ("" where it does not)."""
        columns = [_by_patch(group[0].steps) for group in self.groups()]
        names = dict.fromkeys(name for column in columns for name in column)
        return {name: [column.get(name, "") for column in columns] for name in names}

    def as_json(self) -> dict[str, Any]:
        return {
            "nvr": self.nvr,
            "variants": [
                {
                    "variant": variant.name,
                    "base": variant.base,
                    "patches": [_line(step) for step in variant.steps],
                    **({"error": variant.trouble} if variant.trouble else {}),
                }
                for variant in self.all
            ],
        }

    def show(self) -> list[str]:
        """Return a table of what differs, in lines, for people."""
        groups, rows = self.groups(), self.rows()
        marks = [chr(ord("A") + n) if n < 26 else str(n) for n in range(len(groups))]
        lines = [f"{self.nvr}: {len(self.all)} variants, {len(groups)} different series"]
        for mark, group in zip(marks, groups, strict=True):
            first = group[0]
            what = (
                first.trouble
                or f"{counted(len(first.steps), 'patch')} on {first.base or 'unknown'}"
            )
            lines.append(f"  {mark}  {what}: {', '.join(variant.name for variant in group)}")
        differing = {name: row for name, row in rows.items() if len(set(row)) > 1}
        if differing:
            widths = [
                max(map(len, column)) for column in zip(marks, *differing.values(), strict=True)
            ]
            lines += [_row("", marks, widths)]
            lines += [
                _row(name, [cell or "-" for cell in row], widths) for name, row in differing.items()
            ]
        if same := len(rows) - len(differing):
            are = "is" if same == 1 else "are"
            lines.append(f"{counted(same, 'patch')} {are} applied alike in all of them")
        return lines


def _row(name: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    told = (cell.ljust(max(width, 1)) for cell, width in zip(cells, widths, strict=True))
    return f"  {'  '.join(told)}  {name}".rstrip()


def variants(
    request: Request,
    planned: Planned,
    tracer: Callable[[Mapping[str, str]], Tracer],
    progress: Progress,
) -> Variants:
    """Plan the package anew for each architecture, each build condition the other way, and RHEL.

    One thing is varied at a time. ``tracer`` gives a tracer with macros defined in addition.
    """
    spec = text(planned.package.read(planned.plan.spec) or b"")

    def plan(case: tuple[str, Request, Mapping[str, str]]) -> Variant:
        name, asked, macros = case
        progress(f"planning {name}")
        try:
            made = planning.plan(asked, tracer(macros)).plan
        except CannotConvert as error:
            return Variant(name, (), "", error.what)
        return Variant(name, made.steps, made.base.rev)

    with ThreadPoolExecutor(2) as threads:
        told = list(threads.map(plan, _cases(request, planned, spec)))
    first = Variant(request.arch, planned.plan.steps, planned.plan.base.rev)
    return Variants(str(planned.nvr), (first, *told))


def _cases(
    request: Request, planned: Planned, spec: str
) -> Iterator[tuple[str, Request, Mapping[str, str]]]:
    same = replace(request, nvr=None, dist=planned.dist)
    for arch in ARCHES:
        if arch != request.arch:
            yield arch, replace(same, arch=arch), {}
    conditions = dict.fromkeys(one or two for one, two in _CONDITION.findall(spec))
    for name in conditions:
        for way in ("with", "without"):
            yield (
                f"--{way} {name}",
                same,
                options([name], [], [])[0] if way == "with" else (options([], [name], [])[0]),
            )
    if _DISTRIBUTION.search(spec) and planned.dist != _EL:
        yield f"--dist {_EL}", replace(same, dist=_EL), {}


def _line(step: Step) -> str:
    return f"{text(step.patch)} {_how(step)}"


def _how(step: Step) -> str:
    words = [step.tool, f"-p{step.strip}", *(["-R"] if step.reverse else [])]
    words += [f"in {text(step.directory)}"] if step.directory else []
    return " ".join(words)


def _by_patch(steps: Iterable[Step]) -> dict[str, str]:
    """Return patch -> how it is applied, for one that is applied twice both ways."""
    found: dict[str, str] = {}
    for step in steps:
        name, how = text(step.patch), _how(step)
        found[name] = f"{found[name]}, {how}" if name in found else how
    return found
