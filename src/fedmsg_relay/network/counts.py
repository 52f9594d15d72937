"""Counts by IP address, in bounded memory."""

from __future__ import annotations

from typing import TypedDict

COUNTED_ADDRESSES = 2000
"""Addresses that are counted; with one more, the half with the smaller counts is forgotten."""

MOST = 5
"""Addresses that are shown, with the largest counts."""


class AddressCount(TypedDict):
    """The count of one address."""

    address: str
    count: int


class CountsStatus(TypedDict):
    """The count of all addresses together, and the largest ones."""

    count: int
    most: list[AddressCount]


class AddressCounts:
    """Counts something by IP address. One thread counts, any other may ask.

    An address that was forgotten begins again at 0, so only the count of a small one can be too small.

    Attributes:
        count: of all addresses together, also of forgotten ones.
    """

    def __init__(self) -> None:
        self.count = 0
        self._of: dict[str, int] = {}

    def add(self, address: str, number: int) -> None:
        """Count.

        Args:
            address: the IP address, or any other name of a peer.
            number: to add.
        """
        self.count += number
        known = self._of.get(address)
        if known is None and len(self._of) >= COUNTED_ADDRESSES:
            self._of = dict(self._sorted()[: COUNTED_ADDRESSES // 2])
        self._of[address] = (known or 0) + number

    def describe(self) -> CountsStatus:
        """Describe the counts for the status."""
        most = [AddressCount(address=address, count=count) for address, count in self._sorted()[:MOST]]
        return {"count": self.count, "most": most}

    def _sorted(self) -> list[tuple[str, int]]:
        """The counts, the largest first."""
        return sorted(self._of.copy().items(), key=lambda found: found[1], reverse=True)
