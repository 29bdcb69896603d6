"""The real %prep against trees that are right, and against trees with a planted defect.

The converted side is made by git am, git apply and patch themselves, in a work tree.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from converter.errors import CannotConvert, CannotWork, DifferenceFound, SpecDoesNotParse
from converter.mirror import Mirror
from converter.odb import Repository
from converter.pkggit import PkgGit
from converter.verification.verdict import Verdict
from converter.verification.verify import Subject, verify
from specparse.plan import Base, Plan, Step, Tool
from specparse.prep import LIMITS, SandboxedPreparer
from tests.builders import Sample, Source

pytestmark = pytest.mark.usefixtures("nothing_left")

AM = (Step(b"usb-hub-wait.patch", "git-am", 1), Step(b"net-tun-series.patch", "git-am", 2))
APPLY_PATCH = (
    Step(b"slab-check.patch", "patch", 2, fuzz=1),
    Step(b"sched-be-fair.patch", "patch", 1, fuzz=1),
    Step(b"revert-hello.patch", "patch", 3, fuzz=1, reverse=True),
)
TODAY = (Step(b"patch-6.12-redhat.patch", "git-apply", 1),)
SHORT = SandboxedPreparer(limits=dataclasses.replace(LIMITS, wall=2))


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A build of the sample, and where its conversion is made."""

    made: Sample
    directory: Path
    commit: str
    base: str
    dist: str
    steps: tuple[Step, ...]

    def package_file(self, name: str) -> bytes:
        return self.made.pkg_git.file(self.commit, name)

    def with_spec(self, *edits: tuple[str, str], **files: bytes | str) -> Case:
        """Return the case with another spec, on a pkg-git commit of its own."""
        spec = self.package_file("kernel.spec").decode()
        for old, new in edits:
            assert old in spec
            spec = spec.replace(old, new)
        changed: dict[str, bytes | str | None] = {"kernel.spec": spec}
        changed |= {name.replace("__", "."): data for name, data in files.items()}
        commit = self.made.pkg_git.commit(
            changed, "changed\n", branch=f"test-{os.urandom(4).hex()}", parent=self.commit
        )
        return dataclasses.replace(self, commit=commit)

    def subject(
        self,
        steps: Sequence[Step] | None = None,
        *,
        spoil: Callable[[Path], None] | None = None,
        base_patches: tuple[bytes, ...] = (),
    ) -> Subject:
        """Convert by hand: ``steps`` instead of the plan's, the last commit spoilt by ``spoil``."""
        work = self.directory / "work"
        git("clone", "--quiet", "--shared", "--no-checkout", str(self.made.linux.path), str(work))
        git("checkout", "--quiet", "--detach", self.base, at=work)
        start = git("rev-parse", "HEAD", at=work).decode().strip()
        for step in self.steps if steps is None else steps:
            data = self.package_file(step.patch.decode())
            if step.tool == "git-am":
                git("am", "--quiet", at=work, input=data)
                continue
            if step.tool == "git-apply":
                git("apply", at=work, input=data)
            else:
                flags = [f"-F{step.fuzz}", *(["-R"] if step.reverse else [])]
                command = ["patch", "-p1", "-s", "--no-backup-if-mismatch", *flags]
                subprocess.run(command, cwd=work, input=data, check=True)
            git("add", "--all", at=work)
            git("commit", "--quiet", "--message", step.patch.decode(), at=work)
        if spoil:
            spoil(work)
            git("add", "--all", at=work)
            git("commit", "--quiet", "--amend", "--allow-empty", "--no-edit", at=work)
        repository = Repository.create(self.directory / "result.git")
        repository.borrow(Repository(self.made.linux.path))
        repository.borrow(Repository(work))
        pkg_git = PkgGit(Mirror(str(self.made.pkg_git.path), self.directory / "cache"))
        plan = Plan(
            name="kernel",
            epoch=None,
            version="1",
            release="1",
            spec=b"kernel.spec",
            arch="x86_64",
            base=Base("tag", self.base, "the test"),
            base_patches=base_patches,
            steps=self.steps,
        )
        end = git("rev-parse", "HEAD", at=work).decode().strip()
        return Subject(pkg_git.at(self.commit), plan, self.dist, repository, start, end)

    def verify(
        self, *, spoil: Callable[[Path], None] | None = None, steps: Sequence[Step] | None = None
    ) -> Verdict:
        return verify(self.subject(steps, spoil=spoil), SandboxedPreparer())


