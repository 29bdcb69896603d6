"""The command line, understood: BUILD, --series or --srpm and the options become a request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from converter.errors import CannotConvert, RepositoryDamaged, RepositoryUnusable, WrongUsage

if TYPE_CHECKING:
    from converter.mirror import Mirror
    from converter.request import Request
    from service.config import Config, Package
    from service.koji import KojiBuild
    from specparse.plan import Tracer
    from specparse.system_root import Roots


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line, understood: what to convert, how to plan it, the configured package."""

    request: Request
    trace: Tracer
    package: Package | None


def understand(options: dict[str, Any]) -> Asked:
    """Read BUILD, --series or --srpm, and the options; asks Koji when BUILD is an NVR or an id.

    Raises SrcgitError of every kind.
    """
    asked = _understand(options)
    # What cli._Commands looks at where a command fails.
    click.get_current_context().find_root().obj = (options["repo"], asked.request.mirrors)
    return asked


def _understand(options: dict[str, Any]) -> Asked:
    trace = None if options["series"] else _tracer(options)
    from converter.archives.lookaside import Lookaside
    from converter.build import Nvr
    from service import config as configuration

    settings = configuration.load(options["config"])
    nvr = Nvr.parse(options["nvr"]) if options["nvr"] else None
    dist = options["dist"]
    if dist is not None and not re.fullmatch(r"\.?[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*", dist):
        raise WrongUsage(f"not a dist tag: {dist!r}", next_step="give one such as .fc28")
    if branch := re.fullmatch(r"\.?f([0-9]+)", dist or ""):
        raise WrongUsage(f"{dist} is a branch", next_step=f"its dist tag is .fc{branch[1]}")
    if not re.fullmatch(r"[a-z0-9_]+", options["arch"]):
        raise WrongUsage(f"not an architecture: {options['arch']!r}")
    _check_branch(options["branch"])
    if sum(bool(options[name]) for name in ("build", "series", "srpm")) != 1:
        raise WrongUsage(
            "give one of BUILD, --series DIR and --srpm FILE",
            next_step="see the command's --help",
        )
    if options["archive"] and options["no_archives"]:
        raise WrongUsage("--archive and --no-archives exclude each other")
    cache = settings.state / "mirrors"
    name, email = settings.committer
    archives = "whole" if options["archive"] else "none" if options["no_archives"] else "touched"
    lookaside = options["lookaside"] or settings.lookaside
    shared = {
        "nvr": nvr,
        "dist": f".{dist.lstrip('.')}" if dist else None,
        "branch": options["branch"],
        "arch": options["arch"],
        "options": defined(options)[1],
        "base": options["base"],
        "upstreams": tuple(_mirror(url, cache) for url in options["upstreams"]),
        "archives": archives,
        "lookaside": Lookaside(lookaside, settings.state / "lookaside"),
        "standalone": options.get("standalone", False),
        "with_prep": options.get("with_prep", False),
        "explode_from": options["explode_from"] and _mirror(options["explode_from"], cache),
        "committer": (name.encode(), email.encode()),
    }
    if trace is None:
        from service import inputs

        return Asked(*inputs.queue(options["series"], options["guards"], shared), None)
    if options["srpm"]:
        from service import inputs

        # Without a file the kernel is configured all the same, and its upstream is large.
        packages = settings.packages if options["config"] else {}

        def configured(name: str) -> dict[str, Any]:
            return _configured(packages.get(name), shared, cache)

        return Asked(inputs.source_rpm(options["srpm"], shared, configured), trace, None)
    return _ask_build(options["build"], settings, cache, shared, trace)


