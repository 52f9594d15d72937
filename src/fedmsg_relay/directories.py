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
    state = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(state, "fedmsg-relay", "status.sock")
