"""Where a relay keeps its files: what systemd names, else what the system has, else the user's own."""

from __future__ import annotations

import os
from pathlib import Path


def status_socket() -> Path:
    """Find the status socket's path, the same for the relay and for who asks it.

    Returns:
        ``$RUNTIME_DIRECTORY/status.sock``, else in ``/run/fedmsg-relay`` where that exists (the relay is a service),
        else in ``$XDG_RUNTIME_DIR/fedmsg-relay``, else in ``$XDG_STATE_HOME/fedmsg-relay``.
    """
    if named := os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]:
        return Path(named, "status.sock")
    service = Path("/run/fedmsg-relay")
    if service.is_dir():
        return service / "status.sock"
    if user := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(user, "fedmsg-relay", "status.sock")
    return _user_state() / "status.sock"


def state() -> Path:
    """Find the directory of the journal.

    Returns:
        ``$STATE_DIRECTORY``, else ``/var/lib/fedmsg-relay`` if it is writable, else ``$XDG_STATE_HOME/fedmsg-relay``.
    """
    if named := os.environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(named)
    service = Path("/var/lib/fedmsg-relay")
    return service if os.access(service, os.W_OK) else _user_state()


def _user_state() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser(), "fedmsg-relay")
