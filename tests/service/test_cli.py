"""srcgit as a user runs it: its own process, the real sandbox, results, errors, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.builders import JUSTIN, Files, Sample, Source, spec_git_am
from tests.configuration import kernel, table
from tests.hub import Hub


def srcgit(
    *args: object,
    status: int = 0,
    env: Mapping[str, str] = {},
    umask: int = 0o022,
    cwd: Path = Path(__file__).parents[2],
) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", *map(str, args)],
        capture_output=True,
        check=False,
        env={**os.environ, **env},
        umask=umask,
        cwd=cwd,
    )
    out, said = done.stdout.decode(), done.stderr.decode()  # a carriage return stays one
    assert done.returncode == status, (out, said)
    assert "Traceback" not in said
    return out, said


def answer(*args: object, **more: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(srcgit(*args, "--json", **more)[0])
    return parsed


def git(where: Path, *args: str) -> str:
    done = subprocess.run(["git", "-C", str(where), *args], capture_output=True, check=True)
    return done.stdout.decode().strip()


def build(made: Sample, commit: str) -> str:
    return f"{made.pkg_git.path}#{commit}"


def convert(made: Sample, commit: str, repo: Path, *more: object, **how: Any) -> dict[str, Any]:
    asked = (build(made, commit), "--upstream", made.linux.path, "--repo", repo, *more)
    return answer("convert", *asked, **how)


@pytest.mark.parametrize(
    ("era", "nvr", "base", "patches"),
    [
        (
            "apply_patch",
            "kernel-3.17.0-300.fc21",
            "v3.17",
            [
                ("slab-check.patch", 2, "patch", 1, False),
                ("sched-be-fair.patch", 1, "patch", 1, False),
                ("revert-hello.patch", 3, "patch", 1, True),
            ],
        ),
        (
            "git_am",
            "kernel-4.15.0-1.fc28",
            "v4.15",
            [
                ("usb-hub-wait.patch", 1, "git-am", 0, False),
                ("net-tun-series.patch", 2, "git-am", 0, False),
            ],
        ),
        (
            "today",
            "kernel-6.12.8-200.fc41",
            "v6.12.8",
            [("patch-6.12-redhat.patch", 1, "git-apply", 0, False)],
        ),
    ],
)
def test_every_era_is_planned_and_converted(
    made: Sample,
    tmp_path: Path,
    era: str,
    nvr: str,
    base: str,
    patches: list[tuple[str, int, str, int, bool]],
) -> None:
    commit = getattr(made, era)
    plan = answer("plan", build(made, commit))
    assert plan["nvr"] == nvr
    assert (plan["base"]["kind"], plan["base"]["rev"]) == ("tag", base)
    assert [
        (s["patch"], s["number"], s["tool"], s["fuzz"], s["reverse"]) for s in plan["steps"]
    ] == patches
    done = convert(made, commit, tmp_path / "r.git")
    assert done["tag"] == nvr
    assert git(tmp_path / "r.git", "rev-parse", f"{nvr}^{{commit}}") == done["commit"]
    assert done["pushed"] == []
    assert set(done["seconds"]) == {"plan", "base", "series", "tag"}


@pytest.mark.parametrize(
    ("words", "page"),
    [
        (["backfill"], "backfill --help"),
        (["web", "--port", "99999"], "web --help"),
        (["frobnicate"], "--help"),
    ],
)
def test_wrong_usage_names_the_help_to_read(words: list[str], page: str) -> None:
    _, said = srcgit(*words, status=2)
    assert said.endswith(f"; see srcgit {page}\n") and said.count("\n") == 1


def test_in_a_package_s_own_directory_it_is_the_configured_one(
    made: Sample, tmp_path: Path
) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        f"[consumer_config.packages.kernel]\nupstreams = [{str(made.linux.path)!r}]\n"
    )
    checkout = tmp_path / "kernel"
    git(made.pkg_git.path, "clone", "-q", "--branch", "f28", ".", str(checkout))
    for place in (".#HEAD", "./#HEAD"):
        plan = answer("plan", place, "--config", config, "--dist", ".fc28", cwd=checkout)
        assert plan["base"]["upstream"] == str(made.linux.path)


@pytest.mark.parametrize("cloned", [True, False])
def test_a_relative_path_is_recorded_as_what_says_something_elsewhere(
    made: Sample, tmp_path: Path, cloned: bool
) -> None:
    checkout = tmp_path / "kernel"
    git(tmp_path, "clone", "-q", f"file://{made.pkg_git.path}", str(checkout))
    if not cloned:
        git(checkout, "remote", "rename", "origin", "mine")
    asked = ("--upstream", made.linux.path, "--repo", tmp_path / "r.git", "--dist", ".fc28")
    done = answer("convert", f"kernel#{made.git_am}", *asked, cwd=tmp_path)
    recorded = f"file://{made.pkg_git.path}" if cloned else str(checkout)
    assert done["pkg_git"]["url"] == recorded
    told = git(tmp_path / "r.git", "cat-file", "tag", done["tag"])
    assert f"Pkg-Git: {recorded}#{made.git_am}" in told


def test_results_for_people(made: Sample, tmp_path: Path) -> None:
    plan, _ = srcgit("plan", build(made, made.git_am))
    assert "2 patches are applied:" in plan and "Patch1  git-am -p1  usb-hub-wait.patch" in plan
    title, *_ = plan.partition("\n  chmod +x scripts/checkpatch.pl\n")[0].splitlines()[::-1]
    assert title == "not represented by a commit, as it changes the tree and is no patch:"
    asked = ("convert", build(made, made.git_am), "--upstream", made.linux.path)
    done, said = srcgit(*asked, "--repo", tmp_path / "r")
    assert done.startswith("kernel-4.15.0-1.fc28: 2 patches, 4 commits on v4.15 (")
    assert said == (
        f"srcgit: {tmp_path / 'r'} borrows objects of {made.linux.path} and needs them; "
        "--standalone copies them\n"
    )
    again, said = srcgit(*asked, "--repo", tmp_path / "s", "--standalone")
    assert again == done.replace(f"{tmp_path}/r", f"{tmp_path}/s")
    assert said == ""


def test_the_monolith_is_taken_apart(made: Sample, tmp_path: Path) -> None:
    # The sample's list names the second of two commits; linux.git has the objects of both.
    ark = ("--explode-from", made.linux.path)
    whole = convert(made, made.today, tmp_path / "whole.git")
    parts = convert(made, made.today, tmp_path / "parts.git", *ark)
    assert parts["series"]["tree"] == whole["series"]["tree"]
    assert [c["subject"] for c in parts["series"]["patches"][0]["commits"]] == [
        "sched: core: lock down",
        "patch-6.12-redhat: what its commits do not account for",
    ]
    asked = (build(made, made.today), "--upstream", made.linux.path, *ark)
    shown, _ = srcgit("convert", *asked, "--repo", tmp_path / "parts.git")
    assert "patch-6.12-redhat.patch: 1 of 1 listed commits, and a residue\n" in shown


def test_two_builds_compared(made: Sample, tmp_path: Path) -> None:
    repo = tmp_path / "r.git"
    for commit in (made.today, made.next):
        convert(made, commit, repo)
    nvrs = ("kernel-6.12.8-200.fc41", "kernel-6.12.8-201.fc41")
    told = answer("diff", *nvrs, "--repo", repo)
    assert told["patches"]["unchanged"] == 1
    assert told["configs"]["changes"] == []
    shown, _ = srcgit("diff", *nvrs, "--repo", repo)
    assert shown.startswith("kernel-6.12.8-200.fc41 -> kernel-6.12.8-201.fc41\nbase  v6.12.8")
    assert srcgit("diff", *nvrs, "--repo", repo, "--markdown")[0].startswith("## `kernel-6.12.8-2")


def test_two_machines_make_the_same(made: Sample, tmp_path: Path) -> None:
    one = convert(made, made.git_am, tmp_path / "one.git")
    home = tmp_path / "elsewhere"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Other\n[core]\n\tautocrlf = true\n[i18n]\n\tcommitEncoding = latin1\n"
        "[diff]\n\tnoprefix = true\n[log]\n\tdate = relative\n[fetch]\n\tfsckObjects = true\n"
    )
    other = {
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "POSIX",
        "LANG": "tr_TR.UTF-8",
        "GIT_AUTHOR_DATE": "2001-01-01T00:00:00",
        "GIT_COMMITTER_NAME": "Other",
        "PYTHONHASHSEED": "7",
    }
    two = convert(made, made.git_am, tmp_path / "two.git", env=other, umask=0o077)
    assert {**one, "seconds": 0} == {**two, "seconds": 0}
    assert git(tmp_path / "one.git", "for-each-ref") == git(tmp_path / "two.git", "for-each-ref")


def test_a_build_of_koji_by_nvr_and_by_id(made: Sample, tmp_path: Path) -> None:
    with Hub() as hub:
        _ask_koji(made, tmp_path, hub)


def _ask_koji(made: Sample, tmp_path: Path, hub: Hub) -> None:
    config = tmp_path / "srcgit.toml"
    config.write_text(
        table(koji=hub.url, state=tmp_path / "state")
        + kernel(pkg_git=made.pkg_git.path, upstreams=[made.linux.path], repo=tmp_path / "r.git")
    )
    id = hub.add("kernel-4.15.0-1.fc28", commit=made.git_am, target="f28-candidate")["id"]
    done = answer("convert", "kernel-4.15.0-1.fc28", "--config", config)
    assert done["branch"] == "f28"
    assert f"Koji-Build: {id}" in git(tmp_path / "r.git", "tag", "-l", "--format=%(contents)")
    assert answer("plan", id, "--config", config)["nvr"] == "kernel-4.15.0-1.fc28"
    _, said = srcgit("plan", "kernel-9.9-1.fc28", "--config", config, status=1)
    assert "kernel-9.9-1.fc28" in said


# -- bad input: one line, a fixed exit code, nothing written that would mislead ------------


def test_a_hub_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with Hub() as hub:
        config = tmp_path / "srcgit.toml"
        config.write_text(table(koji=hub.url, state=tmp_path / "state"))
    _, said = srcgit("plan", "demo-1-1.fc41", "--config", config, status=4)
    assert said.startswith("srcgit: Koji did not answer getBuild: ") and said.count("\n") == 1
    assert "Connection refused" in said and "Max retries" not in said


def refused(made: Sample, *args: object, status: int) -> dict[str, Any]:
    out, said = srcgit(*args, "--json", status=status)
    *_, last = lines = said.rstrip("\n").splitlines()
    assert last.startswith("srcgit: ")
    error: dict[str, Any] = json.loads(out)["error"]
    assert "\n" in error["what"] or (error["what"] in last and lines == [last]), lines
    return error


def package(tmp_path: Path, files: Mapping[str, bytes | str | None]) -> str:
    made = Source(tmp_path / "kernel.git")
    return f"{made.path}#{made.commit(files, 'x', branch='f28', author=JUSTIN)}"


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["plan"], 2),
        (["plan", "nonsense"], 2),
        (["plan", ""], 2),
        (["convert", "x#y", "--repo", ""], 2),
        (["convert", "x#y", "--base="], 2),
        (["plan", "99999999999999999999"], 2),
        (["plan", "#"], 2),
        (["frobnicate"], 2),
        (["plan", "x#y", "--dist", "%(id)"], 2),
        (["plan", "x#y", "--nvr", "no"], 2),
        (["plan", "x#y", "--arch", "../x"], 2),
        (["plan", "ext::sh -c id#HEAD"], 2),
        (["plan", "--upload-pack=id#HEAD"], 2),
        (["plan", "/nonexistent#HEAD"], 2),
        (["plan", "x#y", "--dist", "f41"], 2),
        (["plan", "x#y", "--dist", ".a..b"], 2),
        (["convert", "x#y", "--branch", "../x"], 2),
        (["plan", "x#y", "--config", "/nonexistent.toml"], 2),
    ],
)
def test_wrong_usage(args: list[str], status: int) -> None:
    _, said = srcgit(*args, status=status)
    assert said.startswith("srcgit: ") and said.count("\n") == 1


def test_a_commit_that_is_not_there(made: Sample) -> None:
    for rev in ("f" * 40, "no-such", "--all", "HEAD^{blob}", "x\ny"):
        assert refused(made, "plan", build(made, rev), status=1)["class"] == "PkgGitInvalid"


def test_no_spec_and_two_specs(made: Sample, tmp_path: Path) -> None:
    none = package(tmp_path, {"sources": ""})
    assert "no spec" in refused(made, "plan", none, status=1)["what"]
    two = Source(tmp_path / "two.git")
    commit = two.commit({"a.spec": "Name: a\n", "b.spec": "Name: b\n"}, "x", branch="f28")
    assert "several specs" in refused(made, "plan", f"{two.path}#{commit}", status=1)["what"]


def test_a_spec_that_does_not_parse(made: Sample, tmp_path: Path) -> None:
    bad = package(tmp_path, {"kernel.spec": "Name: kernel\n%if 1\n"})
    assert refused(made, "plan", bad, status=1)["class"] == "SpecDoesNotParse"


def test_a_spec_that_builds_what_has_no_name(made: Sample, tmp_path: Path) -> None:
    spec = "Name: _a\nVersion: 1\nRelease: 1\nSummary: x\nLicense: x\n%description\nx\n"
    named = package(tmp_path, {"a.spec": spec})
    error = refused(made, "plan", named, "--dist", ".fc41", status=1)
    assert "_a-1-1" in error["what"]


def test_a_spec_that_never_ends(made: Sample, tmp_path: Path) -> None:
    slow = spec_git_am("1", "1", []).replace("Summary:", "%global x %(sleep 1000)\nSummary:")
    bad = package(tmp_path, {"kernel.spec": slow})
    assert refused(made, "plan", bad, status=1)["class"] == "SpecDoesNotParse"


def test_a_listed_patch_that_is_missing(made: Sample, tmp_path: Path) -> None:
    bad = package(tmp_path, {"kernel.spec": spec_git_am("4.15.0", "1", ["gone.patch"])})
    repo = tmp_path / "r.git"
    error = refused(made, "convert", bad, "--upstream", made.linux.path, "--repo", repo, status=1)
    assert "gone.patch" in error["what"]
    assert not repo.exists()


def test_a_patch_that_does_not_apply(made: Sample, tmp_path: Path) -> None:
    commit = build(made, made.git_am)
    repo = tmp_path / "r.git"
    out, said = srcgit(
        "convert", commit, "--upstream", made.linux.path, "--repo", repo, "--base", "v3.17",
        "--json", status=0,
    )  # fmt: skip
    linux = Source(tmp_path / "linux.git")
    linux.tag("v4.15", linux.commit({"drivers/usb/core/hub.c": "another file\n"}, "Linux 4.15"))
    out, said = srcgit(
        "convert",
        commit,
        "--upstream",
        linux.path,
        "--repo",
        tmp_path / "f.git",
        "--json",
        status=1,
    )
    failed = json.loads(out)
    assert failed["error"]["class"] == "PatchDoesNotApply"
    assert "usb-hub-wait.patch" in said and "wait longer" in said and "another file" in said
    assert git(tmp_path / "f.git", "for-each-ref", "--format=%(refname)").splitlines() == [
        f"refs/srcgit/base/{linux.rev('v4.15')}",
        "refs/srcgit/failed/kernel-4.15.0-1.fc28",
    ]


def test_an_upstream_without_the_tag(made: Sample, tmp_path: Path) -> None:
    linux = Source(tmp_path / "linux.git")
    linux.commit({"a": "1"}, "x")
    error = refused(
        made, "convert", build(made, made.git_am), "--upstream", linux.path,
        "--repo", tmp_path / "r.git", status=4,
    )  # fmt: skip
    assert error["class"] == "BaseMissing" and "v4.15" in error["what"]
    assert not (tmp_path / "r.git").exists()


def test_a_repo_that_is_no_repository(made: Sample, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    for path in (tmp_path / "file", tmp_path / "full", Path("/proc/nowhere/r.git")):
        args = ("--upstream", made.linux.path, "--repo", path)
        error = refused(made, "convert", build(made, made.git_am), *args, status=5)
        assert error["class"] == "RepositoryUnusable"


def test_a_full_disk(made: Sample, tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for the disk: writes fail in the middle of a file."""
    command = [
        "prlimit", "--fsize=300", sys.executable, "-m", "service.cli", "convert",
        build(made, made.git_am), "--upstream", str(made.linux.path),
        "--repo", str(tmp_path / "r.git"),
    ]  # fmt: skip
    assert git(made.linux.path, "rev-parse", "v4.15")
    srcgit(
        "convert",
        build(made, made.apply_patch),
        "--upstream",
        made.linux.path,
        "--repo",
        tmp_path / "r.git",
    )
    before = git(tmp_path / "r.git", "for-each-ref")
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 5, done
    assert done.stderr.startswith("srcgit: ") and done.stderr.count("\n") == 1
    assert git(tmp_path / "r.git", "for-each-ref") == before
    assert not [*(tmp_path / "r.git").glob("fast_import_crash_*")]


