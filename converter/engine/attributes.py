"""What the .gitattributes of a tree have git convert in a file (attr.c, convert.c; pure).

git stores one form of a file and writes another into its work tree: line ends (text, eol, crlf),
``$Id$`` (ident) and character sets (working-tree-encoding). Line ends are converted here; what else
would change a file is refused by name. Filters need a configuration, which the plan refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from converter.engine.diff import unquote
from converter.tree import Tree, parents

FILE = b".gitattributes"
_LONGEST = 2048  # bytes of a line: attr.h, ATTR_MAX_LINE_LENGTH
_LARGEST = 100 << 20  # bytes: attr.h, ATTR_MAX_FILE_SIZE
_CONVERT = (b"text", b"crlf", b"eol", b"ident", b"working-tree-encoding")
_RELEVANT = re.compile(rb"text|crlf|eol|ident|working-tree-encoding|binary|\[attr\]")
_IDENT = re.compile(rb"\$Id(?:\$|:[^\n]*?\$)")

Value = bool | bytes | None  # set, unset, a string, unspecified
States = tuple[tuple[bytes, Value], ...]


@dataclass(frozen=True, slots=True)
class Conversion:
    """What git does to one file. ``end`` is "" for no conversion of line ends, "lf" or "crlf"."""

    end: str = ""
    auto: bool = False  # only in what looks like text
    ident: bool = False
    encoding: bytes = b""

    def to_git(self, data: bytes) -> bytes:
        """convert.c, crlf_to_git: the form that git stores."""
        if not self.end or b"\r\n" not in data or (self.auto and _is_binary(data)):
            return data
        return data.replace(b"\r" if self.auto else b"\r\n", b"" if self.auto else b"\n")

    def to_work_tree(self, data: bytes) -> bytes:
        """convert.c, crlf_to_worktree: the form that git writes into its work tree."""
        if self.end != "crlf" or (self.auto and (b"\r" in data or _is_binary(data))):
            return data
        return re.sub(rb"(?<!\r)\n", b"\r\n", data)

    def trouble(self, data: bytes) -> str:
        """Return why ``data`` is not converted here; "" where it is."""
        if self.encoding:
            return f"working-tree-encoding={self.encoding.decode('utf-8', 'replace')}"
        return "ident, and the file has $Id$" if self.ident and _IDENT.search(data) else ""


NONE = Conversion()


class Attributes:
    """The attributes of the files of one tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._files: dict[bytes, tuple[_Line, ...]] = {}  # directory -> the lines of its file

    def of(self, path: bytes) -> Conversion:
        """Return what git converts in the file at ``path``."""
        directories = [b"", *parents(path)]
        lines = [(directory, self._lines(directory)) for directory in directories]
        if not any(found for _, found in lines):
            return NONE
        # attr.c, read_attr_from_file: macros count at the top alone
        macros = {line.pattern: line.states for line in lines[0][1] if line.macro}
        macros = {b"binary": _BINARY, **macros}
        found: dict[bytes, Value] = {}
        for directory, rules in reversed(lines):
            below = path[len(directory) + 1 :] if directory else path
            for line in reversed(rules):
                if not line.macro and line.matches(below):
                    _fill(found, line.states, macros)
        return _conversion(found)

    def _lines(self, directory: bytes) -> tuple[_Line, ...]:
        if directory not in self._files:
            file = self._tree.get(directory + b"/" + FILE if directory else FILE)
            # attr.c, read_attr_from_file: links are not followed
            readable = file is not None and file.mode & 0o170000 == 0o100000
            data = file.data if file is not None and readable else b""
            self._files[directory] = _parsed(data) if _RELEVANT.search(data) else ()
        return self._files[directory]


@dataclass(frozen=True, slots=True)
class _Line:
    """A line: a pattern, or the name of a macro, and the attributes that it gives."""

    pattern: bytes
    states: States
    macro: bool = False

    def matches(self, path: bytes) -> bool:
        """attr.c, path_matches, for a file; ``path`` is below the directory of the line's file."""
        if self.pattern.endswith(b"/"):
            return False
        if b"/" not in self.pattern:
            path = path.rpartition(b"/")[2]
        compiled = _compiled(self.pattern.removeprefix(b"/"))
        return compiled is not None and compiled.fullmatch(path) is not None


_BINARY: States = ((b"diff", False), (b"merge", False), (b"text", False))


@lru_cache(maxsize=256)
def _parsed(data: bytes) -> tuple[_Line, ...]:
    """attr.c, parse_attr_line, of each line of a file."""
    if len(data) >= _LARGEST:
        return ()
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return tuple(_read(lines))


