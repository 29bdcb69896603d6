"""From an empty machine to a clone: `make test-ansible`. Takes some minutes, and root.

A real systemd, RabbitMQ, nginx and git; only Koji's hub and the two git servers of the world
outside are small ones of our own, in the machine's network. The tests run in this order, each on
what the one before has left.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ansible.machine import CACHE, Machine, empty, root, until
from tests.ansible.test_role import ROOT, run
from tests.builders import Sample, sample
from tests.hub import Hub

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="boots a machine: needs root"),
]
TREE = "http://localhost/kernel.git"
TOPIC = "org.fedoraproject.prod.buildsys.build.state.change"

# ansible's ssh plugin believes that this is ssh: its last argument is the command.
SSH = """#!/bin/sh
for command; do :; done
exec {enter} sh -c "$command"
"""

PUBLISH = """
import json, sys
from fedora_messaging import api, message
api.publish(message.Message(topic=sys.argv[1], body=json.loads(sys.argv[2])), timeout=20)
"""


@dataclass
class World:
    """The machine, what is outside of it, and how to apply the role."""

    machine: Machine
    hub: Hub
    sample: Sample
    directory: Path
    wheel: Path
    said: str = field(default="", init=False)  # Ansible's last words

    def apply(self, *options: str) -> dict[str, int]:
        """Run the playbook; return its recap, such as {"ok": 30, "changed": 7, "failed": 0}."""
        done = run(
            "ansible-playbook",
            "-i",
            "inventory.yml",
            *options,
            str(ROOT / "ansible/site.yml"),
            cwd=self.directory,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        self.said = done.stdout + done.stderr
        recap = done.stdout.rpartition("PLAY RECAP")[2]
        return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", recap)}

    def build(self, nvr: str, commit: str, target: str, **others: Any) -> dict[str, Any]:
        """Let Koji finish a build."""
        return self.hub.add(nvr, commit=commit, target=target, **others)

    def announce(self, build: dict[str, Any]) -> None:
        """Publish the message about it, as koji-fedoramessaging does."""
        conf = self.directory / "publisher.toml"
        conf.write_text('amqp_url = "amqp://guest:guest@localhost/%2F"\n')
        body = json.dumps(self.hub.message(build))
        env = {"FEDORA_MESSAGING_CONF": str(conf)}
        self.machine.ask(sys.executable, "-c", PUBLISH, TOPIC, body, **env)

    def tags(self) -> dict[str, str]:
        out = self.machine.run("git", "ls-remote", "--tags", TREE)
        return {
            name.removeprefix("refs/tags/"): sha for sha, name in map(str.split, out.splitlines())
        }

    def published(self, build: dict[str, Any]) -> None:
        """Wait until the build's tag can be seen over http."""
        try:
            until(lambda: build["nvr"] in self.tags(), 90)
        except AssertionError as error:
            raise AssertionError(self.journal("srcgit-listen@*")) from error

    def show(self, unit: str, name: str) -> str:
        return self.machine.run("systemctl", "show", "-P", name, unit).strip()

    def journal(self, unit: str) -> str:
        return self.machine.run("journalctl", "-u", unit, "--no-pager", "-o", "cat")[-4000:]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("world")
    wheels = CACHE / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    for old in wheels.glob("srcgit-*.whl"):
        old.unlink()
    done = run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--find-links",
        str(wheels),
        "-w",
        str(wheels),
        str(ROOT),
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.glob("srcgit-*.whl")
    with Machine(root(), wheels) as machine:
        outside = directory / "outside"
        outside.mkdir()
        made = sample(outside)
        machine.run("ip", "link", "set", "lo", "up")
        daemon = ["git", "daemon", "--reuseaddr", "--export-all", "--listen=127.0.0.1"]
        machine.serve(*daemon, f"--base-path={outside}")
        hub = machine.here(Hub)
        world = World(machine, hub, made, directory, wheel)
        inventory(world)
        with hub:
            yield world


