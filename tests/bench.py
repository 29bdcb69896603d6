"""How long a series takes, against what a user would run instead, and how that grows.

    python -m tests.bench [--quick] [--only NAME]... [--json | --markdown]
                          [--upstream REPO --base REV --patches DIRECTORY]
    python -m tests.bench --only worker [--upstream REPO --pkg-git REPO --commit SHA...]
    python -m tests.bench --only conversion [--upstream REPO --pkg-git REPO --commit SHA:.fcNN...]

Everything is timed in this one run on this machine, as the median of several, on the clock and in
processor time; the results of all contestants are compared before they count. srcgit is timed
twice: the call itself, as in the daemon, and a process of its own with Python's start.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.conversion import Contest
from tests.oracle.git_mail import SEALED
from tests.upstreams import Upstream, series

console = Console(stderr=True)
IDENTITY = ("-c", "user.name=n", "-c", "user.email=e")


def run(*command: str | Path, cwd: Path, stdin: Path | None = None) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    with (stdin or Path(os.devnull)).open("rb") as source:
        done = subprocess.run(
            command, cwd=cwd, env=inherited | SEALED, stdin=source, capture_output=True
        )
    if done.returncode:
        raise SystemExit(f"{command[:3]} failed: {done.stderr.decode()}{done.stdout.decode()}")
    return done.stdout.decode().strip()


@dataclass
class Taken:
    """What a command took, its children included."""

    seconds: float = 0.0  # on the clock
    cpu: float = 0.0  # of processor time, which a busy machine does not stretch


@contextmanager
def stopwatch() -> Iterator[Taken]:
    taken = Taken()
    start, before = time.perf_counter(), _children()
    yield taken
    taken.seconds = time.perf_counter() - start
    taken.cpu = _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass
class Outcome:
    """One series applied by srcgit."""

    tree: str
    commit: str
    commits: int
    seconds: float  # of the call
    cpu: float  # of both processes during the call
    process_seconds: float  # of a process of its own, with Python's start
    process_cpu: float
    python_mb: float  # peak resident memory
    git_mb: float  # the same of git fast-import


class Arena:
    """An upstream, a series, and a checkout that is ready."""

    def __init__(self, directory: Path, upstream: Path, base: str, patches: Path) -> None:
        self.directory = directory
        self.upstream = upstream
        self.base = base
        self.patches = patches
        self.names = sorted(path.name for path in patches.iterdir() if path.name != "series")
        (patches / "series").write_text("".join(f"{name}\n" for name in self.names))
        self.checkout = directory / "checkout"

    def check_out(self) -> Taken:
        """Make the checkout anew; return what filling the work tree took."""
        shutil.rmtree(self.checkout, ignore_errors=True)
        run("git", "clone", "-q", "-s", "-n", self.upstream, self.checkout, cwd=self.directory)
        with stopwatch() as taken:
            run("git", "checkout", "-q", "--detach", self.base, cwd=self.checkout)
        return taken

    def reset(self) -> None:
        run("git", "checkout", "-q", "--force", "--detach", self.base, cwd=self.checkout)
        run("git", "status", cwd=self.checkout)  # refreshes the index: git am starts with that

    def tree(self) -> str:
        return run("git", "rev-parse", "HEAD^{tree}", cwd=self.checkout)

    # contestants: each leaves the tree that it made, and returns its id and the seconds

    def srcgit(self) -> Outcome:
        result = self.directory / "result.git"
        shutil.rmtree(result, ignore_errors=True)
        command = [sys.executable, "-m", "tests.bench", "--apply", str(result), str(self.upstream)]
        with stopwatch() as taken:
            out = run(*command, self.base, self.patches, cwd=Path(__file__).parent.parent)
        return Outcome(process_seconds=taken.seconds, process_cpu=taken.cpu, **json.loads(out))

    def git_am(self) -> tuple[str, Taken]:
        self.reset()
        with stopwatch() as taken:
            paths = [self.patches / name for name in self.names]
            run("git", "am", "-q", *paths, cwd=self.checkout)
        return self.tree(), taken

    def git_quiltimport(self) -> tuple[str, Taken]:
        self.reset()
        with stopwatch() as taken:
            run("git", "quiltimport", "--patches", self.patches, cwd=self.checkout)
        return self.tree(), taken

    def quilt_push(self) -> tuple[str, Taken]:
        self.reset()
        quilt = ["env", f"QUILT_PATCHES={self.patches}", "quilt", "--quiltrc=-"]
        with stopwatch() as taken:
            run(*quilt, "push", "-aq", cwd=self.checkout)
        run("git", "add", "--update", cwd=self.checkout)
        tree = run("git", "write-tree", cwd=self.checkout)
        shutil.rmtree(self.checkout / ".pc")
        return tree, taken

    def patch_and_commit(self) -> tuple[str, Taken]:
        """What a shell script would do: patch(1), then git commit, for each."""
        self.reset()
        commit = f"git {' '.join(IDENTITY)} commit -q -a -m"
        loop = f'for p; do patch -s -p1 -i "$p" && {commit} "$(basename "$p")" || exit 1; done'
        with stopwatch() as taken:
            paths = [self.patches / name for name in self.names]
            run("sh", "-c", loop, "sh", *paths, cwd=self.checkout)
        return self.tree(), taken

    def gbp_pq(self) -> tuple[str, Taken]:
        """``gbp pq import``; gbp pq-rpm does the same from a spec, but few systems package it."""
        self.reset()
        run("git", "checkout", "-q", "-B", "packaging", cwd=self.checkout)
        shutil.copytree(self.patches, self.checkout / "debian/patches")
        (self.checkout / "debian/control").write_text(
            "Source: linux\nMaintainer: N <n@example.com>\n"
        )
        run("git", "add", "debian", cwd=self.checkout)
        run("git", *IDENTITY, "commit", "-q", "-m", "packaging", cwd=self.checkout)
        with stopwatch() as taken:
            run("gbp", "pq", "import", cwd=self.checkout)
        run("git", "rm", "-r", "-q", "--cached", "debian", cwd=self.checkout)
        tree = run("git", "write-tree", cwd=self.checkout)
        shutil.rmtree(self.checkout / "debian")
        self.reset()
        run("git", "branch", "-q", "-D", "patch-queue/packaging", cwd=self.checkout)
        return tree, taken

    def fast_import(self, outcome: Outcome) -> tuple[str, Taken]:
        """The floor: git fast-import, fed with the finished result."""
        result = self.directory / "result.git"
        stream = self.directory / "stream"
        run("git", "update-ref", "refs/heads/result", outcome.commit, cwd=result)
        export = ["git", "fast-export", "--reference-excluded-parents", "refs/heads/result"]
        with stream.open("wb") as file:
            subprocess.run([*export, f"^{self.base}"], cwd=result, stdout=file, check=True)
        floor = self.directory / "floor.git"
        shutil.rmtree(floor, ignore_errors=True)
        run("git", "clone", "-q", "-s", "--bare", self.upstream, floor, cwd=self.directory)
        quick = ["git", "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet"]
        with stopwatch() as taken:
            run(*quick, cwd=floor, stdin=stream)
        return run("git", "rev-parse", "refs/heads/result^{tree}", cwd=floor), taken


def apply(result: Path, upstream: Path, base: str, patches: Path) -> None:
    """Apply a series in this process, as convert() does; print the outcome as JSON."""
    from converter.objects import Identity
    from converter.odb import Repository
    from converter.pkggit import Origin
    from converter.series import Series
    from converter.stage import Stage
    from specparse.plan import Step

    for module in ("apply_git", "apply_patch"):  # imported on first use; the daemon has them
        importlib.import_module(f"converter.engine.{module}")
    names = (patches / "series").read_bytes().split()
    nobody = Identity(b"Nobody", b"nobody@example.com", b"1500000000 +0000")
    start, started = time.perf_counter(), time.process_time()
    repository = Repository.create(result)
    repository.borrow(Repository(upstream))
    with Stage(repository, base) as stage:
        done = Series(
            stage,
            read=lambda name: (patches / os.fsdecode(name)).read_bytes(),
            origin=lambda name: Origin(base, nobody, b""),
            committer=(b"C. Committer", b"committer@example.com"),
        )
        done.apply(Step(name, "git-am") for name in names)
        if done.failure is not None:
            raise SystemExit(done.failure.report)
        marks = [written.mark for patched in done.patches for written in patched.commits]
        commit = [*stage.ids(marks)][-1]
        tree = stage.tree_id()
    seconds = time.perf_counter() - start
    cpu = time.process_time() - started + _children()
    # Not ru_maxrss for ourselves: it starts at what the process that forked us held.
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    peak = (
        int(status.split()[0]) / 1024,
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    )
    print(
        json.dumps(
            {"tree": tree, "commit": commit, "commits": len(marks), "seconds": seconds,
             "cpu": cpu, "python_mb": peak[0], "git_mb": peak[1]}
        )
    )  # fmt: skip


@dataclass
class Row:
    """A line of a table: medians of the runs, and their ratios to srcgit's call."""

    what: str
    seconds: float
    ratio: float | None = None
    with_checkout: float | None = None
    cpu: float | None = None
    cpu_ratio: float | None = None
    git_am: float | None = None  # its seconds on a ready checkout, by srcgit's call
    per_second: float | None = None
    per_hour: float | None = None  # builds
    python_mb: float | None = None
    git_mb: float | None = None


