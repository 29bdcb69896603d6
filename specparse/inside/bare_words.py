"""Conditions with words that stand bare, as rpm before 4.16 takes them for strings (pure).

rpm 4.16 refuses ``%if %{flavour} == rhel`` and wants ``"..."`` (its release notes); builds of RHEL 8
and older have such conditions.
"""

from __future__ import annotations

import re

NO_BARE_WORDS = (4, 16)  # the first rpm that refuses them

_SAID = re.compile(
    r"bare words are no longer supported.*?:(\d+): (?:bad|parse error in)", re.DOTALL
)
_CONDITION = re.compile(rb"([ \t]*%(?:if|elif)[ \t]+)(.*)")
_NESTED = rb"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_TOKEN = re.compile(
    rb"\"[^\"]*\"|(?:%" + _NESTED + rb"|%[?!]*\w+|[\w.~^])+|[=!<>]=|&&|\|\||\s+|.", re.DOTALL
)
_OPERAND = re.compile(rb"[\w.%]")
_COMPARES = (b"==", b"!=", b"<=", b">=", b"<", b">")


def quoted(spec: bytes, said: str) -> tuple[bytes, str] | None:
    """Return ``spec`` with the words quoted in the condition that rpm ``said`` it refuses.

    With it comes what was done. None where that is not what rpm said.
    """
    found = _SAID.search(said)
    lines = spec.split(b"\n")
    number = int(found[1]) if found else 0
    condition = _CONDITION.fullmatch(lines[number - 1]) if 0 < number <= len(lines) else None
    if condition is None:
        return None
    lines[number - 1] = condition[1] + _quoted(condition[2])
    return b"\n".join(
        lines
    ), f"line {number}: words of %if are quoted; the build's rpm needs no quotes"


def _quoted(expression: bytes) -> bytes:
    """Quote what is compared with no number, and words that stand alone."""
    tokens = _TOKEN.findall(expression)
    told = [n for n, token in enumerate(tokens) if token.strip()]
    for position, n in enumerate(told):
        token = tokens[n]
        if not _OPERAND.match(token) or token[:1].isdigit():
            continue
        before = told[position - 2 : position] if position > 1 else []
        after = told[position + 1 : position + 3]
        partner = None
        if len(before) == 2 and tokens[before[1]] in _COMPARES:
            partner = tokens[before[0]]
        elif len(after) == 2 and tokens[after[0]] in _COMPARES:
            partner = tokens[after[1]]
        if partner is None and token.startswith(b"%"):
            continue  # a truth, most likely a number
        if partner is None or not partner[:1].isdigit():
            tokens[n] = b'"%b"' % token
    return b"".join(tokens)
