"""A build: its name, version and release, and the names of what stands for it (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from itertools import zip_longest

from converter.errors import WrongUsage

# rpm allows alphanumerics and these in the three parts (rpm's build/parsePreamble.c,
# ALLOWED_CHARS_NAME, ALLOWED_CHARS_VERREL); Koji's hub accepts anything, so this is the gate.
_NVR = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9+._-]*)"
    r"-(?P<version>[A-Za-z0-9][A-Za-z0-9+._~^]*)"
    r"-(?P<release>[A-Za-z0-9][A-Za-z0-9+._~^]*)"
)
SERIES_JSON = b"fedora/series.json"  # in a build's tree: how it was made
_DIST = re.compile(r"\.(?:fc|el|eln)[0-9]*(?=$|[._])")
_VERCMP_PART = re.compile(r"[0-9]+|[A-Za-z]+|~|\^")


@dataclass(frozen=True, slots=True)
class Nvr:
    """Name, version and release, validated."""

    name: str
    version: str
    release: str

    @classmethod
    def parse(cls, text: str) -> Nvr:
        """Split ``text`` at its last two dashes. Raises WrongUsage when it is no NVR."""
        match = _NVR.fullmatch(text)
        if match is None or ".." in text or len(text) > 255:
            raise WrongUsage(
                f"not a name-version-release: {text!r}",
                next_step="give one such as kernel-4.15.0-1.fc28, or PKG_GIT#COMMIT",
            )
        return cls(match["name"], match["version"], match["release"])

    def __str__(self) -> str:
        return f"{self.name}-{self.version}-{self.release}"

    @property
    def dist(self) -> str | None:
        """The dist tag in the release, with its dot: ``.fc28``."""
        found = _DIST.search(self.release)
        return found[0] if found else None

    @property
    def ref_name(self) -> str:
        """The NVR as part of a ref: ``~`` and ``^`` as %7E and %5E (git-check-ref-format(1)).

        No NVR has a ``%``, so two NVRs never share a ref.
        """
        name = str(self).replace("~", "%7E").replace("^", "%5E")
        return re.sub(r"\.(lock)?$", r"%2E\1", name)

    @classmethod
    def of_ref(cls, name: str) -> Nvr:
        """Return the NVR whose ``ref_name`` is ``name``. Raises WrongUsage when there is none."""
        return cls.parse(name.replace("%7E", "~").replace("%5E", "^").replace("%2E", "."))


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Evr:
    """Epoch, version and release, ordered as rpm orders them (rpm's rpmio/rpmvercmp.c)."""

    epoch: int
    version: str
    release: str

    def _compare(self, other: Evr) -> int:
        if self.epoch != other.epoch:
            return -1 if self.epoch < other.epoch else 1
        return vercmp(self.version, other.version) or vercmp(self.release, other.release)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Evr) and self._compare(other) == 0

    def __lt__(self, other: Evr) -> bool:
        return self._compare(other) < 0

    __hash__ = None  # type: ignore[assignment]  # 1.0 equals 1.00


def vercmp(a: str, b: str) -> int:
    """Compare two versions as rpmvercmp() does: -1, 0 or 1.

    Runs of digits compare as numbers, runs of letters as text, digits beat letters; ``~`` sorts
    before the end of the string, ``^`` after it but before anything else.
    """
    for left, right in zip_longest(_VERCMP_PART.findall(a), _VERCMP_PART.findall(b)):
        if left == right:
            continue
        if "~" in (left, right):
            return -1 if left == "~" else 1
        if "^" in (left, right):
            if left is None or right is None:  # the base version is older than base^snapshot
                return -1 if left is None else 1
            return -1 if left == "^" else 1
        if left is None or right is None:
            return -1 if left is None else 1
        if left.isdigit() != right.isdigit():
            return 1 if left.isdigit() else -1
        if left.isdigit():
            if int(left) != int(right):
                return -1 if int(left) < int(right) else 1
        else:
            return -1 if left < right else 1
    return 0


def tag_name(nvr: Nvr, variant: str = "") -> str:
    """Return the name of a build's tag. No NVR has an ``@``: a variant is nobody's newest build."""
    return nvr.ref_name + (f"@{variant}" if variant else "")


@dataclass(frozen=True, slots=True)
class Build:
    """One build of a package: what was built, from which commit, for which branch."""

    nvr: Nvr
    epoch: int | None
    pkg_git: str  # URL or path, as given
    commit: str  # full id
    branch: str
    koji_id: int | None = None
    variant: str = ""  # another architecture than x86_64, other options of rpmbuild

    @property
    def evr(self) -> Evr:
        return Evr(self.epoch or 0, self.nvr.version, self.nvr.release)

    @property
    def tag(self) -> str:
        return tag_name(self.nvr, self.variant)

    @property
    def tag_ref(self) -> str:
        return f"refs/tags/{self.tag}"

    @property
    def branch_ref(self) -> str:
        return f"refs/heads/{self.branch}"

    @property
    def builds_ref(self) -> str:
        return f"refs/heads/builds/{self.branch}"

    @property
    def failed_ref(self) -> str:
        """What applied of a series that failed stays reachable here."""
        return f"refs/srcgit/failed/{self.tag}"
