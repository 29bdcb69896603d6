"""``make sample PKG_GIT=MIRROR``: an even sample of a pkg-git's history, planned: a table by era.

Each plan is held against two readings that share nothing with the tracer: the base that the
version and release stand for, and the patch commands in the text of ``%prep`` as rpmspec(8)
expands it, read line by line.

``--plans FILE`` writes every plan to a file, a line for each commit: of two systems, which differ in
rpm, the files are the same.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from specparse.macros import SOURCES, macros
from specparse.plan import Plan, PlanError
from specparse.sandbox import Limits, Sandbox
from specparse.trace import SandboxedTracer
from tests.specparse.conftest import copied
from tests.specparse.plans import as_json


@dataclass(frozen=True, slots=True)
class Sampled:
    """A commit of the sample."""

    commit: str
    branch: str
    year: int


@dataclass(slots=True)
class Outcome:
    """How one commit went."""

    sampled: Sampled
    era: str = ""
    seconds: float = 0.0
    plan: Plan | None = None
    error: str = ""
    crash: str = ""
    base: str = ""  # "", or how it differs from what the version says
    resolved: bool = False
    static: str = ""  # "", or how it differs from the static reading
    unrepresented: collections.Counter[str] = field(default_factory=collections.Counter)


def sample(mirror: Path, count: int) -> list[Sampled]:
    """Return about ``count`` commits that touch the spec, round robin over (branch, year)."""
    log = git(mirror, "log", "--all", "--source", "--format=%H %S %cs", "--", "*.spec").decode()
    strata: dict[tuple[str, int], list[Sampled]] = {}
    for line in log.splitlines():
        commit, ref, date = line.split(" ")
        one = Sampled(commit, ref.removeprefix("refs/heads/"), int(date[:4]))
        strata.setdefault((one.branch, one.year), []).append(one)
    # Each stratum gives the same share, those that are smaller give all.
    share, left, taken = count, count, []
    for position, key in enumerate(sorted(strata, key=lambda k: len(strata[k]))):
        share = left // (len(strata) - position)
        commits = strata[key]
        size = min(share, len(commits))
        taken += [commits[i * len(commits) // size] for i in range(size)]
        left -= size
    return taken


def dist(one: Sampled) -> str:
    """Return the dist tag of the branch, or what rawhide was to become that year."""
    if named := re.match(r"f(\d+)", one.branch):
        return f".fc{named[1]}"
    return f".fc{14 + max(0, (one.year - 2010) * 2)}"


def git(mirror: Path, *argv: str, input: bytes = b"") -> bytes:
    command = ["git", "-C", str(mirror), *argv]
    return subprocess.run(command, check=True, input=input, stdout=subprocess.PIPE).stdout


@contextlib.contextmanager
def exported(mirror: Path, commit: str) -> Iterator[Path]:
    """Write the files at the top of ``commit``: all that a build sees of the kernel's pkg-git.

    A blob that the mirror lacks (some of the largest) becomes a file that says so.
    """
    with tempfile.TemporaryDirectory(prefix="srcgit-sample-") as scratch:
        os.chmod(scratch, 0o755)
        tree = git(mirror, "ls-tree", "-z", commit).split(b"\0")[:-1]
        entries = [(line.split(b"\t", 1)[1], *line.split()[:3]) for line in tree]
        blobs = [(name, mode, oid) for name, mode, kind, oid in entries if kind == b"blob"]
        blobs += [
            line for link in blobs if link[1] == b"120000" for line in pointed(mirror, commit, link)
        ]
        asked = b"".join(oid + b"\n" for _, _, oid in blobs)
        answer = BytesIO(git(mirror, "cat-file", "--batch", input=asked))
        for name, mode, _ in blobs:
            path = os.path.join(os.fsencode(scratch), name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            head = answer.readline().split()
            data = b"the mirror lacks it\n" * 20
            if head[1] != b"missing":
                data = answer.read(int(head[2]) + 1)[:-1]
            if mode == b"120000":
                os.symlink(data, path)
                continue
            with open(path, "wb") as file:
                file.write(data)
            os.chmod(path, int(mode, 8) & 0o777)
        yield Path(scratch)


def pointed(
    mirror: Path, commit: str, link: tuple[bytes, bytes, bytes]
) -> list[tuple[bytes, bytes, bytes]]:
    """Return the file in a subdirectory that a link at the top leads to."""
    target = git(mirror, "cat-file", "blob", link[2].decode())
    found = git(mirror, "ls-tree", commit, "--", os.fsdecode(target)).split()
    return [(target, found[0], found[2])] if b"/" in target and found else []


def attempt(mirror: Path, one: Sampled) -> Outcome:
    outcome = Outcome(one)
    with exported(mirror, one.commit) as package:
        specs = [p.name for p in package.glob("*.spec")]
        if len(specs) != 1:
            outcome.error, outcome.era = f"{len(specs)} specs", "no spec"
            return outcome
        text = (package / specs[0]).read_text(errors="replace")
        outcome.era = era(text)
        start = time.monotonic()
        try:
            outcome.plan = SandboxedTracer(limits=Limits(wall=120))(
                copied(package),
                specs[0].encode(),
                dist=dist(one),
                arch="x86_64",
            )
        except PlanError as error:
            outcome.error = " ".join(filter(None, [error.what, error.where]))
        except Exception as error:
            outcome.crash = f"{type(error).__name__}: {error}"
        outcome.seconds = time.monotonic() - start
        if outcome.plan:
            outcome.base = base_differs(outcome.plan)
            outcome.static = static_differs(outcome.plan, package, specs[0], dist(one))
            outcome.unrepresented.update(u.command.split()[0] for u in outcome.plan.unrepresented)
    return outcome


def era(text: str) -> str:
    prep = text.partition("\n%prep")[2]
    if re.search(r"^git am ", prep, re.MULTILINE):
        return "git am"
    if re.search(r"^ApplyOptionalPatch 0001-", prep, re.MULTILINE):
        return "broken out"
    if "-redhat.patch" in text:
        return "one patch"
    if "ApplyPatch" in prep:
        return "ApplyPatch"
    return "other"


# -- the base that version and release stand for -----------------------------------------------


def base_differs(plan: Plan) -> str:
    """Return "" when the plan's base agrees with the NVR, or what differs."""
    version, release = plan.version, plan.release
    parts = version.split(".")
    if parts[:2] == ["2", "6"] and int(parts[2]) >= 40:  # Fedora 15 called Linux 3.0 2.6.40
        parts[:3] = ["3", str(int(parts[2]) - 40)]
    if int(parts[0]) >= 3 and parts[2:] == ["0"]:
        parts.pop()
    rc = re.search(r"(?:^|\.)rc(\d+)", release) if release.startswith("0.") else None
    snapshot = re.search(r"\.git(\d+)\.", release)
    sha = re.search(r"\.\d{6,8}g(?:it)?([0-9a-f]{7,})\.", release)
    kind, rev = plan.base.kind, plan.base.rev
    if sha:
        return "" if kind == "commit" and rev.startswith(sha[1]) else f"{rev}, not {sha[1]}"
    if snapshot and snapshot[1] != "0":
        return "" if kind in ("commit", "unknown") else f"{rev} for a snapshot: {release}"
    wanted = "v" + ".".join(parts)
    if release.startswith("0."):
        if rc is None or rc[1] == "0":
            return "" if kind != "unknown" else f"unknown for {version}-{release}"
        wanted += f"-rc{rc[1]}"
    if kind == "tag" and rev == wanted:
        return ""
    return f"{kind} {rev}, not {wanted} ({version}-{release})"


