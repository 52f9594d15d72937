"""The messages that retention spares, because the bridge has not sent them.

The bridge notes its cursor in ``bridge.cursor`` beside the journal, so that the relay opens no second database for it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

FACTOR = 2
"""Messages that the bridge has not sent are kept for this many times ``keep_days`` and ``keep_bytes``."""

_NAME = "bridge.cursor"


def note(state: Path, cursor: int) -> None:
    """Note what the bridge has sent. If it cannot be written, the relay spares more than it has to.

    Args:
        state: directory of the journal.
        cursor: ``seq`` up to which all messages are sent.
    """
    path = state / _NAME
    with suppress(OSError):
        new = path.with_name(f".{_NAME}.new")
        new.write_text(f"{cursor}\n", encoding="ascii")
        new.replace(path)


def cursor(state: Path) -> int | None:
    """Find out what the bridge has sent.

    Args:
        state: directory of the journal.

    Returns:
        ``seq`` up to which all messages are sent; None where no bridge has run.
    """
    with suppress(OSError, ValueError):
        return int((state / _NAME).read_text(encoding="ascii"))
    return None
