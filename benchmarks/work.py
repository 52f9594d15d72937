"""The work of a benchmark: numbered messages, and the verdict on them."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from raw import frame

TOPIC = b"org.fedoraproject.prod.git.receive"
_runs = itertools.count(int(time.time()) << 8)


@dataclass(frozen=True)
class Work:
    """Numbered messages of some publishers.

    Attributes:
        count: messages of each publisher.
        size: bytes of a body.
        publishers: how many there are.
        run: makes every ``msg_id`` of it differ from those of any other work.
    """

    count: int
    size: int
    publishers: int = 1
    run: int = field(default_factory=lambda: next(_runs))

    @property
    def total(self) -> int:
        return self.count * self.publishers

    @property
    def length(self) -> int:
        """Bytes of one message on the wire."""
        return len(encode([b"." * self.size]))

    def bodies(self, who: int) -> list[bytes]:
        """All bodies of one publisher, in order: fedmsg's envelope around what a git hook says, of equal length.

        Spaced as the stock relay's encoder does, so that even from there the same bytes come out.
        """
        before, after = _template(self.size)
        identity = b"2026-%08x-%04x-4000-8000-" % (self.run & 0xFFFFFFFF, who)
        return [b'{"i": %d%s%s%012x%s' % (10**7 + n, before, identity, n, after) for n in range(self.count)]

    def stream(self, who: int) -> bytes:
        """The same as bytes on the wire."""
        return encode(self.bodies(who))


def encode(bodies: Sequence[bytes]) -> bytes:
    """Messages of equal length as bytes on the wire."""
    prefix = frame(TOPIC, more=True) + frame(bodies[0])[: -len(bodies[0])]
    return prefix + prefix.join(bodies)


def _template(size: int) -> tuple[bytes, bytes]:
    """What stands in a body of that size before and behind the number that makes its ``msg_id``."""
    commit: dict[str, Any] = {"branch": "f44", "repo": "nethack", "rev": "5f2a" * 10, "summary": ""}
    if size > 1000:
        files = {f"src/part{n}/module{n}.c": {"additions": n, "deletions": 2 * n, "lines": 3 * n} for n in range(12)}
        commit |= {"agent": "ralph", "email": "ralph@example.org", "name": "Ralph", "namespace": "rpms"}
        commit |= {"stats": {"files": files, "total": {"additions": 66, "deletions": 132, "files": 12, "lines": 198}}}
    body = {"i": 10**7, "msg": {"commit": commit}, "msg_id": "@" * 37 + "#" * 4, "timestamp": 1795000000}
    commit["summary"] = "x" * (size - len(json.dumps(body | {"topic": TOPIC.decode()})))
    text = json.dumps(body | {"topic": TOPIC.decode()}).encode()
    if len(text) != size:
        raise ValueError(f"a body of {size} bytes is too small to say anything")
    before, after = text.split(b"@" * 37 + b"#" * 4)
    return before.removeprefix(b'{"i": 10000000'), after


@dataclass
class Verdict:
    """The fate of a work's messages.

    Attributes:
        heard: messages that came out as they went in.
        lost: that did not come out.
        repeated: that came out more than once.
        disordered: that came out, for the first time, after a later one of the same publisher.
        altered: that were heard and never published.
    """

    heard: int = 0
    lost: int = 0
    repeated: int = 0
    disordered: int = 0
    altered: int = 0

    @property
    def perfect(self) -> bool:
        return not (self.lost or self.repeated or self.disordered or self.altered)

    def __str__(self) -> str:
        faults = {name: count for name, count in vars(self).items() if count and name != "heard"}
        return ", ".join(f"{count:,} {name}" for name, count in faults.items()) or "all heard, in order"


def judge(work: Work, heard: Sequence[bytes]) -> Verdict:
    """Hold what was heard against what was published: which messages, in which order, byte for byte."""
    known = {body: (who, n) for who in range(work.publishers) for n, body in enumerate(work.bodies(who))}
    times: Counter[tuple[int, int]] = Counter()
    last: dict[int, int] = {}
    verdict = Verdict()
    for body in heard:
        identity = known.get(body)
        if identity is None:
            verdict.altered += 1
            continue
        times[identity] += 1
        who, n = identity
        if times[identity] == 1:  # what comes again is repeated, whatever its place
            verdict.disordered += n < last.get(who, -1)
            last[who] = max(n, last.get(who, -1))
    verdict.heard = len(times)
    verdict.lost = work.total - len(times)
    verdict.repeated = sum(times.values()) - len(times)
    return verdict
