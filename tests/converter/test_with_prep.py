"""``with_prep``: the tree is exactly what rpmbuild -bp leaves; archives verified as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from converter import convert as pipeline
from converter.conversion import Conversion
from converter.errors import CannotWork, DifferenceFound, WrongUsage
from converter.odb import Repository
from converter.request import Request
from specparse.prep import SandboxedPreparer
from specparse.trace import SandboxedTracer
from tests.builders import Source
from tests.converter.test_convert_archives import (
    IN_DATA,
    MAIN,
    ONE,
    PACKAGES,
    PATCH1,
    SOURCE,
    SOURCE1,
    TGZ,
    TOPPED,
    Case,
    on,
    patch,
    tarball,
)

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def convert(
    case: Case, request: Request, repo: str = "result.git"
) -> tuple[Conversion, Repository]:
    made = Repository.create(case.directory / repo)
    done = pipeline.convert(
        replace(request, with_prep=True), made, SandboxedTracer(), prepare=SandboxedPreparer()
    )
    return done, made


SETUP = "%setup -q\n%patch -P 1 -p1\n"
# idea -> what %prep does besides, and which files that changes
DOES: dict[str, tuple[str, Mapping[str, str]]] = {
    "nothing": ("", {}),
    "a copy": ("cp %{SOURCE2} extra.txt", {"extra.txt": "added"}),
    "a removal": ("rm -rf doc", {"doc/man": "deleted"}),
    "a move": ("mv doc/man doc/demo.1", {"doc/man": "deleted", "doc/demo.1": "added"}),
    "an edit": ("sed -i s/int/long/ src/a.c", {"src/a.c": "content"}),
    "a mode": ("chmod +x src/a.c", {"src/a.c": "mode"}),
    "a link": ("ln -s README LIESMICH", {"LIESMICH": "added"}),
    "a link in a file's place": ("rm doc/man\nln -s ../README doc/man", {"doc/man": "type"}),
    "an edit of what was patched": ("echo more >> README", {"README": "content"}),
    "odd names": ("touch 'a b' $'new\\nline' ü", {"a b": "added", "new\nline": "added", "ü": "added"}),
    "a repository": ("git init -q inner\ntouch inner/x", {"inner/x": "added"}),
}  # fmt: skip


@pytest.mark.parametrize("does, changes", DOES.values(), ids=DOES)
def test_the_tree_is_exactly_what_prep_leaves(
    case: Case, does: str, changes: Mapping[str, str]
) -> None:
    preamble = SOURCE + "Source2: extra\n" + PATCH1
    request = case.commit(preamble, SETUP + does, TGZ, {**ONE, "extra": b"text\n"})
    done, repo = convert(case, request)
    assert done.verdict
    found = {d.path.decode(): d.kind for d in done.verdict.differences if b"/.git/" not in d.path}
    assert found == changes
    told = done.series["prep"]
    assert told["tree"] == case.rpmbuild("demo-1.2")
    series = done.series["series"]
    assert repo.commit(done.commit).parents == (told["commit"] or series["commit"],)
    assert (
        f"\nPrep-Tree: {told['tree']}\nVerified: yes\n"
        in (repo.tag_message(done.tag) or b"").decode()
    )
    assert sum(step["files"] for step in told["steps"]) == len(changes)
    if changes:
        read = repo.commit(told["commit"])
        assert read.parents == (series["commit"],)
        assert read.subject == b"%prep of demo-1.2-3.fc41, besides its patches"
        assert repo.commit(told["commit"]).author == repo.commit(done.commit).author
    assert not [u for u in done.series["unrepresented"] if "no patch" in u["why"]]


def test_steps_are_told(case: Case) -> None:
    request = case.commit(SOURCE + PATCH1, SETUP + "rm doc/man\nchmod +x src/a.c", TGZ, ONE)
    done, repo = convert(case, request)
    assert done.series["prep"]["steps"] == [
        {"command": "rm doc/man", "files": 1},
        {"command": "chmod +x src/a.c", "files": 1},
    ]
    message = repo.commit(done.series["prep"]["commit"]).message.decode()
    assert "\n      1 rm doc/man\n      1 chmod +x src/a.c\n" in message
    plain = pipeline.convert(
        request, Repository.create(case.directory / "p.git"), SandboxedTracer()
    )
    assert "prep" not in plain.series
    assert plain.series["series"] == done.series["series"]
    assert len(plain.series["unrepresented"]) == 2


def test_ids_are_the_same_again(case: Case) -> None:
    request = case.commit(SOURCE + PATCH1, SETUP + "rm doc/man", TGZ, ONE)
    first, again = convert(case, request)[0], convert(case, request, "again.git")[0]
    assert (first.commit, first.tag) == (again.commit, again.tag)


def test_what_is_never_twice_alike_is_told(case: Case) -> None:
    """A clock is not, where a patch does not touch what it writes."""
    request = case.commit(SOURCE + PATCH1, SETUP + "date +%%s%%N > stamp", TGZ, ONE)
    done, repo = convert(case, request)
    told = done.series["prep"]
    assert told["restless"] == ["stamp"]
    assert b"No two runs make these alike" in repo.commit(told["commit"]).message


def test_an_empty_directory_of_the_archive_is_there(case: Case) -> None:
    """git has none; a %prep that removes one must not stop in the control run."""
    empty = tarball(MAIN, "demo-1.2/", directories=["demo-1.2/libs"])
    request = case.commit(
        SOURCE + PATCH1, SETUP + "rm -r libs\nrm doc/man", {"demo-1.2.tar.gz": empty}, ONE
    )
    done, _ = convert(case, request)
    assert done.series["prep"]["tree"] == case.rpmbuild("demo-1.2")


def test_a_tree_that_is_renamed_when_it_was_patched(case: Case) -> None:
    prep = "%setup -q -c\ncd demo-1.2\npatch -p1 < %{PATCH1}\nrm doc/man\ncd ..\nmv demo-1.2 demo-python3"
    request = case.commit(SOURCE + PATCH1, prep, TGZ, ONE)
    done, _ = convert(case, request)
    assert done.series["prep"]["tree"] == case.rpmbuild("demo-1.2/demo-python3")


def test_a_backup_is_part_of_it(case: Case) -> None:
    request = case.commit(
        SOURCE + PATCH1, "%setup -q\n%patch -P 1 -p1 -b .old\nrm doc/man", TGZ, ONE
    )
    done, repo = convert(case, request)
    assert done.series["prep"]["tree"] == case.rpmbuild("demo-1.2")
    assert done.series["prep"]["steps"] == [
        {"command": "backups that the patching itself left", "files": 1},
        {"command": "rm doc/man", "files": 1},
    ]
    _, verdict = pipeline.verify(request, repo, SandboxedTracer(), SandboxedPreparer())
    assert verdict.verified


def test_upstream_s_files_and_prep(case: Case, tmp_path: Path) -> None:
    """The main archive is made of upstream's files, the others are the real ones."""
    upstream = Source(tmp_path / "upstream.git")
    upstream.tag(
        "v1.2",
        upstream.commit({**MAIN}, "demo 1.2\n", modes={"configure": "100755"}),
    )
    prep = "%setup -q -a 1\n%patch -P 1 -p1\ncp data-3/one two\ncp %{SOURCE2} logo"
    preamble = SOURCE1 + "Source2: logo.png\n"
    request = case.commit(preamble, prep, {**TGZ, **TOPPED, "logo.png": b"\x89PNG\0"}, ONE)
    done, repo = convert(case, on(request, upstream))
    assert done.series["prep"]["tree"] == case.rpmbuild("demo-1.2")
    assert [a["archive"] for a in done.series["base"]["archives"]] == ["data-3.tar.gz"]
    assert done.series["base"]["upstream"] == upstream.rev("v1.2")
    nvr, verdict = pipeline.verify(
        on(request, upstream), repo, SandboxedTracer(), SandboxedPreparer()
    )
    assert verdict.verified and str(nvr) == "demo-1.2-3.fc41"


