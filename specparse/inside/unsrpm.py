"""Inside the sandbox: rpm takes a source RPM apart; only plain files come out, below one directory.

Started by the system's Python, which has rpm's binding. The answer on standard output is JSON.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from typing import Any

SRPM, OUT = "/srpm", "/out"
_PART = 1 << 20  # bytes


class Refused(Exception):
    """The file is at fault."""


def main() -> None:
    limit = int(sys.argv[2])
    try:
        answer = taken_apart(limit)
    except Refused as error:
        answer = {"refused": str(error)}
    print(json.dumps(answer))


def taken_apart(limit: int) -> dict[str, Any]:
    """Write the files of the source RPM, ``limit`` bytes at most; return what its header says.

    Raises Refused.
    """
    import rpm

    transaction = rpm.TransactionSet("", rpm._RPMVSF_NOSIGNATURES)
    try:
        package = rpm.fd(SRPM, "r")
        header = transaction.hdrFromFdno(package)
        if not header[rpm.RPMTAG_SOURCEPACKAGE]:
            raise Refused("a binary package, not a source package")
        payload = rpm.fd(package, "r", header["payloadcompressor"] or "gzip")
        left = limit
        names: set[str] = set()
        archive = rpm.files(header).archive(payload)
        for entry in archive:
            left -= write(archive, entry, left, names)
    except (rpm.error, OSError) as error:
        raise Refused(f"rpm cannot read it: {error}") from None
    return {
        "name": header["name"],
        "version": header["version"],
        "release": header["release"],
        "built": header["buildtime"] or 0,
        "changelog": [
            [who, when, what]
            for who, when, what in zip(
                header["changelogname"],
                header["changelogtime"],
                header["changelogtext"],
            )
        ][:1],
    }


def write(archive: Any, entry: Any, left: int, names: set[str]) -> int:
    """Write one file; return its size. rpm's source packages are flat, and hold plain files.

    Raises Refused.
    """
    name = entry.name
    if "/" in name or name in ("", ".", "..", ".git") or "\0" in name or name in names:
        raise Refused(f"it holds an impossible file name: {name!r}")
    if not stat.S_ISREG(entry.mode):
        raise Refused(f"{name!r} is no plain file")
    names.add(name)
    target = os.open(
        os.path.join(OUT, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644
    )
    size = 0
    with os.fdopen(target, "wb") as file:
        while data := archive.read(_PART):
            size += len(data)
            if size > left:
                raise Refused("it holds more than is unpacked of one")
            file.write(data)
    if size != entry.size:
        raise Refused(f"{name!r} ends too early")
    return size
