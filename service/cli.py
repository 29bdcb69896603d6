"""The command line: arguments to a request, results and errors to a person or to JSON.

Heavy imports wait until a command needs them: starting up is a tenth of a conversion.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from converter.errors import SrcgitError, WrongUsage
from service import commands
from service.asked import Asked, defined, understand
from service.progress import Progress
from service.show import print_conversion, print_plan
from service.terminal import print_json, say, say_report

if TYPE_CHECKING:
    from converter.planning import Planned
    from specparse.plan import Preparer


@click.group(
    short_help="turn Fedora package builds into source trees",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="srcgit", prog_name="srcgit")
def cli() -> None:
    """Turn Fedora package builds (pkg-git) into source trees (src-git), one commit per patch.

    Begin with srcgit plan BUILD, which needs nothing else; then srcgit convert BUILD --repo PATH.

    Results go to standard output, everything else to standard error. The exit code is 0 for done, or
    done before; 1 for a build that cannot be converted; 2 for wrong usage or configuration; 3 for a
    difference that verification found; 4 for try again later; 5 for a machine that cannot work; 70
    for a bug in srcgit.
    """


for _each in (
    commands.listen,
    commands.backfill,
    commands.status,
    commands.web,
    commands.maintain,
    commands.repair,
):
    cli.add_command(_each)
del _each  # click-man takes the first command of this module by name for the whole: cli


def _shared(command: Callable[..., None]) -> Callable[..., None]:
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
        commands.CONFIG,
        click.option(
            "--no-sandbox",
            is_flag=True,
            help="Run the spec's code unprotected: it can do anything.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Give the result as JSON."),
        click.option("-v", "--verbose", is_flag=True, help="Say more on standard error."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@cli.command(short_help="Show what %prep would apply, and on what base.")
@_shared
@click.option(
    "--variants",
    is_flag=True,
    help="Which patch applies where: each architecture, each build condition, RHEL.",
)
def plan(**options: Any) -> None:
    """Show what %prep would apply, and on what base. Needs no upstream.

    BUILD is an NVR or a Koji build id, or PKG_GIT#COMMIT with a URL or a path.
    """
    with Progress(options["verbose"]) as progress:
        asked = understand(options)
        from converter import planning
        from converter.start import finished

        planned = planning.plan(asked.request, asked.trace, progress)
        found = planning.at_hand(planned, asked.request)
        if found and not isinstance(found, str):
            base = found.repository.tree(found.commit)
            planned = planning.seeing(planned, asked.request, asked.trace, base)
        whole = asked.request.wanted.whole(planned.plan)
        if options["variants"]:
            _print_variants(options, asked, planned, progress)
            return
    finished(planned.plan)
    if options["as_json"]:
        print_json(planning.plan_json(planned, found))
    else:
        print_plan(planned, found, whole=whole)


@cli.command(short_help="Make a build's commits, branch and tag; publish them.")
@_shared
@click.option("--verify", is_flag=True, help="Run the real %prep first; publish what equals it.")
@click.option(
    "--with-prep",
    is_flag=True,
    help="Record what %prep does besides patching, as one commit; verifies as well.",
)
@click.option("--queue", is_flag=True, help="Leave it to the daemon, whatever was tried before.")
def convert(**options: Any) -> None:
    """Make the commits, the branch and the tag of BUILD in --repo; publish them with --push.

    BUILD is an NVR or a Koji build id, or PKG_GIT#COMMIT with a URL or a path.
    """
    if options["series"] and not options["base"]:
        raise WrongUsage("a series does not tell its base", next_step="name it with --base REV")
    if options["queue"]:
        say(_queue(understand(options), options["config"]))
        return
    with Progress(options["verbose"]) as progress:
        prepare = _preparer(options) if options["verify"] or options["with_prep"] else None
        asked = understand(options)
        from converter import convert as pipeline
        from converter.odb import Repository
        from converter.publish import publish_all

        path = options["repo"] or (asked.package.repo if asked.package else None)
        if path is None:
            raise WrongUsage("no repository for the result", next_step="name one with --repo PATH")
        repo = Repository.when_needed(path)
        if options["series"] and not options["nvr"]:
            from service import inputs

            assert isinstance(asked.trace, inputs.Queue)
            asked = Asked(*inputs.numbered(asked.request, asked.trace, repo), None)
        done = pipeline.convert(
            asked.request, repo, asked.trace, prepare=prepare, progress=progress
        )
        if prepare and done.verdict is None and done.series.get("verified") != "yes":
            # Converted before, without: the tag stays as it is, the answer is given all the same.
            nvr, verdict = pipeline.verify(
                asked.request, repo, asked.trace, prepare, progress=progress
            )
            verdict.check(str(nvr))
            done = replace(done, verdict=verdict)
        base = done.series["base"]["commit"]
        receipts = publish_all(
            repo, done.build, done.commit, done.tag, base, options["pushes"], progress
        )
    for warning in done.series["warnings"]:
        say(f"srcgit: warning: {warning}", err=True)
    if options["as_json"]:
        print_json({**done.as_json(), "pushed": [receipt.as_json() for receipt in receipts]})
    else:
        print_conversion(done, path)
        for receipt in receipts:
            for ref, (state, _) in receipt.refs.items():
                say(f"{state:<6} {ref} at {receipt.url}")


def _queue(asked: Asked, config: Path | None) -> str:
    """Put one build on the daemon's list; return what was done."""
    from converter.pkggit import PkgGit
    from service import config as configuration
    from service.backfill import queue_again
    from service.journal import Journal, Row
    from service.kinds import key

    request = asked.request
    if request.variant:
        raise WrongUsage(
            f"the daemon converts no variants ({request.variant})", next_step="leave --queue out"
        )
    if request.nvr is None or asked.package is None:
        raise WrongUsage(
            "only builds of configured packages can be queued, by their NVR",
            next_step="give an NVR, or PKG_GIT#COMMIT with --nvr",
        )
    row = Row(
        str(request.nvr),
        asked.package.name,
        key(request.nvr),
        request.koji_id,
        PkgGit(request.pkg_git).resolve(request.rev),
        request.target,
        via="queue",
    )
    journal = Journal(configuration.load(config).journal)
    try:
        return f"{row.nvr}: {queue_again(journal, row)}"
    finally:
        journal.close()


