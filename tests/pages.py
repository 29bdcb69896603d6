"""The status pages, served for tests and the benchmark; and a published tree of many builds."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from converter import convert as converting
from converter.mirror import Mirror
from converter.odb import Repository
from converter.request import Request
from service import config as configuration
from service.config import Config
from service.journal import Journal, Row
from service.koji import Koji
from service.web import app
from specparse.trace import SandboxedTracer
from tests.builders import sample
from tests.configuration import kernel, table

FAILED = "kernel-9.9.0-1.fc41"


def site(here: Path) -> tuple[Config, Journal]:
    """Return a configuration and a journal: three converted builds, and FAILED."""
    made = sample(here)
    toml = here / "srcgit.toml"
    toml.write_text(
        table(state=here / "state", journal=f"sqlite:///{here}/journal.db")
        + kernel(
            pkg_git=made.pkg_git.path, upstreams=[made.linux.path], repo=here / "published.git"
        )
    )
    config = configuration.load(toml)
    repo = Repository.create(Path(here / "published.git"))
    for commit in (made.git_am, made.today, made.next):
        upstreams = (Mirror(str(made.linux.path), here),)
        request = Request(Mirror(str(made.pkg_git.path), here), commit, upstreams=upstreams)
        converting.convert(request, repo, SandboxedTracer())
    journal = Journal(config.journal)
    journal.add(Row(FAILED, "kernel", "kernel:f41"))
    claimed = journal.claim("test", 60)
    assert claimed
    report = "expected <script>\u202ealert(1)</script>"
    journal.settle(claimed, "failed", "a.patch: does not apply", {"report": report})
    return config, journal


@contextmanager
def served(config: Config, journal: Journal, koji: Koji | None = None) -> Iterator[str]:
    """Serve the pages on a port of their own; yields their address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app(config, journal, koji), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def many(config: Config, journal: Journal, builds: int, patches: int) -> str:
    """Let there be ``builds`` more builds of ``patches`` patches each; return the newest's NVR.

    Their series.json is a converted build's with its patches repeated: what the pages read.
    """
    repo = Repository(config.packages["kernel"].repo)
    tip = repo.commit_id("refs/tags/kernel-4.15.0-1.fc28")
    assert tip
    file = repo.tree(tip).get(b"fedora/series.json")
    assert file
    model = json.loads(file.data)
    parts = []
    for n in range(builds):
        release = f"{n + 2}.fc28"
        record = {**model, "nvr": f"kernel-4.15.0-{release}"}
        # One patch comes and one goes with each build, as on a branch that lives.
        record["patches"] = [
            {**model["patches"][k % 2], "patch": f"{k:05}-model.patch"}
            for k in range(n, n + patches)
        ]
        data = (json.dumps(record, indent=2) + "\n").encode()
        who = b"S <s@example.com> %d +0000" % (1517000000 + n)
        name = f"{record['nvr']}".encode()
        trailers = b"%s\n\nPatches: %d\nVerified: yes\n" % (name, patches)
        file_mark, commit_mark, merge_mark = 3 * n + 1, 3 * n + 2, 3 * n + 3
        said = b"author %s\ncommitter %s\ndata %d\n%s\n" % (who, who, len(name), name)
        change = b"M 100644 :%d fedora/series.json\n" % file_mark
        before = b":%d" % (merge_mark - 3) if n else b"refs/heads/builds/f28^0"
        parts += [
            b"blob\nmark :%d\ndata %d\n%s\n" % (file_mark, len(data), data),
            b"commit refs/heads/f28\nmark :%d\n%s" % (commit_mark, said),
            b"from %s\n%s" % (tip.encode(), change),
            b"commit refs/heads/builds/f28\nmark :%d\n%s" % (merge_mark, said),
            b"from %s\nmerge :%d\n%s" % (before, commit_mark, change),
            b"tag %s\nfrom :%d\ntagger %s\n" % (name, commit_mark, who),
            b"data %d\n%s\n" % (len(trailers), trailers),
        ]
        row = Row(record["nvr"], "kernel", "kernel:f28")
        journal.add(row)
        claimed = journal.claim("model", 60)
        assert claimed
        journal.settle(claimed, "done", "", {"seconds": {"series": 0.1}, "branch": "f28"})
    repo.git.run("fast-import", "--quiet", "--force", input=b"".join(parts))
    return f"kernel-4.15.0-{builds + 1}.fc28"
