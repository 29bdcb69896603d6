"""What people read: the one way to standard output and standard error.

Specs, patches, remotes and hubs say what they like, and a terminal obeys: it changes its title or the
clipboard, hides a line, writes backwards. What is not printable is spelt out here.
"""

from __future__ import annotations

import json
import re

import click


def printable(text: str) -> str:
    """Return ``text`` with what is not printable spelt out, as in \\x1b, but for newlines and tabs."""
    return re.sub(r"[^\n\t -~]", _spelt, text)


def one_line(text: str) -> str:
    """Return ``text`` printable, in one line."""
    return printable(text).replace("\n", "\\n")


def _spelt(found: re.Match[str]) -> str:
    character = found[0]
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def say(*lines: str, err: bool = False) -> None:
    """Print each of ``lines``; what they tell cannot make two of one."""
    for line in lines:
        click.echo(one_line(line), err=err)


def say_report(report: str, *, err: bool = False) -> None:
    """Print a text of several lines."""
    click.echo(printable(report).rstrip("\n"), err=err)


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print ``value`` for programs: ASCII, in which JSON spells out everything else."""
    click.echo(json.dumps(value, indent=indent))