@cli.command(short_help="Compare a conversion with what the real %prep makes.")
@_shared
def verify(**options: Any) -> None:
    """Run BUILD's real %prep in the sandbox; compare its tree with the converted one.

    Without --repo the build is converted anew for the comparison, and nothing is kept. The work
    takes place in $TMPDIR or /var/tmp and needs three times the room of the source tree.
    """
    from converter import convert as pipeline
    from converter.odb import Repository

    with Progress(options["verbose"]) as progress:
        prepare = _preparer(options)
        asked = understand(options)
        if options["repo"]:
            repo = Repository(options["repo"])
            nvr, verdict = pipeline.verify(
                asked.request, repo, asked.trace, prepare, progress=progress
            )
        else:
            with tempfile.TemporaryDirectory(prefix="srcgit-") as scratch:
                repo = Repository.create(Path(scratch) / "verified.git")
                done = pipeline.convert(
                    asked.request, repo, asked.trace, prepare=prepare, progress=progress
                )
                assert done.verdict is not None
                nvr, verdict = done.build.nvr, done.verdict
    verdict.check(str(nvr))
    if options["as_json"]:
        print_json({"nvr": str(nvr), **verdict.as_json()})
    else:
        say(*verdict.lines(str(nvr)))


def _preparer(options: dict[str, Any]) -> Preparer:
    from specparse.prep import SandboxedPreparer

    if options["no_sandbox"]:
        raise WrongUsage("%prep itself runs only in the sandbox", next_step="drop --no-sandbox")
    if options["series"]:
        raise WrongUsage("a plain series has no %prep", next_step="name a BUILD to verify")
    return SandboxedPreparer(defined=defined(options)[0])


def _print_variants(
    options: dict[str, Any], asked: Asked, planned: Planned, progress: Callable[[str], None]
) -> None:
    from service import variants
    from specparse.trace import SandboxedTracer

    if not isinstance(asked.trace, SandboxedTracer):
        raise WrongUsage("a plain series has no variants", next_step="--guard defines its symbols")
    trace = asked.trace
    told = variants.variants(
        asked.request,
        planned,
        lambda macros: replace(trace, defined={**trace.defined, **macros}),
        progress,
    )
    if options["as_json"]:
        print_json(told.as_json())
    else:
        say(*told.show())


@cli.command(short_help="Show what changed between two converted builds.")
@click.argument("old", metavar="NVR[@VARIANT]")
@click.argument("new", metavar="NVR[@VARIANT]")
@click.option(
    "--repo",
    type=click.Path(path_type=Path),
    help="A repository with the published tags; the one around the working directory by default.",
)
@click.option("--json", "as_json", is_flag=True, help="Give the result as JSON.")
@click.option("--markdown", is_flag=True, help="Give the result as Markdown.")
def diff(old: str, new: str, repo: Path | None, as_json: bool, markdown: bool) -> None:
    """Show what changed between two converted builds: patches, base, configuration.

    Each is an NVR or a variant's tag, such as NVR@aarch64. Needs the published tags only: any clone
    will do.
    """
    from converter.comparison.compare import compare
    from converter.odb import Repository
    from service import show_diff

    if as_json and markdown:
        raise WrongUsage("--json and --markdown exclude each other")
    result = compare(Repository(repo or _here()), old, new)
    if as_json:
        print_json(result.as_json())
    else:
        say_report(show_diff.as_markdown(result) if markdown else show_diff.as_text(result))


def _here() -> Path:
    """Return the repository around the working directory, or the directory where there is none."""
    from converter.git import Git

    found = Git().run("rev-parse", "--absolute-git-dir", ok=(0, 128)).stdout
    return Path(os.fsdecode(found.rstrip(b"\n"))) if found else Path.cwd()


@cli.command(short_help="Write a series back as patch files, into pkg-git too.")
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
@commands.CONFIG
@click.option("--no-sandbox", is_flag=True, help="Run the spec's code unprotected.")
@click.option("--json", "as_json", is_flag=True, help="Give the result as JSON.")
def export(
    wanted: str,
    directory: Path,
    repo: Path | None,
    base: str | None,
    pkg_gits: Sequence[str],
    config: Path | None,
    no_sandbox: bool,
    as_json: bool,
) -> None:
    """Write a series back as patch files: unchanged ones byte for byte, others by format-patch.

    TAG is a build's, REV or BRANCH what was made from it. A checkout of pkg-git gets its spec
    edited where that is needed, any other directory a series file, too.
    """
    from converter.odb import Repository
    from service import config as configuration
    from service import export as back
    from specparse.trace import SandboxedTracer

    cache = configuration.load(config).state / "mirrors"
    trace = SandboxedTracer(sandboxed=not no_sandbox)
    done = back.run(
        Repository(repo or _here()),
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
    atexit.register(gc.freeze)  # nothing of what is left need be collected, which takes its time
    try:
        status = cli.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except SrcgitError as error:
        sys.exit(_fail(error, as_json))
    except click.ClickException as error:
        sys.exit(_fail(WrongUsage(error.format_message(), next_step="see srcgit --help"), as_json))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
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
