"""The stand-in for patch, git, quilt, hg and make: records argv, place and input as one line.

A shell script, since a hundred calls are made for one old kernel: starting Python would take the
most of a plan's time.
"""

from __future__ import annotations

# In the top directory of each unpacked archive. Its name is that of a file (archive.0.NAME= the main
# one, archive.1.NAME= any other), and each call that works there leaves a file called by its number.
# Copies take that with them, so the tree itself tells what was done to it, whatever was copied,
# renamed, deleted or unpacked again. They are neither empty nor have they an archive's suffix:
# `find -name '*.gz' -delete`, `find -empty -delete`.
MARKER = "srcgit.tree"
NEVER_RUN = ("patch", "git", "quilt", "hg")
STANDINS = (*NEVER_RUN, "make")  # which does run, for a kernel's Makefile.config

# What the tools read of their environment (specparse.options.ENVIRONMENT says what of it).
WATCHED = (
    "POSIXLY_CORRECT", "PATCH_GET", "QUILT_PATCH_OPTS", "QUILT_PUSH_ARGS", "QUILT_IMPORT_ARGS",
    "QUILT_PATCHES", "QUILT_SERIES", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_ATTR_SOURCE",
)  # fmt: skip
_CONFIGURED = "GIT_CONFIG", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"
_GIVEN = "".join(f"${{{name}-}}" for name in _CONFIGURED)
_SET = "".join(f"${{{name}+x}}" for name in WATCHED)

_FLAGS = "-3bcEeflNnqRsTtuvZ"  # options of patch and git apply that take no value
_BODY = rf"""
from=$PWD place=$PWD last= word= directory= id=$call told= status=0
enter() {{
    cd "$place"
    [ -d "$1" ] || /usr/bin/mkdir -p "$1"
    cd "$1" && place=$PWD
}}
for word; do
    case $tool$last in
    patch-d | patch--directory | git-C) enter "$word" ;;
    git--git-dir) directory=$word ;;
    git-c | git--config-env | git--work-tree | git--namespace | git--exec-path) ;;
    *)
        case $tool$word in
        patch--directory=*) enter "${{word#*=}}" ;;
        patch--*) ;;
        patch-*)
            flags=${{word%%[!{_FLAGS}]*}}
            case ${{word#"$flags"}} in d) word=-d ;; d?*) enter "${{word#"$flags"d}}" ;; esac
            ;;
        git--git-dir=*) directory=${{word#*=}} ;;
        git-*) ;;
        git*) break ;;
        esac
        ;;
    esac
    last=$word
done
verb=$word
top=$place archive=
while [ -n "$top" ] && [ ! -e "$top/{MARKER}" ]; do top=${{top%/*}}; done
if [ -n "$top" ]; then
    for archive in "$top/{MARKER}"/archive.*; do break; done
    archive=${{archive##*/archive.?.}}
    archive=${{archive%=}}
    printf = 2>/dev/null > "$top/{MARKER}/$call" || call=0
fi
repository=
if [ "$tool" = git ]; then
    repository=$place
    while [ -n "$repository" ] && [ ! -e "$repository/.git" ]; do repository=${{repository%/*}}; done
fi
input= reads= trial= reversed= last=
case $tool$verb in patch* | gitam | gitapply) reads=yes ;; esac
if [ -n "$reads" ]; then
    for word; do
        case $tool$last$word in patch-i- | patch--input-) reads=yes ;; esac
        case $tool$word in
        patch--dry-run | git--check) trial=yes ;;
        *--reverse) reversed=yes ;;
        patch--in*=-) ;;
        patch--in*) reads= ;;
        patch--* | git--*) ;;
        patch-* | git-*)
            flags=${{word%%[!{_FLAGS}]*}}
            case $flags in *R*) reversed=yes ;; esac
            case $tool${{word#"$flags"}} in patchi-) ;; patchi*) reads= ;; esac
            ;;
        git*) [ -d "$word" ] || [ ! -e "$word" ] || reads= ;;
        esac
        last=$word
    done
fi
if [ -n "$reads" ]; then
    input=$(/usr/bin/readlink /proc/self/fd/0)
    case $input in
    pipe:*)
        input=@ROOT@/input.$id
        /usr/bin/cat > "$input"
        ;;
    esac
fi
if [ -n "{_SET}" ]; then
    told=$id
    /usr/bin/env -0 > "@ROOT@/variables.$id"
fi
# git's configuration is asked of git itself, where something was configured.
git=/run/srcgit/git
[ -x $git ] || git=/usr/bin/git
case $tool$verb in
gitconfig)
    # Who commits, and when git tidies up, changes no result.
    case " $* " in
    *" user."* | *" gc."*) ;;
    *)
        cd "$from" && GIT_CONFIG_NOSYSTEM=1 $git "$@" || status=$?
        case $status in 0 | 1 | 2 | 5 | 6) ;; *) : > @ROOT@/config.lost ;; esac  # git-config(1)
        ;;
    esac
    ;;
gitam | gitapply)
    own=${{directory:-$repository/.git}} home=${{XDG_CONFIG_HOME:-$HOME/.config}}/git
    if [ -s "$own/config" ] || [ -d "$own/info" ] || [ -d "$own/hooks" ] || [ -e @ROOT@/config.lost ] ||
        [ -s "$HOME/.gitconfig" ] || [ -d "$home" ] || [ -n "$directory{_GIVEN}" ]
    then
        told=$id
        (
            cd "$place"
            [ -z "$directory" ] || export GIT_DIR="$directory"
            GIT_CONFIG_NOSYSTEM=1 $git config --list -z || : > @ROOT@/config.lost
            for attributes in "$own/info/attributes" "$home/attributes"; do
                [ ! -s "$attributes" ] || printf 'core.attributesfile\n%s\0' "$attributes"
            done
            for hook in applypatch-msg pre-applypatch post-applypatch; do
                [ ! -x "$own/hooks/$hook" ] || printf 'core.hookspath\n%s\0' "$own/hooks/$hook"
            done
            [ ! -e @ROOT@/config.lost ] || printf 'srcgit.lost\ntrue\0'
        ) > "@ROOT@/config.$id"
    fi
    ;;
esac
printf '%s\0' "$tool" "$call" "$archive" "$top" "$place" "$repository" "$input" "$told" "$#" "$@" >> @ROOT@/record
case $tool$verb in
gitinit)
    cd "$place" && /usr/bin/mkdir -p .git/objects .git/refs && printf 'ref: refs/heads/master\n' > .git/HEAD
    ;;
make*)
    case " $* " in *" Makefile.config "*) [ -x /usr/bin/make ] && exec /usr/bin/make "$@" ;; esac
    ;;
esac
# What a patch that is not applied yet would answer.
[ -z "$trial" ] || [ -z "$reversed" ] || exit 1
exit $status
"""

