"""Bytes inside, text at the edge: this is the edge."""

from __future__ import annotations


def text(data: bytes) -> str:
    """Return ``data`` for people: UTF-8, any other byte as \\xNN."""
    return data.decode("utf-8", "backslashreplace")


def clipped(line: str, width: int = 100) -> str:
    """Return the first ``width`` characters of ``line``, and that there are more."""
    return line if len(line) <= width else line[:width] + " ..."


def counted(number: int, what: str) -> str:
    """Return ``1 patch``, ``2 patches``."""
    plural = what + ("es" if what.endswith("ch") else "s")
    return f"{number} {what if number == 1 else plural}"
