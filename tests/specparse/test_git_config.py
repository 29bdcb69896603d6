"""git's configuration as words of a step, or the name of what is not followed."""

from __future__ import annotations

import pytest

from specparse import git_config
from specparse.inside.standin import WATCHED
from specparse.options import AM, APPLY, ENVIRONMENT, OptionError


@pytest.mark.parametrize(
    "config, line, words",
    [
        ("am.keepcr=true", "", ("--keep-cr",)),
        ("am.keepcr=true am.keepcr=false", "", ()),
        ("am.keepcr=false am.keepcr=ON", "", ("--keep-cr",)),
        ("am.threeway=1 am.messageid=yes mailinfo.scissors=0", "", ("-3", "-m")),
        ("apply.whitespace=fix", "--whitespace=nowarn", ()),
        ("apply.whitespace=warn mailinfo.quotedcr=nowarn core.eol=native", "", ()),
        ("commit.gpgsign=true", "--no-gpg-sign", ()),
        ("user.name=x gc.auto=0 core.safecrlf=true core.quotepath=off diff.noprefix=true", "", ()),
        ("core.filemode=true core.bare=false core.symlinks=true core.autocrlf=", "", ()),
    ],
)
def test_what_a_step_carries(config: str, line: str, words: tuple[str, ...]) -> None:
    pairs = [tuple(pair.split("=")) for pair in config.split()]
    given = AM.read(line.split())
    assert git_config.words("am", [(key, value) for key, value in pairs], given) == words


@pytest.mark.parametrize(
    "key, value, command",
    [
        ("apply.whitespace", "fix", "am"),
        ("apply.whitespace", "error", "apply"),
        ("apply.ignorewhitespace", "change", "apply"),
        ("am.keepcr", "maybe", "am"),
        ("am.unheard", "true", "am"),
        ("core.autocrlf", "input", "apply"),
        ("core.eol", "crlf", "am"),
        ("core.attributesfile", "", "apply"),
        ("core.filemode", "false", "apply"),
        ("core.symlinks", "false", "am"),
        ("core.worktree", "..", "am"),
        ("filter.x.smudge", "cat", "apply"),
        ("i18n.commitencoding", "latin1", "am"),
        ("srcgit.lost", "true", "am"),
    ],
)
def test_what_is_not_followed_is_named(key: str, value: str, command: str) -> None:
    line = (AM if command == "am" else APPLY).read([])
    with pytest.raises(OptionError, match=f"{key}={value} of git's configuration"):
        git_config.words(command, [(key, value)], line)


def test_keys_of_am_are_nothing_to_apply() -> None:
    config = [("am.keepcr", "true"), ("mailinfo.scissors", "x"), ("core.hookspath", "x")]
    assert git_config.words("apply", config, APPLY.read([])) == ()


def test_the_words_of_git_c() -> None:
    assert git_config.given("-c", "AM.KeepCR") == [("am.keepcr", "true")]
    assert git_config.given("-c", "Filter.X.Clean=a=b") == [("filter.X.clean", "a=b")]
    assert git_config.given("-C", "x") == []
    with pytest.raises(OptionError, match="--config-env"):
        git_config.given("--config-env=a.b=C", "")


def test_the_variables_of_the_tables_are_recorded() -> None:
    assert {name for names in ENVIRONMENT.values() for name in names} == {*WATCHED}
