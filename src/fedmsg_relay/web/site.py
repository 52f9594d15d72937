"""The state that all parts of the web process share."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path

from fedmsg_relay.runtime import threads
from fedmsg_relay.web.condition import Watch
from fedmsg_relay.web.names import Names
from fedmsg_relay.web.reader import Reader
from fedmsg_relay.web.signature import Signatures
from fedmsg_relay.web.source import Source
from fedmsg_relay.web.tip import Tip


class Site:
    """The journal and the relay beside which the web process runs.

    Args:
        journal: path of ``journal.db``.
        signatures: checks signatures.
        keep_days: how long the journal keeps messages.

    Attributes:
        signatures: checks signatures.
        keep_days: how long the journal keeps messages.
        source: the journal.
        reader: reads it.
        names: finds messages by ``msg_id``.
        watch: asks the relay how it is.
        tip: wakes live streams.
        streams: number of live streams of each IP address.
    """

    def __init__(self, journal: Path, signatures: Signatures, keep_days: float) -> None:
        self.signatures = signatures
        self.keep_days = keep_days
        self.source = Source(journal)
        self.reader = Reader(self.source)
        self.names = Names(self.source)
        self.watch = Watch()
        self.tip = Tip(self.reader)
        self.streams: Counter[str] = Counter()
        self._ended = threading.Event()

    def begin(self) -> None:
        """Start what works beside requests."""
        threads.start("names", lambda: self.names.keep(self._ended))
        threads.start("gate", lambda: self.source.gate.keep(self._ended))
        self._task = asyncio.create_task(self.tip.keep())

    def end(self) -> None:
        """Stop it."""
        self._ended.set()
        self.tip.end()
