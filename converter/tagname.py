"""Which of an upstream's tags stands for a version: told by how its other tags look (pure).

A template is what stands before and after the version in a tag: ``v%{version}``,
``GLIB_%{version}``, ``release-%{version}-stable``. Inside of the version only its numbers and words
count, not what separates them: ``1.2~rc1`` is ``1.2-rc1``, ``1.2rc1`` and ``1_2_RC1``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cmp_to_key

from converter.build import vercmp

VERSION = "%{version}"
NAME = "%{name}"


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag's name, the template that it follows, and why it was chosen."""

    name: str
    template: str
    why: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """No tag, or several that could each be meant (``candidates``), and why."""

    why: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to find the version in a tag: ``before + body + after``."""

    tag: str
    before: str
    body: str
    after: str

    @property
    def template(self) -> str:
        return f"{self.before}{VERSION}{self.after}"


# What upstreams put around a version that says nothing but "this is a release".
_BEFORE = r"(?:v|ver|version|r|rel|release|releases|tag|tags|stable)"
_AFTER = re.compile(r"(?:[-_.]?(?:release|final|stable|ga|rtm))?", re.IGNORECASE)
_EARLIER = {
    "a",
    "b",
    "rc",
    "pre",
    "preview",
    "dev",
    "test",
    "snapshot",
    "m",
    "milestone",
    "nightly",
}
_BODY = re.compile(
    r"\d+(?:[-._]?(?:\d+|alpha|beta|rc|cr|pre|dev|post|pl|[abcmp](?![a-z])))*", re.IGNORECASE
)
_WORD = re.compile(r"\d+|[A-Za-z]+")
_SAME_WORD = {"alpha": "a", "beta": "b", "c": "rc", "cr": "rc"}  # PEP 440; cr is JBoss's
# Namespaces of Fedora's package names (Packaging Guidelines, "Naming"): no part of upstream's name
_NAMESPACE = re.compile(
    r"(?:python\d*|perl|rubygem|golang(?:-github-[^-]+)?|nodejs|php|ghc|rust|ocaml|lua|erlang|R"
    r"|mingw(?:32|64)?|texlive|octave)-(?P<name>.+)"
)
_ENOUGH = 3  # as many other tags at least have a strange look before it is believed


def find(
    versions: Sequence[str],
    names: Sequence[str],
    tags: Iterable[str],
    templates: Sequence[str] = (),
) -> Tag | Unclear:
    """Return the tag among ``tags`` that stands for the first of ``versions`` that has one.

    ``versions`` are spellings of one version, the likeliest first; ``names`` is what the upstream
    may call itself: without a name nothing is learned. ``templates`` are tried before, in order.
    A tag that only might be meant is never returned.
    """
    tags = sorted(set(tags))
    for template in templates:
        for version in versions:
            given = _by_template(template, version, names, tags)
            if given is not None:
                return given
    for version in versions if names else ():
        found = _learned(version, names, tags) or _with_release(version, names, tags)
        if found is not None:
            return found
    return Unclear(
        f"none of the upstream's {len(tags)} tags stands for {' or '.join(versions)}"
        + _nearest(versions[0] if versions else "", tags)
    )


def _nearest(version: str, tags: Sequence[str]) -> str:
    numbers = {re.sub(r"\D+", ".", tag).strip("."): tag for tag in tags}
    near = difflib.get_close_matches(re.sub(r"\D+", ".", version), numbers, cutoff=0.5)
    return f"; the nearest: {', '.join(numbers[each] for each in near)}" if near else ""


def _by_template(
    template: str, version: str, names: Sequence[str], tags: Sequence[str]
) -> Tag | Unclear | None:
    """Return the tag that ``template`` gives; None when there is none."""
    for name in names if NAME in template else ("",):
        before, _, after = template.replace(NAME, name).partition(VERSION)
        exact = f"{before}{version}{after}"
        found = [exact] if exact in tags else []
        if not found:
            readings = _readings(version, tags, before.__eq__)
            found = [r.tag for r in readings if (r.before, r.after) == (before, after)]
        if len(found) > 1:
            return Unclear(f"several tags look like {template}: {', '.join(found)}", tuple(found))
        if found:
            return Tag(found[0], template, "the template that is configured")
    return None


def _learned(version: str, names: Sequence[str], tags: Sequence[str]) -> Tag | Unclear | None:
    """Decide by the other tags which of those that have this version is meant."""
    usual = _usual(names)
    total = sum(any(c.isdigit() for c in tag) for tag in tags)
    for spelling, remark in _spellings(version):
        readings = [r for r in _readings(spelling, tags, usual) if not _mixed(r, spelling, tags)]
        looks = {r.template: _count(r, tags) for r in readings}
        expected = [r for r in readings if usual(r.before) and _AFTER.fullmatch(r.after)]
        if expected:
            best = _best(expected, spelling, tags)
        else:
            # Its look must be that of the upstream's tags, not of something beside them.
            strange = (r for r in readings if looks[r.template] * 2 > max(total, 2 * _ENOUGH))
            best = next(strange, None)
        if best is not None:
            others = looks[best.template] - 1
            why = f"{others} of the other {total - 1} tags look like {best.template}"
            return Tag(best.tag, best.template, remark + why)
        if expected:
            ranked = sorted(expected, key=lambda r: -looks[r.template])
            could = tuple(r.tag for r in ranked)
            return Unclear(f"several tags could be {version}: {', '.join(could)}", could)
    return None


_NVR = re.compile(r"(?P<name>.+)-(?P<version>\d[^-]*)-(?P<release>\d{1,3})")


def _with_release(version: str, names: Sequence[str], tags: Sequence[str]) -> Tag | Unclear | None:
    """Find tito's tags, NAME-VERSION-RELEASE, where upstream has no other of this version."""
    forms = {name: m for name in tags if (m := _NVR.fullmatch(name)) and m["name"] in names}
    found = [name for name, m in forms.items() if m["version"] == version]
    if not found or len(forms) < _ENOUGH:
        return None
    if len(found) > 1:
        return Unclear(f"several tags could be {version}: {', '.join(found)}", tuple(found))
    tag = forms[found[0]]
    template = f"{tag['name']}-{VERSION}-{tag['release']}"
    others = f"{len(forms) - 1} of the other {len(tags) - 1} tags look like NAME-VERSION-RELEASE"
    return Tag(found[0], template, others)


