"""Reading and bulk writing: every tree is what git itself would have made of the same edits."""

from __future__ import annotations

import os
import random
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from converter.build import Build, Nvr
from converter.errors import RepositoryUnusable, TooMuch, TryAgain
from converter.git import Git, GitFailed
from converter.mirror import Mirror
from converter.objects import Identity
from converter.odb import Repository
from converter.pkggit import PkgGit
from converter.publish import look
from converter.serve import maintain
from converter.stage import Stage
from converter.tree import File
from tests.builders import Source

ME = Identity(b"Me", b"me@example.com", b"1500000000 +0000")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    made = Source(tmp_path_factory.mktemp("odb") / "repo.git")
    made.commit({"a": "1", "d/b": "2", "d/e/c": "3", "x y": "4"}, "base\n")
    return made


def staged(repo: Repository, base: str, *edits: dict[bytes, File | None]) -> tuple[list[str], str]:
    with Stage(repo, base) as stage:
        marks = [stage.commit(edit, ME, ME, b"edit\n") for edit in edits]
        return stage.ids(marks), stage.tree_id()


NAMES = st.sampled_from(
    [b"a", b"d", b"d/b", b"d/e", b"d/e/c", b"n", b"n/m", b'"q"\n\\', b"x y", b"\xff"]
)
FILE = File(0o100644, b"again\n")
FILES = st.one_of(
    st.none(),
    st.builds(File, st.sampled_from([0o100644, 0o100755, 0o120000]), st.binary(max_size=8)),
    st.builds(
        File, st.just(0o100644), st.binary(max_size=2).map(lambda b: b + b"a\0\r\nline\n" * 9)
    ),
)


def consistent(edit: dict[bytes, File | None], tree: dict[bytes, File]) -> bool:
    """Tell whether ``edit`` leaves no path that is both a file and a directory."""
    after = {**tree, **edit}
    kept = [path for path, file in after.items() if file is not None]
    deleted_only = all(path in tree for path, file in edit.items() if file is None)
    return deleted_only and not any(b.startswith(a + b"/") for a in kept for b in kept)


