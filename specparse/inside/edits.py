"""What is changed in a spec that today's rpm refuses, so that it can be read all the same (pure).

Macros of other packages, and rpm's own of a newer release, are nothing that a series depends on.
The numbers of lines stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_DEPENDENCY = re.compile(
    rb"^[ \t]*(?:(?:Build)?(?:Requires|Conflicts|PreReq)|Provides|Obsoletes|Supplements|Suggests"
    rb"|Recommends|Enhances|OrderWithRequires)\s*(?:\([^)]*\))?\s*:.*",
    re.IGNORECASE | re.MULTILINE,
)
_SECTIONS = (
    rb"package|description|prep|generate_buildrequires|conf|build|install|check|clean|files"
    rb"|changelog|preun|postun|pretrans|posttrans|preuntrans|postuntrans|pre|post|verifyscript"
    rb"|triggerprein|triggerin|triggerun|triggerpostun|filetriggerin|filetriggerun"
    rb"|filetriggerpostun|transfiletriggerin|transfiletriggerun|transfiletriggerpostun"
    rb"|sourcelist|patchlist"
)
_SECTION = re.compile(rb"^%(" + _SECTIONS + rb")\b.*\n?", re.MULTILINE)
_SYSTEM = re.compile(rb"^BuildSystem\s*:[ \t]*(\S*).*$", re.MULTILINE | re.IGNORECASE)
_OPTION = re.compile(rb"^BuildOption(?:\((\w+)\))?[ \t]*:", re.MULTILINE | re.IGNORECASE)
_NOT_DESCRIBED = b"\n%description\n"
_CONDITION = re.compile(rb"[ \t]*%(if|else|elif|endif)")


def edit(spec: bytes, said: str, name: str = "") -> tuple[bytes, str] | None:
    """Return a version of ``spec`` that rpm may like better, and what was done to it.

    ``said`` is what rpm said of ``spec``; ``name`` is that of the file where a macro was left out
    before, which might have named the package (%fontpkg). None when nothing is left to try.
    """
    if name and (found := re.search(r"(Name|Summary|License) field must be present", said)):
        value = name.removesuffix(".spec") if found[1] == "Name" else "unknown"
        if made := _with_tag(spec, found[1], value):
            return made
    if name and "Package has no %description" in said and not spec.endswith(_NOT_DESCRIBED):
        return spec.rstrip(b"\n") + _NOT_DESCRIBED, "%description is not told"
    for pattern, change in _RULES:
        found = re.search(pattern, said)
        made = change(spec, found) if found else None
        if made and made[0] != spec:
            return made
    return None


def _with_tag(spec: bytes, tag: str, value: str) -> tuple[bytes, str] | None:
    """A tag in the place of the first line without words; Fedora calls a spec by its package's name."""
    line = re.compile(rb"^(?:#.*|)$", re.MULTILINE)
    text = f"{tag}: {value}".encode()
    if not value or re.search(rb"^" + text + rb"$", spec, re.MULTILINE):
        return None
    made = line.sub(lambda _: text, spec, count=1)
    return made, f"{tag} is not told, and taken for {value}"


def _without_option(spec: bytes, found: re.Match[str]) -> tuple[bytes, str]:
    """``%setup -C`` (the top directory is named by -n or as without) and ``%autopatch -q``: 4.20."""
    option, macro = (found[1] or "C").encode(), (found[2] or "setup").encode()
    macro = rb"(?:auto)?setup" if macro.endswith(b"setup") else macro
    pattern = re.compile(rb"^(\s*%%\{?%b\b.*?)[ \t]+-%b(?=\s|\}|$)" % (macro, option), re.MULTILINE)
    return pattern.sub(rb"\1", spec), f"%{found[2] or 'setup'} -{option.decode()} as without"


def _declared(spec: bytes, _: re.Match[str]) -> tuple[bytes, str]:
    """``BuildSystem:`` and sections in parts (``%prep -a``), since rpm 4.20: one %prep is made.

    Where there is none it is ``%autosetup -p1`` with the BuildOptions for prep (rpm's macros.in,
    %buildsystem_default_prep; none of Fedora's build systems has another).
    """
    system = _SYSTEM.search(spec)
    parts: dict[bytes, list[bytes]] = {b"-p": [], b"": [], b"-a": []}
    for section, header, start, end in _sections(spec):
        if section == b"prep":
            place = re.search(rb"\s(-[ap])\b", header)
            parts[place[1] if place else b""].append(_whole(spec[start + len(header) : end])[0])
    told = f"BuildSystem: {system[1].decode('utf-8', 'replace')}" if system else "parts"
    made = _SYSTEM.sub(b"", _OPTION.sub(_as_macro, spec))
    if parts[b"-p"] or parts[b"-a"] or not parts[b""]:
        if system and not parts[b""]:
            parts[b""] = [b"%autosetup -p1 %{shrink:%{?srcgit_prep}}\n"]
        body = b"".join(part for place in parts.values() for part in place)
        made = _blanked(made, b"prep").rstrip(b"\n") + b"\n%prep\n" + body
    return made, f"%prep as rpm 4.20 puts it together, of {told}"


def _as_macro(option: re.Match[bytes]) -> bytes:
    """An option may go on over several lines: those of a macro do, too."""
    if option[1] == b"prep":
        return b"%global srcgit_prep %{?srcgit_prep} "
    return b"%define srcgit_option %{nil} "


def _without_section(spec: bytes, found: re.Match[str]) -> tuple[bytes, str]:
    """What goes wrong in the macros of %build and the like is no matter of %prep."""
    at = sum(map(len, spec.splitlines(keepends=True)[: int(found[1]) - 1]))
    for section, _, start, end in _sections(spec):
        if start <= at < end and section not in (b"", b"prep", b"package"):
            made = spec[:start] + _emptied(spec[start:end]) + spec[end:]
            said = " ".join(found[0].split())
            return made, f"%{section.decode()} left out: {said}"
    return spec, ""