def test_odd_file_names(made: Sample, tmp_path: Path) -> None:
    odd = Source(tmp_path / "kernel.git")
    patch = made.pkg_git.file(made.git_am, "usb-hub-wait.patch")
    spec = spec_git_am("4.15.0", "1", []).replace(
        "git am %{patches}", 'git am "$RPM_SOURCE_DIR/a b\'c.patch" $RPM_SOURCE_DIR/*.p'
    )
    files: Files = {"kernel.spec": spec, "a b'c.patch": patch}
    commit = odd.commit(files, "x", branch="f28", author=JUSTIN)
    second = made.pkg_git.file(made.git_am, "net-tun-series.patch")
    stream = (
        b"commit refs/heads/f28\ncommitter A <a@b> 1 +0000\ndata 0\nfrom %s\n" % commit.encode()
    )
    stream += b'M 644 inline "n\\"\\n\\377.p"\ndata %d\n%s\n' % (len(second), second)
    odd.git.run("fast-import", "--quiet", "--force", input=stream)
    at = f"{odd.path}#{odd.rev('f28')}"
    done = answer("convert", at, "--upstream", made.linux.path, "--repo", tmp_path / "r.git")
    names = [patch["patch"] for patch in done["series"]["patches"]]
    assert names == ["a b'c.patch", 'n"\n\\xff.p']
