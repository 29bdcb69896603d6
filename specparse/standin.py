"""The stand-in for patch, git, quilt, hg and make: records argv, place and input as one line.

A shell script, since a hundred calls are made for one old kernel: starting Python would take the
most of a plan's time.
"""

from __future__ import annotations

MARKER = ".srcgit-archive"  # in the top directory of each unpacked archive: its name
STANDIN_SHELL = "/srcgit/sh"  # where bash takes the place of sh, this is the quicker one
STANDINS = ("patch", "git", "quilt", "hg", "make")

_SCRIPT = rf"""
tool=${{0##*/}}
top=$PWD archive=
while [ -n "$top" ] && [ ! -e "$top/{MARKER}" ]; do top=${{top%/*}}; done
[ -n "$top" ] && read -r archive < "$top/{MARKER}"
directory=${{PWD#"$top"}}
input=
reads=
case $tool in
patch)
    reads=yes
    for word; do
        case $word in -i | -i?* | --input*) reads= ;; esac
    done
    ;;
git)
    case " $* " in *" apply "* | *" am "*) reads=yes ;; esac
    ;;
esac
if [ -n "$reads" ]; then
    input=$(/usr/bin/readlink /proc/self/fd/0)
    case $input in
    pipe:*)
        input=@ROOT@/input.$$
        /usr/bin/cat > "$input"
        ;;
    esac
fi
printf '%s\0' "$tool" "$archive" "$directory" "$input" "$#" "$@" >> @ROOT@/record
case $tool in
git)
    case $1 in init) /usr/bin/mkdir -p .git ;; esac
    ;;
patch)
    # What a patch that is not applied yet would answer.
    case " $* " in *" --dry-run "*)
        case " $* " in *" -R "* | *" --reverse "*) exit 1 ;; esac
    esac
    ;;
make)
    case " $* " in *" Makefile.config "*) [ -x /usr/bin/make ] && exec /usr/bin/make "$@" ;; esac
    ;;
esac
exit 0
"""


def record(root: str) -> str:
    """Return the file of the records; fields end in NUL: tool, archive, directory, input, count, arguments..."""
    return f"{root}/record"


def script(root: str) -> str:
    """Return the stand-in without its first line; ``root`` is the directory of all that is recorded."""
    return _SCRIPT.replace("@ROOT@", root)
