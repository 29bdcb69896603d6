"""%prep runs under bash, with the stand-ins first in PATH."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import subprocess
from collections.abc import Callable

from specparse.inside.paths import BUILD, END, ERRORS, PREP, ROOT, SOURCES, STANDIN_SHELL, TRACE
from specparse.inside.standin import MARKER, STANDINS, functions, record, script

_MOMENT = 10  # milliseconds

# rpm has RubyGems unpack these (rpm 4.18, tools/rpmuncompress.c); ours are plain archives.
_GEM = re.compile(
    r"^(?:\S*/rpmuncompress -x(?: -v)?(?: -C \S+)?|\S*gem unpack) '?(\S+/(\S+)\.gem)'?(?: && \S*gem spec .*)?$",
    re.MULTILINE,
)
# A patch through rpm's pipe is the same from its file, with half as many processes.
# Before 4.17 rpm calls cat.
_PIPED = re.compile(r"^/\S*/(?:rpmuncompress|cat) (\S+) \| *\n((?:patch|git) .*)$", re.MULTILINE)
# The arguments of a macro that nobody defined may be no shell: Dir.glob('bin/{windows,linux}/x')
_UNKNOWN = re.compile(r"^[ \t]*(%\{?[A-Za-z_][^'\n]*[(][^\n]*)$", re.MULTILINE)
_TOOL_PATH = re.compile(rf"(?<![\w/.-])/usr/bin/({'|'.join(STANDINS)})\b")
# A function has no path.
_ASKED = re.compile(rf"\b(?:command -v|type -p) (?=(?:{'|'.join(STANDINS)})\b)")

# What is not in the place of an archive may be a directory of the real one.
_ENTER = f"""\
srcgit_enter() {{
    local at=$PWD
    case ${{!#}} in
    /* | -* | +* | "") ;;
    *)
        case ${{!#}} in *..*) ;; *) at=$PWD/${{!#}} ;; esac
        while [ -n "$at" ] && [ ! -e "$at/{MARKER}" ]; do at=${{at%/*}}; done
        [ -d "${{!#}}" ] || [ -z "$at" ] || mkdir -p "${{!#}}"
        ;;
    esac
}}
cd() {{ local -; set +x; srcgit_to="cd $*"; srcgit_enter "" "$@"; builtin cd "$@"; }}
pushd() {{ local -; set +x; srcgit_to="pushd $*"; srcgit_enter "" "$@"; builtin pushd "$@"; }}
srcgit_error() {{
    local - status=$1 command=$2
    set +x
    case $command in "builtin "* | "srcgit_standin "*) command=$srcgit_to ;; esac
    printf '%s\\0%s\\0' "$status" "$command" >> {ERRORS}
}}
"""

_PREAMBLE = f"""\
{_ENTER}exec </dev/null
trap 'srcgit_error "$?" "$BASH_COMMAND"' ERR
trap 'printf "exit %s" "$?" >> {END}' EXIT
export HISTFILE=
exec 9>>{TRACE}
BASH_XTRACEFD=9
PS4=$'\\001${{LINENO}} ${{PWD}}\\002'
{functions(ROOT)}"""


def run(prep: str, name: str, *, pause: Callable[[], None]) -> int:
    """Run the expanded %prep under bash with the stand-ins first in PATH; return the status.

    ``pause`` is called whenever more was recorded and then nothing for a moment.
    """
    os.makedirs(f"{ROOT}/standin")
    for tool in STANDINS:
        with open(f"{ROOT}/standin/{tool}", "w") as file:
            file.write(
                f"#!{STANDIN_SHELL if os.path.exists(STANDIN_SHELL) else '/bin/sh'}\n{script(ROOT)}"
            )
        os.chmod(f"{ROOT}/standin/{tool}", 0o755)
    for path in (record(ROOT), ERRORS, END):  # readable, whatever the umask is to be
        open(path, "wb").close()
    prep = _GEM.sub(r"tar -xf \1; : > '\2.gemspec'", _TOOL_PATH.sub(rf"{ROOT}/standin/\1", prep))
    prep = _UNKNOWN.sub(as_one_word, _PIPED.sub(r"\2 < \1", _ASKED.sub("type -P ", prep)))
    with open(PREP, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(_PREAMBLE + prep + f"\nprintf end >> {END}\n")
    environment = {
        "PATH": f"{ROOT}/standin:/usr/bin:/usr/sbin",
        "HOME": ROOT,
        # LC_ALL would have each of some hundred processes read twelve files that say as much as C.
        "LC_CTYPE": "C.UTF-8",
        "RPM_SOURCE_DIR": SOURCES,
        "RPM_BUILD_DIR": f"{BUILD}/BUILD",
        "RPM_BUILD_ROOT": f"{BUILD}/BUILDROOT/root",
        "RPM_BUILD_TIME": "0",  # of %autosetup's commits, since rpm 4.20 (macros.in, __scm_source_timestamp)
        "RPM_PACKAGE_NAME": name,
    }
    with open(f"{ROOT}/prep.out", "wb") as out:
        process = subprocess.Popen(
            ["/usr/bin/bash", "-x", PREP],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**environment, "RPM_PACKAGE_VERSION": "0", "RPM_PACKAGE_RELEASE": "0"},
            cwd=f"{BUILD}/BUILD",
        )
    end = select.poll()
    end.register(os.pidfd_open(process.pid), select.POLLIN)
    told = before = 0
    while not end.poll(_MOMENT):
        size = os.stat(record(ROOT)).st_size
        if size == before > told:
            pause()
            told = size
        before = size
    return process.wait()


def as_one_word(line: re.Match[str]) -> str:
    """Return a line that is no shell as one word: the name of a command that is not there."""
    with contextlib.suppress(ValueError):  # its quotes end on another line
        shlex.split(line[1])
        return shlex.quote(line[1])
    return line[0]
