"""The bound on a conversion's memory: an answer, not a crash, and nothing that git inherits."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from converter import memory
from converter.errors import Fate
from service.worker import judge

ROOT = Path(__file__).parents[2]


def run(code: str, *, soft: int = resource.RLIM_INFINITY) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a process of its own."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, resource.RLIM_INFINITY))

    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False,
        preexec_fn=limit,
    )  # fmt: skip


def test_what_needs_more_is_an_answer_that_says_how_much() -> None:
    code = (
        "from converter import memory\nfrom service.worker import judge\nmemory.bound(256 << 20)\n"
        "try: bytearray(300 << 20)\nexcept MemoryError as error: told = judge(error)\n"
        "print(told.fate.value, told.reason)"
    )
    done = run(code)
    assert done.stdout == "failed it needs more than 256 MiB of memory\n", done.stderr


def test_the_command_line_ends_with_one_line_and_exit_1(tmp_path: Path) -> None:
    code = (
        "import sys, click, resource\nfrom service import cli\n"
        "@cli.cli.command()\ndef greedy() -> None: bytearray(400 << 20)\n"
        "sys.argv = ['srcgit', 'greedy']\ncli.main()"
    )
    done = run(code, soft=300 << 20)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("srcgit: it needs more than 300 MiB of memory; ")
    assert done.stderr.count("\n") == 1
    assert run(code).returncode == 0


def test_the_command_line_has_a_bound_of_its_own() -> None:
    code = (
        "import sys, resource\nfrom service import cli\n"
        "@cli.cli.command()\ndef told() -> None: print(resource.getrlimit(resource.RLIMIT_DATA)[0])\n"
        "sys.argv = ['srcgit', 'told']\ncli.main()"
    )
    assert run(code).stdout == f"{memory.LIMIT}\n"
    assert run(code, soft=1 << 30).stdout == f"{1 << 30}\n"


def test_git_does_not_inherit_the_bound() -> None:
    code = (
        "import resource\nfrom converter import memory\nfrom converter.git import Git\n"
        "memory.bound(256 << 20)\n"
        "with Git().start('hash-object', '--stdin') as git:\n"
        "    print(resource.prlimit(git.pid, resource.RLIMIT_DATA)[0])\n"
        "print(resource.getrlimit(resource.RLIMIT_DATA)[0])"
    )
    assert run(code).stdout.split() == [str(resource.RLIM_INFINITY), str(256 << 20)]


def test_what_nests_too_deep_is_no_bug() -> None:
    def nest() -> None:
        nest()

    with pytest.raises(RecursionError) as raised:
        nest()
    told = judge(raised.value)
    assert told.fate is Fate.FAILED and "nests deeper" in told.reason
    assert judge(KeyError("x")).fate is Fate.PARKED
