"""The package's own ``%prep``, run by rpmbuild in the sandbox: nothing traced, nothing replaced.

A control run is the same with stand-ins for patch and git that apply no patch of the series.
"""

from __future__ import annotations

import functools
import os
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from specparse.foreign_tree import ForeignTree
from specparse.inside.bare_words import NO_BARE_WORDS, quoted
from specparse.inside.edits import alike, edit
from specparse.inside.names import FUNCTIONS
from specparse.macros import BUILD, SOURCES, built_with, macros
from specparse.plan import Prepared, SpecError
from specparse.sandbox import Done, Limits, Sandbox
from specparse.scratch import check_executable, scratch_root
from specparse.system_root import NO_ROOTS, Roots, SystemRoot

# A kernel: 1.5 GB in 90,000 files, and a git pack of 300 MB.
LIMITS = Limits(
    wall=900, cpu=900, memory=6 << 30, file=4 << 30, processes=1000, output=64 << 20, disk=2 << 30
)
_BUILD = f"{BUILD}/BUILD"  # rpm's _builddir
_CALLS = b".srcgit-calls"  # below the build directory
_MAX_TEXT = 64 << 20  # bytes of a spec, or of what the stand-ins note

# Stands in the place of both tools. A patch that moves the base is applied all the same: it is
# known by the word in it. `patch -R --dry-run` answers 1 ("not applied yet"), as it would.
_STAND_IN = r"""#!/usr/bin/bash
tool=${0##*/} real=/run/srcgit/$tool
args=("$@") files=() at=0 directory=. dry= reverse= input=

note() {
    ( cd "$directory" && printf '%s\0' "$(pwd -P)" >> "@BUILD@/.srcgit-calls" )
}

if [ "$tool" = git ]; then
    while [ $at -lt $# ]; do
        case ${args[at]} in
        -C) directory=${args[at+1]}; at=$((at+2)) ;;
        -c|--git-dir|--work-tree|--namespace|--exec-path) at=$((at+2)) ;;
        -*) at=$((at+1)) ;;
        *) break ;;
        esac
    done
    case ${args[at]-} in
    am|apply) ;;
    commit) exec $real "${args[@]:0:at}" commit --allow-empty "${args[@]:at+1}" ;;
    *) exec $real "$@" ;;
    esac
    at=$((at+1))
fi
while [ $at -lt $# ]; do
    word=${args[at]}
    case $tool$word in patch-v) exec $real "$@" ;; esac
    if [[ $word =~ ^-([3bcEeflNnqRsTtuvZ]+)(.*)$ ]]; then # those that take no value go together
        case ${BASH_REMATCH[1]} in *R*) reverse=1 ;; esac
        word=-${BASH_REMATCH[2]}
    fi
    case $tool$word in
    patch-|git-) ;;
    patch-d|patch--directory) at=$((at+1)); directory=${args[at]} ;;
    patch-d*) directory=${word#-d} ;;
    patch--directory=*) directory=${word#*=} ;;
    patch-i|patch--input)
        at=$((at+1)); input=${args[at]}
        [ "$input" = - ] || files+=("$input")
        ;;
    patch-i-|patch--input=-) ;;
    patch-i*) input=${word#-i}; files+=("$input") ;;
    patch--input=*) input=${word#*=}; files+=("$input") ;;
    patch--version|patch--help) exec $real "$@" ;;
    *--dry-run|*--check) dry=1 ;;
    *--reverse) reverse=1 ;;
    git--abort|git--show-current-patch) exit 0 ;;
    patch-[FpbzVxgYBor]|git-p|git-C) at=$((at+1)) ;;
    -*|git-*|patch-*) ;;
    git*) files+=("$word") ;;
    esac
    at=$((at+1))
done
if [ ${#files[@]} = 0 ]; then
    input=$(mktemp /tmp/srcgit.XXXXXX)
    cat > "$input"
    if grep -q srcgit-base-patch "$input"; then exec $real "$@" < "$input"; fi
    rm -f "$input"
    files=("-")
else
    for file in "${files[@]}"; do
        if grep -qs srcgit-base-patch "$file"; then exec $real "$@"; fi
    done
fi
if [ -n "$dry" ]; then [ -z "$reverse" ]; exit; fi
for file in "${files[@]}"; do note; done
exit 0
"""


