"""Where everything is: fixed in the sandbox, given where a person does without one."""

from __future__ import annotations

import os
import re

from specparse.standin import ARCHIVE as _NAMES

PACKAGE = os.environ.get("SRCGIT_PACKAGE", "/package")
ROOT = os.environ.get("SRCGIT_ROOT", "/tmp")
BUILD = f"{ROOT}/build"
SOURCES = f"{BUILD}/SOURCES"
ERRORS, TRACE, END = f"{ROOT}/errors", f"{ROOT}/trace", f"{ROOT}/end"
ARCHIVE = re.compile(_NAMES)


def read(path: str, limit: int = 1 << 28) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError:
        return b""
