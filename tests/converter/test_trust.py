"""What a spec, a patch, an archive or a repository says is never believed for where anything lies.

Each test has a host that must be neither read nor written to, and looks at all that was published.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from converter import convert as pipeline
from converter import loose
from converter.conversion import Conversion, SeriesFailed
from converter.errors import CannotConvert, PkgGitInvalid, TooMuch
from converter.loose import taken_in
from converter.mirror import Mirror
from converter.objects import Identity
from converter.odb import Repository
from converter.request import Request
from specparse.foreign_tree import remove
from specparse.prep import SandboxedPreparer
from specparse.trace import SandboxedTracer
from tests.builders import Source
from tests.converter.test_convert_archives import (
    MAIN,
    ONE,
    PATCH1,
    SOURCE,
    TGZ,
    Case,
    patch,
    tarball,
)

pytestmark = pytest.mark.usefixtures("nothing_left")

SECRET = b"PRIVATE KEY hunter2\n"
SETUP = "%setup -q\n%patch -P 1 -p1\n"
UNTRACED = "[ ! -e /tmp/standin ]"  # what a trace has, and the real %prep has not


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    yield Case(tmp_path)


@pytest.fixture
def host(scratch: Path) -> Iterator[Path]:
    """A directory that looks like the source tree, and has a key beside it."""
    host = scratch / "srcgit-test-host"
    (host / "src").mkdir(parents=True)
    (host / "README").write_bytes(b"bye\n")
    (host / "src/a.c").write_bytes(b"int a;\n")
    (host / "push-key").write_bytes(SECRET)
    (host / "push-key").chmod(0o600)
    yield host
    assert sorted(p.name for p in host.rglob("*")) == ["README", "a.c", "push-key", "src"]
    assert (host / "push-key").read_bytes() == SECRET


def convert(case: Case, request: Request, *, with_prep: bool = False) -> Conversion:
    repo = Repository.create(case.directory / "result.git")
    asked = replace(request, with_prep=with_prep)
    return pipeline.convert(asked, repo, SandboxedTracer(), prepare=SandboxedPreparer())


def published(case: Case) -> bytes:
    """All objects of the result, whole."""
    git = ("git", "-C", str(case.directory / "result.git"), "cat-file")
    batch = [*git, "--batch-all-objects", "--batch"]
    return subprocess.run(batch, capture_output=True, check=True).stdout


# How %prep may try to lead srcgit out of the directory that it was given. RECORD is the file that
# the stand-ins write to, HOST a directory outside.
LIES = {
    "a record of an absolute path": "printf '%%s\\0' HOST > RECORD",
    "a record below the build directory": "printf '%%s\\0' /tmp/build/BUILD/HOST > RECORD",
    "a record that climbs": "printf '%%s\\0' /tmp/build/BUILD/../../../../../..HOST > RECORD",
    "a record of a link": "ln -s HOST ../out; printf '%%s\\0' /tmp/build/BUILD/out > RECORD",
    "a record of nothing": "printf '%%s\\0' '' . .. / > RECORD",
    "a record without an end": "printf HOST > RECORD",
    "a record that is a link": "rm -f RECORD; ln -s HOST/push-key RECORD",
    "a record that is a pipe": "rm -f RECORD; mkfifo RECORD",
    "a record that is a directory": "rm -f RECORD; mkdir RECORD",
    "a link in the tree's place": "UNTRACED && cd .. && rm -rf demo-1.2 && ln -s HOST demo-1.2",
    "a link beside the tree, in its place": "UNTRACED && cd .. && mv demo-1.2 x && ln -s HOST demo-1.2",
    "a link in a file's place": "rm README; ln -s HOST/push-key README",
    "a link in a directory's place": "rm -rf src; ln -s HOST src",
    "links beside the tree": "ln -s HOST ../out; ln -s HOST out; ln -s / root; ln -s .. up",
}


@pytest.mark.parametrize("with_prep", [False, True], ids=["verify", "with-prep"])
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_no_record_and_no_link_leads_out(case: Case, host: Path, lie: str, with_prep: bool) -> None:
    lie = lie.replace("UNTRACED", UNTRACED)
    lie = lie.replace("RECORD", "%{_builddir}/.srcgit-calls").replace("HOST", str(host))
    request = case.commit(SOURCE + PATCH1, SETUP + lie, TGZ, ONE)
    try:
        convert(case, request, with_prep=with_prep)
    except CannotConvert as error:
        assert "push-key" not in f"{error.what} {error.where}".replace(f"{host}/push-key", "")
    everything = published(case)
    assert b"hunter2" not in everything
    # a tree's entry: a mode, the name; a link's text may well name the file
    assert b" push-key\0" not in everything


@pytest.mark.parametrize("where", ["nothing", "something", "a directory", "itself", "above"])
def test_a_link_under_a_sources_name_is_not_written_through(
    case: Case, host: Path, where: str
) -> None:
    target = {
        "nothing": f"{host}/new",
        "something": f"{host}/push-key",
        "a directory": str(host),
        "itself": "data.conf",
        "above": "../../../../../../.." + f"{host}/new",
    }[where]
    request = case.commit(
        SOURCE + "Source1: data.conf\nSource2: data-3.tar.gz\n" + PATCH1, SETUP, TGZ, ONE
    )
    work = case.directory / "work"
    subprocess.run(["git", "clone", "-qb", "f41", case.pkg_git.path, work], check=True)
    for name in ("data.conf", "data-3.tar.gz"):
        os.symlink(target, work / name)
    subprocess.run(["git", "-C", work, "add", "-A"], check=True)
    subprocess.run(["git", "-C", work, "commit", "-qm", "links"], check=True)
    subprocess.run(["git", "-C", work, "push", "-q", "origin", "HEAD:f41"], check=True)
    head = subprocess.run(
        ["git", "-C", work, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    with suppress(CannotConvert):  # rpmbuild, in the sandbox, may miss it; the host is looked at
        convert(case, replace(request, rev=head))
    assert b"hunter2" not in published(case)


def test_a_tree_without_end_is_refused_and_goes(case: Case) -> None:
    deep = "mkdir -p $(printf 'd/%%.0s' $(seq 300))"
    request = case.commit(SOURCE + PATCH1, SETUP + deep, TGZ, ONE)
    with pytest.raises(CannotConvert, match="nest more than 256 deep"):
        convert(case, request)


def test_holes_without_end_are_refused(case: Case) -> None:
    holes = f"{UNTRACED} && for n in 1 2 3 4 5; do truncate -s 4294967295 hole$n; done"
    request = case.commit(SOURCE + PATCH1, SETUP + holes, TGZ, ONE)
    with pytest.raises(CannotConvert, match="more than 16384 MiB"):
        convert(case, request)


def test_what_prep_leaves_beside_gits_own_is_refused_by_name(case: Case) -> None:
    """It is no repository, so it may not be passed over; and no remote would take it."""
    hidden = "mkdir $'.git\\u200c'; echo x > $'.git\\u200c/config'"
    request = case.commit(SOURCE + PATCH1, SETUP + hidden, TGZ, ONE)
    with pytest.raises(CannotConvert, match=r"\.git"):
        convert(case, request, with_prep=True)


# -- patches -----------------------------------------------------------------------------------

CREATES = "--- /dev/null\n+++ b/{0}\n@@ -0,0 +1 @@\n+x\n"
GIT_CREATES = (
    "diff --git a/{0} b/{0}\nnew file mode {1}\nindex 0000000..587be6b\n--- /dev/null\n+++ b/{0}\n"
    "@@ -0,0 +1 @@\n+x\n"
)
UNSAFE = {
    "hfs": ".git\u200c/config",
    "ntfs": "git~1/config",
    "ntfs stream": ".git::$INDEX_ALLOCATION/config",
    "dots": ".git. /config",
    "backslash": "a\\.git\\config",
    "deep": "a/" * 1800 + "f",
    "long name": "n" * 256,
}


@pytest.mark.parametrize("tool", ["patch -p1 <", "git apply -p1"])
@pytest.mark.parametrize("path", UNSAFE.values(), ids=UNSAFE)
def test_a_patch_makes_no_unsafe_path(case: Case, path: str, tool: str) -> None:
    diff = (GIT_CREATES if tool.startswith("git") else CREATES).format(path, "100644")
    held = {"one.patch": diff.encode()}
    request = case.commit(SOURCE + PATCH1, f"%setup -q\n{tool} %{{PATCH1}}", TGZ, held)
    with pytest.raises((SeriesFailed, CannotConvert)) as raised:
        case.convert(request)
    assert raised.value.exit_code == 1
    assert ".git" in raised.value.what or "more than" in raised.value.what


@pytest.mark.parametrize("name", [".gitmodules", "gitmod~1", ".gitmodules "])
def test_a_patch_makes_no_link_of_gitmodules(case: Case, name: str) -> None:
    held = {"one.patch": GIT_CREATES.format(name, "120000").encode()}
    request = case.commit(SOURCE + PATCH1, "%setup -q\ngit apply %{PATCH1}", TGZ, held)
    with pytest.raises(SeriesFailed, match="gitmodules"):
        case.convert(request)


@pytest.mark.parametrize("tool", ["patch -p1 <", "git apply -p1"])
def test_a_patch_writes_no_gitmodules_that_a_remote_would_refuse(case: Case, tool: str) -> None:
    lines = ('[submodule "a"]', "\tpath = a", "\turl = -u./payload")
    diff = "--- /dev/null\n+++ b/.gitmodules\n@@ -0,0 +1,3 @@\n" + "".join(f"+{x}\n" for x in lines)
    request = case.commit(
        SOURCE + PATCH1, f"%setup -q\n{tool} %{{PATCH1}}", TGZ, {"one.patch": diff.encode()}
    )
    with pytest.raises(SeriesFailed, match="gitmodulesUrl"):
        case.convert(request)


# -- repositories and archives -----------------------------------------------------------------


def bomb(repo: Path, levels: int) -> str:
    """A tree in which ten entries are the same tree, and so on; return its id."""

    def git(*words: str, input: bytes = b"") -> str:
        done = subprocess.run(
            ["git", "-C", repo, *words], input=input, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    blob = git("hash-object", "-w", "--stdin", input=b"boom\n")
    tree = git("mktree", input=b"".join(b"100644 blob %s\tf%d\n" % (blob.encode(), n) for n in range(10)))  # fmt: skip
    for _ in range(levels):
        entries = (b"040000 tree %s\td%d\n" % (tree.encode(), n) for n in range(10))
        tree = git("mktree", input=b"".join(entries))
    return tree


@pytest.mark.parametrize("place", ["bomb", "SOURCES"])
def test_a_git_tree_that_multiplies_is_not_read(case: Case, place: str) -> None:
    request = case.commit(SOURCE + PATCH1, SETUP, TGZ, ONE)
    repo = case.pkg_git.path
    listed = subprocess.run(
        ["git", "-C", repo, "ls-tree", request.rev], capture_output=True, check=True
    ).stdout
    listed += f"040000 tree {bomb(repo, 8)}\t{place}\n".encode()
    made = subprocess.run(
        ["git", "-C", repo, "mktree"], input=listed, capture_output=True, check=True
    )
    commit = subprocess.run(
        ["git", "-C", repo, "commit-tree", "-p", request.rev, "-m", "b", made.stdout.strip()],
        capture_output=True, check=True,
    ).stdout.decode().strip()  # fmt: skip
    subprocess.run(["git", "-C", repo, "update-ref", "refs/heads/f41", commit], check=True)
    with pytest.raises(TooMuch, match="more than 500000"):
        case.convert(replace(request, rev=commit))


def test_an_archive_of_many_deep_paths_is_refused(case: Case) -> None:
    deep = {"a.c": b"int a;\n"} | {f"{n}" + "/a" * 2000 + "/f": b"" for n in range(30)}
    away = {"demo-1.2.tar.gz": tarball(deep, "demo-1.2/")}
    request = case.commit(SOURCE + PATCH1, SETUP, away, {"one.patch": patch("a.c", "int", "long")})
    with pytest.raises(CannotConvert, match="more than 200 directories"):
        case.convert(request)


# -- what is given in the place of a pkg-git ---------------------------------------------------

WHO = Identity(b"A", b"a@x", b"1 +0000")


def test_of_a_source_rpm_only_plain_files_are_taken_in(tmp_path: Path, host: Path) -> None:
    """The sandbox wrote them. git would follow a link, and take a newline for the next name."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "demo.spec").write_bytes(b"Name: demo\n")
    (files / "a\nconfig").write_bytes(b"odd\n")
    mirror, commit = taken_in("x.src.rpm", files, WHO, b"x\n", tmp_path / "one.git")
    tree = mirror.repository.tree(commit)
    assert {e.path: tree.blob(e) for e in tree.walk()} == {
        b"demo.spec": b"Name: demo\n",
        b"a\nconfig": b"odd\n",
    }
    hostile: dict[str, Callable[[Path], object]] = {
        "link": lambda path: path.symlink_to(host / "push-key"),
        "pipe": os.mkfifo,
        "in a directory": lambda path: Repository.create(path),
        "no plain file": lambda path: path.symlink_to("demo.spec"),
    }
    for number, make in enumerate(hostile.values()):
        make(files / "odd")
        with pytest.raises(PkgGitInvalid, match="odd"):
            taken_in("x.src.rpm", files, WHO, b"x\n", tmp_path / f"{number}.git")
        remove(files / "odd") if (files / "odd").is_dir() else (files / "odd").unlink()
    (files / ".git").write_bytes(b"gitdir: /\n")
    with pytest.raises(PkgGitInvalid, match="into"):
        taken_in("x.src.rpm", files, WHO, b"x\n", tmp_path / "git.git")