def middle(taken: list[Taken]) -> Taken:
    return Taken(
        statistics.median(one.seconds for one in taken), statistics.median(one.cpu for one in taken)
    )


def median_of(runs: int, contest: Callable[[], tuple[str, Taken]], tree: str) -> Taken:
    every = []
    for _ in range(runs):
        made, taken = contest()
        if made != tree:
            raise SystemExit(f"{contest} made the tree {made}, srcgit {tree}")
        every.append(taken)
    return middle(every)


def median_outcome(arena: Arena, runs: int) -> Outcome:
    """srcgit's medians over the runs."""
    outcomes = [arena.srcgit() for _ in range(runs)]
    assert len({outcome.commit for outcome in outcomes}) == 1, "not reproducible"
    figures = {
        field.name: statistics.median(getattr(outcome, field.name) for outcome in outcomes)
        for field in fields(Outcome)
        if field.type == "float"
    }
    return replace(outcomes[0], **figures)


def against(arena: Arena, runs: int) -> Iterator[Row]:
    """The whole series against the tools that a user has."""
    ours = median_outcome(arena, runs)

    def row(what: str, taken: Taken, checkout: float = 0.0) -> Row:
        return Row(
            what,
            taken.seconds,
            taken.seconds / ours.seconds,
            taken.seconds + checkout,
            taken.cpu,
            taken.cpu / ours.cpu,
        )

    yield replace(
        row("srcgit", Taken(ours.seconds, ours.cpu)), python_mb=ours.python_mb, git_mb=ours.git_mb
    )
    yield row("srcgit, its own process", Taken(ours.process_seconds, ours.process_cpu))
    yield row("floor: git fast-import", median_of(runs, lambda: arena.fast_import(ours), ours.tree))
    checkout = middle([arena.check_out() for _ in range(min(runs, 3))])
    for name, contest in (
        ("git am", arena.git_am),
        ("git quiltimport", arena.git_quiltimport),
        ("quilt push -a", arena.quilt_push),
        ("gbp pq import", arena.gbp_pq),
        ("patch(1) and git commit", arena.patch_and_commit),
    ):
        if shutil.which(name.split()[0].removesuffix("(1)")) is None:
            console.print(f"  {name}: not installed, left out")
            continue
        console.print(f"  {name}")
        yield row(name, median_of(runs, contest, ours.tree), checkout.seconds)
    yield row("git checkout", checkout)


