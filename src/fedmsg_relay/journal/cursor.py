"""How far the relay has come in its journal: what it has handed over, and what the journal notes as published."""

from __future__ import annotations


class Cursor:
    """Two positions in a journal. Messages are handed over first, and noted as published when they are out for good.

    Args:
        published: ``seq`` of the last message that the journal notes as published.
    """

    def __init__(self, published: int = 0) -> None:
        self._published = self._handed_over = published

    @property
    def published(self) -> int:
        """``seq`` of the last message that the journal notes as published. The next start begins after it."""
        return self._published

    @property
    def handed_over(self) -> int:
        """``seq`` of the last message that this run has handed over: to outbound, or to the upstream."""
        return self._handed_over

    @property
    def settled(self) -> bool:
        """Whether all that was handed over is noted as published."""
        return self._published == self._handed_over

    def hand_over(self, upto: int) -> None:
        """Count messages as handed over.

        Args:
            upto: ``seq`` of the last one.
        """
        self._handed_over = upto

    def take_back(self, upto: int) -> None:
        """Count later messages as not handed over: the next start hands them over again.

        Args:
            upto: ``seq`` of the last message that stays handed over.
        """
        self._handed_over = min(self._handed_over, upto)

    def settle(self, upto: int) -> None:
        """Count messages as published, once the journal notes that they are.

        Args:
            upto: ``seq`` of the last one.
        """
        self._published = upto
        self._handed_over = max(self._handed_over, upto)