def inventory(world: World) -> None:
    ssh = world.directory / "ssh"
    ssh.write_text(SSH.format(enter=" ".join(world.machine.enter)))
    ssh.chmod(0o755)
    variables = {
        "ansible_connection": "ssh",
        "ansible_user": "root",
        "ansible_ssh_executable": str(ssh),
        "ansible_ssh_transfer_method": "piped",
        "ansible_pipelining": True,
        "ansible_python_interpreter": "/usr/bin/python3",
        "srcgit_wheel": str(world.wheel),
        "srcgit_pip_environment": {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": f"{CACHE / 'wheels'} /opt/srcgit/wheels",
        },
        "srcgit_server_name": "localhost",
        "srcgit_workers": 2,
        "srcgit_koji": world.hub.url,
        "srcgit_amqp_url": "amqp://guest:guest@localhost/%2F",
        "srcgit_queue": "srcgit",
        "srcgit_backfill_days": 9999,  # the hub's clock stands still in 2017
        "srcgit_upstreams": {"linux": {"torvalds": "git://127.0.0.1/linux.git"}},
        "srcgit_packages": {
            "kernel": {
                "pkg_git": "git://127.0.0.1/kernel.git",
                "source": "https://src.fedoraproject.org/rpms/kernel.git",
                "upstreams": ["/var/lib/srcgit/upstreams/linux.git"],
                "push": ["/srv/srcgit/kernel.git"],
            }
        },
    }
    hosts = {"all": {"hosts": {"empty": variables}}}
    (world.directory / "inventory.yml").write_text(yaml.safe_dump(hosts))


def test_check_mode_on_an_empty_machine_changes_nothing(world: World) -> None:
    with Machine(empty()) as machine:
        inventory(replace(world, machine=machine))
        recap = world.apply("--check")
        assert recap["failed"] == 0 and recap["changed"] > 10
        for path in ("/etc/srcgit", "/opt/srcgit", "/srv/srcgit", "/usr/bin/git"):
            assert machine.run("ls", path) == ""
    inventory(world)


def test_first_run_converges(world: World) -> None:
    recap = world.apply()
    assert recap["failed"] == 0 and recap["changed"] > 20


def test_second_run_changes_nothing(world: World) -> None:
    recap = world.apply()
    assert (recap["failed"], recap["changed"]) == (0, 0), world.said


def test_check_mode_agrees_that_nothing_is_left_to_do(world: World) -> None:
    assert world.apply("--check", "--diff")["changed"] == 0, world.said


def test_units_run(world: World) -> None:
    for unit in (
        "srcgit-listen@1.service",
        "srcgit-listen@2.service",
        "srcgit-web.service",
        "srcgit-git-http.socket",
        "srcgit-upstream@linux.timer",
        "srcgit-backfill@kernel.timer",
        "srcgit-maintain.timer",
        "srcgit-health.timer",
        "nginx.service",
    ):
        assert world.show(unit, "ActiveState") == "active", world.journal(unit)
    for instance in (1, 2):
        unit = f"srcgit-listen@{instance}.service"
        assert world.show(unit, "NRestarts") == "0", world.journal(unit)
    assert world.machine.run("systemctl", "--failed", "--plain", "--no-legend") == ""


def test_the_upstream_was_there_before_any_worker(world: World) -> None:
    fetched = int(world.show("srcgit-upstream@linux.service", "ExecMainExitTimestampMonotonic"))
    started = int(world.show("srcgit-listen@1.service", "ExecMainStartTimestampMonotonic"))
    assert 0 < fetched < started


def test_a_message_becomes_a_tag_to_clone(world: World) -> None:
    build = world.build("kernel-4.15.0-1.fc28", world.sample.git_am, "f28")
    world.announce(build)
    world.published(build)
    world.machine.run("git", "clone", "-q", "-b", build["nvr"], TREE, "/tmp/clone", ok=True)
    log = world.machine.run("git", "-C", "/tmp/clone", "log", "--format=%an: %s", ok=True)
    assert "Hans de Goede: usb: hub: wait longer" in log.splitlines()


def test_nobody_can_push_over_http(world: World) -> None:
    out = world.machine.run("sh", "-c", "git -C /tmp/clone push origin HEAD:refs/heads/mine 2>&1")
    assert "403" in out


def test_a_killed_worker_comes_back_and_works(world: World) -> None:
    units = ["srcgit-listen@1.service", "srcgit-listen@2.service"]
    before = [world.show(unit, "MainPID") for unit in units]
    world.machine.run("kill", "-KILL", *before, ok=True)
    build = world.build("kernel-6.12.8-200.fc41", world.sample.today, "f41")
    world.announce(build)
    world.published(build)
    after = [world.show(unit, "MainPID") for unit in units]
    assert not set(before) & set(after) and "0" not in after
    assert [world.show(unit, "NRestarts") for unit in units] == ["1", "1"]