class SandboxedPreparer:
    """A specparse.plan.Preparer that works in bubblewrap; without it, sh could not be bash."""

    def __init__(
        self,
        *,
        limits: Limits = LIMITS,
        defined: Mapping[str, str] = {},
        roots: Roots = NO_ROOTS,
    ) -> None:
        self._limits = limits
        self._defined = defined
        self._roots = roots

    def declared(self, package: Path, spec: bytes, *, dist: str, arch: str) -> tuple[bytes, ...]:
        """Return the base names of the spec's sources and patches, as declared. Raises PlanError."""
        root = self._roots.of(dist)
        query = ("rpmspec", "-q", "--srpm", "--qf", "[%{SOURCE}\\n]\\t[%{PATCH}\\n]")
        done, _, _ = _accepted(
            Sandbox(read_only=_mounts(root, package), environment={"HOME": "/tmp"}, root=root),
            (*query, *_options(dist, arch, self._defined)),
            package,
            spec,
            built_with(dist),
            lambda done: done.status == 0,
        )
        if done.broke:
            raise SpecError(f"reading the spec takes more than {done.broke}")
        sources, _, patches = done.stdout.partition(b"\t")
        listed = sources.split(b"\n")[:-1], patches.split(b"\n")[:-1]
        # Before 6.0, rpm keeps both in reverse order of declaration (its release notes).
        if int(_version(root).partition(".")[0] or 0) < 6:
            listed = listed[0][::-1], listed[1][::-1]
        return (*listed[0], *listed[1])

    def run(
        self, package: Path, spec: bytes, build: Path, *, dist: str, arch: str, control: bool
    ) -> Prepared:
        """Run ``rpmbuild -bp`` on ``spec`` below ``package``, with ``build`` as its only output.

        Raises SpecError for a spec that does not parse or a %prep that breaks a limit,
        SandboxError.
        """
        root = self._roots.of(dist)
        check_executable(build)
        with tempfile.TemporaryDirectory(prefix="srcgit-", dir=scratch_root()) as scratch:
            stand_ins = _stand_ins(root, Path(scratch)) if control else ()
            box = Sandbox(
                root=root,
                read_only=_mounts(root, package) + stand_ins,
                writable=((build, _BUILD),),
                environment={"HOME": "/tmp"},
                limits=self._limits,
                directory=_BUILD,
            )
            done, words, notes = _accepted(
                box,
                ("rpmbuild", "-bp", "--nodeps", *_options(dist, arch, self._defined)),
                package,
                spec,
                built_with(dist),
                lambda done: b"Executing(%prep)" in done.stdout,
            )
        return self._prepared(root, done, words, notes, build, control)

    def _prepared(
        self,
        root: SystemRoot,
        done: Done,
        words: tuple[str, ...],
        notes: tuple[str, ...],
        build: Path,
        control: bool,
    ) -> Prepared:
        if done.broke:
            raise SpecError(
                f"%prep uses more than {done.broke}",
                where=(_trace(done) or ("",))[-1],
                next_step="look for a loop or a wait in the spec",
            )
        return Prepared(
            command=shlex.join(words),
            version=root.described(_version(root)),
            status=done.status,
            trace=_trace(done),
            errors=_errors(done)[-20:],
            edits=notes,
            calls=_calls(build) if control else (),
        )


@functools.cache
def _version(root: SystemRoot) -> str:
    done = Sandbox(root=root).run("rpmbuild", "--version")
    return done.stdout.decode("utf-8", "replace").strip().removeprefix("RPM version ")


def _mounts(root: SystemRoot, package: Path) -> tuple[tuple[Path, str], ...]:
    # Fedora's sh is bash, Debian's is dash: what is called sh in there is bash.
    bash = (root.outside("/usr/bin/bash"), root.real("/bin/sh"))
    return (package, SOURCES), *((bash,) if root.shell != "bash" else ())


def _stand_ins(root: SystemRoot, scratch: Path) -> tuple[tuple[Path, str], ...]:
    """Return the mounts of a control run. Specs may call a tool by its absolute path, too."""
    scratch.chmod(0o755)
    stand_in = scratch / "stand-in"
    stand_in.write_text(_STAND_IN.replace("@BUILD@", _BUILD))
    stand_in.chmod(0o755)
    mounts: list[tuple[Path, str]] = []
    for tool in ("patch", "git"):
        path = f"/usr/bin/{tool}"
        mounts += [(root.outside(path), f"/run/srcgit/{tool}"), (stand_in, path)]
    return tuple(mounts)


