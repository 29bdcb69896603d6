"""Configuration: defaults, every setting, and errors that name file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter.errors import WrongUsage
from service.config import Retry, address, load


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "srcgit.toml"
    path.write_text(text)
    return path


def test_without_a_file_fedoras_kernel_is_converted_and_nothing_published(sealed: Path) -> None:
    config = load(None)
    kernel = config.packages["kernel"]
    assert list(config.packages) == ["kernel"]
    assert kernel.pkg_git == kernel.source == "https://src.fedoraproject.org/rpms/kernel.git"
    assert [url.rsplit("/", 2)[1] for url in kernel.upstreams] == ["torvalds", "stable"]
    assert (kernel.tags, kernel.push, kernel.verify) == ((), (), False)
    assert config.journal == f"sqlite:///{config.state}/journal.sqlite"
    assert config.state.is_relative_to(sealed)


def test_every_setting_can_be_given_in_fedora_messagings_own_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        amqp_url = "amqp://localhost"
        [qos]
        prefetch_count = 1
        [consumer_config]
        koji = "http://127.0.0.1:1234/kojihub"
        web = "https://tree.example.org/"
        state = "/var/lib/srcgit"
        journal = "postgresql+psycopg://srcgit@db/srcgit"
        committer = "Kernel Tree <tree@example.org>"
        workers = 2
        lease = 60
        timeout = 600.5
        stale = 7200
        announce = false
        [consumer_config.retry]
        first = 1
        factor = 3
        cap = 5
        give_up = 100
        [consumer_config.packages.kernel]
        pkg_git = "/mirror/kernel.git"
        upstreams = ["/mirror/linux.git", "ssh://git@example.org/linux.git"]
        push = ["https://example.org/kernel.git"]
        verify = true
        explode_from = "https://gitlab.com/cki-project/kernel-ark.git"
        repo = "/srv/kernel.git"
        [consumer_config.packages.hello]
        pkg_git = "https://example.org/rpms/hello.git"
        upstreams = ["https://example.org/hello.git"]
        tag = "hello-%{version}"
        """,
    )
    config = load(path)
    kernel, hello = config.packages["kernel"], config.packages["hello"]
    assert (config.lease, config.timeout, config.workers) == (60.0, 600.5, 2)
    assert config.committer == ("Kernel Tree", "tree@example.org")
    assert config.web == "https://tree.example.org"
    assert config.retry == Retry(1.0, 3.0, 5.0, 100.0)
    assert (kernel.tags, hello.tags) == ((), ("hello-%{version}",))
    # A mirror is fetched from, but what Koji must name is Fedora's address.
    assert kernel.source == "https://src.fedoraproject.org/rpms/kernel.git"
    assert hello.source == hello.pkg_git
    assert hello.repo == Path("/var/lib/srcgit/hello.git")
    assert kernel.repo == Path("/srv/kernel.git")


