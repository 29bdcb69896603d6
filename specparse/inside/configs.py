"""The configuration files that %prep makes: told as each is done with, and the rest at its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from specparse.inside.paths import BUILD, ROOT, read
from specparse.inside.recording import calls
from specparse.inside.standin import makes

_LIMIT = 64 << 20  # bytes
_IN_HAND = b"KCONFIG_CONFIG="  # an argument of make: which configuration it is called for


class Configs:
    """What %prep leaves in a directory ``configs`` of the tree.

    The caller writes them while %prep goes on, so they are told early. Whether that was too early
    does not matter: what has changed since is told again.
    """

    def __init__(self, send: Callable[..., int]) -> None:
        self._send = send
        self._told: dict[str, bytes] = {}
        self._room = _LIMIT
        self._read = 0  # bytes of the record of make

    def so_far(self) -> None:
        """Send those that make was called for before the one that it was last called for."""
        record = makes(ROOT)
        size = os.path.getsize(record)
        if size == self._read:
            return
        self._read = size
        paths: dict[str, None] = {}
        for fields, argv in calls(record):
            for word in argv:
                if word.startswith(_IN_HAND):
                    path = word[len(_IN_HAND) :].decode("utf-8", "surrogateescape")
                    paths[os.path.join(fields[4], path)] = None
        for path in list(paths)[:-1]:
            directory, name = os.path.split(path)
            if os.path.basename(directory) == "configs" and name not in self._told:
                self._tell(name, read(path))

    def all(self) -> list[str]:
        """Send what was not sent as it is now; return the names of all that are there."""
        names = []
        for path in _left():
            name = os.path.basename(path)
            names.append(name)
            self._tell(name, read(path))
        return names if self._room >= 0 else []

    def _tell(self, name: str, data: bytes) -> None:
        if self._told.get(name) == data:
            return
        self._room -= len(data)
        if self._room >= 0:
            self._told[name] = data
            self._send({"configs": {name: len(data)}}, data)


def _left() -> Iterator[str]:
    """Yield the paths of the files in the first directory ``configs`` that has any."""
    for parent, directories, names in os.walk(f"{BUILD}/BUILD"):
        if os.path.basename(parent) != "configs" or not names:
            continue
        directories.clear()
        for name in sorted(names):
            path = os.path.join(parent, name)
            if not name.endswith(".config") and "config" not in name:
                continue
            if not name.endswith((".sh", ".py", ".mk")) and not os.path.islink(path):
                yield path
        return