@settings(
    max_examples=int(os.environ.get("SRCGIT_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(edits=st.lists(st.dictionaries(NAMES, FILES, max_size=4), max_size=5))
@example(edits=[{b"a": None}, {b"x y": None, b"d/b": None, b"d/e/c": None}])  # nothing is left
@example(edits=[{b"a": None, b"x y": None, b"d/b": None, b"d/e/c": None}, {b"a": FILE}])
def test_a_stage_writes_the_trees_that_git_would(
    source: Source, edits: list[dict[bytes, File | None]]
) -> None:
    repo = Repository(source.path)
    base = source.rev("main")
    assert base
    tree: dict[bytes, File] = {}
    for entry in repo.tree(base).walk():
        file = repo.tree(base).get(entry.path)
        assert file
        tree[entry.path] = file
    with Stage(repo, base, cache_bytes=8) as stage:  # small: contents are read back
        for edit in edits:
            if not consistent(edit, tree):
                continue
            stage.commit(edit, ME, ME, b"edit\n")
            tree = {p: f for p, f in {**tree, **edit}.items() if f is not None}
            for path in {*tree, *edit}:
                assert stage.get(path) == tree.get(path)
            for path in {p.rpartition(b"/")[0] for p in {*tree, *edit}}:
                inside = path + b"/" if path else b""
                assert stage.is_dir(path) == any(p.startswith(inside) for p in tree)
        written = stage.tree_id()
    index = {"GIT_INDEX_FILE": str(source.path / "test-index")}
    lines = []
    for path, file in tree.items():
        id = source.git.run("hash-object", "-w", "--stdin", input=file.data).stdout.strip()
        lines.append(b"%o %s\t%s\0" % (file.mode, id, path))
    source.git.run("read-tree", "--empty", env=index)
    source.git.run("update-index", "-z", "--index-info", input=b"".join(lines), env=index)
    assert source.git.run("write-tree", env=index).stdout.decode().strip() == written


def test_nothing_but_objects_is_left(source: Source) -> None:
    repo = Repository(source.path)
    before = source.git.run("for-each-ref").stdout
    base = source.rev("main")
    assert base
    ids, tree = staged(repo, base, {b"new": File(0o100644, b"x")})
    assert source.git.run("for-each-ref").stdout == before
    assert repo.commit(ids[0]).tree == tree
    assert source.git.run("fsck", "--full", "--strict").status == 0


def test_versions_of_one_file_build_on_each_other(source: Source) -> None:
    """Few of them are in the pack as a whole; each is read back as it was."""
    repo = Repository(source.path)
    base = source.rev("main")
    assert base
    data = random.Random(1).randbytes(50_000)  # nothing that zlib could make smaller
    packs = set(source.path.glob("objects/pack/*.pack"))
    with Stage(repo, base, cache_bytes=1) as stage:
        marks = []
        for version in range(8):
            content = data + b"%d" % version + (b"\n" if version != 6 else b"")
            marks.append(stage.commit({b"f": File(0o100644, content)}, ME, ME, b"x\n"))
            stage.get(b"a")  # drives the other out of the cache
            assert stage.get(b"f") == File(0o100644, content)
        ids = stage.ids(marks)
    [pack] = {*source.path.glob("objects/pack/*.pack")} - packs
    assert pack.stat().st_size < 4.5 * len(data)
    for version, id in enumerate(ids):
        file = repo.tree(id).get(b"f")
        assert file and file.data.rstrip(b"\n") == data + b"%d" % version


@pytest.mark.parametrize("how", ["raises", "is dropped", "is killed", "is killed at its end"])
def test_a_stage_that_fails_leaves_nothing_behind(source: Source, how: str) -> None:
    repo = Repository(source.path)
    base = source.rev("main")
    assert base
    before = sorted(source.path.rglob("*"))
    with suppress(KeyError, GitFailed, RepositoryUnusable), Stage(repo, base) as stage:
        mark = stage.commit({b"new": File(0o100644, b"never")}, ME, ME, b"x\n")
        stage.ids([mark])
        match how:
            case "raises":
                raise KeyError
            case "is dropped":
                stage.drop()
            case _:
                assert stage._process
                os.kill(stage._process.pid, signal.SIGKILL)
                if how == "is killed":
                    stage.ids([mark])
                    pytest.fail("it answered")
    assert sorted(source.path.rglob("*")) == before


def test_the_same_edits_give_the_same_ids(source: Source, tmp_path: Path) -> None:
    base = source.rev("main")
    assert base
    other = Repository.create(tmp_path / "other.git")
    other.borrow(Repository(source.path))
    edit: dict[bytes, File | None] = {b"d/b": None, b"z": File(0o100755, b"#!")}
    assert staged(Repository(source.path), base, edit) == staged(other, base, edit)


def test_refs_move_together_or_not_at_all(source: Source) -> None:
    repo = Repository(source.path)
    base = source.rev("main")
    repo.move_refs({"refs/heads/t1": (None, base)})
    with pytest.raises(TryAgain):
        repo.move_refs({"refs/heads/t2": (None, base), "refs/heads/t1": (None, base)})
    assert repo.ref("refs/heads/t2") is None
    repo.move_refs({"refs/heads/t1": (base, None)})
    assert repo.ref("refs/heads/t1") is None


def test_what_is_no_repository_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "full").write_text("x")
    for path in (tmp_path / "file", tmp_path / "directory", tmp_path / "absent"):
        with pytest.raises(RepositoryUnusable):
            Repository(path)
    with pytest.raises(RepositoryUnusable):
        Repository.create(tmp_path / "file")
    with pytest.raises(RepositoryUnusable):
        Repository.create(tmp_path / "directory")


@pytest.mark.parametrize("lost", ["HEAD", "config", "objects", "refs"])
def test_a_repository_whose_making_was_cut_off_is_made(tmp_path: Path, lost: str) -> None:
    made = Repository.create(tmp_path / "out.git").path
    for name in (lost, "objects" if lost == "HEAD" else "info"):
        path = made / name
        path.write_bytes(b"") if path.is_file() else shutil.rmtree(path)
    repository = Repository.create(made)
    repository.git.run("fsck", "--strict")
    assert repository.git.run("symbolic-ref", "HEAD").stdout.startswith(b"refs/heads/")
    (made / "HEAD").unlink()
    (made / "somebody's").touch()
    with pytest.raises(RepositoryUnusable, match="not a git repository"):
        Repository.create(made)


def test_configuration_of_the_user_changes_no_id(
    source: Source, sealed: Path, tmp_path: Path
) -> None:
    (sealed / ".gitconfig").write_text(
        "[i18n]\n\tcommitEncoding = latin1\n[core]\n\tbigFileThreshold = 1\n"
    )
    base = source.rev("main")
    assert base
    one = staged(Repository(source.path), base, {b"u": File(0o100644, b"same")})
    Git().run("init", "-q", "--bare", str(tmp_path / "o.git"))
    other = Repository(tmp_path / "o.git")
    other.borrow(Repository(source.path))
    assert staged(other, base, {b"u": File(0o100644, b"same")}) == one


def test_names_of_refs_are_bytes_and_may_have_what_unicode_calls_a_new_line(
    tmp_path: Path,
) -> None:
    """Old upstreams have tags in Latin-1, and a remote calls its branches as it likes."""
    source = Source(tmp_path / "repo.git")
    tip = source.commit({"a": "1"}, "1\n")
    source.git.run("update-ref", "-d", "refs/heads/main")
    names = [b"caf\xe9", "stable\u2028rawhide".encode(), "f41\x85".encode(), b"f40"]
    refs = {f"refs/heads/{os.fsdecode(name)}": tip for name in names}
    for ref in refs:
        source.branch(ref.removeprefix("refs/heads/"), tip)
    repo = Repository(source.path)
    assert repo.refs("refs/heads") == refs
    pkg_git = PkgGit(Mirror(str(source.path), tmp_path))
    assert not pkg_git.in_development(tip)
    assert pkg_git.branch_of(tip, ".fc40") == "f40"
    build = Build(Nvr.parse("a-1-1"), None, "", tip, "f40")
    assert look(repo, str(source.path), build) == {"refs/heads/f40": tip}
    assert maintain(source.path).head in refs


def test_a_note_changes_no_id_and_can_be_said_again(tmp_path: Path) -> None:
    repo = Repository.create(tmp_path / "r.git")
    author = Identity(b"a", b"a@x", b"0 +0000")
    commit = repo.write_commit(repo.write_tree({}), (), author, author, b"one\n")
    ref = "refs/notes/srcgit/prepared"
    assert repo.note(ref, commit) == ""
    for text in ("Prepared-With: rpm 4.18.0\n", "Prepared-With: rpm 6.1.0\n"):
        repo.write_note(ref, commit, text)
        assert repo.note(ref, commit) == text
    shown = repo.git.run("log", "-1", "--notes=srcgit/prepared", "--format=%H %N", commit).stdout
    assert shown.decode().split() == [commit, "Prepared-With:", "rpm", "6.1.0"]


def test_refs_without_number_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(tmp_path / "r.git")
    commit = source.commit({"a": "1\n"}, "one\n")
    for number in range(4):
        source.git.run("update-ref", f"refs/tags/v{number}", commit)
    repo = Repository(source.path)
    monkeypatch.setattr("converter.odb.MAX_REFS", 4)
    assert len(repo.refs("refs/tags/")) == 4
    monkeypatch.setattr("converter.odb.MAX_REFS", 3)
    with pytest.raises(TooMuch, match="more than 3 refs"):
        repo.refs("refs/tags/")


def test_a_tree_of_any_depth_is_asked_about_without_recursion(tmp_path: Path) -> None:
    source = Source(tmp_path / "r.git")
    commit = source.commit({"a": "1\n"}, "one\n")
    tree = Repository(source.path).tree(commit)
    assert tree.entry(b"d/" * 5000 + b"f") is None
    assert not tree.is_dir(b"a/" * 5000 + b"f")
