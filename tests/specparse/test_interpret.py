"""Recorded calls to steps: what cannot be expressed is listed, never guessed."""

from __future__ import annotations

import pytest

from specparse.interpret import Call, Recording, interpret

MAIN = "linux-4.15.tar.xz"


def recording(*calls: Call, changes: tuple[str, ...] = ()) -> Recording:
    return Recording(
        calls, (("a.patch", 1), ("b.patch", 2)), frozenset({"lookaside.xz"}), MAIN, changes
    )


def call(
    line: str,
    *,
    input: str = "@a.patch",
    directory: str = "",
    archive: str = MAIN,
    repository: str = "",
    where: str = "",
) -> Call:
    tool, *argv = line.split()
    return Call(tool, archive, directory, input, tuple(argv), repository, where)


@pytest.mark.parametrize(
    "line, why",
    [
        ("patch -p1 -D NEW", "-D"),
        ("patch -p1 --ifdef=NEW", "--ifdef"),
        ("patch -p1 -o out", "-o"),
        ("patch -p1 --output=out", "--output"),
        ("patch -p1 -e", "-e"),
        ("patch -p1 --ed", "--ed"),
        ("git am -s", "-s"),
        ("git am --signoff", "--signoff"),
        ("git am --ignore-whitespace", "--ignore-whitespace"),
        ("git am --whitespace=fix", "--whitespace fix"),
        ("git apply --ignore-space-change", "--ignore-space-change"),
        ("git apply --inaccurate-eof", "--inaccurate-eof"),
        ("git apply --no-add", "--no-add"),
        ("git apply --allow-overlap", "--allow-overlap"),
        ("git apply --whitespace=fix", "--whitespace fix"),
        ("patch -p1 drivers/x.c", "named"),
        ("patch -p1 --unheard-of", "unheard-of"),
        ("patch -px", "not a number"),
        ("patch -p1 --dir=sub", "short name"),
        ("git cherry-pick abc", "cherry-pick"),
        ("git reset --hard", "reset"),
        ("hg import x", "hg"),
        ("git checkout -b topic v1.1", "checkout"),
        ("git --git-dir x -C y --exec-path z --namespace n revert abc", "revert"),
        ("quilt push -a", "quilt push"),
        ("quilt push", "quilt push"),
        ("quilt pop", "quilt pop"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_left_out(line: str, why: str) -> None:
    made = interpret(recording(call(line)))
    assert not made.steps
    assert [(u.command.split()[0], u.applies) for u in made.unrepresented] == [
        (line.split()[0], True)
    ]
    assert why in made.unrepresented[0].why
    assert {s.patch for s in made.skipped} == {b"a.patch", b"b.patch"}


@pytest.mark.parametrize(
    "line",
    ["patch -p1 --dry-run", "patch --version", "patch -v", "patch --help", "git apply --check @a.patch",
     "git apply --stat @a.patch", "git apply --numstat @a.patch", "git apply --summary @a.patch",
     "git apply --cached @a.patch", "git init", "git commit -m x", "git -c user.name=x commit -m x",
     "git am --abort", "git am --skip", "git am --quit", "git am --continue", "git am --resolved",
     "git checkout -q -b topic", "git switch -c topic", "git --version", "git", "hg init", "hg add", "hg commit",
     "quilt series", "quilt setup x"],
)  # fmt: skip
def test_what_changes_nothing_is_no_step(line: str) -> None:
    made = interpret(recording(call(line)))
    assert not made.steps
    assert not made.unrepresented


@pytest.mark.parametrize(
    "tool, options, others",
    [
        ("patch", "-E -l -N --binary -f -t -u -c -n",
         "--remove-empty-files --ignore-whitespace --forward --binary --force --batch --unified --context --normal"),
        ("git am", "-k -b --keep-cr -c -m -3 --keep-non-patch",
         "--keep --binary --keep-cr --scissors --message-id --3way --keep-non-patch"),
        ("git am", "--no-scissors -C2 --whitespace=warn --exclude=x --include=y --directory=z --patch-format=hg", ""),
        ("git am", "--ignore-date --no-keep-cr --no-3way --no-message-id --no-keep",
         "--ignore-date --no-keep-cr --no-3way --no-message-id --no-keep-non-patch"),
        ("git apply", "--recount --unidiff-zero -3 --allow-empty", "--recount --unidiff-zero --3way --allow-empty"),
        ("git apply", "-C2 --whitespace=nowarn --exclude=x --include=y --directory=z", ""),
    ],
)  # fmt: skip
def test_what_changes_the_outcome_is_kept(tool: str, options: str, others: str) -> None:
    for spelled in filter(None, (options, others)):
        [step] = interpret(recording(call(f"{tool} {spelled}"))).steps
        assert step.options == tuple(options.split())


@pytest.mark.parametrize("removal", ["rm x", "mv x y", "unlink x", "find -name x -delete"])
def test_git_apply_index_brings_back_what_git_has_not_been_told(removal: str) -> None:
    """tests/packages/refused.py holds it to git: the index lacks the patch before."""
    applied, indexed = call("patch -p1"), call("git apply --index @b.patch")
    changes = ("touch x", removal)
    made = interpret(recording(applied, indexed, changes=changes))
    assert [s.patch for s in made.steps] == [b"a.patch"]
    assert "brings back" in made.unrepresented[0].why
    for told in ["git add .", "git commit -am x", "git commit --all -m x"]:
        made = interpret(recording(applied, call(told), indexed, changes=changes))
        assert [s.patch for s in made.steps] == [b"a.patch", b"b.patch"]
    assert len(interpret(recording(applied, indexed, changes=("touch x",))).steps) == 2


def test_p_then_p_reversed_are_two_steps() -> None:
    for back in ["patch -p1 -R", "patch -p1 --reverse", "git apply -R", "git apply --reverse"]:
        made = interpret(recording(call("patch -p1"), call(back)))
        steps = [(s.patch, s.reverse) for s in made.steps]
        assert steps == [(b"a.patch", False), (b"a.patch", True)]


def test_quilt_pushes_one_after_the_other() -> None:
    made = interpret(
        recording(call("quilt import -p0 @b.patch @a.patch"), *[call("quilt push -q")] * 2)
    )
    assert [(s.patch, s.strip, s.fuzz) for s in made.steps] == [
        (b"b.patch", 0, 2),
        (b"a.patch", 0, 2),
    ]


def test_lookaside_patches_move_the_base() -> None:
    made = interpret(recording(call("patch -p1", input="@lookaside.xz"), call("patch -p1")))
    assert made.base_patches == (b"lookaside.xz",)
    assert [s.patch for s in made.steps] == [b"a.patch"]


def test_another_tree_is_another_matter() -> None:
    made = interpret(recording(call("patch -p1", archive="compat-wireless.tar.bz2")))
    assert not made.steps
    assert "compat-wireless" in made.skipped[0].why
    assert "compat-wireless" in made.unrepresented[0].why


def test_input_of_unknown_content_is_left_out() -> None:
    made = interpret(recording(call("patch -p1", input="pipe")))
    assert not made.steps
    assert made.unrepresented


def test_names_are_bytes_as_git_has_them() -> None:
    made = interpret(recording(call("patch -p1", input="@caf\udce9 x.patch")))
    assert made.steps[0].patch == b"caf\xe9 x.patch"
    assert made.steps[0].number is None


def test_where_git_works() -> None:
    made = interpret(
        recording(
            call("git -C sub apply @a.patch", directory="sub"),
            call("git --work-tree=. apply -p2 @b.patch", directory="drivers"),
            call("git am @a.patch", directory="drivers"),
            call("git am @a.patch", directory="drivers/net", repository="./drivers"),
            call("git apply @a.patch", directory="drivers", repository="./drivers"),
        )
    )
    assert [s.directory for s in made.steps] == [b"sub", b"drivers", b"", b"drivers", b"drivers"]
    # git-apply(1): paths outside the directory are ignored
    made = interpret(recording(call("git apply @a.patch", directory="drivers", repository="./")))
    assert not made.steps and made.unrepresented[0].applies


def test_what_became_of_the_tree() -> None:
    calls = (
        call("patch -p1", where="deleted"),
        call("patch -p1", where="copy demo-python3"),
        call("patch -p1", archive="", where="moved"),
        call("patch -p1", archive=""),
        call("git rm x"),
    )
    made = interpret(recording(*calls))
    assert not made.steps
    assert [u.applies for u in made.unrepresented] == [False, True, False, False]


def test_other_commands_are_listed() -> None:
    made = interpret(recording(changes=("mv COPYING x", "rm y")))
    assert [u.command for u in made.unrepresented] == ["mv COPYING x", "rm y"]
