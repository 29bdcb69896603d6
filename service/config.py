"""Configuration: one TOML file, fedora-messaging's own; ``[consumer_config]`` is srcgit's part.

Without a file the defaults convert Fedora's kernel and publish nothing. Every key is listed
below; an unknown one is an error, so that a misspelt setting is never silently a default.
The rest of the file (queues, TLS, ...) is checked by fedora-messaging itself when listening.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from converter.archives.lookaside import FEDORA as FEDORA_LOOKASIDE
from converter.archives.lookaside import Lookaside
from converter.errors import WrongUsage
from converter.signing import KEYGEN, LITERAL, Signer, Signers, public_key

T = TypeVar("T")

LONGEST = 86400.0  # seconds, of a lease and between attempts: journal.FAR is more
FEDORA_KOJI = "https://koji.fedoraproject.org/kojihub"
FEDORA_PKG_GIT = "https://src.fedoraproject.org/rpms/"
TOPIC_PREFIX = "org.fedoraproject.prod"  # of Koji's messages; staging has another
LINUX = "https://git.kernel.org/pub/scm/linux/kernel/git/"
# The committer is part of every commit id: the default must be the same on every host.
COMMITTER = ("srcgit", "srcgit@srcgit.invalid")


@dataclass(frozen=True, slots=True)
class Retry:
    """When a build that failed for a passing reason is due again; all in seconds."""

    first: float = 60.0
    factor: float = 2.0
    cap: float = 6 * 3600.0
    give_up: float = 14 * 86400.0  # how long a build is tried before it counts as failed

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after the given attempt (1 is the first)."""
        return min(self.cap, self.first * self.factor ** min(attempt - 1, 64))

    def over(self, age: float, attempts: int) -> bool:
        """Tell whether a build of ``age`` seconds has been tried for long enough.

        A clock that jumped tells any age: half of the time must have been waited between attempts.
        """
        waited = sum(map(self.delay, range(1, attempts)))
        return age > self.give_up and waited >= self.give_up / 2


@dataclass(frozen=True, slots=True)
class Package:
    """One package to convert.

    ``pkg_git`` is where to fetch from (a URL, or a local mirror's path) and ``source`` the address
    that Koji builds from: the only one that a message may name. Without ``upstreams`` the archives
    of the lookaside cache are what series start from.
    """

    name: str
    pkg_git: str
    source: str
    upstreams: tuple[str, ...]
    tags: tuple[str, ...]  # templates of upstream tags, tried in order: v%{version}
    repo: Path  # the repository that receives the result
    push: tuple[str, ...] = ()
    verify: bool = False
    with_prep: bool = False  # record what %prep does besides patching; needs no verify beside it
    archive: bool = False  # start from the archives that are built, on top of upstream's tag
    explode_from: str = ""  # kernel-ark, to take the kernel's monolithic patch apart; "": do not


