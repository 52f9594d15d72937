"""The depth of this host's spool for Prometheus: a file for the textfile collector of the node exporter."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from fedmsg_relay import spool
from fedmsg_relay.commands.undeliverable import FOLDER
from fedmsg_relay.errors import RelayError


def write(path: Path, directory: str) -> None:
    """Write the file; a reader finds the old one or the new one.

    Args:
        path: of the file; its name ends in ``.prom``.
        directory: of the spool.

    Raises:
        RelayError: it cannot be written, or the spool not be read.
    """
    try:
        waiting = spool.pending(directory)
        aside = 0
        with suppress(FileNotFoundError):
            aside = sum(1 for _ in Path(directory, FOLDER).iterdir())
        new = path.with_name(f".{path.name}.new")
        new.write_text(_metrics(waiting, aside), encoding="ascii")
        new.chmod(0o644)
        new.replace(path)
    except OSError as error:
        raise RelayError(f"{error.filename or path}: {error.strerror}") from error


def oldest(waiting: Iterable[str]) -> float:
    """Tell when the oldest of some messages was spooled: their names begin with that time, in nanoseconds.

    Args:
        waiting: the names of their files.

    Returns:
        The time, in Unix seconds; 0 if there is none.
    """
    return min((int(name[:20]) for name in waiting if name[:20].isdecimal()), default=0) / 1e9


def _metrics(waiting: list[str], aside: int) -> str:
    values = {
        "messages": ("Messages that wait in the spool of this host.", len(waiting)),
        "oldest_timestamp_seconds": ("When the oldest of them was spooled; 0 if there is none.", oldest(waiting)),
        "set_aside_files": ("Files that cannot be delivered.", aside),
        "looked_timestamp_seconds": ("When the spool was looked at.", round(time.time(), 3)),
    }
    return "".join(
        f"# HELP fedmsg_relay_spool_{name} {text}\n# TYPE fedmsg_relay_spool_{name} gauge\n"
        f"fedmsg_relay_spool_{name} {value}\n"
        for name, (text, value) in values.items()
    )