_SCRIPT = f"""
tool=${{0##*/}} call=$$
{_BODY}
"""

# What %prep itself calls needs no process as a function: half of what a call costs. A subshell has the
# script's own directory, variables and exit.
_IN_SUBSHELL = f"""
srcgit_standin() (
    set +Cefku
    # of its own: those of %prep may be integers; the script takes over where one is read-only
    local IFS=' ' tool=$1 call=$EPOCHREALTIME place last word verb top archive repository \
        input reads trial reversed flags from directory id told status git own home attributes hook \
        2>/dev/null || exec @ROOT@/standin/"$@"
    shift
    {_BODY}
)
""" + "".join(
    f"""
{tool}() {{ local -; set +x; srcgit_to="{tool} $*"; srcgit_standin {tool} "$@"; }}"""
    for tool in NEVER_RUN
)

# A kernel's %prep calls make for each of its configurations: nothing comes of that, but of merging them.
_MAKE = """
make() {
    local - IFS=' '
    set +x
    case " $* " in *" Makefile.config "*) command make "$@" ;; esac
}
"""


def record(root: str) -> str:
    """Return the file of the records.

    Fields end in NUL: tool, call, archive, the top of its tree, place, the top of git's work tree
    ("" for none), input, the suffix of the files of its configuration and variables, count, arguments...
    """
    return f"{root}/record"


def script(root: str) -> str:
    """Return the stand-in without its first line; ``root`` is the directory of all that is recorded."""
    return _SCRIPT.replace("@ROOT@", root)


def functions(root: str) -> str:
    """Return bash's part of the stand-ins: functions that take the place of scripts."""
    return (_IN_SUBSHELL + _MAKE).replace("@ROOT@", root)