def git(*args: str, at: Path | None = None, input: bytes = b"") -> bytes:
    where = ["-C", str(at)] if at else []
    done = subprocess.run(["git", *where, *args], input=input, capture_output=True, check=True)
    return done.stdout


@pytest.fixture
def am(made: Sample, tmp_path: Path) -> Case:
    return Case(made, tmp_path, made.git_am, "v4.15", ".fc28", AM)


@pytest.fixture
def apply_patch(made: Sample, tmp_path: Path) -> Case:
    return Case(made, tmp_path, made.apply_patch, "v3.17", ".fc21", APPLY_PATCH)


@pytest.fixture
def today(made: Sample, tmp_path: Path) -> Case:
    return Case(made, tmp_path, made.today, "v6.12.8", ".fc41", TODAY)


def found(verdict: Verdict) -> dict[str, tuple[str, str]]:
    """Return path -> (kind, step) of what steps of %prep made."""
    return {d.path.decode(): (d.kind, d.step) for d in verdict.differences if not d.defect}


def defects(verdict: Verdict) -> dict[str, str]:
    assert verdict.verified == (
        not verdict.defects and not (verdict.history and verdict.history.mismatches)
    )
    return {d.path.decode(): d.kind for d in verdict.defects}


# -- right trees ---------------------------------------------------------------------------

GITIGNORE = "find . -name .gitignore -exec rm -f '{}' ';'"


def test_git_am_is_verified_commit_by_commit(am: Case) -> None:
    verdict = am.verify()
    assert verdict.verified
    assert verdict.history is not None
    assert (verdict.history.commits, verdict.history.mismatches) == (4, ())
    assert found(verdict) == {
        ".gitignore": ("deleted", GITIGNORE),
        "drivers/.gitignore": ("deleted", GITIGNORE),
        ".scmversion": ("added", "touch .scmversion"),
        "configs/kernel-x86_64.config": ("added", "cp kernel-x86_64.config ."),
        "scripts/checkpatch.pl": ("mode", "chmod +x scripts/checkpatch.pl"),
    }
    assert (verdict.stopped, verdict.unseen, verdict.not_compared) == ("", (), ())
    assert "rpmbuild -bp --nodeps" in verdict.how


def test_apply_patch_with_offsets_and_reverse_is_verified(apply_patch: Case) -> None:
    verdict = apply_patch.verify()
    assert verdict.verified and verdict.history is None
    assert found(verdict) == {"scripts/checkpatch.pl": ("mode", "chmod +x scripts/checkpatch.pl")}


def test_git_apply_is_verified(today: Case) -> None:
    verdict = today.verify()
    assert verdict.verified
    rename = "mv COPYING COPYING-6.12.8-200.fc41"
    assert found(verdict) == {
        ".gitignore": ("deleted", GITIGNORE),
        "drivers/.gitignore": ("deleted", GITIGNORE),
        "COPYING": ("deleted", rename),
        "COPYING-6.12.8-200.fc41": ("added", rename),
        "Makefile.rhelver": ("added", "cp -a Makefile.rhelver ."),
        "configs/kernel-x86_64-fedora.config": ("added", "cp kernel-x86_64-fedora.config ."),
        "scripts/checkpatch.pl": ("mode", "chmod +x scripts/checkpatch.pl"),
    }
    report = [*verdict.lines("kernel-6.12.8-200.fc41")]
    assert "kernel-6.12.8-200.fc41: verified: yes" in report
    assert f"  deleted  .gitignore and 1 more  ({GITIGNORE})" in report


# -- planted defects -----------------------------------------------------------------------


def wrong_byte(work: Path) -> None:
    file = work / "MAINTAINERS"
    file.write_bytes(file.read_bytes().replace(b"List", b"list"))


def wrong_mode(work: Path) -> None:
    (work / "mm/slab.c").chmod(0o755)


def test_a_wrong_byte_is_found(apply_patch: Case) -> None:
    verdict = apply_patch.verify(spoil=wrong_byte)
    assert defects(verdict) == {"MAINTAINERS": "content"}
    with pytest.raises(DifferenceFound) as raised:
        verdict.check("kernel-3.17.0-300.fc21")
    assert raised.value.exit_code == 3 and "MAINTAINERS (content)" in raised.value.what


