"""Bytes inside, text at the edge: this is the edge."""

from __future__ import annotations


def text(data: bytes) -> str:
    """Return ``data`` for people: UTF-8, any other byte as \\xNN."""
    return data.decode("utf-8", "backslashreplace")
