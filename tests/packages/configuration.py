"""git's configuration and the environment of %prep: followed, or refused by name."""

from tests.packages.model import DOS, MAIN, ONE, UTIL, Package, git_diff, mail, through
from tests.packages.shell import AM

CR = {"dos.patch": mail(DOS)}
BOTH_CR = {**CR, "one.patch": ONE}
SCISSORS = {
    "one.patch": through(ONE, "sed", "s/^Because it is better.$/Talk.\\n-- >8 --\\n\\nBecause./")
}
ID = {"one.patch": through(ONE, "sed", "2a Message-ID: <1@example.org>")}
KEEP = "git config am.keepcr true\n"

PACKAGES = [
    Package("am.keepcr in the repository", AM + KEEP + "git am -q %{PATCH1}", CR),
    Package("am.keepcr by git -c", AM + "git -c am.keepcr am -q %{PATCH1}", CR),
    Package("am.keepCR by git -c, in capitals", AM + "git -c AM.keepCR=yes am -q %{PATCH1}", CR),
    Package("am.keepcr for all of HOME", AM + "export HOME=$PWD/..\ngit config --global am.keepcr 1\ngit am -q %{patches}", BOTH_CR),
    Package("am.keepcr, set and unset", AM + KEEP + "git am -q %{PATCH1}\ngit config --unset am.keepcr\ngit am -q %{PATCH2}", BOTH_CR),
    Package("am.keepcr, overridden by git -c and an option", AM + "git config am.keepcr false\ngit -c am.keepcr=false am -q --keep-cr %{PATCH1}", CR),
    Package("am.keepcr by variables", AM + "export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=am.keepcr GIT_CONFIG_VALUE_0=true\ngit am -q %{PATCH1}", CR),
    Package("am.keepcr by GIT_CONFIG_PARAMETERS", AM + "GIT_CONFIG_PARAMETERS=\"'am.keepcr'='true'\" git am -q %{PATCH1}", CR),
    Package("am.keepcr by GIT_CONFIG_GLOBAL", AM + "GIT_CONFIG_GLOBAL=%{SOURCE1} git am -q %{PATCH1}", {**CR, "demo.gitconfig": "[am]\n\tkeepcr\n"}, "Source1: demo.gitconfig\nPatch1: dos.patch\n"),
    Package("am.keepcr by git config --file", AM + "git config --file .git/config am.keepcr true\ngit am -q %{PATCH1}", CR),
    Package("am.keepcr written into .git/config", AM + "printf '[am]\\n\\tkeepcr = true\\n' >> .git/config\ngit am -q %{PATCH1}", CR),
    Package("am.keepcr by an included file", AM + "git config include.path %{SOURCE1}\ngit am -q %{PATCH1}", {**CR, "demo.gitconfig": "[am]\nkeepcr = on\n"}, "Source1: demo.gitconfig\nPatch1: dos.patch\n"),
    Package("am.keepcr by a macro", "%global __git git -c am.keepcr=true\n%autosetup -p1 -S git_am", CR),
    Package("am.keepcr, autosetup -N -S git_am", "%autosetup -N -S git_am\n" + KEEP + "%autopatch -p1", CR),
    Package("mailinfo.scissors", AM + "git config mailinfo.scissors true\ngit am -q %{PATCH1}", SCISSORS),
    Package("am.messageid", AM + "git -c am.messageid=true am -q %{PATCH1}", ID),
    Package("am.threeway", AM + "git config am.threeway true\ngit am -q %{patches}", {"one.patch": ONE, "two.patch": mail(UTIL)}),
    Package("keys that change nothing", AM + "git config core.autocrlf false\ngit config core.safecrlf false\ngit config apply.whitespace nowarn\ngit config advice.detachedHead false\ngit config core.whitespace cr-at-eol\ngit apply %{PATCH1}", {"one.patch": git_diff(MAIN)}),
    Package("the answer of git config", AM + "git config demo.tool apply\ngit $(git config --get demo.tool) %{PATCH1}", {"one.patch": ONE}),
]  # fmt: skip

REFUSED = [
    Package("core.autocrlf", AM + "git config core.autocrlf input\ngit am -q %{PATCH1}", {"one.patch": ONE}, refused="core.autocrlf=input"),
    Package("core.attributesFile", AM + "git config core.attributesFile /dev/null\ngit am -q %{PATCH1}", {"one.patch": ONE}, refused="core.attributesfile"),
    Package(".git/info/attributes", AM + "mkdir -p .git/info\necho '*.c -text' > .git/info/attributes\ngit am -q %{PATCH1}", {"one.patch": ONE}, refused="info/attributes"),
    Package("a filter", AM + "git config filter.tidy.clean cat\ngit am -q %{PATCH1}", {"one.patch": ONE}, refused="filter.tidy.clean"),
    Package("a hook", AM + "mkdir -p .git/hooks\nprintf '#!/bin/sh\\necho x >> \"$1\"\\n' > .git/hooks/applypatch-msg\nchmod +x .git/hooks/applypatch-msg\ngit am -q %{PATCH1}", {"one.patch": ONE}, refused="applypatch-msg"),
    Package("an alias", AM + "git config alias.take am\ngit take -q %{PATCH1}", {"one.patch": ONE}, refused="git take is not understood"),
    Package("mailinfo.quotedcr", AM + "git -c mailinfo.quotedcr=strip am -q %{PATCH1}", {"one.patch": ONE}, refused="mailinfo.quotedcr=strip"),
    Package("i18n.commitEncoding", AM + "git config i18n.commitEncoding latin1\ngit am -q %{PATCH1}", {"one.patch": ONE}, refused="i18n.commitencoding"),
    Package("POSIXLY_CORRECT", "%setup -q\nexport POSIXLY_CORRECT=1\npatch -p1 < %{PATCH1}", {"one.patch": ONE}, refused="POSIXLY_CORRECT"),
    Package("QUILT_PATCH_OPTS", "%setup -q\nexport QUILT_PATCH_OPTS=--fuzz=3\nquilt import %{PATCH1}\nquilt push", {"one.patch": ONE}, refused="QUILT_PATCH_OPTS"),
    Package("GIT_DIR", AM + "GIT_DIR=$PWD/.git git am -q %{PATCH1}", {"one.patch": ONE}, refused="GIT_DIR"),
]  # fmt: skip