def _read(lines: Iterable[bytes]) -> Iterator[_Line]:
    for line in lines:
        if len(line) >= _LONGEST:
            continue
        line = line.lstrip(b" \t\r")
        if not line or line.startswith(b"#"):
            continue
        quoted = unquote(line) if line.startswith(b'"') else None
        if quoted is not None:
            name, rest = quoted
        else:
            name = re.split(rb"[ \t\r]", line, maxsplit=1)[0]
            rest = line[len(name) :]
        macro = name.startswith(b"[attr]") and len(name) > len(b"[attr]")
        if macro:
            name = name.removeprefix(b"[attr]")
        elif name.startswith(b"!"):
            continue  # "Negative patterns are ignored"
        yield _Line(name, tuple(map(_state, rest.split())), macro)


def _state(word: bytes) -> tuple[bytes, Value]:
    """attr.c, parse_attr."""
    if word.startswith(b"-"):
        return word[1:], False
    if word.startswith(b"!"):
        return word[1:], None
    name, equals, value = word.partition(b"=")
    return name, value if equals else True


def _fill(found: dict[bytes, Value], states: States, macros: Mapping[bytes, States]) -> None:
    """attr.c, fill_one and macroexpand_one: what is known already stays."""
    for name, value in reversed(states):
        if name not in found:
            found[name] = value
            if value is True and name in macros:
                _fill(found, macros[name], macros)


def _conversion(found: Mapping[bytes, Value]) -> Conversion:
    """convert.c, convert_attrs, where nothing is configured."""
    action = _action(found.get(b"text")) or _action(found.get(b"crlf"))
    end = {b"lf": "lf", b"crlf": "crlf"}.get(_word(found.get(b"eol")), "")
    if action == "binary":
        end = ""
    elif action:
        end = "lf" if action == "input" else end or "lf"
        end = {b"crlf": "crlf"}.get(_word(found.get(b"eol")), end)
    encoding = found.get(b"working-tree-encoding")
    if isinstance(encoding, bool):
        encoding = b"true" if encoding else b""
    if (encoding or b"").lower() in (b"utf-8", b"utf8"):
        encoding = b""
    return Conversion(end, action == "auto", found.get(b"ident") is True, encoding or b"")


def _word(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""


def _action(value: Value) -> str:
    """convert.c, git_path_check_crlf; "" is undefined."""
    if isinstance(value, bool):
        return "text" if value else "binary"
    return {b"input": "input", b"auto": "auto"}.get(_word(value), "")


def _is_binary(data: bytes) -> bool:
    """convert.c, gather_stats and convert_is_binary."""
    if b"\0" in data or data.replace(b"\r\n", b"").count(b"\r"):
        return True
    text = data[:-1] if data.endswith(b"\x1a") else data
    odd = len(text) - len(text.translate(None, _ODD))
    ends = 2 * text.count(b"\r\n") + text.replace(b"\r\n", b"").count(b"\n")
    return (len(text) - odd - ends) >> 7 < odd


_ODD = bytes(n for n in range(32) if n not in b"\b\t\n\f\r\x1b") + b"\x7f"


@lru_cache(maxsize=4096)
def _compiled(glob: bytes) -> re.Pattern[bytes] | None:
    """wildmatch.c with WM_PATHNAME, as a regular expression; None for what matches nothing."""
    made, at = b"", 0
    while at < len(glob):
        char = glob[at : at + 1]
        at += 1
        if char == b"*":
            stars = at
            while glob[at : at + 1] == b"*":
                at += 1
            before = glob[: stars - 1]
            whole = at > stars and (not before or before.endswith(b"/"))
            if whole and glob[at : at + 1] == b"/":
                made, at = made + rb"(?:.*/)?", at + 1
            elif whole and at == len(glob):
                made += rb".*"
            else:
                made += rb"[^/]*"
        elif char == b"?":
            made += rb"[^/]"
        elif char == b"[":
            found = _BRACKETS.match(glob, at)
            if found is None:
                return None
            at = found.end()
            made += _bracket(found[1], found[2])
        else:
            if char == b"\\":
                char = glob[at : at + 1]
                at += 1
                if not char:
                    return None
            made += re.escape(char)
    return re.compile(made, re.DOTALL)


_BRACKETS = re.compile(rb"([!^]?)(\]?(?:\[:\w+:\]|\\.|[^\]\\])*)\]", re.DOTALL)
_CLASSES = {
    b"alnum": rb"a-zA-Z0-9", b"alpha": rb"a-zA-Z", b"digit": rb"0-9", b"lower": rb"a-z",
    b"upper": rb"A-Z", b"space": rb"\s", b"xdigit": rb"0-9a-fA-F", b"punct": rb"!-/:-@\[-`{-~",
}  # fmt: skip


def _bracket(negated: bytes, inside: bytes) -> bytes:
    body = b""
    for part in re.findall(rb"\[:(\w+):\]|(\\?.)(?:-(\\?[^\]]))?", inside, re.DOTALL):
        name, start, end = part
        if name:
            body += _CLASSES.get(name, b"")
            continue
        body += re.escape(start[-1:]) + (b"-" + re.escape(end[-1:]) if end else b"")
    if not body:
        return rb"[^/]" if negated else rb"(?!)"
    return rb"(?!/)[%s%s]" % (b"^" if negated else b"", body)