# -- the patch commands in the text ------------------------------------------------------------

_APPLY = re.compile(r"^\s*Apply(Optional)?Patch\s+(\S+)([^\n]*)$", re.MULTILINE)


def static_differs(plan: Plan, package: Path, spec: str, dist: str) -> str:
    """Return "" when reading the expanded %prep as text tells the same patches, in order."""
    read = static(package, spec, dist)
    if read is None:
        return ""
    traced = [(s.patch.decode("utf-8", "replace"), s.reverse) for s in plan.steps]
    if read == traced:
        return ""
    only_read = [name for name, _ in read if (name, _) not in traced]
    only_traced = [name for name, _ in traced if (name, _) not in read]
    return (
        f"{len(traced)} traced, {len(read)} read; only traced {only_traced}, only read {only_read}"
    )


def static(package: Path, spec: str, dist: str) -> list[tuple[str, bool]] | None:
    """Return (patch, reverse) for each patch command in the text; None when rpmspec refuses."""
    words = ["rpmspec", "-P", "--target", "x86_64-linux"]
    for name, body in macros(dist, "x86_64").items():
        words += ["--define", f"{name} {body}"]
    box = Sandbox(read_only=((package, SOURCES),), limits=Limits(wall=120))
    done = box.run(*words, f"{SOURCES}/{spec}")
    if done.status != 0:
        return None
    text = done.stdout.decode("utf-8", "replace")
    prep = re.split(r"^%(?:build|install)\b", text.partition("\n%prep")[2], flags=re.MULTILINE)[0]
    found: list[tuple[str, bool]] = []
    elsewhere = False  # in the second tree of 2011 and 2012
    for line in re.sub(rf"\n(?={SOURCES}/)", " ", prep).splitlines():
        line = re.sub(r"\s+#.*", "", line).strip()
        if line.startswith("cd "):
            elsewhere = "compat-wireless" in line or (elsewhere and "linux" not in line)
        if elsewhere:
            continue
        if apply := _APPLY.match(line):
            name = apply[2]
            path = package / name
            lines = path.read_bytes().count(b"\n") if path.is_file() else 0
            if apply[1] and lines <= 9:
                continue
            if path.is_file():
                found.append((name, "-R" in apply[3].split()))
        elif re.match(r"git am\b", line):
            found += [
                (os.path.basename(w), False) for w in shlex.split(line)[2:] if w.startswith(SOURCES)
            ]
        elif re.match(r"(?:/usr/bin/)?patch .*<|git (?:--work-tree=\. )?apply ", line):
            names = re.findall(rf"{SOURCES}/(\S+)", line)
            found += [(n, " -R " in line) for n in names if (package / n).is_file()]
    return found


