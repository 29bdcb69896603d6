"""The dialects in which specs apply patches, one idea each."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from specparse.plan import Meanwhile, Plan, SpecError, Step
from specparse.trace import SandboxedTracer
from tests.specparse.conftest import PATCH, Traced, copied

TWO = "Patch1: one.patch\nPatch2: two.patch\n"
FILES = {"one.patch": PATCH, "two.patch": PATCH + b"\n"}
ONE, OTHER = b"one.patch", b"two.patch"


def patch(name: bytes, number: int | None, **more: object) -> Step:
    values: dict[str, object] = {"strip": 1, "fuzz": 2, **more}
    return Step(name, "patch", number, **values)  # type: ignore[arg-type]


def am(name: bytes, number: int | None, **more: object) -> Step:
    return Step(name, "git-am", number, **more)  # type: ignore[arg-type]


def apply(name: bytes, number: int | None, **more: object) -> Step:
    return Step(name, "git-apply", number, **more)  # type: ignore[arg-type]


def rpm(name: bytes, number: int, **more: object) -> Step:
    """As rpm's own macros call patch (macros.in, _default_patch_fuzz, _default_patch_flags)."""
    return patch(name, number, **{"fuzz": 0, "options": ("-f",), **more})


BOTH = [patch(ONE, 1), patch(OTHER, 2)]
RPMS = [rpm(ONE, 1), rpm(OTHER, 2)]

# rpm's own macros (rpm 4.18, build/parsePrep.c and macros.in; %patchN is gone since 4.20)
RPM = {
    "autosetup -p1": ("%autosetup -p1", RPMS),
    "autosetup without -p": ("%autosetup", [rpm(ONE, 1, strip=-1), rpm(OTHER, 2, strip=-1)]),
    "autosetup -S quilt": ("%autosetup -p1 -S quilt", [patch(ONE, 1, options=("-f",)), patch(OTHER, 2, options=("-f",))]),
    "autosetup -N, autopatch": ("%autosetup -N\n%autopatch -p1", RPMS),
    "autosetup -S patch": ("%autosetup -p1 -S patch", RPMS),
    "autosetup -S git_am": ("%autosetup -p1 -S git_am", [am(ONE, 1, format_of=b"-"), am(OTHER, 2, format_of=b"-")]),
    "autosetup -S git": ("%autosetup -p1 -S git", [apply(ONE, 1, in_repository=True), apply(OTHER, 2, in_repository=True)]),
    "autopatch range": ("%setup -q\n%autopatch -p1 -m 2", [rpm(OTHER, 2)]),
    "autopatch up to": ("%setup -q\n%autopatch -p1 -M 1", [rpm(ONE, 1)]),
    "autopatch named": ("%setup -q\n%autopatch -p1 2", [rpm(OTHER, 2)]),
    "patch -P": ("%setup -q\n%patch -P 2 -p1\n%patch -P1 -p1", [rpm(OTHER, 2), rpm(ONE, 1)]),
    "patch -R": ("%setup -q\n%patch -P 1 -p1\n%patch -P 1 -p1 -R", [rpm(ONE, 1), rpm(ONE, 1, reverse=True)]),
    "patch -F": ("%setup -q\n%patch -P 1 -p1 -F0", [rpm(ONE, 1)]),
    "patch -E": ("%setup -q\n%patch -P 1 -p1 -E", [rpm(ONE, 1, options=("-f", "-E"))]),
    "patch -b": ("%setup -q\n%patch -P 1 -p1 -b .orig", [rpm(ONE, 1)]),
    "patch -d": ("%setup -q\n%patch -P 1 -p0 -d sub", [rpm(ONE, 1, strip=0, directory=b"sub")]),
    "setup -n": ("%setup -q -n other-name\n%patch -P 1 -p1", [rpm(ONE, 1)]),
    "setup -c": ("%setup -q -c\ncd demo-1.2\npatch -p1 < %{PATCH1}", [patch(ONE, 1)]),
    "setup -T": ("%setup -q -T -b 0\n%patch -P 1 -p1", [rpm(ONE, 1)]),
}  # fmt: skip

