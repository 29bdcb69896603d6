"""What is left out of a spec that today's rpm refuses, so that it can be read all the same (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator

_DEPENDENCY = re.compile(
    rb"^\s*(?:(?:Build)?(?:Requires|Conflicts|PreReq)|Provides|Obsoletes|Supplements|Suggests"
    rb"|Recommends|Enhances|OrderWithRequires)\s*(?:\([^)]*\))?\s*:.*(?:\\\n.*)*",
    re.IGNORECASE | re.MULTILINE,
)
# Macros of other packages that rpm takes for a bad line when nobody defines them.
_ALONE = re.compile(
    rb"^\s*%\{?\??(?:forgemeta|gometa|goprep|forgesetup|fontpkg|fontmeta|generate_buildrequires"
    rb"|pyproject_buildrequires|gopkg|godevelpkg|gpgverify|cargo_generate_buildrequires"
    rb"|scl_package|py_provides|python_subpkg|javadoc_package|bcond|bcond_with|ldconfig_scriptlets"
    rb"|kernel_module_package|_metainfo|nodejs_find_provides_and_requires)\b.*$"
    rb"|^BuildSystem\s*:.*$|^BuildOption\b.*$",
    re.MULTILINE | re.IGNORECASE,
)
_EDITS = (
    (_DEPENDENCY, "dependency lines left out: this rpm refuses one of them"),
    (_ALONE, "lines with macros of other packages left out"),
)


def edits(spec: bytes) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    """Yield ever shorter versions of ``spec`` that rpm may like better, and what was done to them.

    The numbers of lines stay.
    """
    notes: tuple[str, ...] = ()
    for pattern, note in _EDITS:
        changed = pattern.sub(_blank, spec)
        if changed != spec:
            spec, notes = changed, (*notes, note)
            yield spec, notes


def _blank(match: re.Match[bytes]) -> bytes:
    # Inside of a %define, a backslash at the end of each line but the last holds it together.
    lines = match[0].split(b"\n")
    return b"\n".join(b"\\" if line.endswith(b"\\") else b"" for line in lines)
