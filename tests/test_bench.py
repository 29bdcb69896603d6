"""The benchmark runs, its contestants agree, and its series are what they claim to be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from converter.odb import Repository
from service.journal import Journal
from tests.builders import sample
from tests.conversion import Contest
from tests.throughput import model, seconds
from tests.upstreams import BIG, BIG_LINES, Upstream, series

ROOT = Path(__file__).parent.parent


def test_the_tools_agree_with_srcgit() -> None:
    """Any other tree than srcgit's ends the benchmark."""
    command = [
        "--quick",
        "--files",
        "60",
        "--runs",
        "1",
        "--only",
        "tools",
        "--count",
        "5",
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", *command], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    [rows] = json.loads(done.stdout)["tables"].values()
    names = {row["what"] for row in rows}
    assert {"srcgit", "git am", "git quiltimport", "floor: git fast-import"} <= names
    assert all(row["seconds"] > 0 for row in rows)


@pytest.mark.parametrize("build", ["apply_patch", "git_am", "today"])
def test_a_whole_conversion_is_held_to_the_tools_on_a_full_checkout(
    tmp_path: Path, build: str
) -> None:
    made = sample(tmp_path)
    commit = getattr(made, build)
    contest = Contest(tmp_path, made.pkg_git.path, commit, "", made.linux.path)
    done = contest.srcgit()
    assert 10 < done.peak < 150 and done.seconds > 0.01
    contest.check_out()
    for _ in range(2):  # the second starts where the first did
        seconds, tree = contest.tools()
        assert tree == done.answer["series"]["tree"] and seconds > 0
    assert (tmp_path / "work" / "mm" / "slab.c").exists()


def test_a_workers_throughput_is_that_of_the_whole_pipeline(tmp_path: Path) -> None:
    config, rows = model(tmp_path, 2)
    assert seconds(config, rows) > 0.01
    journal = Journal(config.journal)
    assert journal.counts() == {"done": 2}
    journal.close()
    assert len(Repository(tmp_path / "public.git").refs("refs/tags/")) == 2


def test_an_upstream_is_the_same_each_time_and_has_linuxs_shape() -> None:
    upstream = Upstream(3000)
    assert upstream.names == Upstream(3000).names
    sizes = sorted(len(upstream.content(number)) for number in range(len(upstream)))
    assert 2500 < sizes[1500] < 6000  # Linux: 3,840
    assert 10_000 < sum(sizes) / len(sizes) < 25_000  # Linux: 17,000
    assert 3.5 < sum(name.count(b"/") + 1 for name in upstream.names) / 3000 < 5
    assert upstream.content(upstream.names.index(BIG)).count(b"\n") == BIG_LINES


def test_every_patch_of_a_series_can_touch_the_big_file() -> None:
    mails = list(series(Upstream(50), 20, only_big=True))
    assert len(mails) == 20
    assert all(b"--- a/" + BIG in mail for mail in mails)