# written by packagers
SHELL = {
    "stdin": ("patch -p1 < %{PATCH1}", [patch(ONE, 1)]),
    "-i": ("patch -p1 -i %{PATCH1}", [patch(ONE, 1)]),
    "absolute path": ("/usr/bin/patch -p1 -i %{PATCH1}", [patch(ONE, 1)]),
    "cat pipe": ("cat %{PATCH1} | patch -p1 -s", [patch(ONE, 1)]),
    "fuzz": ("patch -p1 -F1 -s < %{PATCH2}", [patch(OTHER, 2, fuzz=1)]),
    "long options": ("patch --strip=2 --fuzz=0 --reverse --input=%{PATCH1}", [patch(ONE, 1, strip=2, fuzz=0, reverse=True)]),
    "loop": ("for p in %{patches}; do patch -p1 < $p; done", BOTH),
    "cd": ("mkdir -p a/b; cd a/b; patch -p3 < %{PATCH1}", [patch(ONE, 1, strip=3, directory=b"a/b")]),
    "subshell": ("(cd drivers && patch -p2 < %{PATCH1})\npatch -p1 < %{PATCH2}", [patch(ONE, 1, strip=2, directory=b"drivers"), patch(OTHER, 2)]),
    "pushd": ("pushd drivers\npatch -p1 < %{PATCH1}\npopd\npatch -p1 < %{PATCH2}", [patch(ONE, 1, directory=b"drivers"), patch(OTHER, 2)]),
    "dry run": ("patch -p1 --dry-run < %{PATCH1} && patch -p1 < %{PATCH1}", [patch(ONE, 1)]),
    "unless applied": ("if ! patch -p1 -R --dry-run < %{PATCH1}; then patch -p1 < %{PATCH1}; fi", [patch(ONE, 1)]),
    "unless applied, long": ("patch -p1 --dry-run --reverse < %{PATCH1} || git apply --reverse --check %{PATCH2} || patch -p1 < %{PATCH1}", [patch(ONE, 1)]),
    "from a script": ("echo 'patch -p1 -d new/sub < $1; make' > x.sh\nsh x.sh %{PATCH1}", [patch(ONE, 1, directory=b"new/sub")]),
    "read-only": ("chmod -R a-w .\npatch -p1 < %{PATCH1}\nchmod -R u+w .", [patch(ONE, 1)]),
    "git --git-dir": ("git init -q\ngit --git-dir .git --work-tree . apply < %{PATCH1}", [apply(ONE, 1, in_repository=True)]),
    "git apply": ("git init\ngit apply %{PATCH1}", [apply(ONE, 1, in_repository=True)]),
    "git apply --check": ("git apply --check %{PATCH1}\ngit apply -p2 --exclude=x %{PATCH1}", [apply(ONE, 1, strip=2, options=("--exclude=x",))]),
    "git --work-tree": ("git --work-tree=. apply %{PATCH1}", [apply(ONE, 1)]),
    "git -C": ("git -C drivers apply < %{PATCH1}", [apply(ONE, 1, directory=b"drivers")]),
    "git am": ("git init -q\ngit config user.name x\ngit add .\ngit commit -qm x\ngit am %{patches}", [am(ONE, 1), am(OTHER, 2, format_of=ONE)]),
    "git am options": ("git am --keep-cr -3 %{PATCH2}", [am(OTHER, 2, options=("--keep-cr", "-3"))]),
    "git am of a Source": ("git am %{SOURCE9}\ngit am %{PATCH1}", [am(b"link.patch", None), am(ONE, 1)]),
    "conditional": ("%if 0%{?fedora} > 27\npatch -p1 < %{PATCH1}\n%else\npatch -p1 < %{PATCH2}\n%endif", [patch(ONE, 1)]),
    "lua": ("%{lua: for i, p in ipairs(patches) do print('patch -p1 < ' .. p .. '\\n') end}", BOTH),
}  # fmt: skip