def _without_second(spec: bytes, found: re.Match[str]) -> tuple[bytes, str]:
    """``%build -a`` beside %build: what is not %prep is of no interest."""
    return _blanked(spec, found[1].encode()), f"%{found[1]} left out"


def _without_macro(spec: bytes, found: re.Match[str]) -> tuple[bytes, str]:
    """A macro alone on a line that nobody defines is taken for a bad line."""
    name = found[1].encode()
    line = re.compile(rb"^[ \t]*%\{?[?!]*" + re.escape(name) + rb"\b.*$", re.MULTILINE)
    made = spec
    for section, _, start, end in _sections(spec):
        if section != b"prep":  # there it is told
            made = made[:start] + line.sub(_blank, made[start:end]) + made[end:]
    return made, f"%{found[1]} is not known here, its lines left out"


def _without_empty(spec: bytes, found: re.Match[str]) -> tuple[bytes, str]:
    """What a macro that nobody defines left empty."""
    line = re.compile(rb"^[ \t]*" + found[1].encode() + rb"[ \t]*:.*$", re.MULTILINE)
    return line.sub(_blank, spec), f"{found[1]} left out: a macro in it is not known here"


def _without_continuation(spec: bytes, _: re.Match[str]) -> tuple[bytes, str]:
    """``%endif \\`` between the arguments of a command: rpm before 4.15 left out the whole line."""
    line = re.compile(rb"^([ \t]*%(?:if|el|endif).*?)[ \t]*\\$", re.MULTILINE)
    made = spec
    for section, _header, start, end in reversed([*_sections(spec)]):
        if section not in (b"", b"package", b"description"):  # a %define needs them there
            made = made[:start] + line.sub(rb"\1", made[start:end]) + made[end:]
    return made, "conditions that end in a backslash, as without"


def _as_zero(spec: bytes, found: re.Match[str]) -> tuple[bytes, str]:
    """A macro that nobody defines cannot be a condition."""
    macro = re.compile(rb"^(\s*%(?:el)?if\b.*?)%\{?" + found[1].encode() + rb"\b\}?", re.MULTILINE)
    return macro.sub(rb"\g<1>0", spec), f"%{found[1]} is not known here, as a condition it is 0"


def _without_attributes(spec: bytes, _: re.Match[str]) -> tuple[bytes, str]:
    return re.sub(rb"<\s*(?:const|close)\s*>", b"", spec), "Lua's attributes left out"


def _without_dependencies(spec: bytes, _: re.Match[str]) -> tuple[bytes, str]:
    return _DEPENDENCY.sub(_blank, spec), "dependency lines left out: this rpm refuses one of them"


_Change = Callable[[bytes, re.Match[str]], tuple[bytes, str]]
_RULES: tuple[tuple[str, _Change], ...] = (
    (r"Unknown option ([Cq]) in (autosetup|setup|autopatch)|Bad %setup option -C", _without_option),
    (
        r"line (\d+): (?:Too many levels of recursion|Unknown option|unclosed macro)",
        _without_section,
    ),
    (r"Unclosed %if|%e\w+ with no %if", _without_continuation),
    (r"line (\d+): %[^:]*: package \S+ does not exist", _without_section),  # %gopkg would make it
    (r"Unknown (?:tag: Build(?:System|Option)\b|buildsystem)|second %prep\b", _declared),
    (r"parametric macro .* not defined for buildsystem", _declared),
    (r"second %(\w+)", _without_second),
    (r"Unknown tag: %\{?[?!]*(\w+)", _without_macro),
    (
        r"(?:Empty tag|Tag takes single token only): ((?:Exclusive|Exclude|Build)(?:Arch|OS)|Url|URL|Group|BugUrl)\b",
        _without_empty,
    ),
    (r"(?:parse error in|bad) expression.*?%\{?(\w+)", _as_zero),
    (r"unexpected symbol near '<'", _without_attributes),
    (r"", _without_dependencies),
)


def _sections(spec: bytes) -> Iterator[tuple[bytes, bytes, int, int]]:
    """Yield (name, header line, start, end) of each section; the preamble's name is ``b""``."""
    name, header, start = b"", b"", 0
    for found in _SECTION.finditer(spec):
        yield name, header, start, found.start()
        name, header, start = found[1], found[0], found.start()
    yield name, header, start, len(spec)


def _blanked(spec: bytes, name: bytes) -> bytes:
    """Leave out every section ``name``."""
    return b"".join(
        _emptied(spec[start:end]) if section == name else spec[start:end]
        for section, _, start, end in _sections(spec)
    )


def _emptied(section: bytes) -> bytes:
    body, rest = _whole(section)
    return b"\n" * body.count(b"\n") + rest


def _whole(part: bytes) -> tuple[bytes, bytes]:
    """Split a section before the conditions that are about the next one."""
    lines = part.splitlines(keepends=True)
    begun: list[int] = []
    for n, line in enumerate(lines):
        if found := _CONDITION.match(line):
            if found[1] == b"if":
                begun.append(n)
            elif not begun:
                begun = [n]
                break
            elif found[1] == b"endif":
                begun.pop()
    end = begun[0] if begun else len(lines)
    return b"".join(lines[:end]), b"".join(lines[end:])


def _blank(match: re.Match[bytes]) -> bytes:
    # Inside of a %define, a backslash at the end of each line but the last holds it together, and
    # the last line may have the brace that closes it.
    closing = match[0].count(b"}") - match[0].count(b"{")
    return b"}" * max(closing, 0) + b"\\" * match[0].endswith(b"\\")
