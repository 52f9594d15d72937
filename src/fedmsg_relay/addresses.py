"""How addresses of connections are written, for people and to be compared."""

from __future__ import annotations


def format_address(name: tuple[str, int] | tuple[str, int, int, int] | str | bytes) -> str:
    """Write a socket address as an operator would.

    Args:
        name: from getpeername(2) or getsockname(2).

    Returns:
        ``10.5.126.12:41234`` (also when mapped into IPv6), ``[2001:db8::1]:41234``, ``local`` for ipc, and ``@name``
        where a unix socket has a name in the abstract namespace.
    """
    if isinstance(name, bytes) and name:
        return "@" + name[1:].decode(errors="backslashreplace")
    if not isinstance(name, tuple):
        return "local"
    host = name[0].removeprefix("::ffff:")
    return f"[{host}]:{name[1]}" if ":" in host else f"{host}:{name[1]}"
