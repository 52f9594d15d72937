"""A model of submit, written from docs/submit.md and not from the relay's code."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from messages import Message
from submitted import NOT_WELL_FORMED
from wire import accepted


@dataclass
class Model:
    """The state that the relay must have: all messages of its journal in order, and their numbers by their names."""

    journal: list[Message]
    known: dict[str, list[int]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def publish(self, message: Message) -> None:
        """It comes at inbound, where a retry is not looked for."""
        self._take(message)

    def submit(self, messages: list[Message]) -> dict[str, Any]:
        """Take a batch; return the answer without its detail, which is for a person."""
        bad = {message: reason for reason, message in NOT_WELL_FORMED.items()}
        for message in messages:
            if message in bad:
                self.counts["refused"] += len(messages)
                return {"status": "refused", "reason": bad[message]}
        before = len(self.journal)
        seqs = [self._seen(message) or self._take(message, submitted=True) for message in messages]
        duplicates = len(messages) - (len(self.journal) - before)
        self.counts["duplicates"] += duplicates
        return accepted(min(seqs), max(seqs), duplicates)

    def restart(self) -> None:
        self.counts.clear()

    def _seen(self, message: Message) -> int | None:
        """The number of the same message: the same name alone does not make it one."""
        return next((seq for seq in self._namesakes(message) if self.journal[seq - 1] == message), None)

    def _namesakes(self, message: Message) -> list[int]:
        """The messages with its name that are known, the newest first."""
        known = self.known.get(name(message), [])
        return [*known[:-4:-1], *known[:-3][:1]]

    def _take(self, message: Message, submitted: bool = False) -> int:
        self.counts["reused"] += submitted and bool(self._namesakes(message))
        self.journal.append(message)
        self.counts["journaled"] += 1
        if name(message):
            self.known.setdefault(name(message), []).append(len(self.journal))
        return len(self.journal)


def name(message: Message) -> str:
    msg_id: str = json.loads(message[1]).get("msg_id", "")
    return msg_id