def test_converted_before_without(case: Case) -> None:
    request = case.commit(SOURCE + PATCH1, SETUP, TGZ, ONE)
    case.convert(request)
    with pytest.raises(WrongUsage, match="without what %prep does"):
        convert(case, request)


def test_a_prep_that_stops_is_not_recorded(case: Case) -> None:
    request = case.commit(SOURCE + PATCH1, SETUP + "no-such-tool --fix\nrm doc/man", TGZ, ONE)
    with pytest.raises(CannotWork, match="does not come to its end"):
        convert(case, request)


def test_verify_finds_a_prep_that_is_wrong(case: Case) -> None:
    request = case.commit(SOURCE + PATCH1, SETUP + "rm doc/man", TGZ, ONE)
    _, repo = convert(case, request)
    nvr, verdict = pipeline.verify(request, repo, SandboxedTracer(), SandboxedPreparer())
    assert verdict.verified
    # Another %prep under the same NVR and commit: as a converter with a defect would have left it.
    prepare = SandboxedPreparer()

    class Other:
        declared = prepare.declared

        def run(self, package: Path, spec: bytes, build: Path, **more: object) -> object:
            text = (package / "demo.spec").read_text()
            if "man src/a.c" not in text:
                (package / "demo.spec").write_text(text.replace("rm doc/man", "rm doc/man src/a.c"))
            return prepare.run(package, spec, build, **more)  # type: ignore[arg-type]

    _, verdict = pipeline.verify(request, repo, SandboxedTracer(), Other())  # type: ignore[arg-type]
    assert not verdict.verified and [d.path for d in verdict.defects] == [b"src/a.c"]
    with pytest.raises(DifferenceFound):
        verdict.check(str(nvr))


# -- verification of series that start from archives ------------------------------------------

VERIFIED = ["a tarball", "a tarball in pkg-git", "a zip without a directory", "one directory of several",
            "a directory in it", "patches around it", "-a", "-a, patched from above",
            "-a without a directory", "tar in a directory", "renamed", "over the first",
            "a patch of the lookaside cache", "a kernel with its stable patch"]  # fmt: skip


@pytest.mark.parametrize("idea", VERIFIED)
def test_series_on_archives_are_verified(case: Case, idea: str) -> None:
    preamble, prep, away, held, top = PACKAGES[idea]
    request = case.commit(preamble, prep, away, held)
    done, repo = convert(case, request)
    assert done.verdict and done.verdict.verified
    assert done.series["prep"]["tree"] == case.rpmbuild(top)
    _, verdict = pipeline.verify(request, repo, SandboxedTracer(), SandboxedPreparer())
    assert verdict.verified


def test_a_wrong_tree_on_archives_is_found(case: Case) -> None:
    prep = "%setup -q -a 1\n%patch -P 1 -p1 -d data-3\n%patch -P 2 -p1"
    held = {**IN_DATA, "two.patch": patch("README", "hello", "bye")}
    request = case.commit(SOURCE1 + "Patch2: two.patch\n", prep, {**TGZ, **TOPPED}, held)
    tracer = SandboxedTracer()

    def forgetful(*args: object, **more: object) -> object:
        plan = tracer(*args, **more)  # type: ignore[arg-type]
        return replace(plan, steps=plan.steps[1:])

    repo = Repository.create(case.directory / "r.git")
    with pytest.raises(DifferenceFound, match="data-3/one"):
        pipeline.convert(request, repo, forgetful, prepare=SandboxedPreparer())  # type: ignore[arg-type]
