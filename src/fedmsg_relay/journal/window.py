"""The dedup window: what a submitted message is known again by.

A name is not a message: whoever knows or guesses a ``msg_id`` could silence somebody else's message with it. So a
duplicate is a message with the same ``msg_id`` and the same topic and body, byte for byte.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TypeAlias

NAMESAKES = 4
"""Messages that are remembered of one name: the newest. So nobody makes a look-up long."""

Sighting: TypeAlias = tuple[int, int | None]
"""Where a message is: its ``seq``; and what stands for its bytes in memory, None where only the journal can tell."""


def fingerprint(topic: bytes, body: bytes) -> int:
    """Make what stands for a message in the memory of this process.

    Python's hash of bytes is a SipHash with a key of each process: nobody outside can look for two that are the same.

    Args:
        topic: first frame.
        body: second frame.
    """
    return hash((topic, body))


class Window:
    """Knows the newest messages by their names.

    Args:
        limit: how many names.
        found: messages that the journal has, by their ``msg_id``, oldest first.
    """

    def __init__(self, limit: int, found: Iterable[tuple[str, Sighting]] = ()) -> None:
        self._limit = limit
        # Not a dict: to find the oldest key of one takes longer with every key that was removed before it.
        self._known: OrderedDict[str, tuple[Sighting, ...]] = OrderedDict()
        for name, sighting in found:
            self._add(name, (sighting,))

    def add(self, known: Mapping[str, tuple[Sighting, ...]]) -> None:
        """Take in the messages of a batch; the oldest make room.

        Args:
            known: where they are, by their names.
        """
        for name, sightings in known.items():
            self._add(name, sightings)
        while len(self._known) > self._limit:
            self._known.popitem(last=False)

    def find(self, name: str) -> tuple[Sighting, ...]:
        """Get where messages of this name are.

        Args:
            name: a ``msg_id``.

        Returns:
            The newest last.
        """
        return self._known.get(name, ())

    def keep_from(self, other: Window, upto: int) -> None:
        """Take over what another one knows and this one does not.

        Args:
            other: of a journal that was set aside.
            upto: ``seq`` of the last message of it that retries shall still be known of.
        """
        mine = self._known
        self._known = OrderedDict()
        for name, sightings in other._known.items():
            if kept := tuple(sighting for sighting in sightings if sighting[0] <= upto):
                self._add(name, kept)
        for name, sightings in mine.items():
            self._add(name, sightings)

    def _add(self, name: str, sightings: tuple[Sighting, ...]) -> None:
        before = self._known.pop(name, ())
        self._known[name] = (before + sightings)[-NAMESAKES:] if before else sightings
