"""The commands on one build: plan, convert, verify.

Imports are made when a command runs, and those of what comes after the plan when its sandbox has
started: starting up is a tenth of a conversion.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from converter.errors import WrongUsage
from service.asked import Asked, defined, roots, understand
from service.commands.options import of_a_build
from service.progress import Progress
from service.show import left_out, print_conversion, print_plan
from service.terminal import print_json, say

if TYPE_CHECKING:
    from converter.odb import Repository
    from converter.planning import Planned
    from converter.request import Request
    from specparse.plan import Preparer


@click.command(short_help="Show what %prep would apply, and on what base.")
@of_a_build
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


@click.command(short_help="Make a build's commits, branch and tag; publish them.")
@of_a_build
@click.option("--verify", is_flag=True, help="Run the real %prep first; publish what equals it.")
@click.option(
    "--with-prep",
    is_flag=True,
    help="Record what %prep does besides patching, as one commit; verifies as well.",
)
@click.option(
    "--standalone",
    is_flag=True,
    help="Copy upstream's objects into --repo, which otherwise borrows them from where they are.",
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
        from converter import borrowing
        from converter import convert as pipeline
        from converter.damage import mending
        from converter.mirror import is_url
        from converter.odb import Repository
        from converter.publish import publish_all
        from converter.remote import Trust
        from service import config as configuration

        pushes = [  # git runs elsewhere; and what is no address is told before the work
            url if is_url(url) else str(Path(url).expanduser().absolute())
            for url in options["pushes"]
        ]
        path = options["repo"] or (asked.package.repo if asked.package else None)
        if path is None:
            raise WrongUsage("no repository for the result", next_step="name one with --repo PATH")
        settings = configuration.load(options["config"])
        email = settings.committer[1]
        sign = settings.signing.signer(email)
        repo = Repository.when_needed(path)
        if options["series"] and not options["nvr"]:
            from service import inputs

            assert isinstance(asked.trace, inputs.Queue)
            asked = Asked(*inputs.numbered(asked.request, asked.trace, repo), None)
        done = mending(
            lambda: pipeline.convert(
                *(asked.request, repo, asked.trace),
                prepare=prepare,
                progress=progress,
                sign=sign,
            ),
            *(path, asked.request.mirrors, progress),
        )
        borrowing.complete(repo, asked.request.upstreams)
        if prepare and done.verdict is None and done.series.get("verified") != "yes":
            # Converted before, without: the tag stays as it is, the answer is given all the same.
            nvr, verdict = pipeline.verify(
                asked.request, repo, asked.trace, prepare, progress=progress
            )
            verdict.check(str(nvr))
            done = replace(done, verdict=verdict)
        base = done.series["base"]["commit"]

        def again(tag: str, commit: str) -> str | None:
            """Convert the build that is published as ``commit`` again; return what comes of it."""
            if options["series"] or options["srpm"]:
                return None  # which tell of no other build
            request = of_published(asked.request, repo, tag, commit)
            if request is None:
                return None
            made = pipeline.convert(
                request, repo, asked.trace, prepare=prepare, progress=progress, sign=sign
            )
            return made.commit

        trust = Trust(settings.signing.signers(email), again)
        built = (done.build, done.commit, done.tag, base)
        receipts = publish_all(repo, *built, pushes, progress, trust)
    for warning in [*done.series["warnings"], *left_out(done.series["skipped"])]:
        say(f"srcgit: warning: {warning}", err=True)
    if lenders := borrowing.lenders(repo):
        say(
            f"srcgit: {path} borrows objects of {', '.join(map(str, lenders))} and needs them; "
            "--standalone copies them",
            err=True,
        )
    if options["as_json"]:
        print_json({**done.as_json(), "pushed": [receipt.as_json() for receipt in receipts]})
    else:
        print_conversion(done, path)
        for receipt in receipts:
            for ref, (state, _) in receipt.refs.items():
                say(f"{state:<6} {ref} at {receipt.url}")


def of_published(request: Request, repo: Repository, tag: str, commit: str) -> Request | None:
    """Return ``request`` for the build that a remote has published as ``commit``, by its record.

    The record is a claim: what comes of it is compared. None where there is none that can be read.
    """
    from converter.build import SERIES_JSON, Nvr
    from converter.errors import SrcgitError

    file = repo.tree(commit).get(SERIES_JSON)
    try:
        record = json.loads(file.data if file else b"")
        rev, branch = str(record["pkg_git"]["commit"]), str(record["branch"])
        nvr = Nvr.of_ref(tag)
    except (ValueError, KeyError, TypeError, SrcgitError):
        return None
    if not re.fullmatch(r"[0-9a-f]{40}", rev) or request.variant:
        return None
    return replace(request, rev=rev, nvr=nvr, branch=branch, dist=None, target=None, koji_id=None)


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


@click.command(short_help="Compare a conversion with what the real %prep makes.")
@of_a_build
def verify(**options: Any) -> None:
    """Run BUILD's real %prep in the sandbox; compare its tree with the converted one.

    With --repo the tag tells where an NVR comes from, and Koji is not asked. Without, the build is
    converted anew for the comparison, and nothing is kept. The work
    takes place in $TMPDIR or /var/tmp and needs three times the room of the source tree.
    """
    from converter import convert as pipeline
    from converter.odb import Repository

    with Progress(options["verbose"]) as progress:
        prepare = _preparer(options)
        asked = understand(_by_its_tag(options))
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


def _by_its_tag(options: dict[str, Any]) -> dict[str, Any]:
    """Let the tag of an NVR in --repo say which pkg-git commit it was made from."""
    from converter.build import Nvr
    from converter.conversion import find
    from converter.odb import Repository
    from service import config as configuration

    build = options["build"]
    variant = options["arch"] != "x86_64" or defined(options)[1]
    if not options["repo"] or not build or "#" in build or build.isdigit() or variant:
        return options
    nvr = Nvr.parse(build)
    done = find(Repository(options["repo"]), nvr)
    if done is None:
        return options
    package = configuration.load(options["config"]).packages.get(nvr.name)
    made_from = done.build.pkg_git
    where = package.pkg_git if package and package.source == made_from else made_from
    told = {"build": f"{where}#{done.build.commit}", "nvr": build, "branch": done.build.branch}
    return {**options, **told}


def _preparer(options: dict[str, Any]) -> Preparer:
    from specparse.prep import SandboxedPreparer

    if options["no_sandbox"]:
        raise WrongUsage("%prep itself runs only in the sandbox", next_step="drop --no-sandbox")
    if options["series"]:
        raise WrongUsage("a plain series has no %prep", next_step="name a BUILD to verify")
    return SandboxedPreparer(
        defined=defined(options)[0], roots=roots(options["config"], options["root"])
    )


def _print_variants(
    options: dict[str, Any], asked: Asked, planned: Planned, progress: Progress
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
