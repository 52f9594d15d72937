"""Where a relay keeps its files: as systemd says, else in the system's directories, else in those of the user."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

from fedmsg_relay.errors import ConfigError, JournalError
from fedmsg_relay.submit import is_identity


def status_socket() -> Path:
    """Find the path of the status socket, the same for the relay and for its readers.

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


def control_socket() -> Path:
    """Find the path of the control socket, beside the status socket; only root and the relay's user may use it."""
    return status_socket().with_name("control.sock")


def state() -> Path:
    """Find the directory of the journal, for a relay or a bridge that works there.

    Returns:
        ``$STATE_DIRECTORY``, else ``/var/lib/fedmsg-relay`` if it is writable, else ``$XDG_STATE_HOME/fedmsg-relay``.
    """
    return _state(os.W_OK)


def state_of_host() -> Path:
    """Find the directory of the journal, for a command that looks at the relay or the bridge of this host.

    Returns:
        As :func:`state`, but ``/var/lib/fedmsg-relay`` also for users who may only read it.
    """
    return _state(os.R_OK | os.X_OK)


def is_relay_host() -> bool:
    """Tell whether a relay is meant to run on this host, though none may run now.

    Returns:
        True where its unit, its runtime directory or its journal is there.
    """
    units = [Path(folder, "fedmsg-relay.service") for folder in ("/etc/systemd/system", "/usr/lib/systemd/system")]
    places = [*units, Path("/etc/init.d/fedmsg-relay"), status_socket().parent]
    # What this user may not look at is not there.
    return any(os.access(path, os.F_OK) for path in places) or os.access(state_of_host() / "journal.db", os.F_OK)


def lock(directory: Path) -> TextIOWrapper:
    """Lock a state directory, so that only one relay works in it: two would write one journal.

    Args:
        directory: the state directory; made when it is not there.

    Returns:
        The file that holds the lock while it is open.

    Raises:
        ConfigError: another relay works there.
        JournalError: nothing can be written there, so no journal either.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = (directory / "lock").open("a+", encoding="ascii")
    except OSError as error:
        raise JournalError(f"state directory {directory}: {error.strerror}") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.seek(0)
        other = held.read().strip()
        held.close()
        raise ConfigError(f"state directory {directory}: another relay works there (pid {other})") from None
    try:
        held.truncate(0)
        held.write(f"{os.getpid()}\n")
        held.flush()
    except OSError:
        pass  # a full disk: the lock is what counts
    return held


def identity(directory: Path) -> str:
    """Find the identity of this relay, which a restart keeps. By it the relay recognises a chain that leads back to it.

    Args:
        directory: the state directory.

    Returns:
        The host's name and a random part.
    """
    path = directory / "identity"
    with suppress(OSError):
        known = path.read_text(encoding="utf-8", errors="replace").strip()
        if is_identity(known):  # else another relay would not take it, as after a power failure
            return known
    made = f"{socket.gethostname()}-{secrets.token_hex(4)}"
    with suppress(OSError):  # if nothing can be written, a restart makes another one
        path.write_text(f"{made}\n", encoding="utf-8")
    return made


def _state(access: int) -> Path:
    if named := os.environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(named)
    service = Path("/var/lib/fedmsg-relay")
    return service if os.access(service, access) else _user_state()


def _user_state() -> Path:
    if named := os.environ.get("XDG_STATE_HOME"):
        return Path(named, "fedmsg-relay")
    try:
        return Path("~/.local/state/fedmsg-relay").expanduser()
    except RuntimeError as error:
        why = f"user {os.geteuid()} has no home directory: set HOME, or STATE_DIRECTORY and RUNTIME_DIRECTORY"
        raise ConfigError(why) from error
