"""pkg-git: the branch and dist tag of a build (from its branches and the target, no table), what a
build sees of it, and who brought each file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from converter import pkggit
from converter.errors import PkgGitInvalid, RepositoryUnusable, TooMuch, WrongUsage
from converter.mirror import Mirror
from converter.pkggit import Package, PkgGit
from tests.builders import Source

SPEC = "Name: demo\nPatch1: fix.patch\nSource3: filter.sh\n"


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> tuple[PkgGit, dict[str, str]]:
    """A pkg-git of three releases: f42 and f43 have branched off, rawhide will be f44."""
    source = Source(tmp_path_factory.mktemp("pkg-git") / "kernel.git")

    def commit(name: str, branch: str) -> str:
        return source.commit({"kernel.spec": name}, f"{name}\n", branch=branch)

    made = {"old": commit("old", "rawhide")}  # when rawhide was to be f42
    source.branch("f42", made["old"])
    made["middle"] = commit("middle", "rawhide")  # when it was to be f43
    source.branch("f43", made["middle"])
    made["stable"] = commit("stable", "f42")
    made["both"] = commit("both", "rawhide")
    source.branch("f43", made["both"])  # a packager's fast-forward of f43 to rawhide
    made["new"] = commit("new", "rawhide")
    made["user"] = commit("user", "eve/fix")
    made["epel"] = commit("epel", "epel9")
    for name in ("el9", "c8s", "el-9.2", "8.3"):
        made[name] = commit(name, name)
        source.branch(f"topic-{name}", made[name])
    made["lost"] = commit("lost", "gone")
    source.git.run("update-ref", "-d", "refs/heads/gone")
    return PkgGit(Mirror(str(source.path), source.path.parent)), made


@pytest.mark.parametrize(
    ("commit", "dist", "target", "branch"),
    [
        ("new", ".fc44", "rawhide", "rawhide"),
        ("new", ".fc44", "f44-candidate", "rawhide"),  # no such branch yet
        ("new", ".fc44", "f44-build-side-12345", "rawhide"),
        ("new", ".fc44", None, "rawhide"),
        ("both", ".fc43", "f43-candidate", "f43"),
        ("both", ".fc43", "f43-build-side-12345", "f43"),
        ("both", ".fc44", "rawhide", "rawhide"),
        ("both", ".fc44", "f44-rebuild", "rawhide"),
        ("middle", ".fc43", "rawhide", "rawhide"),  # looked at after the branching
        ("middle", ".fc43", "f43-rebuild", "rawhide"),  # a mass rebuild is rawhide's
        ("old", ".fc42", "f42-candidate", "f42"),
        ("old", ".fc42", "rawhide", "rawhide"),
        ("stable", ".fc42", "f42-candidate", "f42"),
        ("stable", ".fc42", "eln", "f42"),
        ("stable", ".fc41", None, "f42"),  # a release whose branch is gone: the lowest that holds
        ("epel", ".el9", "epel9-candidate", "epel9"),
        ("user", ".fc44", "rawhide", "eve/fix"),
        ("el9", ".el9", None, "el9"),
        ("c8s", ".el8", None, "c8s"),
        ("el-9.2", ".el9_2", None, "el-9.2"),
        ("8.3", ".xcpng8.3", None, "8.3"),
    ],
)
def test_branch_of(
    commits: tuple[PkgGit, dict[str, str]],
    commit: str,
    dist: str,
    target: str | None,
    branch: str,
) -> None:
    pkg_git, made = commits
    assert pkg_git.branch_of(made[commit], dist, target) == branch


@pytest.mark.parametrize(
    ("commit", "dist"),
    [
        ("old", ".fc42"),
        ("middle", ".fc43"),
        ("both", ".fc43"),
        ("stable", ".fc42"),
        ("new", ".fc44"),
    ],
)
def test_dist_of(commits: tuple[PkgGit, dict[str, str]], commit: str, dist: str) -> None:
    pkg_git, made = commits
    assert pkg_git.dist_of(made[commit]) == dist


def test_a_commit_that_no_branch_holds_has_neither(
    commits: tuple[PkgGit, dict[str, str]], tmp_path: Path
) -> None:
    pkg_git, made = commits
    with pytest.raises(WrongUsage, match="no branch holds it"):
        pkg_git.branch_of(made["lost"], ".fc44", "rawhide")
    with pytest.raises(WrongUsage, match="tells the release") as asked:
        pkg_git.dist_of(made["lost"])
    assert "--dist" in asked.value.next_step and "--branch" in asked.value.next_step
    with pytest.raises(WrongUsage) as asked:
        pkg_git.dist_of(made["lost"], "mine")
    assert "--dist" in asked.value.next_step and "--branch" not in asked.value.next_step


def package(source: Source, commit: str) -> Package:
    return PkgGit(Mirror(str(source.path), source.path.parent)).at(commit)


def log(source: Source, commit: str, path: str, *options: str) -> list[str]:
    command = ["git", "-C", str(source.path), "log", "--format=%H", *options, commit, "--", path]
    return subprocess.check_output(command, text=True).split()


@pytest.mark.parametrize("directory", ["", "SOURCES/"], ids=["flat", "SOURCES"])
def test_provenance_is_the_last_change_and_the_addition_before_it(
    tmp_path: Path, directory: str
) -> None:
    source = Source(tmp_path / "pkg.git")
    path = f"{directory}fix.patch"
    other = {"demo.spec": SPEC, "other.patch": "x\n"}
    commits = [
        source.commit(other | {path: content or None}, f"{number}\n")
        for number, content in enumerate(["one\n", "two\n", "", "one\n", "two\n", "one\n", "two\n"])
    ]
    last = source.commit(other | {path: "two\n", "new": "1"}, "unrelated\n")
    at = package(source, last)
    history = at.history(b"demo.spec")
    wanted = {name: entry for name in (path.encode(), b"other.patch") if (entry := at.entry(name))}
    history = history.only(wanted)
    found = history.of(path.encode())
    assert found is not None
    assert (found.changed.commit, found.introduced.commit) == (commits[6], commits[3])
    assert log(source, last, path, "-1") == [found.changed.commit]
    assert log(source, last, path, "--diff-filter=A", "-1") == [found.introduced.commit]
    unchanged = history.of(b"other.patch")
    assert unchanged is not None and unchanged.introduced.commit == commits[0]  # the root
    assert history.of(b"absent.patch") is None


def test_a_damaged_history_is_an_error_and_no_endless_wait(tmp_path: Path) -> None:
    """diff-tree ends early, and rev-list still has more to say than a pipe holds."""
    source = Source(tmp_path / "pkg.git")
    who = b"A <a@example.org> 1400000000 +0000"
    commit = b"commit refs/heads/main\ncommitter %s\ndata 0\nM 100644 inline count\ndata %d\n%d\n"
    old = b"".join(commit % (who, len(str(n)), n) for n in range(2000))
    source.git.run("fast-import", "--quiet", input=old)
    source.commit({"demo.spec": SPEC}, "1\n")
    tip = source.commit({"count": "many"}, "2\n")
    lost = source.git.run("rev-parse", f"{tip}~1^{{tree}}").stdout.decode().strip()
    (source.path / "objects" / lost[:2] / lost[2:]).unlink()
    history = package(source, tip).history(b"demo.spec")
    with pytest.raises(RepositoryUnusable, match=lost):
        history.of(b"demo.spec")


def test_a_spec_beyond_all_measure_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pkggit, "_MAX_SPEC", 1 << 20)
    source = Source(tmp_path / "pkg.git")
    at = package(source, source.commit({"demo.spec": SPEC + "#\n" * (1 << 20)}, "1\n"))
    with pytest.raises(PkgGitInvalid, match=r"demo.spec has 2 MiB"):
        at.spec(None)


def test_a_patch_in_a_directory_of_its_own_has_a_provenance(tmp_path: Path) -> None:
    source = Source(tmp_path / "pkg.git")
    first = source.commit({"demo.spec": SPEC, "f41/fix.patch": "one\n"}, "1\n")
    last = source.commit({"demo.spec": SPEC, "f41/fix.patch": "one\n", "new": "1"}, "2\n")
    at = package(source, last)
    entry = at.entry(b"f41/fix.patch")
    assert entry is not None
    found = at.history(b"demo.spec").only({b"f41/fix.patch": entry}).of(b"f41/fix.patch")
    assert found is not None and found.introduced.commit == first


def test_of_a_subdirectory_a_build_sees_what_the_spec_names(tmp_path: Path) -> None:
    source = Source(tmp_path / "pkg.git")
    files = {"demo.spec": SPEC, "sources": "", "configs/CONFIG_A": "", "configs/filter.sh": ""}
    at = package(source, source.commit(files | {"configs/deep/fix.patch": ""}, "1\n"))
    assert sorted(at.used(b"demo.spec")) == [
        b"configs/deep/fix.patch",
        b"configs/filter.sh",
        b"demo.spec",
        b"sources",
    ]
    assert at.spec(None) == b"demo.spec"


@pytest.mark.parametrize("kind", ["a link and a directory of one name", "below .git"])
def test_a_tree_that_git_would_not_check_out_leaves_nothing_outside(
    tmp_path: Path, kind: str
) -> None:
    """Whoever makes tree objects by hand may have a link take the place of a directory."""
    git = Source(tmp_path / "pkg.git").git
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()

    def write(type: str, data: bytes) -> bytes:
        done = git.run(*("hash-object", "-w", "-t", type, "--literally", "--stdin"), input=data)
        return bytes.fromhex(done.stdout.decode())

    link, spec = write("blob", os.fsencode(outside)), write("blob", SPEC.encode())
    below = write("tree", b"120000 fix.patch\0" + link)
    entries = {
        # in this order one way of looking up a name finds the directory, the other the link
        "a link and a directory of one name": [
            *(b"100644 A\0" + spec, b"100644 B\0" + spec, b"40000 SOURCES\0" + below),
            *(b"120000 SOURCES\0" + link, b"100644 demo.spec\0" + spec),
        ],
        "below .git": [b"40000 .git\0" + below, b"100644 demo.spec\0" + spec],
    }
    tree = write("tree", b"".join(entries[kind])).hex()
    author = b"A <a@example.org> 1412462434 +0000"
    data = b"tree %s\nauthor %s\ncommitter %s\n\n1\n" % (tree.encode(), author, author)
    commit = write("commit", data).hex()
    at = PkgGit(Mirror(str(tmp_path / "pkg.git"), tmp_path)).at(commit)
    with pytest.raises(PkgGitInvalid, match="impossible file name"):
        at.export(inside, b"demo.spec")
    assert list(outside.iterdir()) == []


def test_a_mirror_in_which_the_targets_branch_lacks_the_commit_is_brought_up_to_date(
    tmp_path: Path,
) -> None:
    """A commit that is known from one branch may have been built from another since."""
    source = Source(tmp_path / "kernel.git")
    first = source.commit({"kernel.spec": "1"}, "1\n", branch="rawhide")
    source.branch("f43", first)
    both = source.commit({"kernel.spec": "2"}, "2\n", branch="rawhide")
    later = source.commit({"kernel.spec": "3"}, "3\n", branch="f43", parent=both)
    source.branch("f43", first)
    source.branch("f42", later)
    cache = tmp_path / "mirrors"
    _ = Mirror(f"file://{source.path}", cache).repository  # another process's, some time ago
    for commit, target, branch in ((both, "f43-candidate", "f43"), (later, "rawhide", "rawhide")):
        source.branch(branch, commit)
        pkg_git = PkgGit(Mirror(f"file://{source.path}", cache))
        assert pkg_git.resolve(commit) == commit
        assert pkg_git.branch_of(commit, ".fc43", target) == branch


def test_an_export_is_what_a_build_reads_of_each_kind_of_file(tmp_path: Path) -> None:
    source = Source(tmp_path / "pkg.git")
    files = {"demo.spec": SPEC, "run.sh": "x\n", "link": "configs/a", "broken": "nowhere"}
    modes = {"run.sh": "100755", "link": "120000", "broken": "120000"}
    plain = source.commit(files | {"configs/a": "content"}, "1\n", modes=modes)
    listed = source.git.run("ls-tree", plain).stdout
    module = b"160000 commit %s\tmodule\n" % plain.encode()
    tree = source.git.run("mktree", "--missing", input=listed + module).stdout.decode().strip()
    commit = source.git.run("commit-tree", tree, "-m", "2").stdout.decode().strip()
    at = package(source, commit)
    out = tmp_path / "out"
    out.mkdir()
    before = os.umask(0o077)  # another account reads them
    try:
        at.export(out, b"demo.spec")
    finally:
        os.umask(before)
    kinds = {str(p.relative_to(out)): p.lstat().st_mode for p in out.rglob("*")}
    assert kinds.pop("link") & 0o170000 == kinds.pop("broken") & 0o170000 == 0o120000
    assert kinds == {"demo.spec": 0o100644, "run.sh": 0o100755}
    assert os.readlink(out / "link") == "configs/a"  # whose target no line of the spec names
    assert at.read(b"link") == b"content" and at.size(b"link") == 7
    assert at.blob(b"link") == at.blob(b"configs/a")
    for path in (b"broken", b"module", b"absent"):
        assert (at.read(path), at.size(path), at.blob(path)) == (None, 0, None)


@pytest.mark.parametrize(
    ("files", "name", "found"),
    [
        ({"demo.spec": ""}, "other", "demo.spec"),
        ({"a.spec": "", "demo.spec": ""}, "demo", "demo.spec"),
        ({"a.spec": "", "SPECS/demo.spec": ""}, "demo", "SPECS/demo.spec"),
        ({"a.spec": "", "b.spec": ""}, None, "several specs: a.spec, b.spec"),
        ({"a.spec": "", "b.spec": ""}, "demo", "several specs: a.spec, b.spec"),
        ({"demo.spec": "", "SPECS/demo.spec": ""}, "demo", "several specs: SPECS/demo.spec, demo"),
        ({"demo.spec/x": "", "sub/demo.spec": ""}, "demo", "no spec"),
    ],
)
def test_the_spec_is_the_only_one_or_the_one_that_is_named(
    tmp_path: Path, files: dict[str, str], name: str | None, found: str
) -> None:
    source = Source(tmp_path / "pkg.git")
    at = package(source, source.commit(files, "1\n"))
    try:
        assert at.spec(name) == found.encode()
    except PkgGitInvalid as error:
        assert error.what.startswith(found)
        assert ("--nvr" in error.next_step) == found.startswith("several")


@pytest.mark.parametrize(
    ("name", "path"), [("a", "a"), ("b", "SOURCES/b"), ("c", "SPECS/c"), ("d", None), ("e", None)]
)
def test_a_source_lies_where_rpm_s_source_directory_has_it(
    tmp_path: Path, name: str, path: str | None
) -> None:
    source = Source(tmp_path / "pkg.git")
    files = dict.fromkeys(["a", "SOURCES/a", "SOURCES/b", "SPECS/b", "SPECS/c", "x/d"], "")
    at = package(source, source.commit(files, "1\n"))
    assert at.source(name.encode()) == (path and path.encode())


def test_a_commit_or_a_file_out_of_all_proportion_is_not_read(tmp_path: Path) -> None:
    source = Source(tmp_path / "demo.git")
    long = source.commit({"demo.spec": SPEC}, "x" * (5 << 20) + "\n", branch="f41")
    pkg_git = PkgGit(Mirror(str(source.path), tmp_path))
    with pytest.raises(TooMuch, match="a commit of 5 MiB"):
        pkg_git.at(long)
    short = source.commit({"big": b"\0" * (129 << 20), "demo.spec": SPEC}, "x\n", branch="f42")
    with pytest.raises(TooMuch, match="big has 129 MiB"):
        pkg_git.at(short).read(b"big")


def test_a_history_of_endless_changes_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(tmp_path / "demo.git")
    source.commit({"demo.spec": SPEC, "fix.patch": "1\n"}, "one\n", branch="f41")
    commit = source.commit({f"{n}": "x\n" for n in range(40)}, "many\n", branch="f41")
    monkeypatch.setattr(pkggit, "_MAX_CHANGES", 20)
    history = PkgGit(Mirror(str(source.path), tmp_path)).at(commit).history(b"demo.spec")
    with pytest.raises(TooMuch, match="changes more than 20 files"):
        history.of(b"fix.patch")
