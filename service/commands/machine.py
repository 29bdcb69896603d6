"""The command about the machine itself: doctor. And what --version -v tells."""

from __future__ import annotations

from pathlib import Path

import click

from service.commands.options import CONFIG, JSON
from service.terminal import print_json, say


@click.command(short_help="Tell what srcgit finds on this machine, and what it lacks.")
@JSON
@CONFIG
def doctor(as_json: bool, config: Path | None) -> int:
    """Tell what srcgit finds on this machine, what is missing for which command, and what to do.

    It runs a program in the sandbox and tries to write where results go. With a configuration the
    daemon's parts are looked at, too: journal, repositories, broker, Koji's hub. The exit code is 5
    where something stops the work.
    """
    from service import config as configuration
    from service import doctor as looking

    findings = looking.examine(configuration.load(config), config)
    missing = [finding for finding in findings if finding.state == "missing"]
    if as_json:
        told = [finding.as_json() for finding in findings]
        print_json({"well": not missing, "versions": looking.versions(), "findings": told})
    else:
        for finding in findings:
            say(*finding.lines())
        names = ", ".join(dict.fromkeys(finding.name for finding in missing))
        say(f"srcgit cannot work here yet: {names}" if missing else "srcgit can work here")
    return 5 if missing else 0


def print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print srcgit's version; with -v all that a bug report names."""
    if not wanted or context.resilient_parsing:
        return
    from converter import VERSION

    say(f"srcgit, version {VERSION}")
    if context.params.get("verbose"):
        from service.doctor import versions

        for name, version in versions().items():
            if name != "srcgit":
                say(f"{name} {version}")
    context.exit()