def _best(readings: Sequence[_Reading], version: str, tags: Sequence[str]) -> _Reading | None:
    """Return the reading that stands out: its look is that of the versions right before and after.

    Upstreams change how they name tags; of two looks the commoner one may be of another time.
    """
    templates = {r.template: r for r in readings}
    if len(templates) > 1:
        bodies = {t: {_plain(body) for body in _bodies(r, tags)} for t, r in templates.items()}
        others = set().union(*bodies.values()) - {_plain(r.body) for r in readings}
        near = _neighbours(_plain(version), others)
        ranked = sorted(templates, key=lambda t: -len(near & bodies[t]))
        first, second = (len(near & bodies[t]) for t in ranked[:2])
        if first <= 2 * second:
            return None
        readings = [r for r in readings if r.template == ranked[0]]
    if len(readings) == 1:
        return readings[0]
    alike = [r for r in readings if r.body in (version, version.replace("~", "-"))]
    return alike[0] if len(alike) == 1 else None


def _plain(body: str) -> str:
    return re.sub(r"[-_]", ".", body.casefold())


def _neighbours(version: str, others: Iterable[str]) -> set[str]:
    """Return the two versions right before and the two right after."""
    ordered = sorted({*others, version}, key=cmp_to_key(vercmp))
    at = ordered.index(version)
    return {*ordered[max(0, at - 2) : at], *ordered[at + 1 : at + 3]}


