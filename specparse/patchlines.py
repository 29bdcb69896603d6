"""The lines of a spec, or of a quilt series, that declare and apply patches (pure).

Lines are added, dropped and moved so that the file says another series; all else stays byte for
byte. Whether %prep then does what is wanted, only a new trace can tell.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_SECTION = re.compile(r"%(\w+)(?:\s|$)")
# build/parseSpec.c, partList; of these only four matter here
_SECTIONS = {
    "package", "description", "prep", "build", "install", "check", "clean", "files", "changelog",
    "patchlist", "sourcelist", "generate_buildrequires", "conf", "pre", "post", "preun", "postun",
    "pretrans", "posttrans", "preuntrans", "postuntrans", "verifyscript", "triggerin", "triggerun",
    "triggerprein", "triggerpostun", "filetriggerin", "filetriggerun", "filetriggerpostun",
    "transfiletriggerin", "transfiletriggerun", "transfiletriggerpostun",
}  # fmt: skip
_DECLARED = re.compile(
    r"(?P<head>\s*Patch)(?P<number>\d*)(?P<colon>\s*:\s*)(?P<value>\S+)", re.IGNORECASE
)
_LISTED = re.compile(r"\s*((?!#|%(?:if|el|endif))\S+)")
_SOURCE = re.compile(r"\s*Source\d*\s*:", re.IGNORECASE)
_MACRO = re.compile(r"%\{[^{}]*\}|%\w+")
_PATCH_MACRO = re.compile(r"\s*%\{?patch(?P<number>\d*)(?![\w:])(?P<rest>.*)")
_PATCH_VARIABLE = re.compile(r"%(?:PATCH(\d+)\b|\{PATCH(\d+)\}|\{P:(\d+)\})")
_TAKES_WORD = {"-b", "-z", "-d", "-F", "-o", "-p"}  # build/parsePrep.c, doPatchMacro


@dataclass(frozen=True, slots=True)
class Edited:
    """The new text, and in a line each what has to be done by hand."""

    text: bytes
    trouble: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class _Line:
    text: str
    name: str = ""  # of the patch that it declares
    applies: set[str] = field(default_factory=set)


def edit_spec(
    spec: bytes,
    old: Sequence[tuple[str, int | None]],
    new: Sequence[str],
    forward: Iterable[str] = (),
) -> Edited:
    """Return ``spec`` with the patches ``new`` in the place of ``old``.

    Both are base names of patch files in the order of application; ``old`` come with their numbers.
    Those of ``forward`` are no longer applied with -R.
    """
    made = _Spec(spec, old)
    for name in forward:
        made.turn(name)
    made.change([name for name, _ in old], new)
    return made.finish()


def edit_series(
    series: bytes, old: Container[str], new: Mapping[str, str], rewritten: Container[str] = ()
) -> Edited:
    """Return a quilt series with the patches of ``new`` (name -> name and options) in that order.

    Of the lines that are there, those of ``old`` go if they are not in ``new``, and those of
    ``rewritten`` are written anew; all others, what guards leave out among them, stay.
    """
    made = _Series(series, new, rewritten)
    made.change([n for line in made.lines if (n := line.name) in old or n in new], list(new))
    return made.finish()


class _List:
    """Lines of which some declare a patch, in an order that counts."""

    def __init__(self, text: bytes) -> None:
        self.lines = [_Line(t) for t in text.decode("utf-8", "surrogateescape").split("\n")]
        self.trouble: list[str] = []

    def finish(self) -> Edited:
        text = "\n".join(line.text for line in self.lines)
        return Edited(text.encode("utf-8", "surrogateescape"), tuple(dict.fromkeys(self.trouble)))

    def change(self, old: Sequence[str], new: Sequence[str]) -> None:
        for name in dict.fromkeys(old):
            if name not in new:
                self.drop(name)
        moved = _out_of_order(old, new)
        for position, name in enumerate(new):
            before = new[position - 1] if position else None
            after = next((n for n in new[position + 1 :] if n in old and n not in moved), None)
            if name not in old:
                self.add(name, before, after)
            elif name in moved:
                self.move(name, before, after)

    def drop(self, name: str) -> None:
        raise NotImplementedError

    def add(self, name: str, before: str | None, after: str | None) -> None:
        raise NotImplementedError

    def move(self, name: str, before: str | None, after: str | None) -> None:
        raise NotImplementedError

    def declaration(self, name: str | None) -> _Line | None:
        return next((line for line in self.lines if name and line.name == name), None)

    def comment(self, line: _Line) -> list[_Line]:
        """Return the comment right above ``line``, unless it may speak of what follows, too."""
        end = self.lines.index(line)
        if any(below.name or below.applies for below in self.lines[end + 1 : end + 2]):
            return []
        return self.lines[self.head(line) : end]

    def head(self, line: _Line) -> int:
        """Return where the comment above ``line`` starts, or the line itself."""
        start = self.lines.index(line)
        while start and self.lines[start - 1].text.startswith("#"):
            start -= 1
        return start

    def take(self, line: _Line) -> list[_Line]:
        """Take ``line`` out, with its comment, and one of two blank lines that would meet."""
        taken = [*self.comment(line), line]
        start = self.lines.index(taken[0])
        end = start + len(taken)
        around = self.lines[start - 1 : start] + self.lines[end : end + 1]
        end += len(around) == 2 and not any(each.text.strip() for each in around)
        del self.lines[start:end]
        return taken

    def put(self, taken: Iterable[_Line], before: _Line | None, after: _Line | None) -> None:
        """Put lines behind ``before``, or else in front of ``after`` and its comment."""
        if before is not None:
            at = self.lines.index(before) + 1
        elif after is not None:
            at = self.head(after)
        else:
            at = self.end()
        self.lines[at:at] = taken

    def end(self) -> int:
        """Return where the first patch of all goes."""
        return len(self.lines) - (self.lines[-1:] != [] and self.lines[-1].text == "")


class _Series(_List):
    def __init__(self, series: bytes, new: Mapping[str, str], rewritten: Container[str]) -> None:
        super().__init__(series)
        self._new = new
        for line in self.lines:
            words = re.sub(r"(?:^|[ \t])#.*", "", line.text).split()
            line.name = next((word for word in words if word[0] not in "+-"), "")
            if line.name in rewritten and line.name in new:
                line.text = new[line.name]

    def drop(self, name: str) -> None:
        if line := self.declaration(name):
            self.take(line)

    def add(self, name: str, before: str | None, after: str | None) -> None:
        line = _Line(self._new[name], name)
        self.put([line], self.declaration(before), self.declaration(after))

    def move(self, name: str, before: str | None, after: str | None) -> None:
        if line := self.declaration(name):
            self.put(self.take(line), self.declaration(before), self.declaration(after))


class _Spec(_List):
    def __init__(self, spec: bytes, old: Sequence[tuple[str, int | None]]) -> None:
        super().__init__(spec)
        self._by_number = {number: name for name, number in old if number is not None}
        self._names = {name for name, _ in old}
        self._raw: dict[str, str] = {}  # name -> how the spec writes it
        self._numbers: set[int] = set()  # all that are taken
        self._unnumbered = 0  # lines that rpm numbers, each from the one before it on
        prep = []
        section = "package"
        for line in self.lines:
            found = _SECTION.match(line.text)
            if found and found[1] in _SECTIONS:
                section = found[1]
            elif section == "prep":
                prep.append(line)
            elif section == "package" and (declared := _DECLARED.match(line.text)):
                self._declare(line, declared["value"], declared["number"])
            elif section == "patchlist" and (listed := _LISTED.match(line.text)):
                self._declare(line, listed[1], "")
        for line in prep:
            line.applies = self._applied(line.text)

    def _declare(self, line: _Line, value: str, number: str) -> None:
        base = value.rpartition("/")[2]
        if number:
            self._numbers.add(int(number))
        else:
            self._unnumbered += 1
        if base in self._names:
            name = base
        elif number and int(number) in self._by_number:
            name = self._by_number[int(number)]
        else:  # a macro in the name: it is the only one that fits
            fits = re.compile(".*".join(map(re.escape, _MACRO.split(base))))
            likely = [name for name in self._names if "%" in base and fits.fullmatch(name)]
            name = likely[0] if len(likely) == 1 else base
        line.name = name
        self._raw[name] = base

    def _applied(self, text: str) -> set[str]:
        """Return the patches that a line of %prep names, by number or by file."""
        if text.lstrip().startswith("#"):
            return set()
        numbers = _patch_macro(text)
        numbers += [int("".join(found)) for found in _PATCH_VARIABLE.findall(text)]
        names = {self._by_number[n] for n in numbers if n in self._by_number}
        words = set(re.split(r"[\s\"'/]+", text))
        return names | {name for name, raw in self._raw.items() if {raw, name} & words}

    def _application(self, name: str | None) -> _Line | None:
        """Return the line of %prep that applies ``name`` and nothing else."""
        if name is None:
            return None
        found = [line for line in self.lines if name in line.applies]
        if len(found) > 1 or any(len(line.applies) > 1 for line in found):
            self.trouble.append(f"{name} is applied by more than a line of its own in %prep")
            return None
        return found[0] if found else None

    def turn(self, name: str) -> None:
        """Apply ``name`` forward."""
        if application := self._application(name):
            application.text = _forward(application.text)

    def drop(self, name: str) -> None:
        if application := self._application(name):
            self.take(application)
        if line := self.declaration(name):
            self.take(line)

    def move(self, name: str, before: str | None, after: str | None) -> None:
        line = self._application(name)
        if line is None:
            line = self.declaration(name)
            place = self.declaration(before), self.declaration(after)
        else:
            place = self._application(before), self._application(after)
        if line is None or not any(place):
            self.trouble.append(f"{name} has moved, and no line of the spec tells its place")
            return
        self.put(self.take(line), *place)

    def add(self, name: str, before: str | None, after: str | None) -> None:
        near = self.declaration(before) or self.declaration(after)
        like = _DECLARED.match(near.text) if near else None
        number = ""
        if near is None:
            number = str(self._free(None))
            line = _Line(f"Patch{number}: {name}", name)
        elif like is None:  # of a %patchlist
            line = _Line(name, name)
        else:
            if self._numbers:
                width = len(like["number"]) if like["number"].startswith("0") else 0
                number = f"{self._free(int(like['number'] or 0)):0{width}}"
            line = _Line(f"{like['head']}{number}{like['colon']}{name}", name)
        self.put([line], self.declaration(before), self.declaration(after))
        self._raw[name] = name
        if number:
            self._by_number[int(number)] = name
        else:
            self._unnumbered += 1
        self._apply_like(name, number, before, after)

    def _apply_like(self, name: str, number: str, before: str | None, after: str | None) -> None:
        one, two = self._application(before), self._application(after)
        near, like = (one, before) if one else (two, after)
        if near is None or like is None:
            return  # all that is declared is applied, or nobody knows
        text = _PATCH_VARIABLE.sub(f"%{{PATCH{number}}}", near.text)
        if found := _PATCH_MACRO.match(text):
            text = _with_number(text, found, number)
            text = re.sub(r"\s+-[bz]\s*\S+", "", text)  # the other's backups
        for word in (self._raw.get(like, like), like):
            text = text.replace(word, name)
        line = _Line(_forward(text))
        line.applies = {name}
        self.put([line], one, two)

    def _free(self, number: int | None) -> int:
        """Return the number behind ``number`` if it is surely free, else one behind all."""
        wanted = 1 if number is None else number + 1
        if wanted in self._numbers or self._unnumbered:
            wanted = max(self._numbers, default=0) + 1 + self._unnumbered
        self._numbers.add(wanted)
        return wanted

    def end(self) -> int:
        declared = [n for n, line in enumerate(self.lines) if _SOURCE.match(line.text)]
        head = next((n for n, line in enumerate(self.lines) if line.text.startswith("%desc")), 0)
        return declared[-1] + 1 if declared else head


def _forward(text: str) -> str:
    return re.sub(r"\s+(?:-R|--reverse)(?=\s|$)", "", text)


def _patch_macro(text: str) -> list[int]:
    """Return the numbers of a %patch line: %patchN, %patch N, %patch -P N; %patch is number 0."""
    found = _PATCH_MACRO.match(text)
    if found is None:
        return []
    if found["number"]:
        return [int(found["number"])]
    numbers = []
    words = iter(found["rest"].split())
    for word in words:
        if word in _TAKES_WORD:
            next(words, "")
        elif word == "-P":
            numbers.append(next(words, ""))
        elif given := re.fullmatch(r"(?:-P)?(\d+)\}?", word):
            numbers.append(given[1])
    return [int(number) for number in numbers if number.isdigit()] or [0]


def _with_number(text: str, found: re.Match[str], number: str) -> str:
    if found["number"]:
        return text[: found.start("number")] + number + text[found.end("number") :]
    old = _patch_macro(text)[0]
    spelled = re.sub(rf"(\s-P\s*)0*{old}(?=\s|$)", rf"\g<1>{number}", text, count=1)
    if spelled == text:
        spelled = re.sub(rf"(?<=\s)0*{old}(?=\s|$)", number, text, count=1)
    return spelled


def _out_of_order(old: Sequence[str], new: Sequence[str]) -> set[str]:
    """Return the fewest names whose moving turns the order of ``old`` into that of ``new``."""
    position = {name: n for n, name in enumerate(old)}
    common = [name for name in new if name in position]
    tails: list[int] = []  # the longest increasing subsequence, by patience sorting
    chains: list[tuple[str, ...]] = []
    for name in common:
        at = bisect_left(tails, position[name])
        chain = (*(chains[at - 1] if at else ()), name)
        tails[at : at + 1] = [position[name]]
        chains[at : at + 1] = [chain]
    return set(common) - set(chains[-1] if chains else ())