# -- the table -------------------------------------------------------------------------------


def table(outcomes: Sequence[Outcome]) -> None:
    eras = sorted({o.era for o in outcomes})
    print(
        f"{'era':22} {'commits':>7} {'plans':>6} {'errors':>6} {'crash':>5} {'based':>5}"
        f" {'base≠':>5} {'static≠':>7} {'unrep.':>6} {'steps':>6} {'s':>5}"
    )
    for name in [*eras, "all"]:
        of = [o for o in outcomes if name in (o.era, "all")]
        plans = [o.plan for o in of if o.plan]
        print(
            f"{name:22} {len(of):7} {len(plans):6} {sum(bool(o.error) for o in of):6}"
            f" {sum(bool(o.crash) for o in of):5} {sum(p.base.kind != 'unknown' for p in plans):5}"
            f" {sum(bool(o.base) for o in of):5} {sum(bool(o.static) for o in of):7}"
            f" {sum(o.unrepresented.total() for o in of):6} {sum(len(p.steps) for p in plans):6}"
            f" {statistics.median([o.seconds for o in of] or [0]):5.2f}"
        )
    for title in ("crash", "error", "base", "static"):
        for o in outcomes:
            if said := getattr(o, title):
                print(f"{title}: {o.sampled.commit[:12]} {o.sampled.branch} {o.era}: {said[:300]}")
    words = sum((o.unrepresented for o in outcomes), collections.Counter[str]())
    print("unrepresented:", dict(words.most_common(30)))
    warnings = collections.Counter(
        re.sub(r"[0-9a-f]{7,}|\S+\.\w+", "…", w)
        for o in outcomes
        if o.plan
        for w in o.plan.warnings
    )
    print("warnings:", dict(warnings.most_common(20)))


def written(outcome: Outcome) -> str:
    """Return a commit's plan, or why there is none, in one line."""
    plan = as_json(outcome.plan) if outcome.plan else f"no plan: {outcome.error or outcome.crash}"
    return f"{outcome.sampled.commit} {plan}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mirror", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--plans", type=Path, help="write the plans to this file, to be compared")
    options = parser.parse_args()
    chosen = sample(options.mirror, options.count)
    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = []
        for number, outcome in enumerate(pool.map(lambda o: attempt(options.mirror, o), chosen), 1):
            outcomes.append(outcome)
            if number % 100 == 0:
                print(f"{number} of {len(chosen)}", file=sys.stderr)
    table(outcomes)
    if options.plans:
        options.plans.write_text("".join(map(written, outcomes)))
    if any(o.crash for o in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    main()
