"""What to convert, and how."""

from __future__ import annotations

from dataclasses import dataclass

from converter.archives.lookaside import Lookaside
from converter.build import Nvr
from converter.mirror import Mirror
from converter.start import Use, Wanted

ARCH = "x86_64"  # of what is published


@dataclass(frozen=True, slots=True)
class Request:
    """What to convert, and how. Only the first two are needed."""

    pkg_git: Mirror
    rev: str
    spec: bytes | None = None  # its path; found where it is not given
    nvr: Nvr | None = None
    dist: str | None = None
    branch: str | None = None
    target: str | None = None  # Koji's build target, for the branch
    koji_id: int | None = None
    arch: str = ARCH
    options: tuple[str, ...] = ()  # of rpmbuild, as words of a tag: with-NAME, MACRO=BODY
    base: str | None = None
    upstreams: tuple[Mirror, ...] = ()
    tags: tuple[str, ...] = ()  # templates of upstream's tags, tried before what is learned
    explode_from: Mirror | None = None  # kernel-ark, to take the monolithic patch apart
    archives: Use = "touched"
    lookaside: Lookaside | None = None
    standalone: bool = False  # the result has all objects itself, it borrows none of upstream's
    with_prep: bool = False  # record what %prep does besides patching
    loose: bool = False  # pkg_git was made from loose files: its commit says nothing of them
    told_by: str = ""  # what the author and date of loose files are taken from
    committer: tuple[bytes, bytes] = (b"srcgit", b"srcgit@localhost")

    @property
    def mirrors(self) -> tuple[Mirror, ...]:
        """The repositories that are read."""
        ark = (self.explode_from,) if self.explode_from else ()
        return (self.pkg_git, *self.upstreams, *ark)

    @property
    def wanted(self) -> Wanted:
        """Where to look for the base."""
        use = "others" if self.with_prep and self.archives == "touched" else self.archives
        return Wanted(self.upstreams, self.base, self.tags, use, self.standalone)

    @property
    def variant(self) -> str:
        """What the tag says of a build that is not Fedora's own on x86_64."""
        arch = () if self.arch == ARCH else (self.arch,)
        return "+".join((*arch, *self.options))