@pytest.mark.parametrize(
    "name",
    [b"../host/push-key", b"out", b"up/push-key", b"pipe", b"directory", b".git/config", b"a" * 5000, b"x/" * 300],
    ids=["above", "link", "link above", "pipe", "directory", "git", "long", "deep"],
)  # fmt: skip
def test_a_queue_names_files_of_its_own_directory(tmp_path: Path, host: Path, name: bytes) -> None:
    queue = tmp_path / "queue"
    (queue / ".git").mkdir(parents=True)
    (queue / ".git/config").write_bytes(b"[core]\n")
    (queue / "out").symlink_to(host / "push-key")
    (queue / "up").symlink_to(host)
    os.mkfifo(queue / "pipe")
    (queue / "directory").mkdir()
    with pytest.raises(PkgGitInvalid):
        loose.read(queue, [name])


def test_files_and_links_of_pkg_git_that_no_system_takes_are_its_own_fault(case: Case) -> None:
    request = case.commit(SOURCE + PATCH1, SETUP, TGZ, ONE)
    repo = case.pkg_git.path
    for target in (b"", b"a\0b", b"x" * 5000):
        blob = subprocess.run(
            ["git", "-C", repo, "hash-object", "-w", "--stdin"], input=target, capture_output=True, check=True
        ).stdout.strip()  # fmt: skip
        listed = subprocess.run(
            ["git", "-C", repo, "ls-tree", request.rev], capture_output=True, check=True
        ).stdout + b"120000 blob %s\tlink\n" % blob  # fmt: skip
        tree = subprocess.run(
            ["git", "-C", repo, "mktree"], input=listed, capture_output=True, check=True
        ).stdout.strip()
        commit = (
            subprocess.run(
                ["git", "-C", repo, "commit-tree", "-m", "x", tree], capture_output=True, check=True
            )
            .stdout.decode()
            .strip()
        )
        subprocess.run(["git", "-C", repo, "update-ref", "refs/heads/f41", commit], check=True)
        with pytest.raises(PkgGitInvalid, match="impossible link"):
            case.convert(replace(request, rev=commit))