def test_a_wrong_byte_in_a_file_that_prep_renames_is_found(today: Case) -> None:
    def spoil(work: Path) -> None:
        (work / "COPYING").write_bytes(b"Do as you like.\n")

    assert "COPYING-6.12.8-200.fc41" in defects(today.verify(spoil=spoil))


def test_a_wrong_byte_in_a_file_that_prep_deletes_is_found_in_the_history(am: Case) -> None:
    def spoil(work: Path) -> None:
        (work / "drivers/.gitignore").write_bytes(b"*.so\n")

    verdict = am.verify(spoil=spoil)
    assert not verdict.verified and not verdict.defects
    assert verdict.history is not None
    assert verdict.history.mismatches == ("btrfs: drop a lock: drivers/.gitignore differs",)


def test_what_prep_deletes_unseen_is_listed(today: Case) -> None:
    def spoil(work: Path) -> None:
        (work / "drivers/.gitignore").write_bytes(b"*.so\n")

    assert today.verify(spoil=spoil).unseen == (b"drivers/.gitignore",)


def test_a_wrong_mode_is_found(apply_patch: Case) -> None:
    assert defects(apply_patch.verify(spoil=wrong_mode)) == {"mm/slab.c": "mode"}


def test_a_file_too_many_and_one_too_few_are_found(today: Case) -> None:
    def spoil(work: Path) -> None:
        (work / "mm/slab.c").unlink()
        (work / "mm/slub.c").write_bytes(b"/* new */\n")
        (work / "README").unlink()
        (work / "README").symlink_to("COPYING")

    verdict = today.verify(spoil=spoil)
    assert defects(verdict) == {"mm/slab.c": "added", "mm/slub.c": "deleted", "README": "type"}


@pytest.mark.parametrize("dropped", [0, 1, 2])
def test_a_dropped_patch_is_found(apply_patch: Case, dropped: int) -> None:
    kept = [step for n, step in enumerate(APPLY_PATCH) if n != dropped]
    touched = ("mm/slab.c", "kernel/sched/fair.c", "init/main.c")[dropped]
    assert defects(apply_patch.verify(steps=kept)) == {touched: "content"}


def test_a_dropped_mail_is_found(am: Case) -> None:
    verdict = am.verify(steps=AM[1:])
    assert "drivers/usb/core/hub.c" in defects(verdict)
    assert verdict.history is not None
    assert "git am made 4 commits, the conversion 3" in verdict.history.mismatches


def test_a_swapped_order_is_found_even_if_the_end_is_the_same(am: Case) -> None:
    verdict = am.verify(steps=AM[::-1])
    assert not verdict.verified and not verdict.defects
    assert verdict.history is not None
    assert verdict.history.mismatches[0] == "net: tun: count packets: drivers/net/tun.c differs"


def test_another_author_date_or_message_is_found(am: Case) -> None:
    def author(work: Path) -> None:
        git("commit", "--quiet", "--amend", "--no-edit", "--author", "Eve <eve@e.org>", at=work)

    verdict = am.verify(spoil=author)
    assert verdict.history is not None
    assert verdict.history.mismatches == ("btrfs: drop a lock: the author differs",)


# -- what %prep does besides ---------------------------------------------------------------

LAST = "# END OF PATCH APPLICATIONS\n"


def test_prep_that_stops_after_the_patches_is_still_compared(am: Case) -> None:
    verdict = am.with_spec((LAST, LAST + "py3_shebang_fix tools\n")).verify()
    assert verdict.verified and verdict.stopped == "py3_shebang_fix tools"
    assert found(verdict) == {}


def test_a_defect_is_found_although_prep_stops(am: Case) -> None:
    case = am.with_spec((LAST, LAST + "py3_shebang_fix tools\n"))
    assert defects(case.verify(spoil=wrong_byte)) == {"MAINTAINERS": "content"}


def test_a_defect_that_stops_only_one_of_the_runs_is_found(am: Case) -> None:
    def spoil(work: Path) -> None:
        (work / "scripts/checkpatch.pl").unlink()  # %prep goes on to chmod it

    assert defects(am.verify(spoil=spoil))["scripts/checkpatch.pl"] == "added"


def test_prep_that_stops_before_the_patches_is_no_verdict(am: Case) -> None:
    with pytest.raises(CannotWork, match="lacks a tool"):
        am.with_spec(("git am", "dos2unixx README\ngit am")).verify()


