"""A file over http, gone on with where it broke off: the one door to http."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import requests
from urllib3.exceptions import HTTPError

from converter.errors import CannotConvert, RemoteUnavailable

_CONNECT, _SILENCE = 30, 60  # seconds
_ATTEMPTS = 5  # in a row that bring nothing new
_MOST_ATTEMPTS = 100
_REDIRECTS = 10
_CHUNK = 1 << 18  # bytes
_ANSWER = 1 << 20  # bytes of an answer that is no file


class _Refused(Exception):
    """An answer that asking again at once does not change."""


def fetch(
    url: str,
    file: Path,
    limit: int,
    progress: Callable[[int, int], None],
    more: Mapping[str, str] = {},
) -> None:
    """Fetch ``url`` into ``file``; what is there already is taken for its first part.

    No more than ``limit`` bytes are taken; ``progress`` is called with the bytes there are and
    those there will be (0: unknown); ``more`` are headers to send. Redirects lead to http and https only. Raises
    RemoteUnavailable (the part stays), CannotConvert where there is no such file, OSError.
    """
    with requests.Session() as session, open(os.open(file, os.O_RDWR | os.O_CREAT), "r+b") as out:
        session.max_redirects = _REDIRECTS
        session.headers.update(more)
        idle = 0
        for _ in range(_MOST_ATTEMPTS):
            before = out.seek(0, os.SEEK_END)
            try:
                _go_on(session, url, out, limit, progress)
                out.flush()
                os.fsync(out.fileno())
                return
            except requests.exceptions.InvalidSchema as error:
                raise CannotConvert(
                    "a redirect leads to an address that is not http",
                    where=url,
                    next_step="name another lookaside cache with --lookaside",
                ) from error
            except (_Refused, requests.TooManyRedirects) as error:
                raise _unavailable(url, error) from error
            except (requests.RequestException, HTTPError) as error:
                idle = 0 if out.tell() > before else idle + 1
                if idle == _ATTEMPTS:
                    raise _unavailable(url, error) from error
                if idle:
                    time.sleep(0.1 * 2**idle)
        raise _unavailable(url, _Refused(f"it broke off {_MOST_ATTEMPTS} times"))


def ask(url: str, question: Mapping[str, Any], kind: str) -> Any:
    """Post ``question`` to ``url`` and return the answer, both JSON of the media type ``kind``.

    Raises RemoteUnavailable, CannotConvert where there is no such service.
    """
    headers = {"Accept": kind, "Content-Type": kind}
    body = json.dumps(question)
    try:
        with requests.post(
            url, data=body, headers=headers, stream=True, timeout=(_CONNECT, _SILENCE)
        ) as answer:
            if answer.status_code in (401, 403, 404, 410, 501):
                raise CannotConvert(
                    f"there is no such service ({answer.status_code})",
                    where=url,
                    next_step="name a directory that has the files with --lookaside",
                )
            if answer.status_code != 200:
                raise _Refused(f"{answer.status_code} {answer.reason}")
            return json.loads(answer.raw.read(_ANSWER, decode_content=True))
    except (ValueError, RecursionError):
        raise _unavailable(url, _Refused("the answer is no JSON")) from None
    except (requests.RequestException, _Refused, HTTPError) as error:
        raise _unavailable(url, error) from error


def _go_on(
    session: requests.Session,
    url: str,
    out: BinaryIO,
    limit: int,
    progress: Callable[[int, int], None],
) -> None:
    """Ask for what ``out`` still lacks (RFC 9110, 14.2), and append it."""
    start = out.tell()
    # identity: a .tar.gz that is sent as "Content-Encoding: gzip" is to stay one
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    with session.get(url, headers=headers, stream=True, timeout=(_CONNECT, _SILENCE)) as response:
        told = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        partial = response.status_code == 206 and told is not None and int(told[1]) == start
        if not partial:
            out.seek(0)
            out.truncate()
            start = 0
        if response.status_code in (206, 416) and not partial:
            raise requests.HTTPError("it has no such part")  # now the whole is asked for
        if response.status_code in (404, 410):
            raise CannotConvert(
                f"there is no such file ({response.status_code})",
                where=response.url,
                next_step="check the package's sources file, and --lookaside",
            )
        if response.status_code not in (200, 206):
            raise _Refused(f"{response.status_code} {response.reason}")
        whole = start + int(response.headers.get("Content-Length") or -start)
        for data in response.raw.stream(_CHUNK, decode_content=False):
            if max(whole, out.tell() + len(data)) > limit:
                raise CannotConvert(
                    f"a file of more than {limit} bytes",
                    where=url,
                    next_step="this is more than srcgit takes",
                )
            out.write(data)
            progress(out.tell(), whole)


def _unavailable(url: str, error: Exception) -> RemoteUnavailable:
    return RemoteUnavailable(
        f"the lookaside cache does not answer: {_reason(error)}",
        where=url,
        next_step="check address and network, then run it again: it goes on where it stopped",
    )


def _reason(error: BaseException) -> str:
    """Return the innermost reason: requests wraps what urllib3 wraps what the system said."""
    while True:
        inner = getattr(error, "reason", None) or next(
            (arg for arg in reversed(error.args) if isinstance(arg, BaseException)), None
        )
        if not isinstance(inner, BaseException):
            break
        error = inner
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return re.sub(r"^<.*?>: ", "", said)[:200]
