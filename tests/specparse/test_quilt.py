"""Quilt's series file; the judges are quilt and guards(1)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specparse.plan import Step
from specparse.quilt import SeriesError, steps


def test_names_options_and_comments_are_those_of_quilt(tmp_path: Path) -> None:
    text = b"# head\n\na.patch\n  b.patch -p0 # why\ndir/c.patch.gz\t-R -p2\n#d.patch\ne.patch -pab -F0 -d a/./b\n"
    (tmp_path / "patches").mkdir()
    (tmp_path / "patches" / "series").write_bytes(text)
    done = subprocess.run(["quilt", "series"], cwd=tmp_path, capture_output=True, check=True)
    applied, skipped = steps(text)
    listed = [line.removeprefix(b"patches/") for line in done.stdout.split()]
    assert [step.patch for step in applied] == listed
    assert skipped == ()
    forced = ("-f",)  # quilt push never asks
    assert applied == (
        Step(b"a.patch", "patch", fuzz=2, options=forced),
        Step(b"b.patch", "patch", strip=0, fuzz=2, options=forced),
        Step(b"dir/c.patch.gz", "patch", strip=2, fuzz=2, reverse=True, options=forced),
        Step(b"e.patch", "patch", strip=1, fuzz=0, directory=b"a/b", options=forced),
    )


GUARD = st.sampled_from(["+a", "-a", "+!a", "-!a", "+b", "-b", "+!b", "-!b", "-"])


@settings(max_examples=40, deadline=None)
@given(lines=st.lists(st.lists(GUARD, max_size=4), min_size=1, max_size=8))
@pytest.mark.parametrize("symbols", [(), ("a",), ("a", "b")])
def test_guards_are_those_of_guards(lines: list[list[str]], symbols: tuple[str, ...]) -> None:
    text = "".join(f"{' '.join([*guards, f'f{n}'])}\n" for n, guards in enumerate(lines)).encode()
    done = subprocess.run(["guards", *symbols], input=text, capture_output=True, check=True)
    applied, skipped = steps(text, symbols)
    assert [step.patch for step in applied] == done.stdout.split()
    assert len(applied) + len(skipped) == len(lines)


@pytest.mark.parametrize(
    "line",
    [
        b"../x.patch",
        b"/etc/passwd",
        b"a/../../x",
        b"x -p",
        b"x -F",
        b"x -d ..",
        b"x -d a/../..",
        b"x -d /etc",
        b"x -i y",
    ],
)
def test_what_is_not_understood_is_refused(line: bytes) -> None:
    with pytest.raises(SeriesError, match="line 1"):
        steps(line)