def _spellings(version: str) -> Iterator[tuple[str, str]]:
    """Yield the version, and then what it may be called instead, with a remark.

    3.38 is also 3.38.0, and the other way round; 20220601 is also 2022-06-01.
    """
    yield version, ""
    head = re.match(r"\d+(?:\.\d+)*", version)
    if head is None:
        return
    rest = version[head.end() :]
    others = [f"{head[0]}.0{rest}", f"{head[0].removesuffix('.0')}{rest}"]
    if date := re.fullmatch(r"(20\d\d)([01]\d)([0-3]\d)", version):
        others.append("-".join(date.groups()))
    for other in others:
        if other != version:
            yield other, f"{version} is {other} there; "


def _words(text: str) -> list[tuple[str, int, int]]:
    """Return the numbers and words in ``text``, and where they begin and end."""
    found = []
    for match in _WORD.finditer(text):
        word = match[0].casefold()
        found.append((_SAME_WORD.get(word, word), match.start(), match.end()))
    return found


def _readings(
    version: str, tags: Iterable[str], usual: Callable[[str], bool]
) -> Iterator[_Reading]:
    """Yield each way in which a tag has the version, whole: not 1.2 in 1.2.1, 11.2 or 1.2-rc1."""
    wanted = [word for word, _, _ in _words(version)]
    for tag in tags:
        if not wanted or wanted[0] not in tag.casefold():
            continue
        words = _words(tag)
        for at in range(len(words) - len(wanted) + 1):
            if [word for word, _, _ in words[at : at + len(wanted)]] != wanted:
                continue
            start, end = words[at][1], words[at + len(wanted) - 1][2]
            found = _Reading(tag, tag[:start], tag[start:end], tag[end:])
            following = words[at + len(wanted)][0] if at + len(wanted) < len(words) else ""
            if not _goes_on(found.after, following) and (
                not re.search(r"\d[-._+]$", found.before)
                or (usual(found.before) and not found.before.endswith((".", "_")))
            ):
                yield found


def _goes_on(after: str, word: str) -> bool:
    """Tell whether the version goes on after what was found of it."""
    if _AFTER.fullmatch(after):
        return False
    return after[:1].isalnum() or word.isdigit() or word in _EARLIER


def _mixed(reading: _Reading, version: str, tags: Iterable[str]) -> bool:
    """Tell whether 1.2-3 stands for 1.2.3 where other tags are as 1.2.2."""

    def between(body: str) -> list[str]:
        return re.findall(r"(?<=\d)[^0-9A-Za-z]+(?=\d)", body)

    own = between(reading.body)
    if len(set(own)) < 2 or own == between(version):
        return False
    bodies = (between(body) for body in _bodies(reading, tags))
    return any(len(other) == len(own) and len(set(other)) == 1 for other in bodies)


def _bodies(reading: _Reading, tags: Iterable[str]) -> Iterator[str]:
    """Yield what stands in the version's place in the tags of the same template."""
    before, after = reading.before, reading.after
    for tag in tags:
        if tag.startswith(before) and tag.endswith(after):
            body = tag[len(before) : len(tag) - len(after)]
            if _BODY.fullmatch(body):
                yield body


def _count(reading: _Reading, tags: Iterable[str]) -> int:
    return sum(1 for _ in _bodies(reading, tags))


def _usual(names: Sequence[str]) -> Callable[[str], bool]:
    """Return a test for what an upstream of these names puts before a version."""
    forms: dict[str, None] = {}
    for name in names:
        for form in (name, *(m["name"] for m in [_NAMESPACE.fullmatch(name)] if m)):
            bare = re.sub(r"[^a-z0-9]", "", form.casefold())
            forms |= dict.fromkeys([bare, bare.rstrip("0123456789")])
    named = "|".join(re.escape(form) for form in forms if form)
    pattern = re.compile(f"{_BEFORE}{{0,2}}(?:{named})?{_BEFORE}{{0,2}}")
    return lambda before: bool(pattern.fullmatch(re.sub(r"[^a-z0-9]", "", before.casefold())))
