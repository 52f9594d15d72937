"""The messages that retention spares for the bridge: those after a number in a file beside the journal.

It is a file of its own, so that the relay opens no second database for it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_NAME = "bridge.cursor"


def note(state: Path, cursor: int) -> None:
    """Note which messages the bridge has sent. If it cannot be written, the relay spares more than it has to.

    Args:
        state: directory of the journal.
        cursor: ``seq`` of the last message that is sent, and all before it.
    """
    path = state / _NAME
    with suppress(OSError):
        new = path.with_name(f".{_NAME}.new")
        new.write_text(f"{cursor}\n", encoding="ascii")
        new.replace(path)
