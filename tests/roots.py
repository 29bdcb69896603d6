"""``make roots-check ROOTS="DIR..."``: builds in the roots of other systems, held to this machine's.

    python -m tests.roots ROOT... [--every N] [--build PKG_GIT#COMMIT UPSTREAM DIST]...

Every Nth package of tests/packages is converted with the system of each root and with this
machine's: all refs but the note of what prepared them must be the same. Every tenth of those is
verified in the root, too. --build adds a real one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from converter import convert as pipeline
from converter import top
from converter.mirror import Mirror
from converter.odb import Repository
from converter.request import Request
from specparse.prep import SandboxedPreparer
from specparse.system_root import Roots
from specparse.trace import SandboxedTracer
from tests.packages.model import Upstream
from tests.packages.test_packages import PACKAGES, Trial


def refs(request: Request, repo: Path, roots: Roots, *, verify: bool) -> dict[str, str]:
    """Convert, and return the refs that came of it; "error" -> its words where nothing did."""
    made = Repository.create(repo)
    prepare = SandboxedPreparer(roots=roots) if verify else None
    try:
        pipeline.convert(request, made, SandboxedTracer(roots=roots), prepare=prepare)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {name: id for name, id in made.refs("refs/").items() if name != top.PREPARED}


def real(build: str, upstream: str, dist: str, scratch: Path) -> Request:
    """Return what to convert of a real pkg-git."""
    location, _, commit = build.rpartition("#")
    return Request(
        Mirror(location, scratch), commit, dist=dist, upstreams=(Mirror(upstream, scratch),)
    )


def main() -> int:
    """Return how many builds differ."""
    parser = argparse.ArgumentParser(prog="python -m tests.roots", description=__doc__)
    parser.add_argument("roots", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--build", nargs=3, action="append", default=[])
    asked = parser.parse_args()
    differ = count = verified = 0
    with tempfile.TemporaryDirectory(prefix="srcgit-roots-") as path:
        scratch = Path(path)
        scratch.chmod(0o755)
        upstream = Upstream(scratch / "demo.git")
        builds: list[tuple[str, Request]] = []
        for n, package in enumerate(PACKAGES[:: asked.every]):
            own = scratch / str(n)
            own.mkdir()
            builds.append((package.idea, Trial(package, upstream, own).request))
        builds += [(build[0], real(build[0], build[1], build[2], scratch)) for build in asked.build]
        for n, (idea, request) in enumerate(builds):
            verify = n % 10 == 0
            here = refs(request, scratch / f"{n}.here.git", Roots({}), verify=verify)
            for root in asked.roots:
                there = refs(
                    request, scratch / f"{n}.{root.name}.git", Roots({}, root), verify=verify
                )
                count, verified = count + 1, verified + verify
                if here != there or "error" in here or not here:
                    differ += 1
                    print(f"{root.name}: {idea}: {dict(set(here.items()) ^ set(there.items()))}")
    print(f"{count} conversions in roots, {verified} of them verified: {differ} differ")
    return min(differ, 1)


if __name__ == "__main__":
    sys.exit(main())
