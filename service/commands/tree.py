"""The commands on a published tree: diff and export.

Imports are made when a command runs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from converter.errors import WrongUsage
from service.asked import roots
from service.commands.options import CONFIG, JSON, ROOT
from service.terminal import print_json, say, say_report

if TYPE_CHECKING:
    from converter.odb import Repository


@click.command(short_help="Show what changed between two converted builds.")
@click.argument("old", metavar="NVR[@VARIANT]")
@click.argument("new", metavar="NVR[@VARIANT]")
@click.option(
    "--repo",
    type=click.Path(path_type=Path),
    help="A repository with the published tags; the one around the working directory by default.",
)
@JSON
@click.option("--markdown", is_flag=True, help="Give the result as Markdown.")
def diff(old: str, new: str, repo: Path | None, as_json: bool, markdown: bool) -> None:
    """Show what changed between two converted builds: patches, base, configuration.

    Each is an NVR or a variant's tag, such as NVR@aarch64. Needs the published tags only: any clone
    will do.
    """
    from converter.comparison.compare import compare
    from service import show_diff

    if as_json and markdown:
        raise WrongUsage("--json and --markdown exclude each other")
    result = compare(_opened(repo), old, new)
    if as_json:
        print_json(result.as_json())
    else:
        say_report(show_diff.as_markdown(result) if markdown else show_diff.as_text(result))


def _opened(repo: Path | None) -> Repository:
    from converter.odb import Repository

    path = repo or _here()
    click.get_current_context().find_root().obj = (path, ())  # looked at where the command fails
    return Repository(path)


def _here() -> Path:
    """Return the repository around the working directory, or the directory where there is none."""
    from converter.git import Git

    found = Git().run("rev-parse", "--absolute-git-dir", ok=(0, 128)).stdout
    return Path(os.fsdecode(found.rstrip(b"\n"))) if found else Path.cwd()


@click.command(short_help="Write a series back as patch files, into pkg-git too.")
@click.argument("wanted", metavar="TAG|TAG..REV|BRANCH")
@click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Where to write: an empty directory, or a checkout of pkg-git.",
)
@click.option(
    "--repo",
    type=click.Path(path_type=Path),
    help="A clone of the published tree; the one around the working directory by default.",
)
@click.option("--base", metavar="REV", help="The revision that the branch was rebased onto.")
@click.option(
    "--pkg-git",
    "pkg_gits",
    metavar="URL|PATH",
    multiple=True,
    help="Where the original patch files are (repeatable); DIR and the build tell, otherwise.",
)
@CONFIG
@ROOT
@click.option("--no-sandbox", is_flag=True, help="Run the spec's code unprotected.")
@JSON
def export(
    wanted: str,
    directory: Path,
    repo: Path | None,
    base: str | None,
    pkg_gits: Sequence[str],
    config: Path | None,
    root: Path | None,
    no_sandbox: bool,
    as_json: bool,
) -> None:
    """Write a series back as patch files: unchanged ones byte for byte, others by format-patch.

    TAG is a build's, REV or BRANCH what was made from it. A checkout of pkg-git gets its spec
    edited where that is needed, any other directory a series file, too.
    """
    from service import config as configuration
    from service import export as back
    from specparse.trace import SandboxedTracer

    cache = configuration.load(config).state / "mirrors"
    trace = SandboxedTracer(sandboxed=not no_sandbox, roots=roots(config, root))
    done = back.run(
        _opened(repo),
        wanted,
        directory,
        base=base,
        pkg_git=pkg_gits,
        cache=cache,
        trace=trace,
    )
    for warning in done.warnings:
        say(f"srcgit: {warning}", err=True)
    if as_json:
        print_json(done.as_json())
    else:
        say(*back.show(done))