def test_prep_at_fault_before_the_patches_is_no_verdict(am: Case) -> None:
    with pytest.raises(CannotConvert, match="stops before the last patch"):
        am.with_spec(("git am", "cat no-such-file\ngit am")).verify()


def test_a_patch_that_the_real_tool_refuses_is_no_verdict(am: Case) -> None:
    patch = am.package_file("usb-hub-wait.patch").replace(b" static int hub_3", b" static int hub3")
    case = am.with_spec(**{"usb-hub-wait__patch": patch})
    broken = dataclasses.replace(am, commit=am.commit).subject()
    package = PkgGit(Mirror(str(am.made.pkg_git.path), am.directory / "c2")).at(case.commit)
    with pytest.raises(CannotConvert, match="when it applies the patches itself"):
        verify(dataclasses.replace(broken, package=package), SandboxedPreparer())


def test_a_spec_that_does_not_parse_is_refused(am: Case) -> None:
    with pytest.raises(SpecDoesNotParse):
        am.with_spec(("%prep\n", "%if 1\n%prep\n")).verify()


def test_a_spec_that_only_older_rpms_accept_is_edited_and_that_is_said(am: Case) -> None:
    old = ("License:", "BuildRequires: elfutils >= elfutils-0.153-1\nLicense:")
    verdict = am.with_spec(old).verify()
    assert verdict.verified
    assert verdict.edits == ("dependency lines left out: this rpm refuses one of them",)


def test_a_change_that_prep_carries_on_is_found_on_both_sides(am: Case) -> None:
    def spoil(work: Path) -> None:
        (work / "extra").write_text("one too many\n")

    case = am.with_spec((LAST, LAST + "if [ -f extra ]; then mv extra more; fi\n"))
    assert defects(case.verify(spoil=spoil)) == {"more": "deleted"}


@pytest.mark.parametrize("hostile", ["while :; do :; done", "sleep 1000 & sleep 1000"])
def test_a_prep_without_end_is_ended(am: Case, hostile: str) -> None:
    subject = am.with_spec((LAST, LAST + hostile + "\n")).subject()
    start = time.monotonic()
    with pytest.raises(SpecDoesNotParse, match="more than 2 seconds"):
        verify(subject, SHORT)
    assert time.monotonic() - start < 60


@pytest.mark.parametrize(
    "hostile",
    [
        "echo /root/x/objects > .git/objects/info/alternates",
        "mv .git .elsewhere; ln -s .elsewhere .git",
        "mv .git .elsewhere; echo gitdir: .elsewhere > .git",
        "mv .git/logs .git/l; ln -s l .git/logs",
        "mv .git/logs/HEAD .git/l; ln -s ../l .git/logs/HEAD",
        "rm .git/logs/HEAD; mkfifo .git/logs/HEAD",
        "mv .git/objects .git/o; ln -s o .git/objects",
    ],
)
def test_a_repository_that_leads_elsewhere_is_not_read(am: Case, hostile: str) -> None:
    verdict = am.with_spec((LAST, LAST + hostile + "\n")).verify()
    assert verdict.history is not None and not verdict.verified
    assert "leads out of its tree" in verdict.history.mismatches[0]


@pytest.mark.parametrize(
    "hostile",
    [
        "for f in .git/objects/??/*; do chmod u+w $f; echo damaged > $f; done",
        "for f in .git/objects/??/*; do rm -f $f; mkfifo $f; done",
        "for f in .git/objects/??/*; do rm -f $f; ln -s /etc/passwd $f; done",
        "rm -rf .git/objects/??",
        "sed -i 's/^[0-9a-f]*/1111111111111111111111111111111111111111/' .git/logs/HEAD",
        "sed -i 's/^[0-9a-f]*/x/' .git/logs/HEAD",
    ],
)
def test_a_repository_that_cannot_be_read_is_no_damage_of_ours(am: Case, hostile: str) -> None:
    """Else a spec could have the daemon rest."""
    verdict = am.with_spec((LAST, LAST + hostile + "\n")).verify()
    assert verdict.history is not None and not verdict.verified
    assert "cannot be read" in verdict.history.mismatches[0]


def test_links_and_pipes_are_looked_at_and_never_followed(am: Case) -> None:
    hostile = "ln -s /etc/passwd README2\nln -s / all\nmkfifo pipe\nmkdir d\nchmod 000 d\n"
    verdict = am.with_spec((LAST, LAST + hostile)).verify()
    assert verdict.verified
    assert {"README2", "all", "pipe"} <= found(verdict).keys()
    assert not any(path.startswith("all/") for path in found(verdict))