@pytest.mark.parametrize("prep, steps", RPM.values(), ids=RPM)
def test_rpm_macros(traced: Traced, prep: str, steps: list[Step]) -> None:
    assert list(traced(TWO, prep, FILES).steps) == steps


@pytest.mark.parametrize("prep, steps", SHELL.values(), ids=SHELL)
def test_shell(traced: Traced, prep: str, steps: list[Step]) -> None:
    plan = traced(
        TWO + "Source9: link.patch\n", "%setup -q\n" + prep, {**FILES, "link.patch": PATCH * 2}
    )
    assert list(plan.steps) == steps


def test_quilt_is_left_out(traced: Traced) -> None:
    plan = traced(TWO, "%setup -q\nln -s %{_sourcedir} patches\nquilt push -a", FILES)
    assert not plan.steps
    assert any("quilt push" in u.command for u in plan.unrepresented)
    assert {s.patch for s in plan.skipped} == {ONE, OTHER}


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize(
    "suffix, pack, unpack",
    [("gz", gzip.compress, "gunzip"), ("bz2", bz2.compress, "bunzip2"), ("xz", lzma.compress, "unxz"), ("zst", zstd, "zstd -dc")],
)  # fmt: skip
def test_compressed(traced: Traced, suffix: str, pack: object, unpack: str) -> None:
    assert callable(pack)
    name = f"one.patch.{suffix}"
    plan = traced(
        f"Patch1: {name}\n", f"%setup -q\n{unpack} < %{{PATCH1}} | patch -p1", {name: pack(PATCH)}
    )
    assert list(plan.steps) == [patch(name.encode(), 1)]


def test_a_changed_patch_is_not_guessed(traced: Traced) -> None:
    plan = traced(TWO, "%setup -q\nsed s/hello/bye/ %{PATCH1} | patch -p1", FILES)
    assert not plan.steps
    assert any("patch -p1" in u.command for u in plan.unrepresented)


def test_what_is_no_patch_is_listed(traced: Traced) -> None:
    plan = traced(
        TWO,
        "%setup -q\nmv COPYING LICENSE\nsed -i s/a/b/ Makefile\nrm README\nchmod +x MAINTAINERS\n"
        "find . -name .gitignore -delete\n%patch -P 1 -p1\n"
        "echo upstream has this directory > doc/notes.txt\nprintf x > drivers/x.c",
        FILES,
    )
    told = ["mv", "sed", "rm", "chmod", "find", "echo", "printf"]
    assert [u.command.split()[0] for u in plan.unrepresented] == told
    assert plan.skipped[0].patch == OTHER


def test_a_pipeline_is_listed_as_it_is_written(traced: Traced) -> None:
    """Its commands start at once, in any order."""
    line = "find . -name a | sed s/a/b/ | sed s/b/a/ |\n xargs rm -f"
    plan = traced("", "%setup -q\n" + "\n".join([line] * 20))
    told = [u.command for u in plan.unrepresented]
    assert told == ["find . -name a", "sed s/a/b/", "xargs rm -f"]
    last_first = "(sleep 0.2; find . -name a) | (sleep 0.1; sed s/a/b/) |\n xargs rm -f"
    plan = traced("", f"%setup -q\nrm -f z\n{last_first}")
    assert [u.command for u in plan.unrepresented] == ["rm -f z", *told]
    plan = traced("", "%setup -q\nrm -f x $(cat x | sed s/a/b/)")
    assert [u.command for u in plan.unrepresented] == ["sed s/a/b/", "rm -f x"]