@pytest.mark.parametrize("name", ["git~1", ".git\u200c", "n" * 300])
def test_what_upstream_has_stays_where_no_patch_touches_it(case: Case, name: str) -> None:
    request = case.commit(SOURCE + PATCH1, SETUP, TGZ, ONE)
    upstream = Source(case.directory / "upstream.git")
    plain = upstream.commit({path: data.decode() for path, data in MAIN.items()}, "demo\n")

    def git(*words: str, input: bytes = b"") -> bytes:
        done = subprocess.run(
            ["git", "-C", upstream.path, *words], input=input, capture_output=True, check=True
        )
        return done.stdout.strip()

    blob = git("hash-object", "-w", "--stdin", input=b"odd\n")
    listed = git("ls-tree", plain) + b"\n100644 blob " + blob + b"\t" + name.encode() + b"\n"
    tree = git("mktree", input=listed).decode()
    commit = git("commit-tree", "-m", "odd", tree).decode()
    git("tag", "v1.2", commit)
    mirror = Mirror(str(upstream.path), case.directory)
    done, repo = case.convert(replace(request, upstreams=(mirror,)))
    entry = repo.tree(done.commit).entry(name.encode())
    assert entry is not None and entry.id == blob.decode()
    diff = f"--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-odd\n+even\n".encode()
    request = case.commit(SOURCE + PATCH1, SETUP, TGZ, {"one.patch": diff})
    with pytest.raises(SeriesFailed):
        case.convert(replace(request, upstreams=(mirror,)), "other.git")
