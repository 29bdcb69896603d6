""".gitattributes, held to git: which of them a file has, and what git am and git apply make of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.engine.apply import Rules
from converter.engine.attributes import Attributes, Conversion
from converter.tree import File
from tests.oracle.apply_judge import SEALED, Files, Judge
from tests.oracle.diffs import Case
from tests.oracle.test_apply_differential import MAIL as HEAD
from tests.oracle.test_apply_differential import contents, many, ours, ours_as_mail

NAMES = ("a", "b.c", "sub/a", "sub/b.c", "sub/deep/x.txt", "[x]", "sub/deep/a b")
PIECES = ["*", "**", "?", "/", "a", "b", ".c", "sub", "deep", "x.txt", "[ab]", "[!a]", "[^b]", "\\", "[x]", "[a-c]", "[[:alpha:]]", "]"]  # fmt: skip
GLOBS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)
WORDS = st.sampled_from(
    ["text", "-text", "!text", "text=auto", "text=x", "eol=lf", "eol=crlf", "-eol", "crlf", "-crlf",
     "crlf=input", "ident", "-ident", "binary", "-binary", "mine", "!mine", "working-tree-encoding=UTF-16"]
)  # fmt: skip
LINES = st.tuples(GLOBS, st.lists(WORDS, min_size=1, max_size=3)).map(
    lambda line: f"{line[0]} {' '.join(line[1])}"
)
MACROS = st.sampled_from(["[attr]mine text eol=crlf", "[attr]mine binary", "# comment", ""])
TEXTS = st.lists(st.one_of(LINES, MACROS), max_size=5).map("\n".join)
ASKED = ("text", "crlf", "eol", "ident", "working-tree-encoding")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attributes")
    subprocess.run(["git", "init", "-q", str(path)], env=SEALED, check=True)
    (path / "sub").mkdir()
    return path


@given(top=TEXTS, sub=TEXTS)
@many(0.5)
def test_the_attributes_of_a_file(repository: Path, top: str, sub: str) -> None:
    files = {}
    for directory, text in (("", top), ("sub/", sub)):
        (repository / directory / ".gitattributes").write_text(text)
        files[f"{directory}.gitattributes".encode()] = File(0o100644, text.encode())
    asked = subprocess.run(
        ["git", "check-attr", "-z", *ASKED, "--", *NAMES],
        cwd=repository, env=SEALED, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
    ).stdout.decode().split("\0")  # fmt: skip
    told: dict[str, dict[str, str]] = {}
    for name, attribute, value in zip(asked[::3], asked[1::3], asked[2::3], strict=False):
        told.setdefault(name, {})[attribute] = value
    attributes = Attributes(Files(files))
    assert {n: attributes.of(n.encode()) for n in NAMES} == {n: by_table(told[n]) for n in NAMES}


def by_table(told: dict[str, str]) -> Conversion:
    """gitattributes(5) as a table: text, then eol; crlf is the old name of text."""
    table = {"set": "text", "unset": "binary", "auto": "auto", "input": "input"}
    action = table.get(told["text"]) or table.get(told["crlf"], "")
    end = told["eol"] if told["eol"] in ("lf", "crlf") else ""
    if action == "binary":
        end = ""
    elif action and not end:
        end = "lf"
    encoding = told["working-tree-encoding"]
    encoding = {"unspecified": "", "unset": "", "set": "true"}.get(encoding, encoding)
    return Conversion(end, action == "auto", told["ident"] == "set", encoding.encode())


LF, CRLF = b"red\ngreen\nblue\n", b"red\r\ngreen\r\nblue\r\n"
MIXED = b"red\ngreen\r\nblue\n"
HUNK = b"@@ -1,3 +1,3 @@\n red\n-green\n+grey\n blue\n"
CRLF_HUNK = b"@@ -1,3 +1,3 @@\n red\r\n-green\r\n+grey\r\n blue\r\n"
NEW = b"diff --git a/new.c b/new.c\nnew file mode 100644\n--- /dev/null\n+++ b/new.c\n@@ -0,0 +1,2 @@\n+one\n+two\n"
MOVED = b"diff --git a/f.c b/f.bat\nsimilarity index 100%\nrename from f.c\nrename to f.bat\n"
MODE = b"diff --git a/f.c b/f.c\nold mode 100644\nnew mode 100755\n"
GONE = b"diff --git a/f.c b/f.c\ndeleted file mode 100644\n--- a/f.c\n+++ /dev/null\n@@ -1,3 +0,0 @@\n-red\n-green\n-blue\n"
DIFFS = {
    "lines": b"--- a/f.c\n+++ b/f.c\n" + HUNK,
    "lines with CR": b"--- a/f.c\n+++ b/f.c\n" + CRLF_HUNK,
    "a new file": NEW,
    "a rename": MOVED,
    "a mode": MODE,
    "a deletion": GONE,
}
RULES = {
    "text": "* text\n",
    "text=auto": "* text=auto\n",
    "eol=crlf": "*.c text eol=crlf\n*.bat eol=lf\n",
    "eol=lf": "* eol=lf\n*.bat eol=crlf\n",
    "auto and crlf": "* text=auto eol=crlf\n",
    "binary": "* binary\n*.bat text eol=crlf\n",
    "-text": "* text=auto\n*.c -text\n",
    "crlf": "*.c crlf\n*.bat crlf=input\n",
    "a macro": "[attr]dos text eol=crlf\n*.c dos\n*.bat dos -text\n",
    "nothing that converts": "*.c diff=cpp whitespace=fix\n",
}
CONTENTS = {"LF": LF, "CRLF": CRLF, "mixed": MIXED, "lone CR": b"red\ngreen\nblue\n\rx\r\n"}


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(tmp_path_factory.mktemp("judge"))


@given(
    diff=st.sampled_from([*DIFFS.values()]),
    attributes=st.sampled_from([*RULES.values()]),
    data=st.sampled_from([*CONTENTS.values()]),
    tool=st.sampled_from(["git-am", "git-am --keep-cr", "git-apply", "git-apply --index", "git-apply -R"]),
)  # fmt: skip
@many(1)
def test_what_git_writes(
    judge: Judge, diff: bytes, attributes: str, data: bytes, tool: str
) -> None:
    name, *options = tool.split()
    reverse = "-R" in options
    if reverse:
        options, data = [], data.replace(b"green", b"grey")
    rules = Rules(name, reverse=reverse, options=tuple(options), form="files")  # type: ignore[arg-type]
    files = {b"f.c": File(0o100644, data), b".gitattributes": File(0o100644, attributes.encode())}
    case = Case(files, diff, rules)
    if name == "git-am":
        verdict = judge.verdict(files, HEAD + diff, rules)
        made, why = ours_as_mail(case)
    else:
        verdict = judge.verdict(files, diff, rules)
        made, why = ours(files, diff, rules)
    assert made == verdict.files, (
        f"{contents(verdict.files)} {verdict.said}\n{contents(made)} {why}"
    )


@pytest.mark.parametrize("attributes", ["* text eol=crlf\n", "* text=auto\n"])
@pytest.mark.parametrize("diff", DIFFS.values(), ids=DIFFS)
def test_outside_of_a_repository_nothing_is_converted(
    judge: Judge, diff: bytes, attributes: str
) -> None:
    files = {b"f.c": File(0o100644, LF), b".gitattributes": File(0o100644, attributes.encode())}
    verdict = judge.verdict(files, diff, Rules("git-apply"))
    assert ours(files, diff, Rules("git-apply"))[0] == verdict.files


@pytest.mark.parametrize(
    "attributes, data, why",
    [
        ("*.c ident\n", b"red $Id$\ngreen\nblue\n", "ident"),
        ("*.c ident\n", b"red $Id: 0123 $\ngreen\nblue\n", "ident"),
        ("*.c working-tree-encoding=UTF-16\n", LF, "working-tree-encoding=UTF-16"),
    ],
)
def test_other_conversions_are_named(attributes: str, data: bytes, why: str) -> None:
    files = {b"f.c": File(0o100644, data), b".gitattributes": File(0o100644, attributes.encode())}
    hunk = HUNK.replace(b"red", data.split(b"\n")[0]) if b"Id" in data else HUNK
    made, reason = ours(files, b"--- a/f.c\n+++ b/f.c\n" + hunk, Rules("git-am", form="files"))
    assert made is None and why in reason and ".gitattributes" in reason


def test_what_git_stores_stays_as_it_is_stored() -> None:
    files = {b"f.c": File(0o100644, LF), b".gitattributes": File(0o100644, b"* text eol=crlf\n")}
    made, _ = ours(files, DIFFS["lines"], Rules("git-am", form="git"))
    assert made is not None and made[b"f.c"].data == LF.replace(b"green", b"grey")
