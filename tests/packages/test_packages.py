"""Each package there and back.

It is converted, and compared path by path with what the real rpmbuild -bp leaves: the series, and
the commit that ``--with-prep`` adds. Then it is exported, as it is and with every commit changed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from converter import convert as pipeline
from converter import planning
from converter.conversion import Conversion
from converter.errors import CannotConvert, SpecDoesNotParse
from converter.git import Git
from converter.mirror import Mirror
from converter.objects import Identity
from converter.odb import Repository
from converter.request import Request
from converter.start import finished
from converter.text import text
from service import export, inputs
from service.export import Exported
from specparse.prep import SandboxedPreparer
from specparse.trace import SandboxedTracer
from tests.builders import Source
from tests.packages import (
    archives,
    autosetup,
    conditions,
    configuration,
    kinds,
    options,
    other,
    refused,
    shell,
    stacks,
)
from tests.packages.judge import differences, in_its_words, rpmbuild, taken_in
from tests.packages.model import BOTH, SPEC, TOP, Edit, Package, Upstream, mail, replaced, resolved
from tests.packages.plans import RECORD, Kept, recorded

MODULES = (autosetup, shell, kinds, conditions, archives, other, stacks, options, configuration)
PACKAGES = [package for module in MODULES for package in module.PACKAGES]
REFUSED = [*refused.PACKAGES, *options.REFUSED, *configuration.REFUSED]
PLANS = recorded()
WHO = ("-c", "user.name=A. Developer", "-c", "user.email=dev@example.org")


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Upstream:
    return Upstream(tmp_path_factory.mktemp("upstream") / "demo.git")


class Trial:
    """One package: its pkg-git, and its sources as rpmbuild wants them."""

    def __init__(self, package: Package, upstream: Upstream, scratch: Path) -> None:
        self.package = package
        self.files = {name: resolved(data, upstream) for name, data in package.files.items()}
        commit = upstream.after(())
        self.files["demo.spec"] = package.text().replace("@COMMIT@", commit).encode()
        pkg_git = Source(scratch / "pkg-git.git")
        self.request = Request(
            Mirror(str(pkg_git.path), scratch),
            pkg_git.commit(self.files, "demo 1.2-3\n", branch="rawhide"),
            dist=package.dist,
            arch=package.arch,
            upstreams=(Mirror(str(upstream.source.path), scratch),),
        )
        self.repo = Repository.create(scratch / "result.git")
        self._scratch = scratch
        sources = scratch / "rpm" / "SOURCES"
        sources.mkdir(parents=True)
        for name, data in self.files.items():
            (sources / os.path.basename(name)).write_bytes(data)
        judged = package.text(judged=True).replace("@COMMIT@", commit)
        (sources / "demo.spec").write_text(in_its_words(judged))
        top = TOP if commit not in judged else f"demo-{commit}"
        upstream.archive(sources / f"{top}.tar.gz", top=top)
        upstream.archive(sources / "extra-0.9.tar.gz", top="extra-0.9", under="lib")

    def rpmbuild(self) -> Path:
        """Return the tree that the real %prep leaves."""
        judged = rpmbuild(
            self._scratch / "rpm", "demo.spec", dist=self.package.dist, arch=self.package.arch
        )
        assert judged.status == 0, judged.output
        return judged.top

    def convert(self, request: Request, name: str = "again.git") -> Conversion:
        """Convert without looking at the real %prep."""
        repo = Repository.create(self._scratch / name)
        return pipeline.convert(request, repo, SandboxedTracer())

    def export(self, done: Conversion, directory: Path, note: bytes = b"") -> Exported:
        """Export the series as a rebase that moves nothing leaves it, with ``note`` in each message."""
        committer = Identity(b"A. Developer", b"dev@example.org", b"1800000000 +0100")
        tip = done.series["base"]["commit"]
        for commit in _commits(done.series):
            was = self.repo.commit(commit)
            message = was.message + note
            tip = self.repo.write_commit(was.tree, [tip], was.author, committer, message)
        wanted = f"{done.build.tag}..{tip}"
        trace, cache = SandboxedTracer(), self._scratch
        return export.run(
            self.repo, wanted, directory, base=None, pkg_git=(), cache=cache, trace=trace
        )

    def queue(self, directory: Path, base: str) -> Conversion:
        """Convert a quilt queue."""
        shared = {
            "nvr": None,
            "base": base,
            "upstreams": (Mirror.of("upstream", self.repo),),
            "branch": None,
            "committer": (b"srcgit", b"srcgit@localhost"),
        }
        request, queue = inputs.queue(directory, (), shared)
        return pipeline.convert(request, Repository.create(self._scratch / "queue.git"), queue)


def _commits(series: Mapping[str, Any]) -> list[str]:
    return [commit["commit"] for patch in series["patches"] for commit in patch["commits"]]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.idea)
def test_package(package: Package, upstream: Upstream, scratch: Path) -> None:
    trial = Trial(package, upstream, scratch)
    left = taken_in(trial.repo.path, trial.rpmbuild(), scratch)
    request = replace(trial.request, with_prep=True)
    trace = Kept()
    done = pipeline.convert(request, trial.repo, trace, prepare=SandboxedPreparer())
    assert trace.first == PLANS.get(package.idea), RECORD
    tree = tree_of(done)
    listed = [change for changes in package.beside.values() for change in changes]
    beside = {*listed, *package.backups}
    assert differences(trial.repo.path, tree, left) == beside
    assert done.series["prep"]["tree"] == left
    # what verify says is the same
    assert done.verdict is not None and done.verdict.verified
    assert {text(d.path) for d in done.verdict.differences} == {c[2:] for c in beside}
    applied = package.patches if package.applied is None else package.applied
    assert [patch["patch"] for patch in done.series["patches"]] == list(applied)
    # the patches do something
    assert not applied or tree != trial.repo.commit(done.series["base"]["commit"]).tree
    # it comes back, and its plan tells what the series leaves out, and nothing else
    again = comes_back(trial, done, scratch) or trial.convert(beside_prep(trial.request))
    assert tree_of(again) == tree
    assert [u["command"] for u in again.series["unrepresented"]] == list(package.beside)


def comes_back(trial: Trial, done: Conversion, scratch: Path) -> Conversion | None:
    """Hold the export of a conversion to pkg-git; return the conversion of one with changes.

    None where that needs a person.
    """
    package = trial.package
    back = trial.export(done, scratch / "out")
    assert {item.state for item in back.items} <= {"unchanged"}
    for name in ["demo.spec", *(text(item.step.patch) for item in back.items)]:
        assert (scratch / "out" / name).read_bytes() == trial.files[name]
    told(back, package.no_queue)
    if not package.no_queue:
        queue = trial.queue(scratch / "out", done.series["base"]["commit"])
        assert tree_of(queue) == tree_of(done)
    work, git = scratch / "checkout", Git()
    git.run("clone", "--quiet", "--branch", "rawhide", str(scratch / "pkg-git.git"), str(work))
    back = trial.export(done, work, b"\nReviewed-by: A. Developer <dev@example.org>\n")
    assert {item.state for item in back.items if item.commits} <= {"changed"}
    told(back, package.by_hand)
    if package.by_hand or not back.written:
        return None
    git.run("-C", str(work), "add", "--all")
    git.run("-C", str(work), *WHO, "commit", "--quiet", "--message", "returned")
    request = replace(trial.request, pkg_git=Mirror(str(work), scratch), rev="HEAD")
    return trial.convert(beside_prep(request))


def beside_prep(request: Request) -> Request:
    """Return a request with the base of ``with_prep``, which has all archives."""
    return replace(request, archives="others")


def tree_of(done: Conversion) -> str:
    tree: str = done.series["series"]["tree"]
    return tree


def told(back: Exported, trouble: str) -> None:
    assert bool(trouble) == bool(back.warnings) and any(
        trouble in warning for warning in [*back.warnings, ""]
    )


@pytest.mark.parametrize("package", REFUSED, ids=lambda p: p.idea)
def test_refused(package: Package, upstream: Upstream, scratch: Path) -> None:
    trial = Trial(package, upstream, scratch)
    trial.rpmbuild()
    trace = Kept()
    with pytest.raises(CannotConvert, match=package.refused) as refused:
        pipeline.convert(trial.request, trial.repo, trace)
    assert trace.first == PLANS.get(package.idea), RECORD
    report = getattr(refused.value, "report", "")
    assert all(command in report for command in package.beside)
    # no branch, no tag: only what was kept of the failure, and the base that it stands on
    kept = ("refs/srcgit/failed/", "refs/srcgit/base/")
    assert all(ref.startswith(kept) for ref in trial.repo.refs("refs"))


@pytest.mark.parametrize("idea", ["quilt push -a", "a patch that %prep writes"])
def test_the_hopeless_is_refused_before_upstream_is_asked(
    idea: str, upstream: Upstream, scratch: Path
) -> None:
    [package] = [p for p in REFUSED if p.idea == idea]
    trial = Trial(package, upstream, scratch)
    nowhere = Mirror("https://nowhere.invalid/demo.git", scratch)
    with pytest.raises(CannotConvert, match=package.refused):
        pipeline.convert(
            replace(trial.request, upstreams=(nowhere,)), trial.repo, SandboxedTracer()
        )


def test_plan_shows_what_a_prep_that_looks_at_the_tree_applies(
    upstream: Upstream, scratch: Path
) -> None:
    [package] = [p for p in shell.PACKAGES if p.idea == "only what a condition chooses"]
    trial, trace = Trial(package, upstream, scratch), SandboxedTracer()
    planned = planning.plan(trial.request, trace)
    assert [step.patch for step in planned.plan.steps] == [b"two.patch"]
    found = planning.at_hand(planned, trial.request)
    assert not isinstance(found, str)
    base = found.repository.tree(found.commit)
    seen = planning.seeing(planned, trial.request, trace, base)
    assert [step.patch for step in seen.plan.steps] == [b"one.patch"]


def test_a_safety_check_is_asked_of_upstream(upstream: Upstream, scratch: Path) -> None:
    trial, trace = (
        Trial(Package("checks", shell.CHECKS, BOTH), upstream, scratch),
        SandboxedTracer(),
    )
    planned = planning.plan(trial.request, trace)
    with pytest.raises(SpecDoesNotParse, match=r"not get to its end; .*x1\.2") as refused:
        finished(planned.plan)
    assert "--upstream" in refused.value.next_step
    wrong = Package("wrong", shell.CHECKS.replace("print $3", "print 1.3"), BOTH)
    (scratch / "wrong").mkdir()
    trial = Trial(wrong, upstream, scratch / "wrong")
    with pytest.raises(SpecDoesNotParse, match=r"test x1\.3 "):
        pipeline.convert(trial.request, trial.repo, trace)


def test_an_archive_that_no_patch_touches_is_told(upstream: Upstream, scratch: Path) -> None:
    [package] = [p for p in archives.PACKAGES if p.idea == "setup -a"]
    trial = Trial(package, upstream, scratch)
    left = taken_in(trial.repo.path, trial.rpmbuild(), scratch)
    done = pipeline.convert(trial.request, trial.repo, SandboxedTracer())
    assert [u["command"] for u in done.series["unrepresented"]] == ["extra-0.9.tar.gz"]
    found = differences(trial.repo.path, done.series["series"]["tree"], left)
    assert found == {"A extra-0.9/Makefile", "A extra-0.9/extra.c"}


DOS = {"win/run.bat": "echo one\necho two\necho three\n", "win/put.txt": "one\ntwo\nthree\n"}
RUN: Edit = {"win/run.bat": replaced("echo two", "echo TWO")}
PUT: Edit = {"win/put.txt": replaced("two", "TWO"), "win/new.bat": "echo new\n"}
AM = "git am -q %{patches}"
CONVERTED = [
    ("*.bat text eol=crlf", shell.AM + AM, True),
    ("*.bat eol=crlf", shell.AM + "git apply %{PATCH1}\ngit apply %{PATCH2}", True),
    ("win/*.bat text=auto eol=crlf", shell.AM + "git apply --index %{patches}", True),
    ("[attr]dos text eol=crlf\n*.bat dos", "%autosetup -p1 -S git_am", True),
    ("*.bat text eol=crlf", "%autosetup -p1 -S git", True),
    ("* text=auto\n*.bat eol=crlf", shell.AM + AM, True),
    ("*.bat crlf eol=crlf\n*.txt crlf=input", shell.AM + AM, True),
    ("* text=auto", shell.AM + AM, False),
    ("*.bat text eol=crlf\n*.bat -text", shell.AM + AM, False),
    ("*.bat diff=dos ident filter=none", shell.AM + AM, False),
    ("*.bat whitespace=cr-at-eol", "%autosetup -p1 -S git_am", False),
]


@pytest.mark.parametrize("attributes, prep, cr", CONVERTED)
def test_line_ends_are_what_git_makes_them(
    attributes: str, prep: str, cr: bool, tmp_path: Path, scratch: Path
) -> None:
    """On upstream's tree as git stores them, on the archive's as they lie in the work tree."""
    dos = Upstream(tmp_path / "dos.git", {**DOS, ".gitattributes": attributes + "\n"})
    dos.archive(tmp_path / "demo-1.2.tar.gz")
    files = {"run.patch": mail(RUN), "put.patch": mail(PUT)}
    held = {"demo-1.2.tar.gz": (tmp_path / "demo-1.2.tar.gz").read_bytes()}
    trial = Trial(Package("attributes", prep, {**files, **held}), dos, scratch)
    left = trial.rpmbuild()
    for base in ("git", "files"):
        repo = Repository.create(scratch / f"{base}.git")
        request = replace(trial.request, archives="whole" if base == "files" else "touched")
        done = pipeline.convert(request, repo, SandboxedTracer(), prepare=SandboxedPreparer())
        assert done.verdict is not None and done.verdict.verified
        tree = repo.tree(done.series["series"]["commit"])
        for path in ("win/run.bat", "win/new.bat", "win/put.txt"):
            found, file = (left / path).read_bytes(), tree.get(path.encode())
            assert file is not None and (b"\r" in found) == (cr and path.endswith(".bat"))
            assert file.data == (found if base == "files" else found.replace(b"\r\n", b"\n"))


def test_a_spec_without_prep(upstream: Upstream, scratch: Path) -> None:
    spec = SPEC.replace("%prep\n@PREP@\n", "")
    trial = Trial(Package("no %prep", "", BOTH, spec=spec), upstream, scratch)
    done = pipeline.convert(trial.request, trial.repo, SandboxedTracer())
    assert done.series["patches"] == [] and len(done.series["skipped"]) == 2
    assert done.series["series"]["commit"] == done.series["base"]["commit"]
