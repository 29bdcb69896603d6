"""The options of patch(1), ``git am`` and ``git apply``, and what each does to a result (pure).

One table for each tool lists every option of GNU patch 2.7.6 and 2.8 and of git up to 2.55, hidden
ones included. The effect of an option is one of four:

- FOLLOWED: it changes the files or the commit, and a step carries it, as a word or as a field;
- NONE: the files and the commit are the same with it and without it;
- NOTHING: the call changes no file of the tree;
- REFUSED: it changes a result in a way that srcgit does not reproduce.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Effect = Literal["followed", "none", "nothing", "refused"]
FOLLOWED: Effect = "followed"
NONE: Effect = "none"
NOTHING: Effect = "nothing"
REFUSED: Effect = "refused"


class OptionError(ValueError):
    """The tool refuses the command line, or srcgit does not follow an option of it."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option. ``names`` are all spellings; ``value`` names its argument, in brackets if optional.

    ``word`` is what a step carries (Step.options); the argument follows it. ``allowed`` are the
    arguments that do not change a result, where others do. ``why`` is the authority.
    """

    names: str
    effect: Effect
    why: str
    value: str = ""
    word: str = ""
    allowed: tuple[str, ...] = ()
    hidden: bool = False  # the tool's help does not print it

    @property
    def key(self) -> str:
        """The first spelling."""
        return self.names.split()[0]


@dataclass(frozen=True, slots=True)
class Use:
    """An option on a command line, as it was ``written``, and its argument."""

    option: Option
    written: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """A command line that was read: the options in order, and the operands."""

    tool: str
    options: tuple[Use, ...]
    operands: tuple[str, ...]

    def __contains__(self, key: str) -> bool:
        return any(use.option.key == key for use in self.options)

    def value(self, key: str) -> str | None:
        """Return the last argument of the option ``key``; None where it was not given."""
        return next((use.value for use in reversed(self.options) if use.option.key == key), None)

    @property
    def changes_nothing(self) -> bool:
        """Whether an option has the tool change no file."""
        return any(use.option.effect == NOTHING for use in self.options)

    def words(self) -> tuple[str, ...]:
        """Return what a step carries of the options, in order.

        Raises OptionError for the first option that is not followed.
        """
        found = []
        for use in self.options:
            option = use.option
            if option.effect == REFUSED and use.value not in option.allowed:
                shown = f"{self.tool} {use.written} {use.value}".rstrip()
                raise OptionError(f"{shown} is not followed: {option.why}")
            if option.word:
                found.append(option.word + use.value)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Table:
    """The options of one tool. With ``negated``, ``--no-X`` takes ``--X`` back (git's parse-options)."""

    tool: str
    options: tuple[Option, ...]
    negated: bool = True
    spellings: Mapping[str, Option] = field(init=False)

    def __post_init__(self) -> None:
        known = {name: option for option in self.options for name in option.names.split()}
        object.__setattr__(self, "spellings", known)

    def read(self, argv: Sequence[str]) -> Given:
        """Read ``argv`` as getopt_long(3) and git's parse-options do.

        Options and operands may be mixed, long names shortened. Raises OptionError.
        """
        options: list[Use] = []
        operands: list[str] = []
        words = iter(argv)
        for word in words:
            if word == "--":
                operands += words
            elif word.startswith("--"):
                name, equals, value = word.partition("=")
                self._long(name, value if equals else None, words, options)
            elif word.startswith("-") and word != "-":
                options += self._short(word[1:], words)
            else:
                operands.append(word)
        return Given(self.tool, tuple(options), tuple(operands))

    def _short(self, letters: str, words: Iterator[str]) -> Iterator[Use]:
        for at, letter in enumerate(letters, 1):
            option = self.spellings.get(f"-{letter}")
            if option is None:
                raise OptionError(f"{self.tool} has no option -{letter}")
            if not option.value:
                yield Use(option, f"-{letter}")
                continue
            rest = letters[at:]
            if not rest and not option.value.startswith("["):
                rest = self._next(option, words)
            yield Use(option, f"-{letter}", rest)
            return

    def _long(
        self,
        name: str,
        value: str | None,
        words: Iterator[str],
        options: list[Use],
    ) -> None:
        """Add the option ``name`` to ``options``, or take back what it negates."""
        found, negated = self._find(name)
        if negated:
            options[:] = [use for use in options if use.option is not found]
            return
        if value is not None and not found.value:
            raise OptionError(f"{self.tool} {name} takes no argument")
        if value is None and found.value and not found.value.startswith("["):
            value = self._next(found, words)
        options.append(Use(found, name, value or ""))

    def _find(self, name: str) -> tuple[Option, bool]:
        """Return the option that ``name`` or its beginning means, and whether it is negated."""
        if name in self.spellings:
            return self.spellings[name], False
        long = {n: (o, False) for n, o in self.spellings.items() if n.startswith("--")}
        if self.negated:
            negations = {_negation(n): (o, True) for n, (o, _) in long.items()}
            if name in negations:
                return negations[name]
            long = negations | long
        meant = {
            (option.key, no): (option, no) for n, (option, no) in long.items() if n.startswith(name)
        }
        if len(meant) != 1:
            raise OptionError(f"{self.tool} {name} is {'not one option' if meant else 'unknown'}")
        return next(iter(meant.values()))

    @staticmethod
    def _next(option: Option, words: Iterator[str]) -> str:
        for word in words:
            return word
        raise OptionError(f"{option.key} without its argument")


def _negation(name: str) -> str:
    return f"--{name[5:]}" if name.startswith("--no-") else f"--no-{name[2:]}"


def environment(tool: str, variables: Iterable[str]) -> None:
    """Raise OptionError for an exported variable that changes what ``tool`` does.

    ``tool`` is patch, git or quilt.
    """
    for name in variables:
        if why := ENVIRONMENT[tool].get(name):
            raise OptionError(f"the variable {name} is not followed: {why}")


ENVIRONMENT: Mapping[str, Mapping[str, str]] = {
    "patch": {
        "POSIXLY_CORRECT": "another choice of the file, empty files stay, src/pch.c, best_name",
        "PATCH_GET": "files come out of RCS and the like, src/inp.c",
    },
    "quilt": {
        "POSIXLY_CORRECT": "another choice of the file, empty files stay, src/pch.c, best_name",
        "PATCH_GET": "files come out of RCS and the like, src/inp.c",
        "QUILT_PATCH_OPTS": "options of patch, quilt(1)",
        "QUILT_PUSH_ARGS": "options of quilt push, quilt(1)",
        "QUILT_IMPORT_ARGS": "options of quilt import, quilt(1)",
        "QUILT_PATCHES": "another directory of patches, quilt(1)",
        "QUILT_SERIES": "another series, quilt(1)",
    },
    "git": {
        "GIT_DIR": "another repository, git(1)",
        "GIT_WORK_TREE": "another work tree, git(1)",
        "GIT_INDEX_FILE": "another index, git(1)",
        "GIT_ATTR_SOURCE": "attributes of a commit, git(1)",
    },
}

_BACKUP = "names or keeps backups, src/patch.c, output_file"
_KIND = "the only kind of diff that is looked for, src/pch.c, intuit_diff_type"
PATCH = Table(
    "patch",
    (
        Option("-p --strip", FOLLOWED, "Step.strip", "NUM"),
        Option("-F --fuzz", FOLLOWED, "Step.fuzz", "LINES"),
        Option("-R --reverse", FOLLOWED, "Step.reverse"),
        Option("-d --directory", FOLLOWED, "Step.directory", "DIR"),
        Option("-i --input", FOLLOWED, "Step.patch", "PATCHFILE"),
        Option("-l --ignore-whitespace", FOLLOWED, "src/util.c, similar", word="-l"),
        Option("-N --forward", FOLLOWED, "src/util.c, ok_to_reverse", word="-N"),
        Option("-f --force", FOLLOWED, "src/util.c, ok_to_reverse", word="-f"),
        Option("-t --batch", FOLLOWED, "src/util.c, ok_to_reverse", word="-t"),
        Option("-E --remove-empty-files", FOLLOWED, "src/patch.c, main", word="-E"),
        Option("--binary", FOLLOWED, "src/pch.c, there_is_another_patch", word="--binary"),
        Option("-c --context", FOLLOWED, _KIND, word="-c"),
        Option("-n --normal", FOLLOWED, _KIND, word="-n"),
        Option("-u --unified", FOLLOWED, _KIND, word="-u"),
        Option("-e --ed", REFUSED, "patch has the ed program run the script"),
        Option("-D --ifdef", REFUSED, "both versions are kept between #ifdef lines", "NAME"),
        Option("-o --output", REFUSED, "the result is another file", "FILE"),
        Option("--merge", REFUSED, "a hunk that does not fit is merged, src/merge.c", "[STYLE]"),
        Option("--posix", REFUSED, "another choice of the file, empty files stay, src/pch.c, best_name"),
        Option("--follow-symlinks", FOLLOWED, "src/util.c, stat_file", word="--follow-symlinks"),
        Option("-T --set-time", REFUSED, "dates are read otherwise, src/util.c, fetchname"),
        Option("-Z --set-utc", REFUSED, "dates are read otherwise, src/util.c, fetchname"),
        Option("-g --get", REFUSED, "files come out of RCS and the like, src/inp.c", "NUM", allowed=("0",)),
        Option("--read-only", REFUSED, "git keeps no write permission", "BEHAVIOR", allowed=("ignore", "warn")),
        Option("-b --backup", NONE, _BACKUP),
        Option("-B --prefix", NONE, _BACKUP, "PREFIX"),
        Option("-Y --basename-prefix", NONE, _BACKUP, "PREFIX"),
        Option("-z --suffix", NONE, _BACKUP, "SUFFIX"),
        Option("-V --version-control", NONE, _BACKUP, "STYLE"),
        Option("--backup-if-mismatch", NONE, _BACKUP),
        Option("--no-backup-if-mismatch", NONE, _BACKUP),
        Option("-r --reject-file", NONE, "where rejects go; a hunk that fails is a failure", "FILE"),
        Option("--reject-format", NONE, "how rejects look", "FORMAT"),
        Option("-s --quiet --silent", NONE, "messages"),
        Option("--verbose", NONE, "messages"),
        Option("-x --debug", NONE, "messages, where it was compiled in", "NUM", hidden=True),
        Option("--quoting-style", NONE, "messages", "WORD"),
        Option("--dry-run", NOTHING, "patch(1)"),
        Option("-v --version", NOTHING, "patch(1)"),
        Option("--help", NOTHING, "patch(1)"),
    ),
    negated=False,
)  # fmt: skip

_RESUME = "another call's patches, builtin/am.c, cmd_am"
_LOOSE = "context is compared without white space, apply.c, fuzzy_matchlines"
_WHITESPACE = "lines that are added get changed or rejected, ws.c"
_HOOKS = "hooks, which no new repository has"
_WARN = ("nowarn", "warn")
AM = Table(
    "git am",
    (
        Option("-p", FOLLOWED, "Step.strip", "num"),
        Option("-k --keep", FOLLOWED, "mailinfo.c, cleanup_subject", word="-k"),
        Option("--keep-non-patch", FOLLOWED, "mailinfo.c, cleanup_subject", word="--keep-non-patch"),
        Option("--no-keep --no-keep-non-patch", FOLLOWED, "mailinfo.c, cleanup_subject", word="--no-keep"),
        Option("--keep-cr", FOLLOWED, "builtin/mailsplit.c, split_one", word="--keep-cr"),
        Option("--no-keep-cr", FOLLOWED, "builtin/am.c, split_mail_mbox", word="--no-keep-cr"),
        Option("-c --scissors", FOLLOWED, "mailinfo.c, is_scissors_line", word="-c"),
        Option("--no-scissors", FOLLOWED, "mailinfo.c, is_scissors_line", word="--no-scissors"),
        Option("-m --message-id", FOLLOWED, "mailinfo.c, handle_commit_msg", word="-m"),
        Option("--no-message-id", FOLLOWED, "mailinfo.c, handle_commit_msg", word="--no-message-id"),
        Option("--ignore-date", FOLLOWED, "builtin/am.c, do_commit", word="--ignore-date"),
        Option("-3 --3way", FOLLOWED, "merges what does not apply, builtin/am.c, am_run", word="-3"),
        Option("--no-3way", FOLLOWED, "the same", word="--no-3way"),
        Option("-C", FOLLOWED, "apply.c, find_pos", "n", word="-C"),
        Option("--directory", FOLLOWED, "apply.c, parse_git_diff_header", "root", word="--directory="),
        Option("--exclude", FOLLOWED, "apply.c, use_patch", "path", word="--exclude="),
        Option("--include", FOLLOWED, "apply.c, use_patch", "path", word="--include="),
        Option("--patch-format", FOLLOWED, "builtin/am.c, split_mail", "format", word="--patch-format="),
        Option("-s --signoff", REFUSED, "the message names the builder, builtin/am.c, am_append_signoff"),
        Option("-i --interactive", REFUSED, "it asks a person"),
        Option("--quoted-cr", REFUSED, "lines are changed, mailinfo.c, handle_filter_body", "action", allowed=_WARN),
        Option("--empty", REFUSED, "mails without a diff, builtin/am.c, am_run", "(stop|drop|keep)", allowed=("stop",)),
        Option("--ignore-space-change --ignore-whitespace", REFUSED, _LOOSE),
        Option("--whitespace", REFUSED, _WHITESPACE, "action", word="--whitespace=", allowed=_WARN),
        Option("-S --gpg-sign", REFUSED, "the commit is signed with the builder's key", "[key-id]"),
        Option("--no-gpg-sign", NONE, "the default, but for commit.gpgSign"),
        Option("--no-utf8", REFUSED, "the mail's charset stays, mailinfo.c, convert_to_utf8"),
        Option("-u --utf8", NONE, "the default"),
        Option("-b --binary", NONE, "nothing since git 1.6, builtin/am.c, cmd_am", word="-b", hidden=True),
        Option("-q --quiet", NONE, "messages"),
        Option("-n --no-verify", NONE, _HOOKS),
        Option("--verify", NONE, _HOOKS),
        Option("--reject", NONE, "what fails is a failure with it, too, builtin/am.c, run_apply"),
        Option("--committer-date-is-author-date", NONE, "srcgit's committer has the author's date"),
        Option("--rerere-autoupdate", NONE, "conflicts"),
        Option("--resolvemsg", NONE, "messages", "msg"),
        Option("--continue -r --resolved", NOTHING, _RESUME),
        Option("--skip", NOTHING, _RESUME),
        Option("--abort", NOTHING, _RESUME),
        Option("--quit", NOTHING, _RESUME),
        Option("--retry", NOTHING, _RESUME),
        Option("--allow-empty", NOTHING, _RESUME),
        Option("--show-current-patch", NOTHING, _RESUME, "[(diff|raw)]"),
        Option("--rebasing", REFUSED, "git rebase's own", hidden=True),
    ),
)  # fmt: skip

_CONFLICT = "a three-way merge takes one side"
APPLY = Table(
    "git apply",
    (
        Option("-p", FOLLOWED, "Step.strip", "num"),
        Option("-R --reverse", FOLLOWED, "Step.reverse"),
        Option("-C", FOLLOWED, "apply.c, find_pos", "n", word="-C"),
        Option("-3 --3way", FOLLOWED, "apply.c, try_threeway", word="-3"),
        Option("--index", FOLLOWED, "apply.c, check_preimage"),
        Option("--recount", FOLLOWED, "apply.c, recount_diff", word="--recount"),
        Option("--unidiff-zero", FOLLOWED, "apply.c, apply_one_fragment", word="--unidiff-zero"),
        Option("--directory", FOLLOWED, "apply.c, parse_git_diff_header", "root", word="--directory="),
        Option("--exclude", FOLLOWED, "apply.c, use_patch", "path", word="--exclude="),
        Option("--include", FOLLOWED, "apply.c, use_patch", "path", word="--include="),
        Option("--allow-empty", FOLLOWED, "apply.c, apply_patch", word="--allow-empty"),
        Option("--no-add", REFUSED, "lines that the diff adds are left out, apply.c, apply_one_fragment"),
        Option("--allow-overlap", REFUSED, "hunks may lie over each other"),
        Option("--inaccurate-eof", REFUSED, "the end of a file need not fit"),
        Option("--ignore-space-change --ignore-whitespace", REFUSED, _LOOSE),
        Option("--whitespace", REFUSED, _WHITESPACE, "action", word="--whitespace=", allowed=_WARN),
        Option("--ours", REFUSED, _CONFLICT),
        Option("--theirs", REFUSED, _CONFLICT),
        Option("--union", REFUSED, _CONFLICT),
        Option("--unsafe-paths", NONE, "srcgit refuses paths that lead out of the tree"),
        Option("-N --intent-to-add", NONE, "git's index"),
        Option("--reject", NONE, "what fails is a failure with it, too"),
        Option("--apply", NONE, "the default"),
        Option("-z", NONE, "messages"),
        Option("-v --verbose", NONE, "messages"),
        Option("-q --quiet", NONE, "messages"),
        Option("--binary --allow-binary-replacement", NONE, "nothing since git 1.6", hidden=True),
        Option("--stat", NOTHING, "apply.c, check_apply_state"),
        Option("--numstat", NOTHING, "apply.c, check_apply_state"),
        Option("--summary", NOTHING, "apply.c, check_apply_state"),
        Option("--check", NOTHING, "apply.c, check_apply_state"),
        Option("--build-fake-ancestor", NOTHING, "apply.c, check_apply_state", "file"),
        Option("--cached", NOTHING, "git's index alone"),
    ),
)  # fmt: skip

QUILT_IMPORT = Table(
    "quilt import",
    (
        Option("-p", FOLLOWED, "Step.strip", "num"),
        Option("-R", REFUSED, "quilt's push takes the patch out"),
        Option("-P", REFUSED, "the patch gets another name", "patch"),
        Option("-f", REFUSED, "an imported patch is replaced"),
        Option("-d", REFUSED, "an imported patch is replaced", "{o|a|n}"),
        Option("-h", NOTHING, "quilt(1)"),
    ),
    negated=False,
)  # fmt: skip
