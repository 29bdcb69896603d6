"""Bugs and upstream commits that a patch, its comment and its changelog speak of (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_CVE = re.compile(r"\bCVE-(?:19|20)\d{2}-\d{4,7}\b", re.IGNORECASE)
# "rhbz 1317383 1317384", "rhbz#123", "BZ: 123": one word, then one or more numbers
_RHBZ = re.compile(
    r"\b(?:rhbz|bz|bugzilla)\b[\s#:]*((?:\d{5,8}(?:[\s,#]+(?=\d{5,8}\b))?)+)", re.IGNORECASE
)
_URL = re.compile(
    r"bugzilla\.(?:redhat\.com|(kernel\.org))/(?:show_bug\.cgi\?id=)?(\d+)", re.IGNORECASE
)

# Red Hat's Jira: RHEL-1234, RHELPLAN-123456; a release such as RHEL-8.9 or RHEL-10 is no key
_JIRA = re.compile(r"\b((?:RHEL[A-Z]*|FDP)-\d{3,7})\b(?!\.?\d)")
# In a file's name: glibc-rh1982608.patch, 0001-bz12345.patch, rhbz-12345, glibc-RHEL-2435-2.patch
_RHBZ_NAME = re.compile(r"(?<![a-z0-9])(?:rhbz|bz|rh)[#_-]?(\d{5,8})(?!\d)", re.IGNORECASE)
_JIRA_NAME = re.compile(r"(?<![a-z0-9])(rhel[a-z]*-\d{3,7})(?!\.?\d)", re.IGNORECASE)
_CVE_NAME = re.compile(r"(?<![a-z0-9])CVE-(?:19|20)\d{2}-\d{4,7}(?!\d)", re.IGNORECASE)

# A message may be a megabyte of blanks: what is repeated must not fit in two ways.
# Documentation/process/stable-kernel-rules.rst, options 2 and 3; git-cherry-pick(1), -x
_BACKPORT = re.compile(
    r"^[^\S\n]*(?:\[[^\S\n]*)?(?:upstream\s+commit|commit)\s+([0-9a-f]{7,40})"
    r"(?:\s+upstream)?\.?[^\S\n]*(?:\][^\S\n]*)?$"
    r"|\(cherry[ -]picked\s+from\s+commit\s+([0-9a-f]{7,40})\)",
    re.IGNORECASE | re.MULTILINE,
)
_UPSTREAM_WORD = re.compile(r"upstream", re.IGNORECASE)
_STATUS = re.compile(
    r"^[^\S\n]*(?:upstream[- ]status|patch-status)\s*:\s*(\S.*)$", re.IGNORECASE | re.MULTILINE
)
_STABLE = re.compile(
    r"^[^\S\n]*cc\s*:.*\bstable@(?:vger\.)?kernel\.org|\bqueued? (?:up )?(?:for|in) [\w.]*stable",
    re.IGNORECASE | re.MULTILINE,
)


def references(texts: Iterable[str], name: str = "") -> dict[str, Any]:
    """Return what ``texts`` and the ``name`` of a patch file refer to.

    ``bugs``: sorted ids (``CVE-2015-8104``, ``rhbz#1278496``, ``RHEL-1234``, ``kernel.org#12``);
    ``upstream``: commit ids that the patch is a backport of, in order; ``status``: the
    ``Upstream-status:`` lines; ``stable``: whether it is marked for the stable kernels.
    """
    bugs: set[str] = set()
    upstream: dict[str, None] = {}
    status: dict[str, None] = {}
    stable = False
    bugs.update(f"rhbz#{number}" for number in _RHBZ_NAME.findall(name))
    bugs.update(key.upper() for pattern in (_JIRA_NAME, _CVE_NAME) for key in pattern.findall(name))
    for text in texts:
        bugs.update(_JIRA.findall(text))
        bugs.update(found.upper() for found in _CVE.findall(text))
        for numbers in _RHBZ.findall(text):
            bugs.update(f"rhbz#{number}" for number in re.findall(r"\d+", numbers))
        bugs.update(f"{site or 'rhbz'}#{number}" for site, number in _URL.findall(text))
        for match in _BACKPORT.finditer(text):
            if match[2] or _UPSTREAM_WORD.search(match[0]):
                upstream[match[1] or match[2]] = None
        status.update(dict.fromkeys(found.rstrip() for found in _STATUS.findall(text)))
        stable = stable or _STABLE.search(text) is not None
    return {
        "bugs": sorted(bugs),
        "upstream": list(upstream),
        "status": list(status),
        "stable": stable,
    }
