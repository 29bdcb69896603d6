"""``make sample PKG_GIT=...``: plans of an even sample of a real pkg-git, over all branches and years.

Counts, by era: plans, honest errors, crashes, bases that agree with what the version says, and
plans that agree with an independent static reading of the spec's text.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from converter.errors import SrcgitError
from converter.mirror import Mirror
from converter.odb import Repository
from converter.pkggit import PkgGit
from specparse.plan import Plan, PlanError
from specparse.trace import SandboxedTracer


@dataclass(frozen=True)
class Outcome:
    commit: str
    era: str
    seconds: float
    plan: Plan | None
    error: str
    base: str  # "agrees", "differs: ...", "untold", "unknown"
    static: str  # "agrees", "differs: ...", "unread"


def commits(repo: Path, count: int) -> Iterator[str]:
    """Yield an even sample of the commits that changed the spec, on every branch."""
    command = [
        "git",
        "-C",
        str(repo),
        "log",
        "--all",
        "--format=%H",
        "--date-order",
        "--",
        "*.spec",
    ]
    listed = subprocess.check_output(command, text=True).split()
    step = max(len(listed) / count, 1)
    yield from (listed[int(n * step)] for n in range(min(count, len(listed))))


def era(spec: bytes) -> str:
    if b"git am %{patches}" in spec:
        return "git am"
    if b"-redhat.patch" in spec:
        return "monolith"
    if re.search(rb"^ApplyOptionalPatch 0001-", spec, re.MULTILINE):
        return "broken out"
    if b"ApplyPatch" in spec:
        return "ApplyPatch"
    return "other"


def base_says(plan: Plan) -> str:
    """Compare the base with what the version says by itself."""
    if plan.base.kind == "unknown":
        return "unknown"
    if plan.base.kind == "commit":
        return (
            "agrees"
            if "git" in plan.release or re.search(r"0\.rc|\.g?[0-9a-f]{7,}", plan.release)
            else f"differs: {plan.version}-{plan.release} is {plan.base.rev}"
        )
    rc = re.search(
        r"(?:^0\.|~)rc(\d+)",
        f"{plan.version}~{plan.release}" if "~" in plan.version else plan.release,
    )
    version = plan.version.partition("~")[0]
    parts = version.split(".")
    if len(parts) == 3 and parts[2] == "0" and int(parts[0]) >= 3:
        version = ".".join(parts[:2])
    wanted = f"v{version}" + (f"-rc{rc[1]}" if rc and rc[1] != "0" else "")
    return (
        "agrees"
        if wanted == plan.base.rev
        else f"differs: {plan.version}-{plan.release} is {plan.base.rev}"
    )


def static_reading(spec: str, plan: Plan) -> str:
    """Compare the steps with what a reader of the text sees; only for plain dialects."""
    declared = dict(re.findall(r"^Patch(\d+)\s*:\s*(\S+)", spec, re.MULTILINE))
    prep = spec.partition("\n%prep")[2].partition("\n%build")[0]
    steps = [step.patch.decode("utf-8", "replace").rpartition("/")[2] for step in plan.steps]
    if "%if" in "".join(re.findall(r"^%if.*\n(?:Patch.*\n)+", spec, re.MULTILINE)):
        return "unread"
    if "git am %{patches}" in prep:
        names = list(declared.values())
        if any("%" in name for name in names) or len(re.findall(r"git am", prep)) != 1:
            return "unread"
        return "agrees" if steps == names else "differs"
    calls = re.findall(r"^\s*Apply(?:Optional)?Patch +(\S+)", prep, re.MULTILINE)
    called = {name for name in calls if "%" not in name and "$" not in name}
    if not called:
        return "unread"
    extra = set(steps) - called - {name for name in steps if "redhat" in name}
    return "agrees" if not extra else f"differs: {sorted(extra)[:3]}"


def one(repo: Path, commit: str) -> Outcome:
    pkg_git = PkgGit(Mirror.of(str(repo), Repository(repo)))
    package = pkg_git.at(commit)
    start = time.perf_counter()
    text = b""
    try:
        spec = package.spec(None)
        text = package.read(spec) or b""
        try:
            dist = pkg_git.dist_of(commit)
        except SrcgitError:
            dist = ".fc20"
        with tempfile.TemporaryDirectory(prefix="srcgit-sample-") as scratch:
            Path(scratch).chmod(0o755)
            package.export(Path(scratch), spec)
            plan = SandboxedTracer()(Path(scratch), spec, dist=dist, arch="x86_64")
    except (PlanError, SrcgitError) as error:
        seconds = time.perf_counter() - start
        where = getattr(error, "where", "")
        return Outcome(commit, era(text), seconds, None, f"{error} {where}", "", "")
    except Exception as error:
        return Outcome(
            commit, era(text), 0.0, None, f"CRASH {type(error).__name__}: {error}", "", ""
        )
    seconds = time.perf_counter() - start
    read = static_reading(text.decode("utf-8", "replace"), plan)
    return Outcome(commit, era(text), seconds, plan, "", base_says(plan), read)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pkg_git", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    chosen = list(commits(asked.pkg_git, asked.count))
    with ThreadPoolExecutor(asked.jobs) as pool:
        outcomes = list(pool.map(lambda commit: one(asked.pkg_git, commit), chosen))
    by_era = defaultdict(list)
    for outcome in outcomes:
        by_era[outcome.era].append(outcome)
    print(
        "era          commits  plans  errors  crashes  base:agrees/differs/unknown  static:agrees/differs/unread  steps  median s"
    )
    for name, found in sorted(by_era.items()):
        crashes = sum(o.error.startswith("CRASH") for o in found)
        base = Counter(o.base.partition(":")[0] for o in found)
        read = Counter(o.static.partition(":")[0] for o in found)
        plans = [o for o in found if o.plan]
        steps = sum(len(o.plan.steps) for o in plans if o.plan)
        print(
            f"{name:12} {len(found):7} {len(plans):6} {len(found) - len(plans) - crashes:7} {crashes:8}"
            f"  {base['agrees']:6}/{base['differs']}/{base['unknown']:<12}"
            f"  {read['agrees']:6}/{read['differs']}/{read['unread']:<12} {steps:8}"
            f"  {statistics.median(o.seconds for o in found):.2f}"
        )
    for outcome in outcomes:
        for what in (outcome.error, outcome.base, outcome.static):
            if what.startswith(("differs", "CRASH")) or (what and what == outcome.error):
                print(outcome.commit[:12], outcome.era, "|", what[:160])
    sys.exit(any(o.error.startswith("CRASH") for o in outcomes))


if __name__ == "__main__":
    main()
