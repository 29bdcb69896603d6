"""Where the server of a repository has what git-lfs keeps apart from it (git-lfs's docs/api)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from converter.archives import download
from converter.errors import CannotConvert

_KIND = "application/vnd.git-lfs+json"


def find(repository: str, oid: str, size: int) -> tuple[str, Mapping[str, str]]:
    """Return the URL of an object, and the headers to send there.

    ``repository`` is an http URL. Raises RemoteUnavailable, CannotConvert where the server has no
    such object.
    """
    # docs/api/server-discovery.md: ".git/info/lfs" behind a URL that doesn't end in .git
    service = repository.rstrip("/").removesuffix(".git") + ".git/info/lfs/objects/batch"
    question = {
        "operation": "download",
        "transfers": ["basic"],
        "objects": [{"oid": oid, "size": size}],
    }
    answer = download.ask(service, question, _KIND)
    try:
        return _download(answer["objects"][0])
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        raise CannotConvert(
            f"the server of git-lfs has no object {oid[:16]}",
            where=service,
            next_step="name a directory that has the file with --lookaside",
        ) from None


def _download(told: Any) -> tuple[str, Mapping[str, str]]:
    """Raises KeyError, TypeError and their like for an answer that names no address."""
    action = told["actions"]["download"]
    url, headers = str(action["href"]), action.get("header") or {}
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(url)
    return url, {str(name): str(value) for name, value in headers.items()}
