"""The command line: its group of commands, and what becomes of an error."""

from __future__ import annotations

import atexit
import gc
import io
import os
import re
import sys
from typing import Any

import click

from converter import memory
from converter.errors import SrcgitError, WrongUsage
from service.commands import build, daemon, machine, tree
from service.terminal import print_json, say, say_report


class _Commands(click.Group):
    """The commands, whose failure may come of damage to the repositories that they read."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if ctx.obj is None:  # none is known
                raise
            from converter.damage import instead

            if (found := instead(error, *ctx.obj)) is None or found is error:
                raise
            raise found from error


@click.group(
    cls=_Commands,
    short_help="turn Fedora package builds into source trees",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    is_eager=True,
    help="With --version: all versions that a bug report names.",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    callback=machine.print_version,
    help="Show the version and exit.",
)
def cli(verbose: bool) -> None:
    """Turn Fedora package builds (pkg-git) into source trees (src-git), one commit per patch.

    Begin with srcgit plan BUILD, which needs nothing else; then srcgit convert BUILD --repo PATH.

    Results go to standard output, everything else to standard error. The exit code is 0 for done, or
    done before; 1 for a build that cannot be converted; 2 for wrong usage or configuration; 3 for a
    difference that verification found; 4 for try again later; 5 for a machine that cannot work; 70
    for a bug in srcgit.
    """
    if verbose:
        raise WrongUsage("-v belongs behind the command", next_step="or beside --version")


for _each in (
    *(build.plan, build.convert, build.verify, tree.diff, tree.export),
    *(
        daemon.listen,
        daemon.work,
        daemon.backfill,
        daemon.status,
        daemon.web,
        daemon.maintain,
        daemon.repair,
    ),
    machine.doctor,
):
    cli.add_command(_each)
del _each  # click-man takes the first command of this module by name for the whole: cli


def _fail(error: SrcgitError, as_json: bool) -> int:
    """Report ``error``: the failure report if there is one, then one line; return its exit code."""
    report: str = getattr(error, "report", "")
    if report:
        say_report(report, err=True)
    line = f"srcgit: {error.what}" + (f" [{error.where}]" if error.where else "")
    say(line + (f"; {error.next_step}" if error.next_step else ""), err=True)
    if as_json:
        answer: dict[str, Any] = {"error": error.as_json()}
        if report:
            answer["error"]["report"] = report
        series = getattr(error, "series", None)
        if series is not None:
            answer["series"] = series
        verdict = getattr(error, "verdict", None)
        if verdict is not None:
            answer["verification"] = verdict.as_json()
        print_json(answer)
    return error.exit_code


def main() -> None:
    """Run the command line; every way out has its exit code (design.md, "Command line")."""
    as_json = "--json" in sys.argv[1:]
    if isinstance(sys.stdout, io.TextIOWrapper):  # a locale may lack what a name has
        sys.stdout.reconfigure(errors="backslashreplace")
    memory.bound()
    atexit.register(gc.freeze)  # nothing of what is left need be collected, which takes its time
    try:
        if any(re.fullmatch("(--[a-z-]+=)?", word) for word in sys.argv[1:]):
            # As a path it would be where one stands, as a revision that nothing was said.
            raise WrongUsage(
                "an argument is empty",
                next_step="leave it out, or look for a variable that is not set",
            )
        status = cli.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except SrcgitError as error:
        sys.exit(_fail(error, as_json))
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = f"{context.info_name} " if context and context.parent else ""
        wrong = WrongUsage(
            error.format_message().rstrip("."), next_step=f"see srcgit {command}--help"
        )
        sys.exit(_fail(wrong, as_json))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if too_much := memory.exhausted(error):
            sys.exit(_fail(too_much, as_json))
        if "-v" in sys.argv or "--verbose" in sys.argv:
            import traceback

            say_report(traceback.format_exc(), err=True)
        bug = _Bug(
            f"a bug in srcgit: {type(error).__name__}: {error}",
            next_step="run it again with -v and report what it prints",
        )
        sys.exit(_fail(bug, as_json))


class _Bug(SrcgitError):
    """An exception that nobody foresaw."""


if __name__ == "__main__":
    main()
