"""What is changed in a spec so that every rpm from 4.16 to 6.1 reads it, and alike (pure).

What rpms read differently without a word is written as all of them read it (``alike``). What one of
them refuses is changed for what it said (``edit``): macros of other packages, and rpm's own of a
newer release, are nothing that a series depends on. The numbers of lines stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

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
_FREE_LINE = re.compile(rb"^(?:#.*|)$", re.MULTILINE)
_CONDITION = re.compile(rb"[ \t]*%(if|else|elif|endif)")


# A macro's name follows: %x, %{?x}, %define x, %{defined x}, rpm.define("x ...")
_BEFORE_NAME = (
    rb"(%\{?[?!]*|%(?:define|global|undefine)[ \t]+(?:-[eg]+[ \t]+)*|%\{(?:un)?defined[ \t]+"
    rb"|rpm\.(?:un)?define\([\"'])"
)
_OF_PREP = re.compile(rb"(?<!%)%(?=(?:auto)?setup\b|patch(?:\d|\b))")
_NUMBER_JOINED = re.compile(rb"(?<!%)%patch(?=[\d%])")
_NO_NUMBER = re.compile(rb"(?<!%)(%patch)(?=[ \t\n}]|$)([^\n}\\]*)")
_MODIFIED = re.compile(
    rb"(?<!%)(%(?:define|global))([ \t]+\w+)<([lo,]+)>((?:[^\n\\]|\\.)*)", re.DOTALL
)
_PATCH_VALUES = b"PpbzFdo"  # options of %patch with a value (rpm, build/parsePrep.c)
# Of 4.18 and 4.19 (release notes): an rpm before takes them for a part of the section above.
_NEWER_SECTIONS = (b"conf", b"preuntrans", b"postuntrans")
COMMENTS_EXPAND = (4, 20)


def alike(spec: bytes, built_with: tuple[int, ...]) -> bytes:
    """Return ``spec`` as all rpms read it alike, whatever they take %patch and comments for.

    ``built_with`` is the version of the rpm that builds it. Before 4.20, %setup and %patch are no
    macros, but lines of %prep, so that comments and the changelog may speak of them; since, they are
    expanded there, too (rpm 4.20.0, release notes). ``%patchN`` and a ``%patch`` that names no patch
    are refused since 4.20 and 4.19 (there), and of ``%patch N`` rpm before 4.18 makes two
    (rpm 4.16.1, build/parsePrep.c, doPatchMacro()). ``%rpmversion`` is rpm's own since 4.19 (release
    notes), where kernels have one that they define; modifiers (``%define x<l>``) came with 6.1 (there).
    """
    spec = _MODIFIED.sub(_without_modifiers, _macro_renamed(spec, b"rpmversion"))
    made = []
    for section, _, start, end in _sections(spec):
        if section in _NEWER_SECTIONS:
            made.append(_emptied(spec[start:end]))
            continue
        lines = spec[start:end].split(b"\n")
        made.append(b"\n".join(_alike(line, section, built_with) for line in lines))
    return b"".join(made)


def _alike(line: bytes, section: bytes, built_with: tuple[int, ...]) -> bytes:
    if b"%patch" not in line and b"setup" not in line:
        return line
    if line.lstrip().startswith(b"#"):
        # Only the first line of what the macro expands to is part of the comment.
        called = _NO_NUMBER.search(line) if section == b"prep" else None
        if called is None or built_with < COMMENTS_EXPAND or not _all_told(called[2]):
            return _OF_PREP.sub(b"%%", line)
        line = line[called.start() :]
    if section not in (b"", b"package", b"prep"):
        return _OF_PREP.sub(b"%%", line)
    return _NO_NUMBER.sub(_with_numbers, _NUMBER_JOINED.sub(b"%patch -P ", line))


def _without_modifiers(define: re.Match[bytes]) -> bytes:
    body = define[4]
    if b"l" in define[3] and define[1] == b"%define":  # %global expands it before
        body = body.replace(b"%", b"%%")
    return define[1] + define[2] + body


def _macro_renamed(spec: bytes, name: bytes) -> bytes:
    return re.sub(_BEFORE_NAME + name + rb"\b", rb"\g<1>srcgit_" + name, spec)


def _with_numbers(called: re.Match[bytes]) -> bytes:
    """``%patch 1 -p1`` and ``%patch -p1`` as ``%patch -P 1 -p1`` and ``%patch -P 0 -p1``."""
    words, numbered, value = called[2].split(), False, False
    made = []
    for word in words:
        if value or word.startswith(b"-"):
            numbered = numbered or word.startswith(b"-P")
            value = not value and len(word) == 2 and word[1:] in _PATCH_VALUES
        elif word.isdigit():
            numbered = True
            word = b"-P " + word
        else:
            return called[0]  # a macro may be the number, Lua or a shell what follows
        made.append(word)
    if numbered and made == words:
        return called[0]
    return b" ".join([called[1], *([] if numbered else [b"-P 0"]), *made])


def _all_told(arguments: bytes) -> bool:
    """Tell whether these are good arguments of a %patch that names its patches."""
    found = re.fullmatch(
        rb"(?:\s+(?:-P\s*)?\d+|\s+-[pF]\s*\d+|\s+-[REZ]|\s+-[bzd]\s*\S+)+\s*", arguments
    )
    return bool(found and re.search(rb"\s(?:-P\s*)?\d", arguments))


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
    for rule in _RULES:
        found = re.search(rule.pattern, said)
        made = rule.change(spec, found) if found else None
        if made and made[0] != spec:
            return made
    return None


def _with_tag(spec: bytes, tag: str, value: str) -> tuple[bytes, str] | None:
    """A tag in the place of the first line without words; Fedora calls a spec by its package's name."""
    text = f"{tag}: {value}".encode()
    if not value or re.search(rb"^" + text + rb"$", spec, re.MULTILINE):
        return None
    made = _FREE_LINE.sub(lambda _: text, spec, count=1)
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