class Bench:
    """The parts of the benchmark; upstreams are made once."""

    def __init__(
        self,
        directory: Path,
        runs: int,
        files: int,
        *,
        counts: list[int],
        quick: bool,
        kernel: tuple[Path, Path, list[str]] | None = None,
    ) -> None:
        """``kernel`` is an upstream, a pkg-git and commits of it (COMMIT or COMMIT:.fcNN)."""
        self.builds = 5 if quick else 50
        self.kernel = kernel
        self.directory = directory
        self.runs = runs
        self.files = files
        self.counts = counts  # of patches, against the tools
        self.quick = quick
        self._made: dict[int, tuple[Upstream, Path, str]] = {}

    def upstream(self, files: int) -> tuple[Upstream, Path, str]:
        if files not in self._made:
            path = self.directory / f"upstream-{files}.git"
            console.print(f"making an upstream of {files:,} files")
            upstream = Upstream(files)
            self._made[files] = (upstream, path, upstream.write(path))
        return self._made[files]

    def arena(self, files: int, patches: int, *, only_big: bool = False) -> Arena:
        upstream, path, base = self.upstream(files)
        where = self.directory / f"patches-{files}-{patches}-{only_big}"
        if not where.exists():
            where.mkdir()
            for number, mail in enumerate(series(upstream, patches, only_big=only_big), 1):
                (where / f"{number:05}.patch").write_bytes(mail)
        return Arena(self.directory, path, base, where)

    def tools(self) -> Iterator[tuple[str, Iterator[Row]]]:
        for patches in self.counts:
            console.print(f"{patches} patches against the tools")
            title = f"{patches} patches on {self.files:,} files"
            yield title, against(self.arena(self.files, patches), self.runs)

    def patches(self) -> Iterator[tuple[str, Iterator[Row]]]:
        counts = (10, 100, 1000) if self.quick else (10, 100, 1000, 5000)
        title = f"more patches, on {self.files:,} files"
        yield title, (self.growth(f"{n:,} patches", self.arena(self.files, n)) for n in counts)

    def sizes(self) -> Iterator[tuple[str, Iterator[Row]]]:
        sizes = (1000, self.files) if self.quick else (1000, 10_000, self.files)
        yield (
            "more files, 100 patches",
            (self.growth(f"{n:,} files", self.arena(n, 100), git_am=True) for n in sizes),
        )

    def big_file(self) -> Iterator[tuple[str, Iterator[Row]]]:
        counts = (10, 100) if self.quick else (10, 100, 1000)
        yield (
            "every patch touches one file of 25,000 lines",
            (
                self.growth(f"{n:,} patches", self.arena(1000, n, only_big=True), git_am=n <= 100)
                for n in counts
            ),
        )

    def worker(self) -> Iterator[tuple[str, Iterator[Row]]]:
        """One worker of the daemon: claim, convert in the sandbox, push, settle."""
        from tests import throughput  # what it imports is no part of a process of its own

        sites = {"a model kernel": throughput.model(self.directory / "model", self.builds)}
        if self.kernel:
            upstream, pkg_git, builds = self.kernel
            bare = [build.partition(":")[0] for build in builds]
            sites["the real kernel"] = throughput.real(
                self.directory / "kernel", upstream, pkg_git, bare
            )
        each = {what: (throughput.seconds(*site), len(site[1])) for what, site in sites.items()}
        yield (
            "one worker of the daemon",
            (
                Row(f"{what}, {count} builds", taken, per_hour=3600 / taken)
                for what, (taken, count) in each.items()
            ),
        )

    def growth(self, what: str, arena: Arena, *, git_am: bool = False) -> Row:
        console.print(f"  {what}")
        ours = median_outcome(arena, self.runs)
        theirs = None
        if git_am:
            arena.check_out()
            theirs = median_of(self.runs, arena.git_am, ours.tree).seconds / ours.seconds
        return Row(
            what,
            ours.seconds,
            cpu=ours.cpu,
            git_am=theirs,
            per_second=ours.commits / ours.seconds,
            python_mb=ours.python_mb,
            git_mb=ours.git_mb,
        )

    def pages(self) -> Iterator[tuple[str, Iterator[Row]]]:
        builds = 500 if self.quick else 5000
        yield f"status pages with {builds:,} builds of 50 patches", self._pages(builds)

    def _pages(self, builds: int) -> Iterator[Row]:
        # Not above: what this process holds, the one that is measured would start with.
        from tests.pages import FAILED, many, served, site

        here = self.directory / "pages"
        here.mkdir()
        config, journal = site(here)
        console.print(f"making {builds:,} builds")
        newest = many(config, journal, builds, patches=50)
        with served(config, journal) as address:
            for what, path in (
                ("search, as the pages start", "/search?q=00100"),
                ("search", "/search?q=00100"),
                ("search that finds thousands", "/search?q=model"),
                ("overview", "/"),
                ("a build", f"/build/{newest}"),
                ("a failed build", f"/build/{FAILED}"),
                ("feed", "/feed/kernel/f28.atom"),
                ("metrics", "/metrics"),
            ):
                every = []
                for _ in range(self.runs if "start" not in what else 1):
                    with stopwatch() as taken, urllib.request.urlopen(address + path) as answer:
                        answer.read()
                    every.append(taken.seconds)
                yield Row(what, statistics.median(every))
        journal.close()

    def conversion(self) -> Iterator[tuple[str, Iterator[Row]]]:
        from tests.builders import sample

        if self.kernel:
            upstream, pkg_git, commits = self.kernel
        else:
            made = sample(self.directory)
            upstream, pkg_git = made.linux.path, made.pkg_git.path
            commits = [f"{made.git_am}:.fc28"]
        for build in commits:
            commit, _, dist = build.partition(":")
            contest = Contest(self.directory, pkg_git.resolve(), commit, dist, upstream.resolve())
            title = f"a whole conversion of {contest.plan['nvr']}, as a process of its own"
            if contest.lacking:
                names = ", ".join(contest.lacking)
                console.print(f"  upstream lacks these, so both do without: {names}")
            yield title, self._conversion(contest)

    def _conversion(self, contest: Contest) -> Iterator[Row]:
        contest.srcgit()  # warms the machine up
        console.print("  filling a work tree")
        contest.check_out()
        ours, theirs = [], []
        for _ in range(self.runs):  # in turns: a machine's speed may change from minute to minute
            ours.append(contest.srcgit())
            theirs.append(contest.tools())
        seconds = statistics.median(one.seconds for one in ours)
        yield Row("srcgit convert", seconds, 1, python_mb=max(one.peak for one in ours))
        if {tree for _, tree in theirs} != {one.answer["series"]["tree"] for one in ours}:
            raise SystemExit(f"trees differ: {theirs} {ours[0].answer['series']['tree']}")
        tools = " and ".join(dict.fromkeys(step["tool"] for step in contest.plan["steps"]))
        taken = statistics.median(seconds for seconds, _ in theirs)
        yield Row(f"{tools} alone, on a full checkout", taken, taken / seconds)


