"""The tables of options: they list what the tools know, and read command lines as the tools do."""

from __future__ import annotations

import re
import subprocess

import pytest

from specparse.options import AM, APPLY, PATCH, OptionError, Table, environment

_SPELLING = re.compile(r"(?<![\w-])(--?[A-Za-z0-9](?:[\w-]*\w)?|--\[no-\][\w-]+)")


def printed(*command: str) -> set[str]:
    """Return the spellings that a tool's help lists, at the beginning of its lines."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found: set[str] = set()
    for line in done.stdout.splitlines():
        if re.match(r"\s+-", line):
            options = re.split(r"\s{2,}(?=[A-Za-z])(?![A-Z]+\b)", line.strip())[0]
            found |= {name.replace("[no-]", "") for name in _SPELLING.findall(options)}
    return found


@pytest.mark.parametrize(
    "table, least, command",
    [
        (PATCH, 40, ("patch", "--help")),
        (AM, 35, ("git", "am", "--help-all")),
        (APPLY, 30, ("git", "apply", "--help-all")),
    ],
    ids=["patch", "git am", "git apply"],
)
def test_a_table_has_every_option_that_the_tool_prints(
    table: Table, least: int, command: tuple[str, ...]
) -> None:
    names = printed(*command)
    assert len(names) >= least
    # git 2.47 prints --[no-]add; the table has --no-add, which --add takes back
    known = table.spellings.keys()
    assert {name for name in names - known if f"--no-{name[2:]}" not in known} == set()


@pytest.mark.parametrize("table", [PATCH, AM, APPLY], ids=lambda table: table.tool)
def test_a_table_says_what_each_option_does(table: Table) -> None:
    for option in table.options:
        assert option.why
        assert not option.word or option.effect in ("followed", "none") or option.allowed
        assert not option.allowed or option.effect == "refused"
    assert len(table.spellings) == sum(len(option.names.split()) for option in table.options)


def test_options_and_operands_may_be_mixed() -> None:
    given = PATCH.read(["one", "-p1", "--fuzz", "3", "-sEi", "x.patch", "--", "-R"])
    assert given.operands == ("one", "-R")
    assert [(use.option.key, use.value) for use in given.options] == [
        ("-p", "1"),
        ("-F", "3"),
        ("-s", ""),
        ("-E", ""),
        ("-i", "x.patch"),
    ]
    assert given.words() == ("-E",)
    assert "-R" not in given and given.value("-F") == "3" and given.value("-g") is None


@pytest.mark.parametrize(
    "table, line, words",
    [
        (PATCH, "--forw --remove --bin", ("-N", "-E", "--binary")),
        (PATCH, "-g0 --get=0 --read-only=warn", ()),
        (AM, "-3 --no-3way", ("-3", "--no-3way")),
        (AM, "--no-3", ("--no-3way",)),
        (AM, "-k --no-keep", ("-k", "--no-keep")),
        (AM, "-qb3", ("-b", "-3")),
        (AM, "--scissors --no-sc", ("-c", "--no-scissors")),
        (AM, "--signoff --no-signoff", ()),
        (AM, "--reject --no-reject --exclude a --exclude=b --no-exclude", ()),
        (AM, "--whitespace=nowarn --quoted-cr warn --empty=stop", ("--whitespace=nowarn",)),
        (APPLY, "--unidiff-zero --no-unidiff-zero --no-add --add", ()),
        (APPLY, "-C1 --dir=x", ("-C1", "--directory=x")),
    ],
)
def test_what_a_step_carries(table: Table, line: str, words: tuple[str, ...]) -> None:
    assert table.read(line.split()).words() == words


@pytest.mark.parametrize(
    "table, line, why",
    [
        (PATCH, "--posix", "patch --posix is not followed"),
        (PATCH, "--merge=diff3", "--merge diff3 is not followed"),
        (PATCH, "-Dx", "-D x is not followed"),
        (PATCH, "-Z", "-Z is not followed: dates"),
        (PATCH, "-g1", "-g 1 is not followed"),
        (PATCH, "--read-only=fail", "fail is not followed"),
        (PATCH, "--s", "not one option"),
        (PATCH, "--no-quiet", "unknown"),
        (PATCH, "-q", "no option -q"),
        (PATCH, "-p", "without its argument"),
        (PATCH, "--fuzz", "without its argument"),
        (PATCH, "--force=yes", "takes no argument"),
        (AM, "-s", "git am -s is not followed: the message names the builder"),
        (AM, "--whitespace=fix", "--whitespace fix is not followed"),
        (AM, "--empty=keep", "--empty keep is not followed"),
        (AM, "--ignore-white", "--ignore-white is not followed"),
        (AM, "-Skey", "-S key is not followed"),
        (AM, "--keep-", "not one option"),
        (APPLY, "--ignore-space-change", "not followed"),
        (APPLY, "--no-add", "lines that the diff adds"),
        (APPLY, "--union", "one side"),
    ],
)
def test_what_is_not_followed_is_named(table: Table, line: str, why: str) -> None:
    with pytest.raises(OptionError, match=why):
        table.read(line.split()).words()


@pytest.mark.parametrize("table, line", [(PATCH, "--dry-run"), (AM, "--abort"), (APPLY, "--stat")])
def test_what_changes_no_file(table: Table, line: str) -> None:
    assert table.read([line]).changes_nothing
    assert not table.read(["-p1"]).changes_nothing


def test_variables_are_options_too() -> None:
    environment("patch", ["HOME", "GIT_DIR", "TMPDIR"])
    with pytest.raises(OptionError, match="POSIXLY_CORRECT is not followed"):
        environment("patch", ["POSIXLY_CORRECT"])
    with pytest.raises(OptionError, match="QUILT_PATCH_OPTS"):
        environment("quilt", ["QUILT_PATCH_OPTS"])
    with pytest.raises(OptionError, match="GIT_DIR"):
        environment("git", ["GIT_DIR"])
