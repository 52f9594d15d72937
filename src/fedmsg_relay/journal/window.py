"""The dedup window: the newest messages by their ``msg_id``, in memory and in the journal. It tells duplicates.

A duplicate has the same ``msg_id`` and the same topic and body, byte for byte. The ``msg_id`` alone is not enough:
anybody who knows or guesses one could silence somebody else's message with it.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import TypeAlias

from fedmsg_relay.journal import block
from fedmsg_relay.journal.reading import read_message
from fedmsg_relay.journal.records import Entry, digest

NAMESAKES = 4
"""Number of messages that are remembered of one ``msg_id``: the first, and the newest. So a look-up is never long."""

GENERATIONS = 4
"""Parts of the window, of which one is forgotten at once. A look-up looks into each of them."""

FINGERPRINT_BYTES = 4096
"""Smaller messages are read at the start, so that their retries are known even if the journal is then lost."""

Sighting: TypeAlias = tuple[int, int | None]
"""Where a message is: its ``seq``, and its fingerprint; None where only the journal has its bytes."""


def fingerprint(topic: bytes, body: bytes) -> int:
    """Make a short number that stands for a message in the memory of this process.

    Python's hash of bytes is a SipHash with a key of this process, so that nobody can look for two messages that have
    the same.

    Args:
        topic: first frame.
        body: second frame.
    """
    return hash((topic, body))


def remembered(sightings: tuple[Sighting, ...]) -> tuple[Sighting, ...]:
    """Choose which messages with one ``msg_id`` are remembered.

    The first one is among them: nobody can make the relay forget a message by sending others with its ``msg_id``.

    Args:
        sightings: where they are, the newest last.
    """
    return sightings if len(sightings) <= NAMESAKES else (sightings[0], *sightings[1 - NAMESAKES :])


class Window:
    """Knows the newest messages by their ``msg_id``.

    It keeps them in generations, each a dict, and forgets a whole generation at once. To forget one message for each
    new one takes three times as long.

    Args:
        limit: number of the newest messages that it knows at least; it knows up to one generation more.
        found: messages that the journal has, by their ``msg_id``, oldest first.
    """

    def __init__(self, limit: int, found: Iterable[tuple[str, Sighting]] = ()) -> None:
        self._full = -(-limit // GENERATIONS)
        self._generations = self._begin()
        for msg_id, sighting in found:
            self.add({msg_id: (sighting,)})

    def add(self, known: Mapping[str, tuple[Sighting, ...]]) -> None:
        """Take in messages; the oldest make room.

        Args:
            known: where the messages are, by their ``msg_id``.
        """
        newest = self._generations[-1]
        if newest.keys().isdisjoint(known):
            newest.update(known)
        else:
            for msg_id, sightings in known.items():
                newest[msg_id] = remembered((*newest.get(msg_id, ()), *sightings))
        if len(newest) >= self._full:
            self._generations.append({})

    def find(self, msg_id: str) -> tuple[Sighting, ...]:
        """Get where the messages with a ``msg_id`` are.

        Args:
            msg_id: the name of a message.

        Returns:
            The newest last.
        """
        found = [generation[msg_id] for generation in self._generations if msg_id in generation]
        return remembered(tuple(chain.from_iterable(found))) if found else ()

    def keep_from(self, other: Window, upto: int) -> None:
        """Take over messages that another window knows and this one does not.

        Args:
            other: the window of a journal that was set aside.
            upto: ``seq`` of its last message to take over.
        """
        mine, self._generations = self._generations, self._begin()
        for generation in other._generations:
            self.add(
                {
                    msg_id: kept
                    for msg_id, sightings in generation.items()
                    if (kept := tuple(sighting for sighting in sightings if sighting[0] <= upto))
                }
            )
        for generation in mine:
            self.add(generation)

    def _begin(self) -> deque[dict[str, tuple[Sighting, ...]]]:
        return deque([{}], maxlen=GENERATIONS + 1)


def read_recent(db: sqlite3.Connection, after: int) -> Iterator[tuple[str, Sighting]]:
    """Read the messages of the window from a journal, oldest first, also removed ones.

    Args:
        db: a journal.
        after: ``seq`` after which the window begins.

    Yields:
        ``msg_id``, and where the message is.
    """
    for msg_id, seq in db.execute("SELECT msg_id, seq FROM name WHERE seq > ? ORDER BY seq", (after,)):
        yield msg_id, (seq, None)
    for found in block.read_from(db, max(1, after + 1)):
        if found.intact:
            for seq, _, msg_id, topic, body, _ in found.records():
                if msg_id is not None and seq > after:
                    small = len(topic) + len(body) < FINGERPRINT_BYTES
                    yield msg_id, (seq, fingerprint(topic, body) if small else None)


def is_same(db: sqlite3.Connection, seq: int, entry: Entry) -> bool:
    """Tell whether a message of the window is the same as another one, byte for byte.

    Args:
        db: a journal.
        seq: of the message in the window; retention may have removed it.
        entry: the other message.

    Raises:
        ValueError: the block of the message is damaged.
    """
    record = read_message(db, seq)
    if record is not None:
        return (record.topic, record.body) == (entry.topic, entry.body)
    row = db.execute("SELECT digest FROM name WHERE seq = ?", (seq,)).fetchone()
    return row is not None and row[0] == digest(entry.topic, entry.body)
