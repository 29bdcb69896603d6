"""Where in the build directory the archives came to lie, and what calls worked on (pure).

Several archives may make one source tree. It is the main one's directory, or, where patches are
applied around that, the directory that %build starts in.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from specparse.interpret import Call, patch_step
from specparse.options import OptionError
from specparse.plan import Archive


@dataclass(frozen=True, slots=True)
class Places:
    """What was found in the build directory; directories are below it, "" is itself.

    ``trees`` are the directories of each archive, in order of unpacking, the one that is built
    first; ``tops`` are the directories inside the archives that those stand for. ``exact`` tells
    that the main archive's own files are the base, so that the tree may be larger than upstream's.
    """

    main: str
    trees: Mapping[str, Sequence[str]]
    tops: Mapping[str, str]
    build: str
    exact: bool = False
    names: Callable[[str], Sequence[str]] = lambda patch: ()  # that a patch of pkg-git has in it


def source_tree(calls: Sequence[Call], places: Places) -> tuple[list[Call], list[Archive]]:
    """Return the calls as seen from the source tree, and the archives that lie in it.

    What worked on one of these worked on the main archive's tree. So did what worked on an archive
    beside it (%setup -b): that has a directory of its own in the converted tree. The main archive
    comes first; there are none where it is not in the build directory.
    """
    if not places.trees.get(places.main):
        return list(calls), []
    top = _top(calls, places)
    archives = sorted(
        _archives(top, places), key=lambda archive: _text(archive.file) != places.main
    )
    inside = {_text(archive.file) for archive in archives}
    calls = [_from_around(call, top, places) for call in calls]
    beside = {_text(archive.file): archive for archive in _beside(calls, top, places, inside)}
    return (
        [_seen(call, top, places, inside, beside) for call in calls],
        [*archives, *beside.values()],
    )


def related(directory: str, other: str) -> bool:
    """Tell whether one of two directories is, or is in, the other."""
    return _below(directory, other) is not None or _below(other, directory) is not None


def _top(calls: Iterable[Call], places: Places) -> str:
    main, build = _plain(places.trees[places.main][0]), _plain(places.build)
    if not main:  # it has no directory of its own: %setup chose one of those that it brought
        return build
    if not places.exact or _below(main, build) is None:
        return main
    applying = [call for call in calls if call.input or call.tool == "quilt"]
    around = any(call.archive == "" and call.where == "moved" for call in applying)
    return build if around or not applying else main


def _archives(top: str, places: Places) -> Iterator[Archive]:
    for name, (directory, *_) in places.trees.items():
        inside = _below(directory, top)
        if inside is not None:
            yield Archive(_bytes(name), _bytes(places.tops[name]), _bytes(inside))
        elif (deeper := _below(top, directory)) is not None:
            yield Archive(_bytes(name), _bytes(posixpath.join(places.tops[name], deeper)))


def _beside(
    calls: Sequence[Call], top: str, places: Places, inside: Iterable[str]
) -> list[Archive]:
    """Return the archives beside the source tree that patches are applied to."""
    patched = {call.archive for call in calls if not call.where and _applies(call)}
    found: dict[str, list[Archive]] = {}
    for name, (directory, *_) in places.trees.items():
        if name in patched and name not in inside and _plain(directory):
            path = posixpath.relpath(_plain(directory), top or ".")
            base = posixpath.basename(path)
            found.setdefault(base, []).append(
                Archive(_bytes(name), _bytes(places.tops[name]), _bytes(base), _bytes(path))
            )
    return [archive for [archive, *others] in found.values() if not others]


def _applies(call: Call) -> bool:
    return call.tool in ("patch", "quilt") or not {"am", "apply"}.isdisjoint(call.argv)


def _from_around(call: Call, top: str, places: Places) -> Call:
    """Return a call of patch(1) above the source tree as one in the tree that its names lead to."""
    at = _plain(call.directory)
    if call.archive or call.tool != "patch" or at == top or _below(top, at) is None:
        return call
    try:
        step, source = patch_step(call.argv, place=call.directory)
    except OptionError:
        return call
    names = places.names((source or call.input).removeprefix("@"))
    trees = {name: _plain(found[0]) for name, found in places.trees.items()}
    lead = {
        _led(name, at, step.strip, archive, directory)
        for name in names
        for archive, directory in trees.items()
    } - {None}
    if (
        len(lead) == 1
        and step.strip >= 0
        and all(any(_led(name, at, step.strip, *tree) for tree in trees.items()) for name in names)
    ):
        [(archive, strip)] = [found for found in lead if found]
        return replace(
            call, archive=archive, where="", directory=".", argv=(*call.argv, f"-p{strip}")
        )
    return replace(call, where="around") if lead or not names or step.strip < 0 else call


def _led(name: str, at: str, strip: int, archive: str, directory: str) -> tuple[str, int] | None:
    """Return the archive, if ``name`` leads into its directory, and what to strip from there."""
    parts = re.split("/+", name)
    for end in range(max(strip, 0) + 1, len(parts)):
        if _joined(at, "/".join(parts[max(strip, 0) : end])) == directory:
            return archive, end
    return None


def _seen(
    call: Call, top: str, places: Places, inside: Iterable[str], beside: Mapping[str, Archive]
) -> Call:
    """Return ``call`` with directories below ``top``, if it worked on an archive that lies there."""
    if call.archive in beside and not call.where:
        place = _text(beside[call.archive].directory)
        own = call.repository
        return replace(
            call,
            archive=places.main,
            directory=_joined(place, call.directory),
            repository=f"./{_joined(place, own)}" if own else "",
        )
    if call.archive in inside and not call.where:
        tree = places.trees[call.archive][0]
    elif not call.archive and call.where == "moved" and top == _plain(places.build):
        tree = ""
    else:
        return call
    directory = _below(_joined(tree, call.directory), top)
    if directory is None:
        return call
    repository = _below(_joined(tree, call.repository), top)
    return replace(
        call,
        archive=places.main,
        where="",
        directory=directory,
        repository="" if not call.repository or repository is None else f"./{repository}",
    )


def _joined(tree: str, path: str) -> str:
    return _plain(posixpath.join(tree, path))


def _plain(path: str) -> str:
    normal = posixpath.normpath(path)
    return "" if normal == "." else normal


def _below(path: str, top: str) -> str | None:
    """Return ``path`` as seen from ``top``; None where it is not at or below it."""
    path, top = _plain(path), _plain(top)
    if path == top or not top:
        return path.removeprefix(top)
    return path.removeprefix(top + "/") if path.startswith(top + "/") else None


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