def test_of_copies_the_one_that_is_built_counts(traced: Traced) -> None:
    """The kernel's until 2012: of those in the directory of %build, the one that was worked on."""
    prep = "%setup -q -c\nmv demo-1.2 a\ncp -al a m\ncp -al a z\ncd m\npatch -p1 < %{PATCH1}"
    assert list(traced(TWO, prep, FILES).steps) == [patch(ONE, 1)]
    prep = (
        "%setup -q\ncp -a . ../a\ncp -a . ../z\npatch -p1 < %{PATCH1}\n"
        "for copy in ../a ../z; do cd $copy; patch -p1 < %{PATCH2}; patch -p1 < %{PATCH1}; done"
    )
    assert list(traced(TWO, prep).steps) == [patch(ONE, 1)]


@pytest.mark.parametrize("name", ["a b.patch", "a'b\".patch", "a\nb.patch", "caf\udce9.patch"])
def test_names_of_patches(traced: Traced, name: str) -> None:
    plan = traced(
        "",
        '%setup -q\nfor p in %{_sourcedir}/*.patch; do patch -p1 < "$p"; patch -p1 -i "$p"\n'
        'git apply "$p"; done',
        {name: PATCH},
    )
    one = os.fsencode(name)
    assert list(plan.steps) == [patch(one, None), patch(one, None), apply(one, None)]


def test_what_is_deleted_by_name_is_not_the_tree(traced: Traced) -> None:
    """Tomcat's %prep does: archives and empty files are thrown out before the patches."""
    prep = "%setup -q\nfind . -name '*.xz' -delete\n%patch -P 1 -p1\nfind . -type f -empty -delete\n%patch -P 2 -p1"
    assert list(traced(TWO, prep, FILES).steps) == RPMS


def test_names_comments_and_macros(traced: Traced) -> None:
    plan = traced(
        "# rhbz 12345: fixes\n# a thing\nPatch1: one.patch\nPatch2: two.patch\n",
        "%autosetup -p1",
        FILES,
        dist=".fc41",
    )
    assert (plan.name, plan.epoch, plan.version, plan.release) == ("demo", None, "1.2", "3.fc41")
    assert plan.comments == {ONE: "rhbz 12345: fixes\na thing"}
    assert (plan.base.kind, plan.base.rev) == ("tag", "v1.2")


@pytest.mark.parametrize(
    "line",
    ["%forgemeta", "%gometa", "BuildSystem: pyproject", "BuildRequires: elfutils >= elfutils-0.153-1",
     "%generate_buildrequires"],
)  # fmt: skip
def test_what_this_rpm_refuses_is_left_out(traced: Traced, line: str) -> None:
    plan = traced(TWO + line + "\n", "%setup -q\n%patch -P 1 -p1", FILES)
    assert list(plan.steps) == [rpm(ONE, 1)]


def test_autorelease(traced: Traced) -> None:
    text = "Name: demo\nVersion: 1\nRelease: %autorelease\nSummary: x\nLicense: x\nSource0: demo-1.tar.gz\nPatch1: one.patch\n%description\nx\n%prep\n%autosetup -p1\n%changelog\n%autochangelog\n"
    plan = traced("", files=FILES, whole=text)
    assert (plan.release, list(plan.steps)) == ("1.fc28", [rpm(ONE, 1)])


@pytest.mark.parametrize(
    "preamble, prep, said, where",
    [
        ("Patch1: one.patch\nPatch1: two.patch\n", "", "defined multiple times|Patch1|patch 1", "line 8"),
        ("%if 1\n", "", "%if", ""),
        ("<<<<<<< HEAD\n", "", "<<<<<<<|Unknown tag", "line 7"),
        ("", "%setup -q\n%patch -P 9 -p1", "9", ""),
        ("Patch1: gone.patch\n", "%autosetup", "gone.patch", "line 7"),
        ("", "%setup -q\nif true; then", "end", ""),
    ],
    ids=["twice", "if", "conflict", "number", "missing", "syntax"],
)  # fmt: skip
def test_errors_say_what_and_where(
    traced: Traced, preamble: str, prep: str, said: str, where: str
) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        traced(preamble, prep, FILES)
    assert where in caught.value.where
    assert "/tmp" not in caught.value.what