def _options(dist: str, arch: str, defined: Mapping[str, str]) -> tuple[str, ...]:
    words = ["--target", f"{arch}-linux"]
    for name, body in {**macros(dist, arch), **defined, "_dbpath": "/tmp/rpmdb"}.items():
        words += ["--define", f"{name} {body or '%{nil}'}"]  # rpm refuses an empty body
    return tuple(words)


@functools.cache
def _macros(root: SystemRoot) -> bytes:
    here = Path(__file__).parent
    asked = "|".join(f"%{{?{macro}:1}}" for macro in FUNCTIONS.values())
    has = Sandbox(root=root).run("rpm", "--eval", asked).stdout.decode().strip().split("|")
    lacks = [file for file, one in zip(FUNCTIONS, has, strict=True) if not one]
    return b"".join((here / f"{file}.macros").read_bytes() for file in (*lacks, "fedora"))


def _accepted(
    box: Sandbox,
    words: tuple[str, ...],
    package: Path,
    spec: bytes,
    rpm: tuple[int, ...],
    accepted: Callable[[Done], bool],
) -> tuple[Done, tuple[str, ...], tuple[str, ...]]:
    """Run ``words`` on the spec, changed until rpm accepts it; return also the command and edits.

    ``rpm`` is the version of the build's. The original stays in the source directory, because specs
    look for patches in their own text. Raises SpecError for a spec that rpm refuses whatever is changed.
    """
    name = os.path.basename(os.fsdecode(spec))
    with ForeignTree(package) as files:
        original = files.read(spec, _MAX_TEXT) or b""
    text = alike(original, rpm)
    notes: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory(prefix="srcgit-") as scratch:
        os.chmod(scratch, 0o755)
        own = Path(scratch) / "macros"  # of HOME: read again for --target, as --load is not
        own.write_bytes(_macros(box.root))
        own.chmod(0o644)
        box = replace(box, read_only=(*box.read_only, (own, "/tmp/.rpmmacros")))
        while True:
            command, mounts = (*words, f"{SOURCES}/{name}"), box.read_only
            if text != original:
                edited = Path(scratch) / str(len(notes))
                edited.write_bytes(text)
                edited.chmod(0o644)
                command = (*words, f"{BUILD}/{name}")
                mounts = (*box.read_only, (edited, f"{BUILD}/{name}"))
            done = replace(box, read_only=mounts).run(*command)
            if done.broke or accepted(done):
                return done, command, notes
            said = done.stderr.decode("utf-8", "replace")
            made = quoted(text, said) if rpm < NO_BARE_WORDS else None
            made = made or edit(text, said, name if notes else "")
            if made is None:
                raise _refused(done, spec)
            text, notes = made[0], (*notes, made[1])


def _refused(done: Done, spec: bytes) -> SpecError:
    said = [line for line in _errors(done) if line.startswith("error:")] or _errors(done)
    what = said[-1].removeprefix("error: ") if said else f"rpm ended with {done.status}"
    return SpecError(f"rpm refuses the spec: {what}", where=os.fsdecode(spec))


def _lines(done: Done) -> list[str]:
    return done.stderr.decode("utf-8", "backslashreplace").splitlines()


def _trace(done: Done) -> tuple[str, ...]:
    commands = (line.lstrip("+")[1:] for line in _lines(done) if line.startswith("+"))
    return tuple(command.replace(f"{SOURCES}/", "") for command in commands)


def _errors(done: Done) -> tuple[str, ...]:
    return tuple(line for line in _lines(done) if line.strip() and not line.startswith("+"))


def _calls(build: Path) -> tuple[bytes, ...]:
    """Return the directories, below the build directory, that the stand-ins noted.

    %prep can write there, too: what leads out of the build directory is no answer.
    """
    with ForeignTree(build) as left:
        noted = (left.read(_CALLS, _MAX_TEXT) or b"").split(b"\0")[:-1]
    build_directory = _BUILD.encode()
    return tuple(
        call[len(build_directory) + 1 :]
        for call in noted
        if (call + b"/").startswith(build_directory + b"/") and b"/../" not in call + b"/"
    )
