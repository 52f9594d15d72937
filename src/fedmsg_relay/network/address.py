"""An address of ZeroMQ's form, taken apart: ``tcp://HOST:PORT``."""

from __future__ import annotations

import ipaddress
import re

from fedmsg_relay.errors import ConfigError

_TCP = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\]|[A-Za-z0-9_.*;-]+):(?P<port>[0-9]{1,5})")
"""libzmq refuses any other character in a host. The name of an interface may stand before it, with ``;``."""

_IPC = "ipc://"

MAX_PATH_BYTES = 107
"""Maximum length of the path of a unix socket, unix(7)."""


def is_path(address: str, origin: str) -> bool:
    """Tell an address of a unix socket from one of TCP.

    Args:
        address: such as ``ipc:///run/relay.sock``.
        origin: where it stands, for the message.

    Raises:
        ConfigError: no socket can have this path.
    """
    if not address.startswith(_IPC):
        return False
    if not 0 < len(address.encode(errors="replace")) - len(_IPC) <= MAX_PATH_BYTES:
        raise ConfigError(
            f"{origin}: {address!r} is not an address; accepted: ipc://PATH with a path of 1 to {MAX_PATH_BYTES} bytes"
        )
    return True


def split(address: str, origin: str) -> tuple[str, int]:
    """Take an address apart.

    Args:
        address: such as ``tcp://host:9941`` or ``tcp://[::1]:9941``.
        origin: where it stands, for the message.

    Returns:
        Host (without brackets) and port.

    Raises:
        ConfigError: it is not such an address.
    """
    parts = parse(address)
    if not parts or not 0 < parts[1] < 65536:
        raise ConfigError(
            f"{origin}: {address!r} is not an address; accepted: tcp://HOST:PORT (port 1 to 65535), ipc://PATH"
        )
    return parts


def parse(address: str) -> tuple[str, int] | None:
    """Take an address apart, if it is one. The port may be out of range.

    Args:
        address: any text.

    Returns:
        Host (without brackets) and port.
    """
    match = _TCP.fullmatch(address)
    return (match["host"].strip("[]"), int(match["port"])) if match else None


def literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read a host as an IP address; None where it is a name.

    Args:
        host: without brackets.
    """
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