def test_an_exit_is_not_believed_before_upstream_is_seen(traced: Traced) -> None:
    plan = traced(
        TWO, "%setup -q\n%patch -P 1 -p1\nsha256sum COPYING\nexit 1\n%patch -P 2 -p1", FILES
    )
    assert "sha256sum COPYING" in plan.unfinished and b"COPYING" in plan.looks
    assert [step.patch for step in plan.steps] == [b"one.patch"]
    assert traced(TWO, "%setup -q", FILES).unfinished == ""


def test_without_the_sandbox_the_plan_is_the_same(traced: Traced, package: Path) -> None:
    prep = "%setup -q\n%patch -P 1 -p1\ncat %{PATCH2} | patch -p1\nmv COPYING LICENSE"
    confined = traced(TWO, prep, FILES)
    tracer = SandboxedTracer(sandboxed=False)
    assert tracer(copied(package), b"demo.spec", dist=".fc28", arch="x86_64") == confined
    assert [s.patch for s in confined.steps] == [ONE, OTHER]


def test_a_sandbox_started_ahead_serves_one_trace_and_goes_with_its_directory(
    traced: Traced, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = traced(TWO, "%setup -q\n%patch -P 1 -p1", FILES)
    with tempfile.TemporaryDirectory(prefix="srcgit-test-") as room:
        Path(room).chmod(0o755)
        monkeypatch.setenv("TMPDIR", room)
        monkeypatch.setattr(tempfile, "tempdir", None)
        tracer = SandboxedTracer()
        tracer.ahead()
        tracer.ahead()
        assert len(os.listdir(room)) == 2
        assert tracer(copied(package), b"demo.spec", dist=".fc28", arch="x86_64") == plan
        assert len(os.listdir(room)) == 1
        tracer.close()
        assert not os.listdir(room)
        assert tracer(copied(package), b"demo.spec", dist=".fc28", arch="x86_64") == plan


def test_files_that_prep_tests_come_from_the_base(traced: Traced, package: Path) -> None:
    prep = (
        "%setup -q\n[ -f configure.ac ] && patch -p1 < %{PATCH1}\n"
        "if grep -q broken src/main.c; then patch -p1 < %{PATCH2}; fi"
    )
    plan = traced(TWO, prep, FILES)
    assert not plan.steps
    assert {b"configure.ac", b"src/main.c"} <= set(plan.looks)
    assert not any(path.startswith(b"-") for path in plan.looks)
    base = {b"configure.ac": b"AC_INIT", b"src/main.c": b"/* broken */"}
    assert traced(TWO, prep, FILES).unread == (ONE, OTHER)
    plan = SandboxedTracer()(
        copied(package), b"demo.spec", dist=".fc28", arch="x86_64", base_files=base
    )
    assert [s.patch for s in plan.steps] == [ONE, OTHER]


def test_a_macro_of_the_shell_that_failed_is_told(traced: Traced) -> None:
    plan = traced("%global x %(no-such-command)\n" + TWO, "%autosetup -p1", FILES)
    assert any("no-such-command" in warning for warning in plan.warnings)


def test_patches_are_told_while_prep_goes_on(traced: Traced) -> None:
    heard: list[Plan] = []
    prep = (
        "%setup -q\npatch -p1 < %{PATCH1}\nsleep 0.3\nxz < %{PATCH2} | xz -d | git apply\n"
        "sleep 0.3\nmkdir configs\necho CONFIG_A=y > configs/x.config"
    )
    whole = traced(TWO, prep, FILES, meanwhile=Meanwhile(so_far=heard.append))
    assert [step.patch for step in heard[0].steps] == [ONE]
    assert heard[-1].steps == whole.steps and len(whole.steps) == 2
    assert {plan.base for plan in heard} == {whole.base}
    assert not heard[-1].configs and whole.configs == {b"x.config": b"CONFIG_A=y\n"}


# As Fedora's kernel has it since 2017; what it does without the kernel's make.
PROCESS = b"""\
#!/bin/bash
for cfg in *.config; do
    arch=$(head -1 $cfg | cut -b 3-)
    make ARCH=$arch KCONFIG_CONFIG=$cfg listnewconfig | grep -E CONFIG_ > .newoptions
    rm .newoptions
    make ARCH=$arch KCONFIG_CONFIG=$cfg olddefconfig > /dev/null || exit 1
    echo "# $arch" > $cfg.tmp
    cat $cfg >> $cfg.tmp
    mv $cfg.tmp $cfg
done
echo CONFIG_RAN=y > ran.config
"""


@pytest.mark.parametrize("script", ["process_configs.sh", "other.sh"])
def test_configs_are_as_the_package_has_them(traced: Traced, script: str) -> None:
    """A script of the kernel's own that runs make, or one that nobody knows: make does nothing."""
    told: list[Mapping[bytes, bytes]] = []
    prep = (
        "%setup -q\nmkdir -p configs/configs; cd configs/configs\ncp %{_sourcedir}/*config* .\n"
        f"cp %{{_sourcedir}}/{script} .\nfor again in 1 2; do bash ./{script} || exit 1; done\n"
        "touch configs.py Makefile.config.mk README\n"
        "mkfifo pipe.config; ln -s /etc/passwd link.config; mkdir dir.config"
    )
    files = {
        "kernel-x86_64.config": b"# x86_64\nCONFIG_A=y\n",
        "kernel-arm.config": b"# arm\n# CONFIG_A\n",
        "config-generic": b"CONFIG_A=y\nCONFIG_A=y\n",
    }
    package = {**FILES, **files, script: PROCESS}
    whole = traced(TWO, prep, package, meanwhile=Meanwhile(configs=told.append))
    ran = {"ran.config": b"CONFIG_RAN=y\n"} if script == "other.sh" else {}
    assert whole.configs == {name.encode(): data for name, data in (files | ran).items()}
    assert whole.configs == {name: data for file in told for name, data in file.items()}
    assert told == sorted(told, key=list)
    too_much = traced(TWO, prep + "\ntruncate -s 64M large.config", package)
    assert not too_much.configs


def test_a_named_pipe_is_not_waited_for(traced: Traced) -> None:
    prep = (
        "%setup -q\nrm %{PATCH2}; mkfifo %{PATCH2}; sleep 60 <> %{PATCH2} &\n"
        "mkfifo pipe\nsleep 60 <> pipe &\ncat %{PATCH1} | patch -p1"
    )
    plan = traced(TWO, prep, FILES)
    assert list(plan.steps) == [patch(ONE, 1)]
    assert [u.command for u in plan.unrepresented] == ["rm two.patch", "sleep 60 <> pipe &"]


def test_a_patch_that_nothing_reads_is_told(traced: Traced) -> None:
    check = "for p in %{PATCH1} %{PATCH2}; do [ -f $p ] || exit 1; done\n"
    plan = traced(TWO, "%setup -q\n" + check + "wc -l %{PATCH1}", FILES)
    assert [skipped.patch for skipped in plan.skipped] == [ONE, OTHER]
    assert plan.unread == (OTHER,)


@pytest.mark.parametrize(
    "line",
    [
        "  %apply_patches", "true && %apply_patch 1", "%{patch_all}", "%{?!x}%foo_patch", "(cd .; %quiltpatch)",
        "if true; then %autopatchall; fi", "for n in 1 2; do %Patch_n $n; done", "{ %my_patches -p1; }",
    ],
)  # fmt: skip
def test_a_macro_that_could_apply_patches_is_no_mere_note(traced: Traced, line: str) -> None:
    plan = traced("Patch1: a.patch\n", f"%setup -q\n{line}\n", {"a.patch": PATCH})
    assert [u.applies for u in plan.unrepresented if "%" in u.command] == [True]