@dataclass(frozen=True, slots=True)
class Signing:
    """Who signs tags, and whose signatures are believed; nobody, and none, by default."""

    key: str = ""  # path of an Ed25519 key, or key::ssh-ed25519 AAAA... for one of an agent
    program: str = KEYGEN
    allowed_signers: str = ""  # path of a file (ssh-keygen(1)); the key's public half alone: ""

    def signers(self, email: str) -> Signers | None:
        """Return whose signatures are ours; None where no key is configured. Raises WrongUsage."""
        if self.allowed_signers:
            try:
                return Signers(Path(self.allowed_signers).read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise WrongUsage(
                    f"the allowed signers cannot be read: {error}",
                    where=self.allowed_signers,
                    next_step="correct allowed_signers in [signing]",
                ) from None
        if not self.key:
            return None
        return Signers(f'{email} namespaces="git" {public_key(self.key)}\n')

    def signer(self, email: str) -> Signer | None:
        """Return what signs tags; None where no key is configured. Raises WrongUsage."""
        signers = self.signers(email)
        return Signer(self.key, signers, self.program) if self.key and signers else None


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that srcgit is told from outside. Durations are seconds."""

    packages: Mapping[str, Package]
    state: Path
    journal: str  # an SQLAlchemy URL
    koji: str = FEDORA_KOJI
    topic_prefix: str = TOPIC_PREFIX  # of Koji's messages: those of other instances are refused
    lookaside: str = FEDORA_LOOKASIDE  # a template of URLs, or a directory
    lookaside_gigabytes: float = 20.0  # of what was fetched from there, to be kept
    web: str = ""  # where the public finds `srcgit web`; announcements then lead there
    committer: tuple[str, str] = COMMITTER
    workers: int = 1
    lease: float = 300.0  # a worker that was silent for this long has lost its build
    timeout: float = 3600.0  # of one conversion
    stale: float = 86400.0  # `srcgit status` warns when the lag exceeds it
    announce: bool = True
    retry: Retry = field(default_factory=Retry)
    # Dist tag (".fc41") -> the root directory that holds that release's system.
    roots: Mapping[str, Path] = field(default_factory=dict)
    signing: Signing = field(default_factory=Signing)

    def converting(self, package: Package) -> Path:
        """Return the repository in which builds of ``package`` are converted, before they are published."""
        return self.state / "converting" / f"{package.name}.git"


def default_state() -> Path:
    """Return the directory for journal, mirrors and repositories when none is configured."""
    base = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(base) / "srcgit"


def load(path: Path | None) -> Config:
    """Return the configuration in ``path``, or the defaults. Raises WrongUsage: file, key, why."""
    if path is None:
        return _Section({}, "defaults").config()
    import tomllib

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WrongUsage(
            f"cannot read the configuration: {error}",
            where=str(path),
            next_step="give an existing TOML file with --config",
        ) from error
    return _Section(document, str(path)).table("consumer_config").config()


def address(text: str) -> str:
    """Return a git address if it is an https, http, ssh or git URL or an absolute path.

    Everything else is a ValueError: ``ext::`` and friends run commands, a leading ``-`` is an
    option, and a relative path depends on who runs us (gitremote-helpers(7), git-fetch(1)).
    """
    if not text.isprintable() or " " in text:
        raise ValueError("has spaces or control characters")
    if text.startswith("/"):
        return text
    if not re.match(r"(https?|ssh|git)://([^/@-][^/@]*@)?[^/@-][^/@]*/.", text):
        raise ValueError("is neither a https, http, ssh or git URL nor an absolute path")
    return text


class _Section:
    """One TOML table that knows where it stands, so that errors can name file and key."""

    def __init__(self, values: Mapping[str, Any], file: str, prefix: str = "") -> None:
        self.values, self.file, self.prefix = values, file, prefix
        self.seen: set[str] = set()

    def wrong(self, key: str, why: str) -> WrongUsage:
        return WrongUsage(
            f"{self.prefix}{key} {why}", where=self.file, next_step="correct the configuration"
        )

    def table(self, key: str) -> _Section:
        value = self.get(key, dict, {})
        return _Section(value, self.file, f"{self.prefix}{key}.")

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        self.seen.add(key)
        if key not in self.values:
            if default is None:
                raise self.wrong(key, "is missing")
            return default
        value = self.values[key]
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:  # bool is an int to isinstance
            raise self.wrong(key, f"must be a {kind.__name__}, not {type(value).__name__}")
        return value

    def checked(self, key: str, check: Callable[[str], str], default: str | None = None) -> str:
        value = self.get(key, str, default)
        try:
            return check(value)
        except ValueError as error:
            raise self.wrong(key, f"= {value!r} {error}") from error

    def addresses(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        values = self.get(key, list, list(default))
        section = _Section(
            dict(zip(map(str, range(len(values))), values, strict=True)),
            self.file,
            f"{self.prefix}{key}.",
        )
        return tuple(section.checked(str(index), address) for index in range(len(values)))

    def positive(self, key: str, default: float, most: float = float("inf")) -> float:
        value = self.get(key, float, default)
        if not 0 < value <= most:
            limit = "" if most == float("inf") else f" and at most {most:g}"
            raise self.wrong(key, f"must be more than 0{limit}")
        return value

    def end(self) -> None:
        unknown = sorted(set(self.values) - self.seen)
        if unknown:
            raise self.wrong(
                unknown[0], f"is no setting; there are: {', '.join(sorted(self.seen))}"
            )

    def config(self) -> Config:
        state = Path(self.get("state", str, str(default_state())))
        if not state.is_absolute():
            raise self.wrong("state", "must be an absolute path")
        defaults = Config({}, state, "")
        found = Config(
            packages=self._packages(state),
            state=state,
            journal=self.get("journal", str, f"sqlite:///{state}/journal.sqlite"),
            koji=self.checked("koji", _hub, FEDORA_KOJI),
            topic_prefix=self.checked("topic_prefix", _topics, TOPIC_PREFIX),
            lookaside=self.checked("lookaside", _lookaside, FEDORA_LOOKASIDE),
            lookaside_gigabytes=self.positive("lookaside_gigabytes", defaults.lookaside_gigabytes),
            web=self.checked("web", _pages, ""),
            committer=_committer(self),
            workers=int(self.get("workers", int, defaults.workers)),
            lease=self.positive("lease", defaults.lease, LONGEST),
            timeout=self.positive("timeout", defaults.timeout),
            stale=self.positive("stale", defaults.stale),
            announce=self.get("announce", bool, defaults.announce),
            retry=_retry(self.table("retry")),
            roots=_roots(self.table("sandbox")),
            signing=_signing(self.table("signing")),
        )
        if found.workers < 1:
            raise self.wrong("workers", "must be 1 or more")
        self.end()
        return found

    def _packages(self, state: Path) -> Mapping[str, Package]:
        tables = self.table("packages")
        if not tables.values:
            return {"kernel": _package("kernel", _Section({}, self.file), state)}
        return {name: _package(name, tables.table(name), state) for name in tables.values}


def _package(name: str, section: _Section, state: Path) -> Package:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._-]*", name):
        raise section.wrong("", "is no package name")
    kernel = name == "kernel"
    linux = (LINUX + "torvalds/linux.git", LINUX + "stable/linux.git") if kernel else ()
    pkg_git = section.checked("pkg_git", address, f"{FEDORA_PKG_GIT}{name}.git")
    public = f"{FEDORA_PKG_GIT}{name}.git" if pkg_git.startswith("/") else pkg_git
    found = Package(
        name=name,
        pkg_git=pkg_git,
        source=section.checked("source", _remote, public),
        upstreams=section.addresses("upstreams", linux),
        tags=_templates(section),
        repo=Path(section.get("repo", str, f"{state}/{name}.git")),
        push=section.addresses("push", ()),
        verify=section.get("verify", bool, False),
        with_prep=section.get("with_prep", bool, False),
        archive=section.get("archive", bool, False),
        explode_from=section.checked("explode_from", lambda text: text and address(text), ""),
    )
    if not found.repo.is_absolute():
        raise section.wrong("repo", "must be an absolute path")
    section.end()
    return found


def _templates(section: _Section) -> tuple[str, ...]:
    """Return ``tag``: one template or several, %{version} in each; none: learned from upstream."""
    one = isinstance(section.values.get("tag", []), str)
    given = [section.get("tag", str)] if one else section.get("tag", list, [])
    for template in given:
        if not isinstance(template, str) or "%{version}" not in template:
            raise section.wrong("tag", "must contain %{version}")
    return tuple(given)


def _retry(section: _Section) -> Retry:
    defaults = Retry()
    found = replace(
        defaults,
        first=section.positive("first", defaults.first),
        factor=section.positive("factor", defaults.factor),
        cap=section.positive("cap", defaults.cap, LONGEST),
        give_up=section.positive("give_up", defaults.give_up),
    )
    if found.factor < 1:
        raise section.wrong("factor", "must be 1 or more: delays grow")
    section.end()
    return found


def _roots(section: _Section) -> Mapping[str, Path]:
    roots = section.table("roots")
    found = {dist: Path(roots.get(dist, str)) for dist in roots.values}
    for dist, path in found.items():
        if not re.fullmatch(r"\.[A-Za-z][\w.]*", dist):
            raise roots.wrong(dist, "is no dist tag such as .fc41")
        if not path.is_absolute():
            raise roots.wrong(dist, "must be an absolute path")
    section.end()
    return found


def _signing(section: _Section) -> Signing:
    found = Signing(
        section.checked("key", _key, ""),
        section.checked("program", _program, KEYGEN),
        section.checked("allowed_signers", _absolute, ""),
    )
    section.end()
    return found


def _key(text: str) -> str:
    if text.startswith(LITERAL):
        try:
            public_key(text)
        except WrongUsage as error:
            raise ValueError(f"is {error.what}") from error
        return text
    return _absolute(text)


def _program(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", text) else _absolute(text)


def _absolute(text: str) -> str:
    if text and not text.startswith("/"):
        raise ValueError("is no absolute path")
    return text


def _committer(section: _Section) -> tuple[str, str]:
    name, email = COMMITTER
    text = section.get("committer", str, f"{name} <{email}>")
    match = re.fullmatch(r"([^<>\n\0]*[^<>\s\0]) <([^<>\s\0]+)>", text)
    if not match:
        raise section.wrong("committer", "must look like: Name <mail@example.org>")
    return match[1], match[2]


def _hub(text: str) -> str:
    if not re.match(r"https?://[^/\s-]", text):
        raise ValueError("is no https or http URL")
    return text


def _topics(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", text):
        raise ValueError("is no prefix of a topic: words with dots between them, none at the end")
    return text


def _lookaside(text: str) -> str:
    try:
        return Lookaside(text, Path()).template
    except WrongUsage as error:
        raise ValueError(f"is {error.what}; {error.next_step}") from error


def _pages(text: str) -> str:
    return _hub(text).rstrip("/") if text else ""


def _remote(text: str) -> str:
    if text.startswith("/"):
        raise ValueError("is a path; Koji names a URL")
    return address(text)
