"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    envvar="FEDORA_MESSAGING_CONF",  # fedora-messaging's own name for it
    help="fedora-messaging's TOML file, with srcgit's part in [consumer_config]; "
    "else $FEDORA_MESSAGING_CONF.",
)
ROOT = click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Read and prepare specs with the system below DIR (its rpm, macros, patch and git); "
    "else as configured, else this machine's.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Give the result as JSON.")


def of_a_build(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of plan, convert and verify, to be listed in this order."""
    options = (
        click.argument("build", metavar="BUILD", required=False),
        click.option(
            "--series",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Take a plain quilt series (or its file) instead of BUILD; convert needs --base.",
        ),
        click.option(
            "--srpm",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Take a source RPM instead of BUILD; its archive is the base without an upstream.",
        ),
        click.option(
            "--guard",
            "guards",
            metavar="SYMBOL",
            multiple=True,
            help="Define it for guards(1) in a series (repeatable).",
        ),
        click.option("--nvr", metavar="NVR", help="Which build PKG_GIT#COMMIT is."),
        click.option(
            "--dist",
            metavar=".fcNN",
            help="Or for which release, where that cannot be told from the branches.",
        ),
        click.option(
            "--upstream",
            "upstreams",
            metavar="URL|PATH",
            multiple=True,
            help="Where upstream's tags are (repeatable); else as configured.",
        ),
        click.option(
            "--archive",
            is_flag=True,
            help="Start from the archives that are built, on top of upstream's tag if it has one.",
        ),
        click.option(
            "--no-archives",
            is_flag=True,
            help="Fetch no archive; what is applied to one besides the main one is left out.",
        ),
        click.option(
            "--lookaside",
            metavar="URL|DIR",
            help="Where archives are fetched from, or a directory of them; else as configured.",
        ),
        click.option(
            "--explode-from",
            metavar="URL|PATH",
            help="A kernel-ark mirror: take the monolithic patch apart into its commits.",
        ),
        click.option(
            "--base", metavar="REV", help="The upstream revision, whatever the spec says."
        ),
        click.option(
            "--repo",
            type=click.Path(path_type=Path),
            help="The bare repository for the result; made if absent.",
        ),
        click.option(
            "--branch", metavar="NAME", help="The branch for the result, if not the release's."
        ),
        click.option(
            "--arch",
            metavar="ARCH",
            default="x86_64",
            show_default=True,
            help="As which architecture the spec is read.",
        ),
        click.option(
            "--with",
            "having",
            metavar="NAME",
            multiple=True,
            help="As rpmbuild has it (repeatable).",
        ),
        click.option(
            "--without",
            "lacking",
            metavar="NAME",
            multiple=True,
            help="As rpmbuild has it (repeatable).",
        ),
        click.option(
            "--define",
            "defines",
            metavar="'MACRO BODY'",
            multiple=True,
            help="As rpmbuild has it (repeatable).",
        ),
        click.option(
            "--push", "pushes", metavar="URL", multiple=True, help="Publish there (repeatable)."
        ),
        CONFIG,
        ROOT,
        click.option(
            "--no-sandbox",
            is_flag=True,
            help="Run the spec's code unprotected: it can do anything.",
        ),
        JSON,
        click.option("-v", "--verbose", is_flag=True, help="Say more on standard error."),
    )
    for option in reversed(options):
        command = option(command)
    return command