PARTS = {
    "conversion": Bench.conversion,
    "tools": Bench.tools,
    "patches": Bench.patches,
    "sizes": Bench.sizes,
    "big-file": Bench.big_file,
    "pages": Bench.pages,
    "worker": Bench.worker,
}


def show(title: str, rows: list[Row], *, markdown: bool) -> None:
    columns = {
        "seconds": ("s", "{:.3f}"),
        "ratio": ("times srcgit", "{:.1f}"),
        "with_checkout": ("with checkout, s", "{:.2f}"),
        "cpu": ("CPU, s", "{:.3f}"),
        "cpu_ratio": ("times srcgit's", "{:.1f}"),
        "git_am": ("git am, times srcgit", "{:.0f}"),
        "per_second": ("patches a second", "{:,.0f}"),
        "per_hour": ("builds an hour", "{:,.0f}"),
        "python_mb": ("Python's peak, MB", "{:.0f}"),
        "git_mb": ("fast-import, MB", "{:.0f}"),
    }
    used = {
        name: column
        for name, column in columns.items()
        if any(getattr(row, name) is not None for row in rows)
    }
    headings = [heading for heading, _ in used.values()]
    cells = []
    for row in rows:
        values = [(getattr(row, name), form) for name, (_, form) in used.items()]
        cells.append([row.what, *("" if v is None else form.format(v) for v, form in values)])
    if markdown:
        lines = [[title, *headings], ["---", *("---:" for _ in headings)], *cells]
        print("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n", flush=True)
        return
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    for heading in headings:
        table.add_column(heading, justify="right")
    for line in cells:
        table.add_row(*line)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the files, three runs")
    parser.add_argument("--only", action="append", choices=[*PARTS], metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print figures only, as JSON")
    parser.add_argument("--markdown", action="store_true", help="print tables for a document")
    parser.add_argument("--files", type=int, default=0, help="of upstream (70,000)")
    parser.add_argument(
        "--count",
        type=int,
        action="append",
        metavar="N",
        help="patches against the tools (50, 100)",
    )
    parser.add_argument("--runs", type=int, default=0, help="of which the median counts (5)")
    parser.add_argument("--upstream", type=Path, help="a real upstream")
    parser.add_argument("--base", help="the revision of --upstream that --patches apply to")
    parser.add_argument("--patches", type=Path, help="mails, applied in the order of their names")
    parser.add_argument("--pkg-git", type=Path, help="the kernel's, for conversion and worker")
    parser.add_argument("--commit", action="append", metavar="SHA[:.fcNN]", help="of it")
    parser.add_argument("--apply", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.apply:
        result, upstream, base, patches = chosen.apply
        apply(Path(result), Path(upstream), base, Path(patches))
        return
    files = chosen.files or (7000 if chosen.quick else 70_000)
    runs = chosen.runs or (3 if chosen.quick else 5)
    results: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        directory = Path(temporary)
        kernel = (chosen.upstream, chosen.pkg_git, chosen.commit) if chosen.pkg_git else None
        bench = Bench(
            directory,
            runs,
            files,
            counts=chosen.count or [50, 100],
            quick=chosen.quick,
            kernel=kernel,
        )
        parts = chosen.only or [*PARTS]
        for name in PARTS:
            if name in parts:
                for title, rows in PARTS[name](bench):
                    results[title] = list(rows)
                    if not chosen.json:
                        show(title, results[title], markdown=chosen.markdown)
        if chosen.patches:
            copies = directory / "patches"
            shutil.copytree(chosen.patches, copies)
            real = Arena(directory, chosen.upstream.resolve(), chosen.base, copies)
            title = f"{len(real.names)} patches on {chosen.base} of {chosen.upstream}"
            results[title] = list(against(real, runs))
            if not chosen.json:
                show(title, results[title], markdown=chosen.markdown)
    if chosen.json:
        shown = {title: [asdict(row) for row in rows] for title, rows in results.items()}
        print(json.dumps({"cpus": os.cpu_count(), "runs": runs, "tables": shown}, indent=2))


if __name__ == "__main__":
    main()
