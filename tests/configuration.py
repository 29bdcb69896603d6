"""Configuration files for tests: fedora-messaging's part, and srcgit's tables."""

from __future__ import annotations

import json

from tests.broker import Broker

SOURCE = "https://src.fedoraproject.org/rpms/kernel.git"


def listening(broker: Broker, queue: str, prefetch: int = 5) -> str:
    """Return the part of who consumes ``queue``, which is there already."""
    return f"""
amqp_url = "{broker.url}"
passive_declares = true
bindings = []
[queues.{queue}]
durable = true
auto_delete = false
exclusive = false
arguments = {{}}
[qos]
prefetch_size = 0
prefetch_count = {prefetch}
"""


def table(*name: str, **values: object) -> str:
    """Return a table of srcgit's part; paths become strings, all else JSON writes as TOML does."""
    lines = [f"{key} = {json.dumps(value, default=str)}" for key, value in values.items()]
    return "\n".join([f"[{'.'.join(['consumer_config', *name])}]", *lines, ""])


def kernel(**values: object) -> str:
    """Return the table of the package kernel as Fedora's dist-git has it."""
    return table("packages", "kernel", source=SOURCE, **values)