def test_a_package_may_start_from_its_archives(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [consumer_config]
        lookaside = "/srv/lookaside"
        [consumer_config.packages.bash]
        [consumer_config.packages.hello]
        upstreams = ["https://example.org/hello.git"]
        archive = true
        """,
    )
    config = load(path)
    bash, hello = config.packages["bash"], config.packages["hello"]
    assert (bash.upstreams, bash.archive, hello.archive) == ((), False, True)
    assert config.lookaside == "/srv/lookaside"
    assert load(None).lookaside.startswith("https://src.fedoraproject.org/repo/pkgs/")


def test_tag_templates_may_be_several(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "[consumer_config.packages.kernel]\ntag = ['v%{version}', '%{name}_%{version}']",
    )
    assert load(path).packages["kernel"].tags == ("v%{version}", "%{name}_%{version}")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[consumer_config]\nstat = '/x'", "consumer_config.stat "),
        ("[consumer_config]\nworkers = 'two'", "consumer_config.workers "),
        ("[consumer_config]\nworkers = 0", "consumer_config.workers "),
        ("[consumer_config]\nworkers = true", "consumer_config.workers "),
        ("[consumer_config]\nstate = 'relative'", "consumer_config.state "),
        ("[consumer_config]\nkoji = 'file:///x'", "consumer_config.koji "),
        ("[consumer_config]\ncommitter = 'nobody'", "consumer_config.committer "),
        ("[consumer_config]\ncommitter = 'a\\nb <c@d>'", "consumer_config.committer "),
        ("[consumer_config]\npackages = []", "consumer_config.packages "),
        ("[consumer_config.retry]\nfirst = 0", "consumer_config.retry.first "),
        ("[consumer_config.retry]\ncap = 1e6", "consumer_config.retry.cap "),
        ("[consumer_config]\nlease = 1e6", "consumer_config.lease "),
        ("[consumer_config.retry]\nfactor = 0.5", "consumer_config.retry.factor "),
        ("[consumer_config.packages.kernel]\nurl = 1", "consumer_config.packages.kernel.url "),
        ("[consumer_config.packages.'../x']\nverify = true", "consumer_config.packages.../x."),
        ("[consumer_config]\nlookaside = 'ftp://h/%{filename}'", "consumer_config.lookaside "),
        ("[consumer_config]\nlookaside = 'https://h/%{file}'", "consumer_config.lookaside "),
        ("[consumer_config.packages.kernel]\ntag = 'v1'", "consumer_config.packages.kernel.tag "),
        (
            "[consumer_config.packages.kernel]\ntag = ['v%{version}', 1]",
            "consumer_config.packages.kernel.tag ",
        ),
        ("[consumer_config.packages.kernel]\ntag = 1", "consumer_config.packages.kernel.tag "),
        ("[consumer_config.packages.kernel]\nrepo = 'x'", "consumer_config.packages.kernel.repo "),
        (
            "[consumer_config.packages.kernel]\nsource = '/x'",
            "consumer_config.packages.kernel.source ",
        ),
        (
            "[consumer_config.packages.kernel]\npush = ['https://h/x', 'ext::sh']",
            "consumer_config.packages.kernel.push.1 ",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(tmp_path: Path, text: str, key: str) -> None:
    path = written(tmp_path, text.replace("'", '"') if "\\n" in text else text)
    with pytest.raises(WrongUsage) as caught:
        load(path)
    assert caught.value.what.startswith(key)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("text", ["not toml [", "\udcff"])
def test_a_file_that_cannot_be_read_is_wrong_usage(tmp_path: Path, text: str) -> None:
    path = tmp_path / "srcgit.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(WrongUsage):
        load(path)
    with pytest.raises(WrongUsage):
        load(tmp_path / "missing.toml")


@pytest.mark.parametrize(
    "text",
    [
        "ext::sh -c id",
        "ext::sh",
        "file:///srv/x.git",
        "fd::17",
        "-x",
        "--upload-pack=id",
        "ssh://-oProxyCommand=id/x",
        "ssh://git@-oProxyCommand=id/x",
        "https://",
        "https://host",
        "../x",
        "host:path",
        "https://host/x y",
        "https://host/x\n",
        "",
    ],
)
def test_addresses_that_could_run_something_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        address(text)


def test_delays_grow_to_a_cap() -> None:
    retry = Retry(first=10, factor=2, cap=60)
    assert [retry.delay(n) for n in (1, 2, 3, 4, 5, 10_000)] == [10, 20, 40, 60, 60, 60]


def test_roots_are_given_by_dist_tag(tmp_path: Path) -> None:
    table = "[consumer_config.sandbox.roots]\n"
    path = written(tmp_path, table + '".fc41" = "/var/lib/srcgit/roots/fc41"\n')
    assert load(path).roots == {".fc41": Path("/var/lib/srcgit/roots/fc41")}
    for wrong, why in (
        ('fc41 = "/r"', "fc41 is no dist tag"),
        ('".fc41" = "r"', "must be an absolute path"),
        ('".fc41" = 1', "must be a str"),
    ):
        with pytest.raises(WrongUsage, match=why):
            load(written(tmp_path, table + wrong))
