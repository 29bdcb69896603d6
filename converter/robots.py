"""Commits of pkg-git that a distribution's importing robot made, and who stands behind them (pure).

A robot imports whole source packages. It is no patch's author; the newest entry of the spec's
changelog names the packager.
"""

from __future__ import annotations

import re
from dataclasses import replace

from converter.mailbox.charset import repaired_utf8
from converter.objects import Identity
from converter.pkggit import Origin

# Addresses, in lower case.
_ADDRESSES = {
    b"bugs@centos.org",  # CentOS Sources, CentOS Buildsys: git.centos.org
    b"releng@rockylinux.org",  # Rocky Linux, Release Configuration Management
    b"rockyautomation@rockylinux.org",
    b"infrastructure@rockylinux.org",
    b"packager@almalinux.org",
    b"almalinux-bot@almalinux.org",
    b"security@openela.org",
    b"releng@openela.org",
    b"hello@packit.dev",
    b"releng@fedoraproject.org",
    b"rel-eng@fedoraproject.org",
    b"rel-eng@lists.fedoraproject.org",
}
_NAMES = re.compile(rb".*\[bot\]|CentOS Sources|CentOS Buildsys|Rocky Automation", re.IGNORECASE)
# What the importers of Rocky, OpenELA and CentOS say, under whoever's name they run.
_IMPORT = re.compile(rb"import \S+-[^\s-]+-[^\s-]+(?:\n|\Z)")


def is_robot(author: Identity, message: bytes) -> bool:
    """Tell whether a commit of ``author`` that says ``message`` was made by an importing robot."""
    if author.email.lower() in _ADDRESSES or _NAMES.fullmatch(author.name):
        return True
    return _IMPORT.match(message) is not None


_CHANGELOG = re.compile(rb"^%changelog\b", re.MULTILINE)
_ENTRY = re.compile(
    rb"^\*[ \t]+[A-Z][a-z]{2}[ \t]+[A-Z][a-z]{2}[ \t][^<\n]{0,60}?\d{4}[ \t]+([^<\n]{1,200})"
    rb"<([^<>\n]{1,200})>",
    re.MULTILINE,
)


def packager(origin: Origin, spec: bytes) -> Origin:
    """Return ``origin`` with the author of the newest changelog entry of ``spec`` as its author.

    The date stays. Where the changelog names nobody the author is unknown.
    """
    changelog = _CHANGELOG.search(spec)
    entry = changelog and _ENTRY.search(spec, changelog.end(), changelog.end() + 4096)
    name, email = (entry[1].strip(), entry[2].strip()) if entry else (b"unknown", b"")
    author = Identity(repaired_utf8(name), repaired_utf8(email), origin.author.date)
    whose = "The author is that of the newest changelog entry in" if entry else "A robot made"
    return replace(origin, author=author, told_by=whose)
