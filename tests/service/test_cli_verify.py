"""``srcgit verify`` and ``convert --verify`` as a user runs them: its own process, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from converter.git import Git
from tests.builders import Sample, Source
from tests.service.test_cli import srcgit

pytestmark = pytest.mark.usefixtures("nothing_left")


def asked(made: Sample) -> tuple[object, ...]:
    return f"{made.pkg_git.path}#{made.git_am}", "--upstream", made.linux.path


def spoil(repo: Path, tag: str) -> None:
    """Put another tree under the tag, as a converter with a defect would have done."""
    source = Source.__new__(Source)
    source.path, source.git, source._clock = repo, Git(repo), 1_500_000_000
    record: dict[str, Any] = json.loads(source.file(tag, "fedora/series.json"))
    wrong = source.commit(
        {"MAINTAINERS": "me\n"}, "wrong\n", branch="wrong", parent=record["series"]["commit"]
    )
    record["series"] = {"commit": wrong, "tree": wrong}
    text = json.dumps(record)
    top = source.commit({"fedora/series.json": text}, f"{tag}\n", branch="wrong", parent=wrong)
    message = source.git.run("cat-file", "tag", tag).stdout.partition(b"\n\n")[2]
    source.git.run("tag", "--force", "--annotate", "--file=-", tag, top, input=message)


def test_verify_needs_no_repository(made: Sample) -> None:
    out, _ = srcgit("verify", *asked(made), umask=0o077)  # as under systemd's UMask=
    assert out.startswith("kernel-4.15.0-1.fc28: verified: yes\n")
    assert "24 paths compared" in out and "4 commits" in out
    assert "  added    .scmversion  (touch .scmversion)\n" in out


def test_convert_verified_and_verify_again(made: Sample, tmp_path: Path) -> None:
    repo = tmp_path / "r.git"
    done = json.loads(srcgit("convert", *asked(made), "--repo", repo, "--verify", "--json")[0])
    assert (done["verified"], done["verification"]["verified"]) == ("yes", "yes")
    again = json.loads(srcgit("convert", *asked(made), "--repo", repo, "--verify", "--json")[0])
    assert (again["verified"], again["verification"]) == ("yes", None)
    verdict = json.loads(srcgit("verify", *asked(made), "--repo", repo, "--json")[0])
    assert (verdict["nvr"], verdict["verified"]) == ("kernel-4.15.0-1.fc28", "yes")
    assert verdict["tree"] == done["series"]["tree"]


def test_the_tag_of_an_nvr_tells_what_koji_would(made: Sample, tmp_path: Path) -> None:
    repo, config = tmp_path / "r.git", tmp_path / "c.toml"
    srcgit("convert", *asked(made), "--repo", repo)
    config.write_text('[consumer_config]\nkoji = "http://127.0.0.1:9/kojihub"\n')
    nvr = "kernel-4.15.0-1.fc28"
    out, _ = srcgit("verify", nvr, "--repo", repo, "--config", config)
    assert out.startswith(f"{nvr}: verified: yes\n")
    _, said = srcgit("verify", "kernel-4.16.0-1.fc28", "--repo", repo, "--config", config, status=4)
    assert "Koji did not answer" in said  # of another, nothing here tells


def test_convert_verify_of_what_was_converted_without_it(made: Sample, tmp_path: Path) -> None:
    repo = tmp_path / "r.git"
    plain = json.loads(srcgit("convert", *asked(made), "--repo", repo, "--json")[0])
    again = json.loads(srcgit("convert", *asked(made), "--repo", repo, "--verify", "--json")[0])
    assert (again["verified"], again["verification"]["verified"]) == ("not run", "yes")
    assert again["commit"] == plain["commit"]  # a tag never moves, so it says what it said


def test_a_defect_is_exit_code_3_with_the_paths(made: Sample, tmp_path: Path) -> None:
    repo = tmp_path / "r.git"
    srcgit("convert", *asked(made), "--repo", repo)
    spoil(repo, "kernel-4.15.0-1.fc28")
    out, err = srcgit("verify", *asked(made), "--repo", repo, "--json", status=3)
    assert "DIFFERS  content MAINTAINERS\n" in err
    told = json.loads(out)
    assert told["error"]["class"] == "VerificationFailed"
    wrong = [d for d in told["verification"]["differences"] if d["made_by"] == "patch"]
    assert wrong == [{"path": "MAINTAINERS", "kind": "content", "made_by": "patch", "step": ""}]


def test_a_build_that_the_repository_lacks_is_wrong_usage(made: Sample, tmp_path: Path) -> None:
    Source(tmp_path / "r.git")
    _, err = srcgit("verify", *asked(made), "--repo", tmp_path / "r.git", status=2)
    assert "not converted yet" in err


@pytest.mark.parametrize("more", [["--no-sandbox"], ["--series", "/tmp"]])
def test_what_has_no_prep_to_run_is_wrong_usage(made: Sample, more: list[str]) -> None:
    build = [] if "--series" in more else asked(made)[:1]
    srcgit("verify", *build, "--upstream", made.linux.path, "--base", "v4.15", *more, status=2)
