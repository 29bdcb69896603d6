"""What git's configuration changes about ``git am`` and ``git apply`` (pure).

Of each key the last value counts, those of ``git -c`` last of all (git-config(1)). Keys that are
not in the table change neither the files nor the commits; of git's sections that these two commands
have to themselves, an unknown key is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from specparse.options import Given, OptionError

_TRUE, _FALSE = "true", "false"


@dataclass(frozen=True, slots=True)
class Setting:
    """A key. ``words`` are what a step carries where it is true, ``allowed`` what changes nothing.

    An option of the command line that is among ``overridden_by`` leaves it without effect.
    """

    why: str
    words: tuple[str, ...] = ()
    allowed: tuple[str, ...] = (_FALSE,)
    overridden_by: tuple[str, ...] = ()


_AM = {
    "am.keepcr": Setting("builtin/am.c, split_mail_mbox", ("--keep-cr",)),
    "am.threeway": Setting("builtin/am.c, am_state_init", ("-3",)),
    "am.messageid": Setting("builtin/am.c, am_state_init", ("-m",)),
    "mailinfo.scissors": Setting("mailinfo.c, git_mailinfo_config", ("-c",)),
    "mailinfo.quotedcr": Setting(
        "lines are changed, mailinfo.c, handle_filter_body",
        allowed=("warn", "nowarn"),
        overridden_by=("--quoted-cr",),
    ),
    "i18n.commitencoding": Setting("the message's charset", allowed=("utf-8", "utf8")),
    "commit.gpgsign": Setting(
        "the commit is signed with the builder's key", overridden_by=("-S", "--no-gpg-sign")
    ),
    "core.hookspath": Setting("hooks may change the message and the files", allowed=()),
}
_BOTH = {
    "apply.whitespace": Setting(
        "lines that are added get changed or rejected, ws.c",
        allowed=("warn", "nowarn"),
        overridden_by=("--whitespace",),
    ),
    "apply.ignorewhitespace": Setting(
        "context is compared without white space, apply.c, fuzzy_matchlines",
        allowed=("no", _FALSE, "never", "none"),
    ),
    "core.autocrlf": Setting("line ends are converted, convert.c"),
    "core.eol": Setting("line ends are converted, convert.c", allowed=("lf", "native")),
    "core.attributesfile": Setting("attributes from elsewhere, gitattributes(5)", allowed=()),
    "core.filemode": Setting("modes of files are not looked at", allowed=(_TRUE,)),
    "core.symlinks": Setting("links are written as files", allowed=(_TRUE,)),
    "core.ignorecase": Setting("names are compared without case"),
    "core.bare": Setting("there is no work tree"),
    "core.worktree": Setting("another work tree", allowed=()),
    "core.sparsecheckout": Setting("a part of the files is not there"),
    "core.protectntfs": Setting("other names are refused", allowed=(_TRUE,)),
    "core.protecthfs": Setting("other names are refused"),
    "extensions.objectformat": Setting("other ids in binary diffs", allowed=("sha1",)),
    "srcgit.lost": Setting("git config failed in the trace, so what it set is not known", allowed=()),
}  # fmt: skip
_FILTER = Setting("a filter changes files, gitattributes(5)", allowed=())
_TABLES: Mapping[str, Mapping[str, Setting]] = {"am": _AM | _BOTH, "apply": _BOTH}
_OWN = {"am": ("am.", "apply.", "mailinfo.", "mailsplit."), "apply": ("apply.",)}
_NUMBER = re.compile(r"[-+]?\d+[kmg]?")


def given(option: str, value: str) -> list[tuple[str, str]]:
    """Return the (key, value) that git's own option ``-c`` gives; [] for any other option.

    Raises OptionError for ``--config-env``.
    """
    if option.startswith("--config-env"):
        raise OptionError("git --config-env is not followed")
    if option != "-c":
        return []
    key, equals, body = value.partition("=")
    section, _, name = key.rpartition(".")
    first, dot, subsection = section.partition(".")
    return [(f"{first.lower()}{dot}{subsection}.{name.lower()}", body if equals else _TRUE)]


def words(command: str, config: Iterable[tuple[str, str]], line: Given) -> tuple[str, ...]:
    """Return what a step carries of git's configuration, before the words of its command ``line``.

    ``command`` is am or apply; ``config`` are all keys and values, in the order that git reads them.
    Raises OptionError for a setting that changes a result and is not followed.
    """
    last = dict(config)
    found: list[str] = []
    for key, value in last.items():
        setting = _FILTER if key.startswith("filter.") else _TABLES[command].get(key)
        if setting is None:
            if key.startswith(_OWN[command]):
                raise OptionError(f"{key}={value} of git's configuration is not known")
            continue
        if any(option in line for option in setting.overridden_by):
            continue
        plain = _plain(value)
        if setting.words and plain == _TRUE:
            found += setting.words
        elif plain not in setting.allowed:
            shown = f"{key}={value} of git's configuration"
            raise OptionError(f"{shown} is not followed: {setting.why}")
    return tuple(found)


def _plain(value: str) -> str:
    """Return a truth value as git spells it (git-config(1), boolean), any other in lower case."""
    small = value.lower()
    if small in ("true", "yes", "on"):
        return _TRUE
    if small in ("false", "no", "off", ""):
        return _FALSE
    if _NUMBER.fullmatch(small):
        return _TRUE if int(small.rstrip("kmg")) else _FALSE
    return small