def test_a_stopped_worker_ends_in_peace(world: World) -> None:
    world.machine.run("systemctl", "restart", "srcgit-listen@1.service", ok=True)
    assert "status=" not in world.journal("srcgit-listen@1.service").rpartition("Stopping")[2]
    assert world.show("srcgit-listen@1.service", "ActiveState") == "active"


def test_a_build_without_message_is_found_by_the_backfill(world: World) -> None:
    build = world.build("kernel-6.12.8-201.fc41", world.sample.next, "f41")
    world.machine.run("systemctl", "start", "srcgit-backfill@kernel.service", ok=True)
    world.published(build)


def test_health_is_good_and_pages_answer(world: World) -> None:
    world.machine.run("systemctl", "start", "srcgit-health.service", ok=True)
    read = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
    page = world.machine.run("python3", "-c", read, "http://localhost/", ok=True)
    assert "6.12.8-201.fc41" in page, page
    metrics = world.machine.run("python3", "-c", read, "http://localhost/metrics", ok=True)
    documented = re.findall(
        r"^\| `(srcgit_\w+)` \|", (ROOT / "ansible/README.md").read_text(), re.MULTILINE
    )
    assert [name for name in documented if f"# TYPE {name}" not in metrics] == []


def test_deaf_workers_are_revived(world: World) -> None:
    """Connected, but not a message comes; Koji finishes builds all the same."""
    before = world.show("srcgit-listen@1.service", "MainPID")
    ago = time.time() - 1200
    world.build("kernel-6.12.9-1.fc41", world.sample.next, "f41", completion_ts=ago)
    world.machine.run("systemctl", "start", "srcgit-health.service")
    assert "no message told of kernel-6.12.9-1.fc41" in world.journal("srcgit-health.service")
    until(lambda: world.show("srcgit-listen@1.service", "MainPID") not in (before, "0"), 60)
    # and what was missed is in the journal now: healthy again
    health = ["systemctl", "start", "srcgit-health.service"]
    until(
        lambda: not world.machine.run(*health) and world.show(health[2], "Result") == "success", 60
    )


def test_the_published_tree_is_all_the_state_there_is(world: World) -> None:
    """Without journal, mirrors and working repository, the backfill finds every tag in place."""
    before = world.tags()
    sh = world.machine.run
    sh("systemctl", "stop", "srcgit-listen@1", "srcgit-listen@2", "srcgit-web", ok=True)
    sh(
        "sh",
        "-c",
        "find /var/lib/srcgit -mindepth 1 -maxdepth 1 ! -name upstreams -exec rm -rf {} +",
        ok=True,
    )
    sh("systemctl", "start", "srcgit-web", "srcgit-listen@1", "srcgit-listen@2", ok=True)
    sh("systemctl", "start", "srcgit-backfill@kernel.service", ok=True)
    build = world.build("kernel-3.17.0-300.fc21", world.sample.apply_patch, "f21")
    world.announce(build)
    world.published(build)
    assert before.items() <= world.tags().items()


def test_upkeep_of_the_published_tree(world: World) -> None:
    world.machine.run("systemctl", "start", "srcgit-maintain.service", ok=True)
    bundle = "http://localhost/kernel.bundle"
    world.machine.run("git", "clone", "-q", "--bundle-uri", bundle, TREE, "/tmp/begun", ok=True)
    world.machine.run("git", "clone", "-q", "--bare", TREE, "/tmp/after", ok=True)


def test_secrets_stay_out_of_the_log(world: World) -> None:
    secret = "s3cr3t-0f-th3-t3st"
    key = world.directory / "secrets.yml"
    key.write_text(yaml.safe_dump({"srcgit_push_key": f"{secret}\n", "srcgit_amqp_key": secret}))
    world.apply("-vvv", "--diff", "-e", f"@{key}")
    assert secret not in world.said
    assert secret in world.machine.run("cat", "/etc/srcgit/push-key")
    assert world.machine.run("runuser", "-u", "srcgit", "--", "cat", "/etc/srcgit/push-key") == ""


def test_fewer_workers_means_fewer_units(world: World) -> None:
    world.apply("-e", "srcgit_workers=1")
    assert world.show("srcgit-listen@2.service", "ActiveState") == "inactive"
    assert world.show("srcgit-listen@1.service", "ActiveState") == "active"
