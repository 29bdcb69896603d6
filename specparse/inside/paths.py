"""Where everything is: fixed in the sandbox, given where a person does without one."""

from __future__ import annotations

import os

PACKAGE = os.environ.get("SRCGIT_PACKAGE", "/package")
ROOT = os.environ.get("SRCGIT_ROOT", "/tmp")
BUILD = f"{ROOT}/build"
SOURCES = f"{BUILD}/SOURCES"
ERRORS, TRACE, END = f"{ROOT}/errors", f"{ROOT}/trace", f"{ROOT}/end"
PREP = f"{BUILD}/prep.sh"  # %prep as it is run
STANDIN_SHELL = "/srcgit/sh"  # where bash takes the place of sh, this is the quicker one


def read(path: str, limit: int = 1 << 28) -> bytes:
    """Return the content of a file, ``limit`` bytes at most; b"" where it cannot be read.

    A pipe that %prep has made is not waited for (fifo(7)).
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return file.read(limit) or b""  # None of a pipe that somebody may still write into
    except OSError:
        return b""
