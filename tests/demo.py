"""``make demo``: the main job, from a pkg-git to a clone of the result, on a sample made here."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.builders import sample

BIN = Path(sys.executable).parent


def run(*command: str | Path) -> None:
    """Show the command as a user would type it, then run it."""
    words = [str(word) for word in command]
    print(f"\n$ {shlex.join(words)}", flush=True)
    program = BIN / words[0] if words[0] == "srcgit" else Path(words[0])
    subprocess.run([str(program), *words[1:]], check=True)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="srcgit-demo-") as scratch:
        here = Path(scratch)
        made = sample(here)
        result, clone = here / "srcgit.git", here / "clone"
        print(f"A model of linux.git and of Fedora's kernel pkg-git, made in {here}.")
        build = f"{made.pkg_git.path}#{made.git_am}"
        run("srcgit", "plan", build)
        for commit in (made.git_am, made.today, made.next):
            build = f"{made.pkg_git.path}#{commit}"
            run("srcgit", "convert", build, "--upstream", made.linux.path, "--repo", result)
        print("\nThe same again does nothing: the tag is there.")
        run("srcgit", "convert", build, "--upstream", made.linux.path, "--repo", result)
        run("git", "clone", "--quiet", "--branch", "f28", result, clone)
        run("git", "-C", clone, "log", "--format=%h %an: %s", "-6")
        run("git", "-C", clone, "show", "--no-patch", "kernel-4.15.0-1.fc28")
        run(
            "git", "-C", clone, "log", "--first-parent", "--format=%h %s", "-3", "origin/builds/f41"
        )


if __name__ == "__main__":
    main()
