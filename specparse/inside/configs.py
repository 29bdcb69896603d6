"""The configuration files that %prep leaves."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator

from specparse.inside.paths import BUILD, read

_LIMIT = 64 << 20  # bytes
# %prep takes the first line, the architecture, of what the kernel's make writes without it and puts it
# back. Here make writes nothing.
_TWICE = re.compile(rb"\A(# \w+\n)\1+")


def tell(send: Callable[..., int]) -> None:
    """Send what %prep leaves in a directory ``configs`` of the tree; nothing of what is too much."""
    paths = list(_left())
    if sum(map(os.path.getsize, paths)) > _LIMIT:
        return
    for path in paths:
        data = _TWICE.sub(rb"\1", read(path))
        send({"configs": {os.path.basename(path): len(data)}}, data)


def _left() -> Iterator[str]:
    """Yield the paths of the files in the first directory ``configs`` that has any."""
    for parent, _, names in os.walk(f"{BUILD}/BUILD"):
        if os.path.basename(parent) != "configs" or not names:
            continue
        for name in sorted(names):
            path = os.path.join(parent, name)
            script = name.endswith((".sh", ".py", ".mk"))
            if "config" in name and not script and stat.S_ISREG(os.lstat(path).st_mode):
                yield path
        return