def defined(options: dict[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return rpmbuild's options as macros, and as words of the tag."""
    if not (options["having"] or options["lacking"] or options["defines"]):
        return {}, ()
    from service import variants

    return variants.options(options["having"], options["lacking"], options["defines"])


def _mirror(location: str, cache: Path, known_as: str | None = None) -> Mirror:
    """Return the repository that a person named: where it is none, that is wrong usage."""
    from converter.mirror import Mirror, is_url

    mirror = Mirror(location, cache, known_as=known_as)
    if not is_url(location):
        try:
            _ = mirror.repository
        except RepositoryDamaged:
            raise
        except RepositoryUnusable as error:
            raise WrongUsage(error.what, where=error.where, next_step=error.next_step) from None
    return mirror


def _tracer(options: dict[str, Any]) -> Tracer:
    """Return what makes the plan; its sandbox starts beside what is still to be imported."""
    from specparse.trace import SandboxedTracer

    if options["no_sandbox"] and options["root"]:
        raise WrongUsage("--root needs the sandbox", next_step="drop --no-sandbox")
    trace = SandboxedTracer(
        sandboxed=not options["no_sandbox"],
        defined=defined(options)[0],
        in_memory=True,
        roots=roots(options["config"], options["root"]),
    )
    trace.ahead()
    click.get_current_context().call_on_close(trace.close)
    return trace


def roots(config: Path | None, root: Path | None) -> Roots:
    """Return the systems that specs are read and prepared with: --root, else the configured ones."""
    from specparse.system_root import NO_ROOTS, Roots

    if root is not None and not root.is_dir():
        raise WrongUsage("no such directory", where=str(root))
    if config is None:  # no roots by default, and the configuration's modules take their time
        return Roots({}, root) if root else NO_ROOTS
    from service import config as configuration

    return Roots(configuration.load(config).roots, root)


def _ask_build(
    build: str, settings: Config, cache: Path, shared: dict[str, Any], trace: Tracer
) -> Asked:
    from converter.build import Nvr
    from converter.request import Request

    location, hash_sign, rev = build.rpartition("#")
    public = None
    if hash_sign:
        named = str(Path(location).resolve()) if location.rstrip("/") in (".", "..") else location
        name = re.sub(r"(\.git)?/*$", "", named).rpartition("/")[2]
        package = settings.packages.get(shared["nvr"].name if shared["nvr"] else name)
        public = _public(location)
    else:
        from service import logs
        from service.koji import Koji

        logs.to_people()
        found = Koji(settings.koji).build(build)
        nvr = Nvr.parse(found.nvr)
        package = settings.packages.get(nvr.name)
        shared = {**shared, "nvr": nvr, "koji_id": found.id, "target": found.target}
        location, rev = _source(found, package)
        public = package.source if package else None
    if not location or not rev:
        raise WrongUsage(
            f"not a build: {build!r}", next_step="give an NVR, a Koji build id or PKG_GIT#COMMIT"
        )
    shared = {**shared, **_configured(package, shared, cache)}
    return Asked(
        Request(_mirror(location, cache, known_as=public), rev, **shared),
        trace,
        package,
    )


def _public(location: str) -> str | None:
    """Return what is recorded of a relative path, which says nothing elsewhere: the address that it
    was cloned from, else the whole path. None for what says something itself.
    """
    from converter.git import Git
    from converter.mirror import is_url, redacted

    if not location or is_url(location) or Path(location).expanduser().is_absolute():
        return None
    path = Path(location).absolute()
    if not path.exists():
        return None
    directory = path / ".git" if (path / ".git").exists() else path
    key = ("config", "--local", "--get", "remote.origin.url")
    url = Git(directory).run(*key, ok=range(256)).stdout.decode("utf-8", "replace").strip()
    return redacted(url) if "://" in url and is_url(url) else str(path.resolve())


def _configured(package: Package | None, shared: dict[str, Any], cache: Path) -> dict[str, Any]:
    """Return what the configuration says of ``package`` where the command line says nothing."""
    from converter.mirror import Mirror

    if package is None:
        return {}
    said: dict[str, Any] = {"tags": package.tags}
    if not shared["upstreams"]:
        said["upstreams"] = tuple(Mirror(url, cache) for url in package.upstreams)
    if package.archive and shared["archives"] == "touched":
        said["archives"] = "whole"
    if package.explode_from and not shared["explode_from"]:
        said["explode_from"] = Mirror(package.explode_from, cache)
    return said


def _source(found: KojiBuild, package: Package | None) -> tuple[str, str]:
    """Return where to read pkg-git from and the commit that Koji says was built."""
    from service.koji import same_repository

    if found.source is None or found.commit is None:
        raise CannotConvert(
            f"Koji does not say from which commit {found.nvr} was built (source: {found.source})",
            next_step="give PKG_GIT#COMMIT with --nvr",
        )
    if package is None:
        return re.sub(r"^git\+|\?.*|#.*", "", found.source), found.commit
    if not same_repository(found.source, package.source):
        raise CannotConvert(
            f"{found.nvr} was built from {found.source}, not from {package.source}",
            next_step="give PKG_GIT#COMMIT with --nvr if that is meant",
        )
    return package.pkg_git, found.commit


def _check_branch(name: str | None) -> None:
    """git-check-ref-format(1), in so far as it matters to a branch of ours."""
    if name is not None and (
        not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/+-]*", name)
        or re.search(r"\.\.|//|/\.|\.lock(/|$)|[./]$|^builds(/|$)", name)
    ):
        raise WrongUsage(f"not a branch name for the result: {name!r}")