def _renamed(spec: bytes, found: re.Match[str]) -> tuple[bytes, str]:
    """A macro of the spec's own under a name that this rpm keeps to itself."""
    made = _macro_renamed(spec, found[1].encode())
    return made, f"%{found[1]} renamed: a macro of this rpm has the name"


def _with_define(spec: bytes, _: re.Match[str]) -> tuple[bytes, str]:
    """``%define -e`` expands what it defines, ``-g`` is for all of the spec."""

    def plain(define: re.Match[bytes]) -> bytes:
        return b"%global " if b"e" in define[1] else b"%define "

    made = re.sub(rb"(?<!%)%define[ \t]+((?:-[eg]+[ \t]+)+)", plain, spec)
    return made, "%define's options as rpm 6.1 takes them"


def _numbered(spec: bytes, found: re.Match[str]) -> tuple[bytes, str]:
    """``%patchN`` that another macro makes: a macro for each number that the spec may mean."""
    declared = re.findall(rb"^[ \t]*Patch(\d+)[ \t]*:", spec, re.MULTILINE | re.IGNORECASE)
    numbers = b" ".join(dict.fromkeys([found[1].encode(), *declared]))
    macros = (
        b'%%{lua:for n in ("%b"):gmatch("%%d+") do rpm.define("patch" .. n .. "(-) %%patch -P " .. '
        b'tonumber(n) .. " %%**") end}' % numbers
    )
    if b'rpm.define("patch"' in spec:
        return spec, ""
    return _FREE_LINE.sub(lambda _: macros, spec, count=1), "%patchN as a macro"


def _without_tokens(spec: bytes, _: re.Match[str]) -> tuple[bytes, str]:
    line = re.compile(rb"^([ \t]*%(?:else|endif))\b.*$", re.MULTILINE)
    return line.sub(rb"\1", spec), "what follows %else and %endif left out"


def _without_indent(spec: bytes, _: re.Match[str]) -> tuple[bytes, str]:
    made = spec
    for section, _header, start, end in reversed([*_sections(spec)]):
        if section in (b"", b"package"):
            tags = re.sub(
                rb"^[ \t]+(?=\w+[ \t]*(?:\([^)]*\))?:)", b"", made[start:end], flags=re.MULTILINE
            )
            made = made[:start] + tags + made[end:]
    return made, "tags without the blanks before them"


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


class _Rule(NamedTuple):
    """What an rpm says of a spec that another one reads, and what is done about it."""

    pattern: str  # of what it says
    change: _Change
    rpm: str  # which refuse: "4.20-" since that, "-4.19" up to that, "" whichever lacks the macro
    source: str  # of that fact, in rpm's own repository


_RULES = tuple(
    _Rule(*row)
    for row in (
        (
            r"Macro %(\w+) is a built-in",
            _renamed,
            "4.19-",
            "rpmio/macro.c, builtinmacros: len, lower, upper, rep, reverse 4.19, span, xdg 6.0",
        ),
        (r"Macro %(\w+) has illegal name", _renamed, "-4.16", "commit 80ca959e3: of three letters"),
        (r"Macro % has illegal name \(%define\)", _with_define, "-6.0", "release notes of 6.1.0"),
        (
            r"%%?patchN is obsolete.*?: *%patch(\d+)",
            _numbered,
            "4.20-",
            "build/parseSpec.c, parseLines()",
        ),
        (r"extra tokens at the end of %\w+", _without_tokens, "4.20-", "commit b0da38f85"),
        (r"Unknown tag:[ \t]+\w", _without_indent, "-4.19", "commit 7c593bc0c"),
        (
            r"Unknown option ([Cq]) in (autosetup|setup|autopatch)|Bad %setup option -C",
            _without_option,
            "-4.19",
            "release notes of 4.20.0",
        ),
        (
            r"line (\d+): (?:Too many levels of recursion|Unknown option|unclosed macro)",
            _without_section,
            "",
            "",
        ),
        (r"Unclosed %if|%e\w+ with no %if", _without_continuation, "4.15-", ""),
        # %gopkg would make it
        (r"line (\d+): %[^:]*: package \S+ does not exist", _without_section, "", ""),
        (
            r"Unknown (?:tag: Build(?:System|Option)\b|buildsystem)|second %prep\b",
            _declared,
            "-4.19",
            "release notes of 4.20.0",
        ),
        (r"parametric macro .* not defined for buildsystem", _declared, "", ""),
        (r"second %(\w+)", _without_second, "-4.19", "release notes of 4.20.0: build scriptlets"),
        (r"Unknown tag: %\{?[?!]*(\w+)", _without_macro, "", ""),
        (
            r"(?:Empty tag|Tag takes single token only): ((?:Exclusive|Exclude|Build)(?:Arch|OS)|Url|URL|Group|BugUrl)\b",
            _without_empty,
            "",
            "",
        ),
        (r"(?:parse error in|bad) expression.*?%\{?(\w+)", _as_zero, "", ""),
        (
            r"unexpected symbol near '<'",
            _without_attributes,
            "",
            "Lua 5.3: attributes came with 5.4",
        ),
        (r"", _without_dependencies, "", ""),
    )
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