def test_backups_of_patch_are_no_defect(apply_patch: Case) -> None:
    line = 'find . \\( -name "*.orig" -o -name "*~" \\) -exec rm -f {} \\; >/dev/null\n'
    verdict = apply_patch.with_spec((line, ""), ("patch -p1", "patch -b -z .before -p1")).verify()
    assert verdict.verified
    assert found(verdict)["mm/slab.c.before"] == ("added", "")
    assert found(verdict)["kernel/sched/fair.c.before"] == ("added", "")


def test_what_prep_never_makes_twice_alike_is_no_defect(am: Case) -> None:
    verdict = am.with_spec((LAST, LAST + "date +%%N > built\n")).verify()
    assert verdict.verified and found(verdict)["built"][0] == "added"


def test_what_make_finds_newer_is_the_same_in_both_runs(am: Case) -> None:
    rule = "if [ fs/btrfs/inode.c -nt README ]; then touch rebuilt; fi\n"
    verdict = am.with_spec((LAST, LAST + rule)).verify()
    assert verdict.verified and found(verdict)["rebuilt"][0] == "added"


def test_base_patches_move_the_base_in_both_runs(am: Case) -> None:
    moved = 'xzcat %{SOURCE5000} | patch -p1 -F1 -s\ngit commit -a -m "Stable update"\ngit am'
    case = am.with_spec(("Source21:", "Source5000: patch-4.15.0.xz\nSource21:"), ("git am", moved))
    verdict = verify(case.subject(base_patches=(b"patch-4.15.0.xz",)), SandboxedPreparer())
    assert verdict.verified and verdict.history is not None
    assert verdict.history.commits == 4
    assert not [path for path in found(verdict) if "srcgit" in path]


def test_an_archive_holds_the_directory_that_setup_names(am: Case) -> None:
    setup = "%setup -q -n kernel-%{version} -c\nmv linux-4.15 linux-%{version}-%{release}\n"
    verdict = am.with_spec(
        (setup, "%setup -q -n linux-upstream\n"), ("cd linux-%{version}-%{release}\n", "")
    ).verify()
    assert verdict.verified and verdict.history is not None


@pytest.mark.parametrize(
    ("macro", "tool"),
    [
        ("%autosetup -p1 -n linux-4.15", "patch"),
        ("%autosetup -p1 -n linux-4.15 -S git", "git-apply"),
        ("%autosetup -p1 -n linux-4.15 -S git_am", "git-am"),
        ("%setup -q -n linux-4.15\n%patch -P1 -p1\n%patch -P2 -p1 -b .was", "patch"),
    ],
)
def test_the_macros_of_rpm_are_followed(am: Case, macro: str, tool: Tool) -> None:
    spec = am.package_file("kernel.spec").decode()
    prep = spec[spec.index("%setup") : spec.index(LAST)]
    case = dataclasses.replace(
        am.with_spec((prep, f"{macro}\n")),
        steps=tuple(dataclasses.replace(step, tool=tool) for step in AM),
    )
    verdict = case.verify(steps=AM)
    assert verdict.verified
    assert (verdict.history is not None) == (tool == "git-am")
    wrong = dataclasses.replace(case, directory=case.directory / "again")
    wrong.directory.mkdir()
    assert "fs/btrfs/inode.c" in defects(wrong.verify(steps=AM, spoil=lost_lock))


def lost_lock(work: Path) -> None:
    """Take the last change back, as if its mail had been dropped."""
    git("checkout", "--quiet", "HEAD~1", "--", "fs/btrfs/inode.c", at=work)


def test_files_that_upstream_lacks_are_named(am: Case) -> None:
    subject = am.subject()
    # A bare repository with everything but one blob, as loose objects.
    lacking = Source(am.directory / "lacking.git")
    everything = git("pack-objects", "--all", "--stdout", "-q", at=am.directory / "work")
    lacking.git.run("unpack-objects", "-q", input=everything)
    blob = am.made.linux.git.run("rev-parse", "v4.15:mm/memory.c").stdout.decode().strip()
    (lacking.path / "objects" / blob[:2] / blob[2:]).unlink()
    subject = dataclasses.replace(subject, repository=Repository(lacking.path))
    verdict = verify(subject, SandboxedPreparer())
    assert verdict.not_compared == (b"mm/memory.c",)
    assert verdict.verified
