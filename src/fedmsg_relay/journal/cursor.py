"""How far the relay has come in its journal: what it has sent, and what the journal notes as published."""

from __future__ import annotations


class Cursor:
    """Two positions in a journal. Messages are sent first, and noted as published when they are out for good.

    Args:
        published: ``seq`` of the last message that the journal notes as published.
    """

    def __init__(self, published: int = 0) -> None:
        self._published = self._sent = published

    @property
    def published(self) -> int:
        """``seq`` of the last message that the journal notes as published. The next start begins after it."""
        return self._published

    @property
    def sent(self) -> int:
        """``seq`` of the last message that this run has sent: to outbound, or to the upstream."""
        return self._sent

    @property
    def all_published(self) -> bool:
        """Whether all that was sent is noted as published."""
        return self._published == self._sent

    def note_sent(self, upto: int) -> None:
        """Count messages as sent.

        Args:
            upto: ``seq`` of the last one.
        """
        self._sent = upto

    def note_unsent(self, upto: int) -> None:
        """Count later messages as not sent: the next start sends them again.

        Args:
            upto: ``seq`` of the last message that stays sent.
        """
        self._sent = min(self._sent, upto)

    def note_published(self, upto: int) -> None:
        """Count messages as published, once the journal notes that they are.

        Args:
            upto: ``seq`` of the last one.
        """
        self._published = upto
        self._sent = max(self._sent, upto)
