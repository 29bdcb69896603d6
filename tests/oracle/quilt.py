"""``make quilt-check``: the queues of Debian source packages, converted, against ``quilt push -a``.

Each .dsc is unpacked without its patches; what was unpacked is the base, debian/patches the series.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.oracle.real import git

# No attribute of the package's own may change what git records.
_PLAIN = "* -text -ident -filter -eol -working-tree-encoding\n"


def recorded(work: Path, repo: Path) -> str:
    """Return the id of the tree that ``work`` holds, without quilt's own .pc."""
    subprocess.run(
        ["git", f"--git-dir={repo}", f"--work-tree={work}", "add", "-A", "-f", "--", ".", ":!/.pc"],
        check=True,
    )
    return git(repo, "write-tree").decode().strip()


def check(dsc: Path) -> bool:
    """Convert one queue and compare; print a line. Return whether the trees are equal."""
    with tempfile.TemporaryDirectory(prefix="srcgit-quilt-") as scratch:
        work, repo, made = (Path(scratch, name) for name in ("work", "base.git", "r.git"))
        unpack = ("dpkg-source", "--no-check", "--skip-patches", "-x", dsc.absolute(), work)
        subprocess.run(unpack, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        git(Path(scratch), "init", "-q", "--bare", str(repo))
        (repo / "info/attributes").write_text(_PLAIN)
        for key in ("user.name", "user.email"):
            git(repo, "config", key, "x@example.com")
        base = git(repo, "commit-tree", "-m", "base", recorded(work, repo)).decode().strip()
        git(repo, "update-ref", "refs/heads/main", base)
        queue = work / "debian/patches"
        asked = ("--series", queue, "--base", base, "--nvr", f"{dsc.name.split('_')[0]}-1-1")
        command = (sys.executable, "-m", "service.cli", "convert", *asked, "--upstream", repo)
        start = time.perf_counter()
        told = subprocess.run([*command, "--repo", made, "--json"], stdout=subprocess.PIPE)
        seconds = time.perf_counter() - start
        done = json.loads(told.stdout)
        start = time.perf_counter()
        pushed = subprocess.run(
            ["quilt", "--quiltrc", "-", "push", "-a", "-q"],
            cwd=work,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "QUILT_PATCHES": "debian/patches"},
            capture_output=True,
        )
        theirs = time.perf_counter() - start
        tree = recorded(work, repo)
        patches = done.get("series", {}).get("patches", [])
        ours = done["series"]["tree"] if told.returncode == 0 else None
        equal = ours == tree if pushed.returncode == 0 else ours is None
        print(
            f"{dsc.stem}: {len(patches)} patches, "
            f"{sum(bool(p['offset']) for p in patches)} with an offset, "
            f"{sum(bool(p['fuzz']) for p in patches)} with fuzz; "
            f"srcgit {ours} in {seconds:.1f} s, quilt {pushed.returncode} {tree} in {theirs:.1f} s: "
            f"{'equal' if equal else 'DIFFERENT'}",
            flush=True,
        )
        if not equal:
            print(pushed.stdout.decode("utf-8", "replace")[-2000:])
            if ours:
                print(git(made, "diff-tree", "-r", ours, tree).decode("utf-8", "replace")[:4000])
        return equal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dsc", nargs="+", type=Path)
    results = [check(dsc) for dsc in parser.parse_args().dsc]
    print(f"{sum(results)} of {len(results)} equal")
    sys.exit(0 if all(results) else 3)


if __name__ == "__main__":
    main()
