"""What systemd is told of this process, by the protocol of sd_notify(3)."""

from __future__ import annotations

import os
import socket


def watchdog() -> float:
    """Return the seconds that systemd waits for ``WATCHDOG=1``, or infinity: sd_watchdog_enabled(3)."""
    asked = os.environ.get("WATCHDOG_USEC", "")
    ours = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(asked) / 1e6 if ours and asked.isdigit() and int(asked) else float("inf")


def notify(state: str) -> None:
    """Send ``state``, such as ``WATCHDOG=1``, to systemd; to nobody when it did not start us.

    A message that cannot be sent is dropped: the watchdog draws its own conclusion.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.setblocking(False)
        try:
            channel.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError:
            return
